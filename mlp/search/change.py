"""A search that goes on with another definition: what is refused, which trials still count, and for what.

A finished trial of Optuna never changes, and a study never mixes choices. So where trials have to be judged anew, or
a choice gains a value, the search goes on in another study of the same record: all trials in their old order, and so
under their old numbers, those that no longer fit set aside. The study before stays in the record as it was.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, check_distribution_compatibility
from optuna.distributions import json_to_distribution as from_json
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from mlp.errors import UserError
from mlp.search.definition import Definition
from mlp.search.space import Space, values

#: Names of a trial's user attributes.
POINT, LOST, REASON = "point", "lost", "reason"
OBJECTIVES, FIXED, SEEDS = "objectives", "fixed", "seeds"  # what it was run with
PARTS = ("distribution", "length")  # of a parameter as data
WHOLE = "definition"  # of a study: what it is a search for; it is there once all trials are


def check_same(directory: Path, before: Mapping[str, Any], now: Mapping[str, Any], accept: bool) -> None:
    """Raises UserError where `now` describes another search than `before`, and that is not accepted."""
    changed = difference(before, now)
    if changed and not accept:
        raise UserError(
            f"{directory} holds a search with another definition ({changed}). Choose another search.name, or "
            f"search.changed=accept to go on with the new one"
        )


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two descriptions differ, in words; empty if they mean the same search.

    The order of parameters and of choices does not count, nor do values that a grid gains.
    """
    for key in now:
        if key in ("parameters", "study"):
            continue
        old, new, name = before.get(key), now[key], ""
        if key == "space" and "parameters" in before:
            grid = before["sampler"] == now["sampler"] == "grid"
            if not (name := _changed_parameter(before["parameters"], now["parameters"], grid)):
                continue
        elif old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            name = name or next((name for name in {**old, **new} if old.get(name) != new.get(name)), "")
            return f"{key}: {name} was {old.get(name, 'not there')}, now {new.get(name, 'not there')}"
        return f"{key} was {old}, now {new}"
    return ""


def _changed_parameter(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], grid: bool) -> str:
    """The key of the first parameter that takes other values, or under other conditions; empty if none does."""
    for key in dict.fromkeys(parameter["key"] for parameter in (*before, *now)):
        old, new = ([parameter for parameter in of if parameter["key"] == key] for of in (before, now))
        if len(old) != len(new) or any(
            was["when"] != is_now["when"] or not all(_continues(was[p], is_now[p], grid) for p in PARTS)
            for was, is_now in zip(old, new, strict=True)
        ):
            return str(key)
    return ""


def _continues(before: Any, now: Any, grid: bool) -> bool:
    """Whether a parameter takes the same values as before; on a grid, more are as good."""
    if before == now or before is None or now is None:
        return bool(before == now)
    old, new = from_json(json.dumps(before)), from_json(json.dumps(now))
    if not grid and not isinstance(old, CategoricalDistribution):
        return False
    if type(old) is not type(new):
        return False
    was, now_is = ({(type(v).__name__, v) for v in values(d)} for d in (old, new))
    return was <= now_is if grid else was == now_is


