"""Users' own classes: a configuration may name those of modules that the user's command line or code has allowed.

A file alone never decides what is imported, whoever wrote it: `_target_` of an allowed module, or of this package, is
the only code that a configuration can reach.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlp.base.errors import UserError

_allowed: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())


def allowed() -> tuple[str, ...]:
    """The modules that the user has allowed."""
    return _allowed.get()


def allow(modules: Iterable[str]) -> None:
    """Let configurations name classes of `modules` and of what is in them, in this thread.

    They are imported here, from the current folder too: then their classes are known by name. Raises UserError.
    """
    _allowed.set(tuple(dict.fromkeys((*allowed(), *modules))))
    for module in modules:
        _import(module)


@contextmanager
def allowing(modules: Iterable[str]) -> Iterator[None]:
    """`allow` within a block."""
    before = _allowed.get()
    try:
        allow(modules)
        yield
    finally:
        _allowed.set(before)


def is_allowed(target: str) -> bool:
    """Whether a `_target_` names something in an allowed module."""
    return any(target.startswith(f"{module}.") for module in allowed())


def _import(module: str) -> None:
    if "" not in sys.path and "." not in sys.path:
        sys.path.append("")  # the current folder, as for `python -m`
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise UserError(f"--allow {module}: it imports {error.name}, which is not installed") from error
        raise UserError(f"--allow {module}: no such module here, nor among the installed ones") from error
    except Exception as error:
        raise UserError(f"--allow {module}: its import failed. {type(error).__name__}: {error}") from error


def foreign(config: Any) -> list[str]:
    """The modules outside this package that a configuration names: what a command to repeat it must allow."""
    if isinstance(config, Mapping):
        target = str(config.get("_target_", ""))
        module = target.rpartition(".")[0]
        own = [module] if module and module.partition(".")[0] != "mlp" else []
        return list(dict.fromkeys([*own, *(name for value in config.values() for name in foreign(value))]))
    if isinstance(config, list):
        return list(dict.fromkeys(name for value in config for name in foreign(value)))
    return []


def allow_flags(modules: Sequence[str]) -> list[str]:
    """The flags of the command line that allow `modules`."""
    return [word for module in modules for word in ("--allow", module)]
