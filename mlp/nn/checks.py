"""Checks of constructor arguments. Each message names the parameter, what is allowed and what was given."""

import math
from typing import Any

import numpy as np

#: What makes class numbers 0, 1, ... of labels of any kind.
RENUMBER = "np.unique(y, return_inverse=True)[1]"


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
    bounds = [
        f"{sign} {bound:g}" for sign, bound in ((">", gt), (">=", ge), ("<", lt), ("<=", le)) if bound is not None
    ]
    allowed = " and ".join(bounds) or "a finite number"
    fits = (
        isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (gt is None or value > gt)
        and (ge is None or value >= ge)
        and (lt is None or value < lt)
        and (le is None or value <= le)
    )
    if not fits:
        finite = not isinstance(value, float) or math.isfinite(value)
        raise ValueError(f"{name} must be {'' if finite else 'finite and '}{allowed}. Got {value!r}")
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
