"""The parameters of a search as axes of its pictures: where a value lies, and how it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from hydra_trials.study import Search


def number(value: float) -> str:
    return f"{value:.4g}"


@dataclass(frozen=True)
class Axis:
    """A parameter as a picture shows it: a number for each trial that has it, and names where it has names."""

    name: str
    values: Mapping[int, float]  # by number of the trial; the place of its choice where there are choices
    choices: tuple[str, ...] = ()
    log: bool = False
    low: float = 0.0
    high: float = 1.0

    def place(self, value: float) -> float:
        """Where `value` is on the axis, from 0 to 1."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.log(value) if self.log else value
        return (value - low) / (high - low) if high > low else 0.5

    def text(self, value: float) -> str:
        return self.choices[round(value)] if self.choices else number(value)

    def ticks(self) -> list[float]:
        """Values to write beside the axis."""
        if self.choices:
            return [float(i) for i in range(len(self.choices))]
        if self.low == self.high:
            return [self.low]
        if self.log:
            exponents = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            decades = [10.0**exponent for exponent in exponents]
            between = [value for value in decades if 0.08 < self.place(value) < 0.92]
            return [self.low, *between, self.high]
        middle = (self.low + self.high) / 2
        whole = all(float(value).is_integer() for value in (*self.values.values(), self.low, self.high))
        return [self.low, *([middle] if not whole or middle.is_integer() else []), self.high]


def axes(search: Search, trials: Sequence[FrozenTrial]) -> list[Axis]:
    """The parameters of the trials, in the order of the space. A list of numbers becomes its length and its sum."""
    keys = list(search.description["space"])

    def place(name: str) -> int:
        for key in (name, re.sub(r"(\[\d+\]|\.length)$", "", name)):
            if key in keys:
                return keys.index(key)
        return len(keys)

    found: dict[str, list[Any]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            if distribution not in found.setdefault(name, []):
                found[name].append(distribution)
    made = []
    for name in sorted(found, key=place):
        entry = re.fullmatch(r"(.+)\[(\d+)\]", name)
        if entry and f"{entry[1]}.length" in found and _numeric(found[name]):
            if entry[2] == "0":
                made.append(_sum(entry[1], trials))
            continue
        key = name.removesuffix(".length")
        label = f"length of {key}" if key != name and f"{key}[0]" in found else name
        made.append(_axis(name, label, found[name], trials))
    return made


def _numeric(distributions: Iterable[Any]) -> bool:
    return all(
        not isinstance(distribution, CategoricalDistribution)
        or all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in distribution.choices)
        for distribution in distributions
    )


def _axis(name: str, label: str, distributions: Sequence[Any], trials: Sequence[FrozenTrial]) -> Axis:
    own = {trial.number: trial.params[name] for trial in trials if name in trial.params}
    ranges = [d for d in distributions if isinstance(d, FloatDistribution | IntDistribution)]
    if len(ranges) == len(distributions):
        low, high = min(d.low for d in ranges), max(d.high for d in ranges)
        log = any(d.log for d in ranges) and low > 0
        return Axis(label, {n: float(v) for n, v in own.items()}, log=log, low=float(low), high=float(high))
    given = [choice for d in distributions if isinstance(d, CategoricalDistribution) for choice in d.choices]
    choices = list(dict.fromkeys([*given, *own.values()]))
    if _numeric(distributions):
        choices.sort(key=float)
    values = {n: float(choices.index(v)) for n, v in own.items()}
    return Axis(label, values, tuple(map(str, choices)), high=float(max(1, len(choices) - 1)))


def _sum(key: str, trials: Sequence[FrozenTrial]) -> Axis:
    values = {}
    for trial in trials:
        entries = [value for name, value in trial.params.items() if re.fullmatch(rf"{re.escape(key)}\[\d+\]", name)]
        if entries:
            values[trial.number] = float(sum(entries))
    return Axis(f"sum of {key}", values, low=min(values.values()), high=max(values.values()))
