"""What a search may choose: parameters, each a key of the configuration with the values it can take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from hydra_trials.errors import SearchError

Value = str | int | float | bool
Point = dict[str, Value]  # a value for each parameter that the point has


@dataclass(frozen=True)
class Parameter:
    """A key of the configuration and the values it may take."""

    key: str
    distribution: BaseDistribution
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # other keys and the values they need
    length: BaseDistribution | None = None  # a list of so many values, each drawn by itself
    prefix: str = ""  # + or ++, of a key that is new

    def applies(self, chosen: Mapping[str, Value]) -> bool:
        """Whether the parameter exists beside what was `chosen` before it."""
        return all(key in chosen and unquoted(chosen[key]) in allowed for key, allowed in self.when.items())

    def components(self, chosen: Mapping[str, Value]) -> Iterator[tuple[str, BaseDistribution]]:
        """The single numbers or names to draw; a list has its length first, then one entry for each place."""
        if self.length is None:
            yield self.key, self.distribution
            return
        yield self.length_key, self.length
        for place in range(int(chosen[self.length_key])):
            yield f"{self.key}[{place}]", self.distribution

    @property
    def length_key(self) -> str:
        return f"{self.key}.length"

    def override(self, chosen: Mapping[str, Value]) -> str:
        """`key=value` for Hydra."""
        if self.length is None:
            return f"{self.prefix}{self.key}={to_override(chosen[self.key])}"
        entries = [to_override(chosen[f"{self.key}[{place}]"]) for place in range(int(chosen[self.length_key]))]
        return f"{self.prefix}{self.key}=[{','.join(entries)}]"


class Space:
    """The parameters of a search, in an order in which each comes after those that its `when` asks for.

    Args:
        parameters: what may vary.
        given: keys that do not vary, and their values; conditions may ask for them.

    Raises SearchError for a condition on a key that comes later, or that does not exist.
    """

    def __init__(self, parameters: Sequence[Parameter], given: Mapping[str, Value] | None = None) -> None:
        self.parameters, self.given = list(parameters), dict(given or {})
        known = set(self.given)
        for parameter in self.parameters:
            for key in parameter.when:
                if key not in known:
                    raise SearchError(
                        f"search space: {parameter.key} depends on {key}, which must stand before it or be a group "
                        f"of the configuration"
                    )
            known.add(parameter.key)

    def __len__(self) -> int:
        return len(self.parameters)

    def suggest(self, trial: optuna.trial.BaseTrial) -> list[str]:
        """Draw a point with the study's sampler; return its overrides."""
        return self._walk(lambda name, distribution: suggest(trial, name, distribution))

    def sample(self, number: int) -> Iterator[list[str]]:
        """The overrides of some random points."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(number):
            yield self.suggest(study.ask())

    def covering_points(self, most: int) -> Iterator[list[str]]:
        """The overrides of up to `most` points that together have every choice and both ends of every range: enough
        to see whether all are allowed."""
        every = [extremes(d) for p in self.parameters for d in (p.distribution, p.length) if d is not None]
        for turn in range(min(most, max(map(len, every), default=1))):

            def choose(_: str, distribution: BaseDistribution, turn: int = turn) -> Value:
                among = extremes(distribution)
                return among[turn % len(among)]

            yield self._walk(choose)

    def _walk(self, choose: Callable[[str, BaseDistribution], Value]) -> list[str]:
        """The overrides of the point that `choose` chooses, value by value."""
        chosen: dict[str, Value] = dict(self.given)
        overrides = []
        for parameter in self.parameters:
            if parameter.applies(chosen):
                for name, distribution in parameter.components(chosen):
                    chosen[name] = choose(name, distribution)
                overrides.append(parameter.override(chosen))
        return overrides

    def grid(self) -> list[Point]:
        """Every combination. Raises SearchError where a parameter has no end of values."""
        for parameter in self.parameters:
            for distribution in (parameter.distribution, parameter.length):
                if isinstance(distribution, FloatDistribution):
                    raise SearchError(
                        f"a grid cannot enumerate {parameter.key}={describe(distribution)}: give single "
                        f"values, or choose another sampler, as tpe or random"
                    )
        return list(self._extend({}))

    def _extend(self, point: Point) -> Iterator[Point]:
        """All points that begin as `point` does."""
        chosen = {**self.given, **point}
        parts = (part for p in self.parameters if p.applies(chosen) for part in p.components(chosen))
        name, distribution = next((part for part in parts if part[0] not in point), ("", None))
        if distribution is None:
            yield point
            return
        for value in values(distribution):
            yield from self._extend({**point, name: value})

    def distributions(self, name: str) -> list[BaseDistribution]:
        """What the part `name` of a parameter may be drawn from: one entry for each condition."""
        found = []
        for parameter in self.parameters:
            if parameter.length is not None and name == parameter.length_key:
                found.append(parameter.length)
            elif name == parameter.key or name.startswith(f"{parameter.key}["):
                found.append(parameter.distribution)
        return found

    def as_json(self) -> list[dict[str, Any]]:
        """The parameters as data, which tells one space from another."""

        def plain(distribution: BaseDistribution | None) -> Any:
            return None if distribution is None else json.loads(distribution_to_json(distribution))

        return [
            {
                "key": parameter.key,
                "distribution": plain(parameter.distribution),
                "when": {key: list(allowed) for key, allowed in parameter.when.items()},
                "length": plain(parameter.length),
            }
            for parameter in self.parameters
        ]

    def describe(self) -> dict[str, str]:
        """One line for each parameter, as people read it."""
        lines: dict[str, str] = {}
        for parameter in self.parameters:
            line = describe(parameter.distribution)
            if parameter.length is not None:
                line = f"list of {describe(parameter.length)} entries, each {line}"
            conditions = [f"{key} is {' or '.join(allowed)}" for key, allowed in parameter.when.items()]
            line += f", when {' and '.join(conditions)}" if conditions else ""
            lines[parameter.key] = f"{lines[parameter.key]}; {line}" if parameter.key in lines else line
        return lines


def to_override(value: Value | None) -> str:
    """`value` in the grammar of overrides: null, true."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def unquoted(value: Any) -> str:
    """A value as conditions name it: `"sgd"` is sgd."""
    if not isinstance(value, str) or not value.startswith(("'", '"')):
        return to_override(value)
    return str(parse_value(value))


