"""What the record of a search may hold, whoever wrote it: checked once, before anything of it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Check = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a value is a number that floats can hold."""
    if type(value) is int:
        return value.bit_length() < 1000
    return type(value) is float


def is_text(value: Any) -> bool:
    return type(value) is str


def is_name(value: Any) -> bool:
    """Whether a value is a text that messages can quote."""
    return is_text(value) and len(value) <= 10_000


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(is_text, value)) and all(map(check, value.values()))


def optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_names(value: Any) -> bool:
    return list_of(is_text)(value) and len(value) == len({*value}) > 0


def _is_chosen(value: Any) -> bool:
    return is_text(value) or (isinstance(value, dict) and is_text(value.get("_target_")))


def _is_distribution(value: Any) -> bool:
    if not isinstance(value, dict) or not is_text(value.get("name")) or not isinstance(value.get("attributes"), dict):
        return False
    return list_of(is_choice)(value["attributes"].get("choices", []))


def is_choice(value: Any) -> bool:
    """Whether a value may be one of a parameter's choices."""
    return value is None or isinstance(value, bool) or is_number(value) or is_text(value)


def _is_parameter(value: Any) -> bool:
    fields: Mapping[str, Check] = {
        "key": is_name, "distribution": _is_distribution, "when": mapping_of(list_of(is_text)),
        "length": optional(_is_distribution),
    }  # fmt: skip
    return isinstance(value, dict) and all(check(value.get(name, Ellipsis)) for name, check in fields.items())


#: The fields of search.json; those of OPTIONAL may be missing.
DESCRIPTION: Mapping[str, Check] = {
    "name": is_name, "objectives": _is_names, "storage": optional(is_name), "space": mapping_of(is_text),
    "sampler": _is_chosen, "pruner": _is_chosen, "fixed": list_of(is_text), "seeds": is_count,
    "parameters": list_of(_is_parameter), "constraints": mapping_of(is_number), "study": is_name,
    "sampler_seed": is_count,
}  # fmt: skip
OPTIONAL = ("parameters", "constraints", "study", "seeds", "sampler_seed")

#: The user attributes of a trial; others belong to the program that is searched.
ATTRIBUTES: Mapping[str, Check] = {
    "point": is_count, "lost": lambda value: type(value) is bool, "reason": is_text, "overrides": list_of(is_text),
    "host": is_text, "alive": is_number, "retries": is_count, "objectives": list_of(is_text),
    "fixed": list_of(is_text), "seeds": is_count, "seconds": is_number,
}  # fmt: skip
SYSTEM_ATTRIBUTES: Mapping[str, Check] = {
    "constraints": optional(list_of(is_number)), "fixed_params": mapping_of(is_choice),
}  # fmt: skip


def fault_of_description(described: Any) -> str:
    """What is wrong with the content of a search.json; empty if nothing is."""
    known = described if isinstance(described, dict) else {}
    for name, check in DESCRIPTION.items():
        if not (name in OPTIONAL and name not in known) and not check(known.get(name, Ellipsis)):
            return f"its {name} is missing or of a wrong type"
    for parameter in known.get("parameters", ()):
        for part in filter(None, (parameter["distribution"], parameter["length"])):
            try:
                json_to_distribution(json.dumps(part))
            except Exception as error:  # its arguments are anything
                return f"its parameter {parameter['key']} cannot be: {type(error).__name__}"
    return ""


def fault_of_trials(trials: Sequence[FrozenTrial], objectives: int, directions: int) -> str:
    """What is wrong with the trials of a study that has so many objectives; empty if nothing is."""
    if directions != objectives:
        return f"it has {directions} directions for {objectives} objectives"
    for trial in trials:
        if what := _fault(trial, objectives):
            return f"trial {trial.number} has {what}"
    return ""


def _fault(trial: FrozenTrial, objectives: int) -> str:
    done = trial.state == TrialState.COMPLETE
    values: Any = trial.values
    if done or values is not None:
        numbers = list_of(is_number)(values) and not any(map(math.isnan, values))
        if not numbers or len(values) not in ({objectives} if done else {1, objectives}):
            return f"values that are not {objectives} numbers"
    reported: Any = trial.intermediate_values
    if not all(map(is_count, reported)) or not all(map(is_number, reported.values())):
        return "reported values that are no numbers"
    if trial.state == TrialState.RUNNING and trial.datetime_start is None:
        return "no beginning"
    for kind, attributes, checks in (
        ("attribute", trial.user_attrs, ATTRIBUTES),
        ("system attribute", trial.system_attrs, SYSTEM_ATTRIBUTES),
    ):
        if not isinstance(attributes, dict) or not all(map(is_text, attributes)):
            return f"{kind}s that are no mapping"
        for name, check in checks.items():
            if name in attributes and not check(attributes[name]):
                return f"a wrong {kind} {name}"
    if not all(is_choice(value) for value in trial.params.values()):
        return "parameters of a wrong type"
    return ""
