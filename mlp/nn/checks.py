"""Checks of constructor arguments. Each message names the parameter, what is allowed and what was given."""

import math
import operator
from typing import Any

import numpy as np

#: What makes class numbers 0, 1, ... of labels of any kind.
RENUMBER = "np.unique(y, return_inverse=True)[1]"


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def number(
    name: str,
    value: Any,
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> float:
    """Return `value` as a float if it is a finite number within the bounds, else raise ValueError."""
    signs = {">": (gt, operator.gt), ">=": (ge, operator.ge), "<": (lt, operator.lt), "<=": (le, operator.le)}
    bounds = [(sign, bound, holds) for sign, (bound, holds) in signs.items() if bound is not None]
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and _is_finite(value)
    if not is_number or not all(holds(value, bound) for _, bound, holds in bounds):
        allowed = " and ".join(f"{sign} {bound:g}" for sign, bound, _ in bounds) or "a finite number"
        finite = not isinstance(value, (int, float)) or _is_finite(value)
        raise ValueError(f"{name} must be {'' if finite else 'finite and '}{allowed}. Got {value!r:.60}")
    return float(value)


def integer(name: str, value: Any, *, ge: int) -> int:
    """Return `value` as an int if it is a whole number of at least `ge`, else raise ValueError."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < ge:
        raise ValueError(f"{name} must be an integer >= {ge}. Got {value!r}")
    return int(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`, else raise ValueError."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}. Got {value!r}")
    return str(value)