def _carry_parameters(trial: FrozenTrial, space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Values of a trial and their distributions, as far as trials of `space` can stand beside them."""
    kept: dict[str, BaseDistribution] = {}
    for name, old in trial.distributions.items():
        new = space.distributions(name)
        fitting = [d for d in new if _fits(trial.params[name], old, d)]
        if fitting:
            kept[name] = fitting[0] if isinstance(fitting[0], CategoricalDistribution) else old
        elif not new:
            kept[name] = old
    return {name: trial.params[name] for name in kept}, kept


def _fits(value: Any, old: BaseDistribution, new: BaseDistribution) -> bool:
    if isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution):
        return any(type(value) is type(choice) and value == choice for choice in new.choices)
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        return False
    return True


class Judge:
    """Says of each trial of a search what it is under the definition `now`.

    Args:
        directory: the search's.
        before: how the search was described; so were the trials run that do not know it themselves.
    """

    def __init__(self, directory: Path, before: Mapping[str, Any], now: Definition) -> None:
        self.directory, self.before, self.now = directory, before, now
        self.described = now.described()

    def counts_anew(self, study: optuna.Study) -> bool:
        """Whether the search cannot go on in the study that it has."""
        trials = study.get_trials(deepcopy=False)
        return [way.name.lower() for way in study.directions] != self.now.directions or any(
            self.reason(trial)
            or self._other_objectives(trial)
            or trial.params != _carry_parameters(trial, self.now.space)[0]
            or any(
                isinstance(old, CategoricalDistribution) and new and old not in new
                for name, old in trial.distributions.items()
                for new in [self.now.space.distributions(name)]
            )
            for trial in trials
            if not (trial.state == TrialState.WAITING or trial.user_attrs.get(LOST))
        )

    def reason(self, trial: FrozenTrial) -> str:
        """Why a trial counts no longer, and its point is to be run again; empty where it counts."""
        attributes = trial.user_attrs
        for name in (FIXED, SEEDS):
            was, is_now = attributes.get(name, self.before.get(name)), self.described[name]
            if was != is_now:
                return f"set aside: it was run with {_words(name, was)}, the search has {_words(name, is_now)}"
        if self._other_objectives(trial) and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            names = ", ".join(self.now.objectives)
            if trial.state == TrialState.PRUNED:
                return f"set aside: it was pruned by another objective than {names}"
            if self.numbers(trial) is None:
                return f"set aside: its summary.json does not hold {names}"
        if trial.state == TrialState.FAIL and self.now.retry_failed and self._still_failed(trial):
            return f"failed before: {attributes.get(REASON, 'no reason recorded')}"
        return ""

    def _still_failed(self, trial: FrozenTrial) -> bool:
        return not self._other_objectives(trial) or self.numbers(trial) is None

    def _other_objectives(self, trial: FrozenTrial) -> bool:
        names = trial.user_attrs.get(OBJECTIVES, self.before["objectives"])
        if names != list(self.now.objectives):
            return True
        if OBJECTIVES in trial.user_attrs or trial.state != TrialState.COMPLETE:
            return False
        # Accepted by an earlier version, which ranked the number of one objective under the name of another.
        recorded = [trial.user_attrs.get(name, value) for name, value in zip(names, trial.values, strict=False)]
        return recorded != list(trial.values)

    def numbers(self, trial: FrozenTrial) -> list[float] | None:
        """The objectives by the summaries of the trial's runs; None where one of them lacks a number."""
        place = self.directory / str(trial.number)
        paths = [place / "summary.json"] if self.now.seeds == 1 else sorted(place.glob("seed_*/summary.json"))
        try:
            found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            if len(found) != self.now.seeds or any(summary["status"] != "completed" for summary in found):
                return None
            means = [statistics.fmean(float(summary[name]) for summary in found) for name in self.now.objectives]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if any(map(math.isnan, means)) else means

    def carry(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as the next study holds it."""
        attributes, state, scores = dict(trial.user_attrs), trial.state, trial.values
        lost, why = bool(attributes.get(LOST)), self.reason(trial)
        reports = trial.intermediate_values
        if state != TrialState.WAITING and not lost:
            if why:
                attributes |= {REASON: why, LOST: True}
                state, scores, reports = TrialState.FAIL, None, {}
            elif self._other_objectives(trial):
                attributes[OBJECTIVES] = list(self.now.objectives)
                reports = {}
                if (measured := self.numbers(trial)) is not None:
                    state, scores = TrialState.COMPLETE, measured
                    attributes.pop(REASON, None)
        params, distributions = _carry_parameters(trial, self.now.space)
        carried = create_trial(
            state=state,
            values=None if state == TrialState.FAIL else scores,
            params=params,
            distributions=distributions,
            user_attrs=attributes,
            system_attrs=trial.system_attrs,
            intermediate_values=reports,
        )
        carried.number = trial.number
        if trial.datetime_start and trial.datetime_complete:
            carried.datetime_start, carried.datetime_complete = trial.datetime_start, trial.datetime_complete
        return carried

    def carry_all(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [self.carry(trial) for trial in trials]

    def again(self, trials: Sequence[FrozenTrial]) -> list[tuple[dict[str, Any], int]]:
        """Values and number of the points that are to be run again."""
        points = []
        for trial in trials:
            if not (trial.state == TrialState.WAITING or trial.user_attrs.get(LOST)) and self.reason(trial):
                params, _ = _carry_parameters(trial, self.now.space)
                given: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
                points.append((given if self.now.sampler == "grid" else params, trial.user_attrs[POINT]))
        return points


def _words(name: str, given: Any) -> str:
    if name == SEEDS:
        return f"{given} seeds" if given != 1 else "one seed"
    return " ".join(given or ()) or "no fixed overrides"


def renew(
    storage: BaseStorage, study: optuna.Study, judge: Judge, described: Mapping[str, Any], working: bool
) -> optuna.Study:
    """A study of the search as `judge` has it, with all trials of `study`.

    Raises UserError while trials run, or another command is `working` on the search.
    """
    trials = study.get_trials(deepcopy=False)
    if working or any(trial.state == TrialState.RUNNING for trial in trials):
        raise UserError(
            f"another command is at work on the search {described['name']}: let it end, or stop it with Ctrl-C, "
            f"before the search goes on with something changed"
        )
    there = {other.study_name: other for other in optuna.get_all_study_summaries(storage)}
    for number in itertools.count(generation(study.study_name, described["name"]) + 1):
        name = f"{described['name']}@{number}"
        if name not in there:
            break
        whole = there[name].user_attrs.get(WHOLE)
        if whole is None:  # the command that was writing it was killed
            optuna.delete_study(study_name=name, storage=storage)
            break
        if not difference(whole, judge.described) and not judge.now.retry_failed:  # another machine was first
            return optuna.load_study(study_name=name, storage=storage)
    renewed = optuna.create_study(storage=storage, study_name=name, directions=judge.now.directions)
    renewed.add_trials(judge.carry_all(trials))
    for params, point in judge.again(trials):
        renewed.enqueue_trial(params, user_attrs={POINT: point})
    renewed.set_user_attr(WHOLE, judge.described)
    return renewed


def generation(study: str, search: str) -> int:
    """1 for the study that a search began with, 2 for the one after it."""
    number = study.removeprefix(f"{search}@")
    return int(number) if number != study and number.isdecimal() else 1


def newest(storage: BaseStorage, search: str) -> str:
    """The study of a search that its other machines go on with."""
    there = optuna.get_all_study_summaries(storage)
    whole = [study.study_name for study in there if WHOLE in study.user_attrs]
    own = [name for name in whole if name == search or generation(name, search) > 1]
    return max(own, key=lambda name: generation(name, search), default=search)
