"""A search space as it is written: sweeps in Hydra's own grammar, on the command line or in a file.

training.batch_size: choice(16, 32, 64)
optimizer.learning_rate: tag(log, interval(1e-4, 1e-1))
optimizer.momentum: {values: "interval(0.8, 0.99)", when: {optimizer: [momentum, nag]}}
init.std: [{values: ..., when: ...}, {values: ..., when: ...}]      other values beside other choices
model.hidden_sizes: {values: "choice(32, 64, 128)", length: "range(1, 7)"}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_trials.errors import SearchError, unknown
from hydra_trials.space import Parameter, Value, parse_value, to_override

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

FIELDS = ("values", "when", "length")  # of an entry in a file


def from_override(override: Override) -> BaseDistribution:
    """The distribution that a sweep in Hydra's grammar means. Raises SearchError."""
    key, value = override.get_key_element(), override.value()
    if override.is_interval_sweep():
        assert isinstance(value, IntervalSweep)
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None
        assert high is not None
        if unknown_tags := set(value.tags) - {"log"}:
            raise SearchError(f"{override.input_line}: {unknown('tag', min(unknown_tags), ['log'])}")
        if not low < high or (log and low <= 0):
            needed = "0 < low < high" if log else "low < high"
            raise SearchError(f"{override.input_line}: an interval needs {needed}")
        if isinstance(low, int) and isinstance(high, int):  # as int(interval(1, 6)); by itself it is of floats
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if tags := getattr(value, "tags", None):
        raise SearchError(f"{override.input_line}: a tag belongs to an interval. Got {', '.join(sorted(tags))}")
    if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
        steps = list(value.range())
        if steps and value.step > 0:
            return IntDistribution(int(steps[0]), int(steps[-1]), step=value.step)
    choices = [_plain(given, as_written) for given, as_written in zip(
        override.sweep_iterator(), override.sweep_string_iterator(), strict=True)]  # fmt: skip
    if not choices:
        raise SearchError(f"{override.input_line}: no values to choose from")
    if len(set(map(to_override, choices))) < len(choices):
        raise SearchError(f"{key}: a value is given twice in {', '.join(map(to_override, choices))}")
    return CategoricalDistribution(choices)


def _plain(value: Any, written: str) -> Value:
    """Numbers and truth values as they are; texts, lists and null as they are written in an override."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and parse_value(written) != value:  # choice("null", x): Hydra has lost the quotes
        return QuotedString(value, Quote.double).with_quotes()
    return written


def split_sweeps(
    overrides: Sequence[str], config_loader: ConfigLoader | None = None
) -> tuple[list[Parameter], list[str]]:
    """Split overrides into parameters to vary and those that are fixed. Raises SearchError.

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
    """The parameters that a file describes, without the `fixed` keys. Raises SearchError."""
    parameters = []
    for key, entry in node.items():
        if key not in fixed:
            parameters += [_parameter(key, one) for one in (entry if isinstance(entry, list) else [entry])]
    return parameters


def _parameter(key: str, entry: Any) -> Parameter:
    fields = dict(entry) if isinstance(entry, Mapping) else {"values": entry}
    for name in fields:
        if name not in FIELDS:
            raise SearchError(f"search space, {key}: {unknown('field', name, FIELDS)}")
    if "values" not in fields:
        raise SearchError(f"search space, {key}: values are missing, as in values: choice(1, 2)")
    when = {
        other: tuple(map(to_override, needed if isinstance(needed, list | tuple) else [needed]))
        for other, needed in (fields.get("when") or {}).items()
    }
    length = None if fields.get("length") is None else _distribution(key, fields["length"])
    return Parameter(key, _distribution(key, fields["values"]), when, length)


def _distribution(key: str, given: Any) -> BaseDistribution:
    line = f"{key}={to_override(given)}"
    try:
        override = OverridesParser.create().parse_override(line)
    except HydraException as error:
        raise SearchError(f"search space, {line}: {error}") from error
    if not override.is_sweep_override():
        return CategoricalDistribution([_plain(override.value(), str(override.get_value_element_as_str()))])
    return from_override(override)
