"""What a search may choose: parameters, each a key of the configuration with the values it can take.

Written as sweeps in Hydra's own grammar, on the command line or in a file of `conf/search/space/`:

    training.batch_size: choice(16, 32, 64)
    optimizer.learning_rate: tag(log, interval(1e-4, 1e-1))
    optimizer.momentum: {values: "interval(0.8, 0.99)", when: {optimizer: [momentum, nag]}}
    init.std: [{values: ..., when: ...}, {values: ..., when: ...}]      other values beside other choices
    model.hidden_sizes: {values: "choice(32, 64, 128)", length: "range(1, 7)"}
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from mlp.errors import UserError, unknown

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

Value = str | int | float | bool
FIELDS = ("values", "when", "length")  # of an entry in a file
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
        return all(bare(chosen.get(key)) in allowed for key, allowed in self.when.items())

    def parts(self, chosen: Mapping[str, Value]) -> Iterator[tuple[str, BaseDistribution]]:
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
            return f"{self.prefix}{self.key}={text(chosen[self.key])}"
        entries = [text(chosen[f"{self.key}[{place}]"]) for place in range(int(chosen[self.length_key]))]
        return f"{self.prefix}{self.key}=[{','.join(entries)}]"


class Space:
    """The parameters of a search, in an order in which each comes after those that its `when` asks for.

    Args:
        parameters: what may vary.
        given: keys that do not vary, and their values; conditions may ask for them.

    Raises UserError for a condition on a key that comes later, or that does not exist.
    """

    def __init__(self, parameters: Sequence[Parameter], given: Mapping[str, Value] | None = None) -> None:
        self.parameters, self.given = list(parameters), dict(given or {})
        known = set(self.given)
        for parameter in self.parameters:
            for key in parameter.when:
                if key not in known:
                    raise UserError(
                        f"search space: {parameter.key} depends on {key}, which must stand before it or be a group "
                        f"of the configuration"
                    )
            known.add(parameter.key)

    def __len__(self) -> int:
        return len(self.parameters)

    def suggest(self, trial: optuna.trial.BaseTrial) -> list[str]:
        """Draw a point with the study's sampler; return its overrides."""
        return self._walk(lambda name, distribution: draw(trial, name, distribution))

    def cover(self, most: int) -> Iterator[list[str]]:
        """The overrides of up to `most` points that together show every value of every parameter, or the two ends of
        those that have too many: enough to see whether all are allowed."""
        shown = [edges(d) for p in self.parameters for d in (p.distribution, p.length) if d is not None]
        for turn in range(min(most, max(map(len, shown), default=1))):
            yield self._walk(lambda _, distribution, turn=turn: edges(distribution)[turn % len(edges(distribution))])  # type: ignore[misc]

    def _walk(self, choose: Callable[[str, BaseDistribution], Value]) -> list[str]:
        """The overrides of the point that `choose` chooses, value by value."""
        chosen: dict[str, Value] = dict(self.given)
        overrides = []
        for parameter in self.parameters:
            if parameter.applies(chosen):
                for name, distribution in parameter.parts(chosen):
                    chosen[name] = choose(name, distribution)
                overrides.append(parameter.override(chosen))
        return overrides

    def grid(self) -> list[Point]:
        """Every combination. Raises UserError where a parameter has no end of values."""
        for parameter in self.parameters:
            for name, distribution in ((parameter.key, parameter.distribution), (parameter.key, parameter.length)):
                if isinstance(distribution, FloatDistribution) and distribution.step is None:
                    raise UserError(
                        f"search=grid cannot enumerate {name}={describe(distribution)}: give single values, or "
                        f"choose search=tpe or search=random"
                    )
        return [dict(point) for point in self._extend({}, 0)]

    def _extend(self, point: Point, index: int) -> Iterator[Point]:
        if index == len(self.parameters):
            yield point
            return
        parameter = self.parameters[index]
        if not parameter.applies({**self.given, **point}):
            yield from self._extend(point, index + 1)
            return
        if parameter.length is None:
            for value in values(parameter.distribution):
                yield from self._extend({**point, parameter.key: value}, index + 1)
            return
        for length in values(parameter.length):
            for entries in itertools.product(values(parameter.distribution), repeat=int(length)):
                listed = {f"{parameter.key}[{place}]": entry for place, entry in enumerate(entries)}
                yield from self._extend({**point, parameter.length_key: length, **listed}, index + 1)

    def distributions(self, name: str) -> list[BaseDistribution]:
        """What the part `name` of a parameter may be drawn from: one entry for each condition."""
        found = []
        for parameter in self.parameters:
            if parameter.length is not None and name == parameter.length_key:
                found.append(parameter.length)
            elif name == parameter.key or name.startswith(f"{parameter.key}["):
                found.append(parameter.distribution)
        return found

    def data(self) -> list[dict[str, Any]]:
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


def text(value: Value) -> str:
    """`value` in the grammar of overrides."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def written(value: Any) -> str:
    """What a YAML file gives as a sweep, in the grammar of overrides: its null is null, its true is true."""
    return "null" if value is None else text(value)


def draw(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Value:
    """The trial's value of `name`."""
    if isinstance(distribution, CategoricalDistribution):
        chosen: Value = trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]
        return chosen
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )


def values(distribution: BaseDistribution) -> list[Value]:
    """All values of a distribution that has an end of them, in their order."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)  # type: ignore[arg-type]
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    assert distribution.step is not None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + i * distribution.step for i in range(count)]


def edges(distribution: BaseDistribution) -> list[Value]:
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
    step = distribution.step if isinstance(distribution, FloatDistribution) or distribution.step != 1 else None
    marks = [*(["log"] if distribution.log else []), *([f"step {step:g}"] if step else [])]
    whole = "whole " if isinstance(distribution, IntDistribution) else ""
    return f"{whole}{distribution.low:g} to {distribution.high:g}" + (f" ({', '.join(marks)})" if marks else "")


def from_override(override: Override) -> BaseDistribution:
    """The distribution that a sweep in Hydra's grammar means. Raises UserError."""
    key, value = override.get_key_element(), override.value()
    if override.is_interval_sweep():
        assert isinstance(value, IntervalSweep)
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None
        assert high is not None
        if unknown_tags := set(value.tags) - {"log"}:
            raise UserError(f"{override.input_line}: {unknown('tag', min(unknown_tags), ['log'])}")
        if not low < high or (log and low <= 0):
            needed = "0 < low < high" if log else "low < high"
            raise UserError(f"{override.input_line}: an interval needs {needed}")
        if isinstance(low, int) and isinstance(high, int):  # as int(interval(1, 6)); by itself it is of floats
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if tags := getattr(value, "tags", None):
        raise UserError(f"{override.input_line}: a tag belongs to an interval. Got {', '.join(sorted(tags))}")
    if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
        steps = list(value.range())
        if steps and value.step > 0:
            return IntDistribution(int(steps[0]), int(steps[-1]), step=value.step)
    choices = [_plain(given, as_written) for given, as_written in zip(
        override.sweep_iterator(), override.sweep_string_iterator(), strict=True)]  # fmt: skip
    if not choices:
        raise UserError(f"{override.input_line}: no values to choose from")
    if len(set(map(text, choices))) < len(choices):
        raise UserError(f"{key}: a value is given twice in {', '.join(map(text, choices))}")
    return CategoricalDistribution(choices)


def _plain(value: Any, written: str) -> Value:
    """Numbers and truth values as they are; texts, lists and null as they are written in an override."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and _meaning(written) != value:  # choice("null", x): Hydra has lost the quotes
        return QuotedString(value, Quote.double).with_quotes()
    return written


def _meaning(written: str) -> Any:
    """The value that an override with `written` gives, without quotes; None where it is no override."""
    try:
        value = OverridesParser.create().parse_rule(written, "value")
    except HydraException:
        return None
    return value.text if isinstance(value, QuotedString) else value


def bare(value: Any) -> str:
    """A value as conditions name it: `"sgd"` is sgd."""
    if not isinstance(value, str) or not value.startswith(("'", '"')):
        return text(value)
    return str(_meaning(value))


def sweeps(overrides: Sequence[str], config_loader: ConfigLoader | None = None) -> tuple[list[Parameter], list[str]]:
    """Split overrides into parameters to vary and those that are fixed. Raises UserError.

    Of several for one key the last counts, as in a single run, whether it varies the key or not.
    """
    parsed = OverridesParser.create(config_loader=config_loader).parse_overrides(list(overrides))
    last = {override.get_key_element().lstrip("+~"): override for override in parsed}
    swept = {override.get_key_element().lstrip("+~") for override in parsed if override.is_sweep_override()}
    varied, fixed = [], []
    for override in parsed:
        whole = override.get_key_element()
        key = whole.lstrip("+~")
        if key in swept and override is not last[key]:
            continue
        if override.is_sweep_override():
            varied.append(Parameter(key, from_override(override), prefix=whole.removesuffix(key)))
        else:
            fixed.append(override.input_line or "")
    return varied, fixed


def from_config(node: Mapping[str, Any], fixed: Collection[str] = ()) -> list[Parameter]:
    """The parameters that a file of `conf/search/space/` describes, without the `fixed` keys. Raises UserError."""
    parameters = []
    for key, entry in node.items():
        if key not in fixed:
            parameters += [_parameter(key, one) for one in (entry if isinstance(entry, list) else [entry])]
    return parameters


def _parameter(key: str, entry: Any) -> Parameter:
    fields = dict(entry) if isinstance(entry, Mapping) else {"values": entry}
    for name in fields:
        if name not in FIELDS:
            raise UserError(f"search space, {key}: {unknown('field', name, FIELDS)}")
    if "values" not in fields:
        raise UserError(f"search space, {key}: values are missing, as in values: choice(1, 2)")
    when = {other: _allowed(needed) for other, needed in (fields.get("when") or {}).items()}
    length = None if fields.get("length") is None else _distribution(key, fields["length"])
    return Parameter(key, _distribution(key, fields["values"]), when, length)


def _allowed(needed: Any) -> tuple[str, ...]:
    return tuple(map(written, needed)) if isinstance(needed, list | tuple) else (written(needed),)


def _distribution(key: str, given: Any) -> BaseDistribution:
    line = f"{key}={written(given)}"
    try:
        override = OverridesParser.create().parse_override(line)
    except HydraException as error:
        raise UserError(f"search space, {line}: {error}") from error
    if not override.is_sweep_override():
        return CategoricalDistribution([_plain(override.value(), str(override.get_value_element_as_str()))])
    return from_override(override)