def parse_value(written: str) -> Any:
    """The value that an override with `written` gives, without quotes; None where it is no override."""
    try:
        value = OverridesParser.create().parse_rule(written, "value")
    except HydraException:
        return None
    return value.text if isinstance(value, QuotedString) else value


def suggest(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Value:
    """The trial's value of `name`."""
    if isinstance(distribution, CategoricalDistribution):
        chosen: Value = trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]
        return chosen
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def values(distribution: BaseDistribution) -> list[Value]:
    """All values of a choice or of a range of integers, in their order."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)  # type: ignore[arg-type]
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1, distribution.step))


def extremes(distribution: BaseDistribution) -> list[Value]:
    """All values of a choice; the smallest and the largest of numbers."""
    if isinstance(distribution, CategoricalDistribution):
        return values(distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def describe(distribution: BaseDistribution) -> str:
    """`16, 32 or 64`, `0.0001 to 0.1 (log)`."""
    if isinstance(distribution, CategoricalDistribution):
        *most, last = map(str, distribution.choices)
        return f"{', '.join(most)} or {last}" if most else last
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    step = distribution.step if distribution.step != 1 else None
    marks = [*(["log"] if distribution.log else []), *([f"step {step:g}"] if step else [])]
    whole = "whole " if isinstance(distribution, IntDistribution) else ""
    return f"{whole}{distribution.low:g} to {distribution.high:g}" + (f" ({', '.join(marks)})" if marks else "")
