"""The parameters of a search as axes of its pictures: where a value lies, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlp.base.text import option_name
from mlp.report.trials import Parameter

#: By number of the trial, what it has of the parameters, as it is written in overrides.
Points = Mapping[int, Mapping[str, str]]


@dataclass
class Axis:
    """A parameter as numbers, for the trials that have it; the place of its choice where there are choices."""

    key: str
    name: str
    values: Mapping[int, float]  # by number of the trial
    choices: tuple[str, ...] = ()
    log: bool = False

    def __post_init__(self) -> None:
        ends = range(len(self.choices)) or self.values.values()
        self.low, self.high = float(min(ends)), float(max(ends))

    def place(self, value: float) -> float:
        """Where `value` is between the lowest and the highest, from 0 to 1."""
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low) if high > low else 0.5

    def text(self, value: float) -> str:
        return option_name(self.choices[round(value)]) if self.choices else f"{value:.3g}"

    def ticks(self) -> list[float]:
        """Values to write beside the axis: all choices; of numbers the ends and what is well between them."""
        if self.choices:
            return [float(place) for place in range(len(self.choices))]
        if self.low == self.high:
            return [self.low]
        inner = [(self.low + self.high) / 2]
        if self.log:
            exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            inner = [10.0**exponent for exponent in exponents]
        elif all(value.is_integer() for value in self.values.values()) and not inner[0].is_integer():
            inner = []
        return [self.low, *(value for value in inner if 0.08 < self.place(value) < 0.92), self.high]


def axes(parameters: Sequence[Parameter], points: Points) -> list[Axis]:
    """What points have of the parameters, in their order. A list of numbers becomes its length and its sum."""
    made = []
    for parameter in parameters:
        key, name = parameter.key, parameter.name
        written = {number: point[key] for number, point in points.items() if key in point}
        if not written:
            continue
        if all(value.startswith("[") for value in written.values()):
            items = {number: filter(None, value.strip("[] ").split(",")) for number, value in written.items()}
            lists = {number: numbers(*words) for number, words in items.items()}
            if all(given is not None for given in lists.values()):
                made.append(Axis(key, f"length of {name}", {n: float(len(v or ())) for n, v in lists.items()}))
                made.append(Axis(key, f"sum of {name}", {n: float(sum(v or ())) for n, v in lists.items()}))
                continue
        given = numbers(*written.values())
        if parameter.choices or given is None:
            choices = [*(c for c in parameter.choices if c in written.values()),
                       *sorted({*written.values()} - {*parameter.choices})]  # fmt: skip
            places = {number: float(choices.index(value)) for number, value in written.items()}
            made.append(Axis(key, name, places, tuple(choices)))
        else:
            made.append(Axis(key, name, dict(zip(written, given, strict=True)), log=_is_log(parameter, given)))
    return made


def numbers(*words: str) -> list[float] | None:
    """None where a word is no finite number."""
    try:
        found = [float(word) for word in words]
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def _is_log(parameter: Parameter, given: Sequence[float]) -> bool:
    """As the search drew it; of one that does not say it, whether the numbers span two decades."""
    if min(given) <= 0:
        return False
    return max(given) >= 100 * min(given) if parameter.log is None else parameter.log
