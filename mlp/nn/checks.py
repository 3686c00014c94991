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
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return `value` as a float if it is a finite number within the bounds, else raise ValueError."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", above), (">=", least), ("<", below), ("<=", most))
        if bound is not None
    ]
    allowed = " and ".join(bounds) or "a finite number"
    fits = (
        isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (above is None or value > above)
        and (least is None or value >= least)
        and (below is None or value < below)
        and (most is None or value <= most)
    )
    if not fits:
        finite = not isinstance(value, float) or math.isfinite(value)
        raise ValueError(f"{name} must be {'' if finite else 'finite and '}{allowed}. Got {value!r}")
    return float(value)


def integer(name: str, value: Any, *, least: int) -> int:
    """Return `value` as an int if it is a whole number of at least `least`, else raise ValueError."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}. Got {value!r}")
    return int(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`, else raise ValueError."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}. Got {value!r}")
    return str(value)
