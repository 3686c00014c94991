"""Mistakes of the user, each one message: what was given, what is allowed, how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from hydra.errors import CompactHydraException


class SearchError(CompactHydraException):
    """Hydra prints the message of such an error without a traceback."""

    exit_code = 2


def unknown(kind: str, given: str, allowed: Collection[str]) -> str:
    """Say that `given` is no known `kind`, name the nearest match and everything that is allowed."""
    near = difflib.get_close_matches(given, allowed, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"{kind} '{given}' is unknown{hint} Allowed: {', '.join(sorted(allowed))}"


def not_in_all_options(key: str, without: Collection[str]) -> str:
    """What to say of a key that the options `without` lack, as `optimizer=sgd`, which a search tries."""
    return (
        f"{key} is no key of {' and '.join(without)}, which the search tries too. Search over the options that have "
        f"it, or tie it to them with `when` in a space (`search.space` or `hydra.sweeper.space`)"
    )
