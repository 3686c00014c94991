"""How far a configuration may unfold: option files that repeat each other, and interpolations that do, grow
exponentially out of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from omegaconf import Container, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from mlp.base.errors import UserError

MOST = 20_000  # values of option files, each time that a file is put somewhere, and of interpolations
INTERPOLATION = 5  # values count as one: it takes as long
_TOO_MUCH = (
    f"the configuration unfolds to more than {MOST:,} values: its defaults lists or its ${{...}} repeat each other"
)
_unfolded: ContextVar[list[int] | None] = ContextVar("unfolded", default=None)


@contextmanager
def bounded() -> Iterator[None]:
    """Count what is composed and resolved within, from zero. Raises UserError beyond `MOST` values."""
    if (outer := _unfolded.get()) is not None:
        outer[0] = 0
    token = _unfolded.set([0])
    try:
        yield
    except InterpolationResolutionError as error:
        if _TOO_MUCH in str(error):  # OmegaConf adds where it was
            raise UserError(_TOO_MUCH) from error
        raise
    finally:
        _unfolded.reset(token)


def unfold(values: int) -> None:
    """Count so many values. Raises UserError where they are too many."""
    if (count := _unfolded.get()) is not None:
        count[0] += values
        if count[0] > MOST:
            raise UserError(_TOO_MUCH)


def values_of(content: Any) -> int:
    """How many values a nested configuration has, its lists and mappings among them."""
    inside = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return 1 + sum(map(values_of, inside))


def _counted(self: Container, *args: Any, **kwargs: Any) -> Any:
    """OmegaConf's evaluation of an interpolation, which counts what it gives."""
    found = _resolve(self, *args, **kwargs)
    if _unfolded.get() is not None:
        if isinstance(found, Container):
            size = values_of(OmegaConf.to_container(found, resolve=False))
        else:
            size = len(found) // 100 if isinstance(found, str) else 0
        try:
            unfold(INTERPOLATION + size)
        except UserError as error:
            raise InterpolationResolutionError(str(error)) from error
    return found


_resolve = Container.resolve_parse_tree
Container.resolve_parse_tree = _counted  # type: ignore[method-assign]
