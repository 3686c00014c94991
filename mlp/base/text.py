"""Numbers and lists as a reader sees them. All functions are filters of the templates as well."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

SMALL, LARGE = 1e-4, 1e7  # numbers beyond are written with a power of ten
NAMES = {
    "relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "gelu": "GELU", "swish": "Swish",
    "sgd": "SGD", "momentum": "Momentum", "nag": "NAG", "rmsprop": "RMSprop", "adam": "Adam", "nadam": "Nadam",
    "xavier": "Xavier", "he": "He", "cross_entropy": "cross-entropy", "mean_squared_error": "mean squared error",
    "sum_squared_error": "summed squared error",
    "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10",
}  # fmt: skip


def listed(names: Iterable[Any]) -> str:
    """`a, b and c`"""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


def comma(loop: Any) -> str:
    """What follows an item in a template's loop, so that its items read `a, b and c`."""
    return "" if loop.last else " and " if loop.revindex == 2 else ", "


def count(number: int, noun: str) -> str:
    """`1 trial`, `2,000 trials`"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def thousands(number: int) -> str:
    """`12,345`"""
    return f"{number:,}"


def shorten(name: str, longest: int = 40) -> str:
    """`a very lo…`"""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def percent(share: float | None, digits: int = 2) -> str:
    """`97.69 %`; of nothing `-`."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def share(value: float, digits: int = 0) -> str:
    """A share that says 0 % or 100 % only where it is exactly that."""
    written = f"{100 * value:.{digits}f} %"
    if 0 < value < 1 and float(written[:-2]) in (0, 100):
        step = 10.0**-digits
        return f"under {step:g} %" if value < 0.5 else f"over {100 - step:g} %"
    return written


def option_name(option: str) -> str:
    """`RMSprop` of `rmsprop`: an option of conf/ as the field writes it; another word as it is."""
    return NAMES.get(option, option)


def setting_name(optimizer: str, rate: float) -> str:
    """`Adam at 0.1`"""
    return f"{option_name(optimizer)} at {rate:g}"


def capital(sentence: str) -> str:
    """With a capital first letter, and the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def points(difference: float, digits: int = 2) -> str:
    """A difference of two shares in percentage points, without its sign: `0.52`."""
    return f"{100 * abs(difference):.{digits}f}"


def number(value: float, digits: int = 6) -> str:
    """`0.001`, `1.23`: with at most so many significant digits."""
    return f"{value:.{digits}g}"


def metric(name: str, value: float) -> str:
    """The number called `name` in a table: a score with four digits after the point, others with four that count."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if name.endswith(("accuracy", "f1", "loss", "precision", "recall")) else f"{value:.4g}"


def rounded(value: float, digits: int = 2) -> str:
    """`0.00038`, `460`, `3.1 × 10⁻⁹`: with so many significant digits."""
    if not math.isfinite(value):
        return "not defined"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or SMALL <= abs(float(f"{mantissa}e{exponent}")) < LARGE:
        return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
    return f"{float(mantissa):g} × {power(int(exponent))}"


def power(exponent: int) -> str:
    """`10⁻⁴`"""
    return f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
