"""Errors that end a run with a message instead of a traceback, and their exit codes."""

from collections.abc import Sequence

from mlp.nn.naming import unknown

__all__ = ["CallbackFailed", "Diverged", "UserError", "not_of_all", "unknown"]


class UserError(Exception):
    """A mistake in the input, shown as one message: what was given, what is allowed, how to fix it."""

    exit_code = 2


class Diverged(Exception):
    """The training loss became NaN or infinite."""

    exit_code = 3


class CallbackFailed(Exception):
    """A callback of the user raised, which ended the training; the run can be continued."""

    exit_code = 1


def not_of_all(key: str, without: Sequence[str]) -> str:
    """What to say of a key that the options `without` lack, as `optimizer=sgd`, which a search tries."""
    return (
        f"{key} is no key of {' and '.join(without)}, which the search tries too. Search over the options that have "
        f"it, or tie it to them with `when` in a file of conf/search/space"
    )
