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
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
    json_to_distribution,
)
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hydra_trials.compat import storage_of
from hydra_trials.definition import Definition
from hydra_trials.errors import SearchError
from hydra_trials.space import Space, values
from hydra_trials.study import LOST, POINT, REASON, is_lost

OBJECTIVES, FIXED, SEEDS = "objectives", "fixed", "seeds"  # user attributes of a trial: what it was run with
COMPLETE = "definition"  # of a study: what it is a search for; it is there once all trials are


def check_same(directory: Path, before: Mapping[str, Any], now: Definition) -> None:
    """Raises SearchError where `now` is another search than the one described `before`, and that is not accepted."""
    changed = difference(before, now.described())
    if changed and not now.accept_mismatch:
        raise SearchError(
            f"{directory} holds a search with another definition ({changed}). Choose another {now.node}.name, or "
            f"{now.node}.on_mismatch=accept to go on with the new one"
        )


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two descriptions differ, in words; empty if they mean the same search.

    The order of parameters and of choices does not count, nor do values that a grid gains. `space`, which is text,
    counts in descriptions without `parameters` only, as the first version wrote them.
    """
    for key in now:
        if key == "space":
            continue
        old, new = before.get(key), now[key]
        if key == "parameters":
            grid = before["sampler"] == now["sampler"] == "grid"
            name = _changed_parameter(old, new, grid) if old else _changed_text(before["space"], now["space"])
            if name:
                was, is_now = (of["space"].get(name, "not there") for of in (before, now))
                return f"space: {name} was {was}, now {is_now}"
        elif old != new:
            return f"{key} was {old}, now {new}"
    return ""


def _changed_text(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return next((key for key in {**before, **now} if before.get(key) != now.get(key)), "")


def _changed_parameter(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], grid: bool) -> str:
    """The key of the first parameter that takes other values, or under other conditions; empty if none does."""
    for key in dict.fromkeys(parameter["key"] for parameter in (*before, *now)):
        old, new = ([parameter for parameter in of if parameter["key"] == key] for of in (before, now))
        if len(old) != len(new) or any(
            was["when"] != is_now["when"]
            or not all(_same_values(was[part], is_now[part], grid) for part in ("distribution", "length"))
            for was, is_now in zip(old, new, strict=True)
        ):
            return str(key)
    return ""


def _same_values(before: Any, now: Any, grid: bool) -> bool:
    """Whether a parameter takes the same values as before; on a grid, more are as good."""
    if before == now or before is None or now is None:
        return bool(before == now)
    old, new = json_to_distribution(json.dumps(before)), json_to_distribution(json.dumps(now))
    if type(old) is not type(new) or not (grid or isinstance(old, CategoricalDistribution)):
        return False
    were, are = ({(type(value).__name__, value) for value in values(d)} for d in (old, new))
    return were <= are if grid else were == are


class Migration:
    """What the trials of a search are under the definition `now`, and their move to a study of it.

    Args:
        directory: the search's.
        before: how the search was described; so were the trials run that do not know it themselves.
    """

    def __init__(self, directory: Path, before: Mapping[str, Any], now: Definition) -> None:
        self.directory, self.before, self.now = directory, before, now
        self.described = now.described()

    def is_needed(self, study: optuna.Study) -> bool:
        """Whether the search cannot go on in the study that it has."""
        if [direction.name.lower() for direction in study.directions] != list(self.now.directions):
            return True
        trials = [trial for trial in study.get_trials(deepcopy=False) if self._counts(trial)]
        return any(
            self.reason(trial)
            or self._has_other_objectives(trial)
            or trial.params != _migrated_params(trial, self.now.space)[0]
            or any(
                isinstance(old, CategoricalDistribution) and new and old not in new
                for name, old in trial.distributions.items()
                for new in [self.now.space.distributions(name)]
            )
            for trial in trials
        )

    def run(self, study: optuna.Study, name: str, working: bool) -> optuna.Study:
        """A study of the search `name` under its new definition, with all trials of `study`.

        Raises SearchError while trials run, or another command is `working` on the search.
        """
        trials = study.get_trials(deepcopy=False)
        if working or any(trial.state == TrialState.RUNNING for trial in trials):
            raise SearchError(
                f"another command is at work on the search {name}: let it end, or stop it with Ctrl-C, before the "
                f"search goes on with something changed"
            )
        storage = storage_of(study)
        there = {other.study_name: other for other in optuna.get_all_study_summaries(storage)}
        for number in itertools.count(generation(study.study_name, name) + 1):
            new_name = f"{name}@{number}"
            if new_name not in there:
                break
            described = there[new_name].user_attrs.get(COMPLETE)
            if described is None:  # the command that was writing it was killed
                optuna.delete_study(study_name=new_name, storage=storage)
                break
            if not difference(described, self.described) and not self.now.retry_failed:  # another machine was first
                return optuna.load_study(study_name=new_name, storage=storage)
        renewed = optuna.create_study(storage=storage, study_name=new_name, directions=self.now.directions)
        renewed.add_trials([self.migrate(trial) for trial in trials])
        for trial in trials:
            if self._counts(trial) and self.reason(trial):
                params, _ = _migrated_params(trial, self.now.space)
                given = trial.system_attrs.get("fixed_params", {}) if self.now.trials is None else params
                renewed.enqueue_trial(given, user_attrs={POINT: trial.user_attrs[POINT]})
        renewed.set_user_attr(COMPLETE, self.described)
        return renewed

    def _counts(self, trial: FrozenTrial) -> bool:
        return not (trial.state == TrialState.WAITING or is_lost(trial))

    def reason(self, trial: FrozenTrial) -> str:
        """Why a trial counts no longer, and its point is to be run again; empty where it counts."""
        attributes = trial.user_attrs
        for name in (FIXED, SEEDS):
            was, is_now = attributes.get(name, self.before.get(name)), self.described[name]
            if was != is_now:
                return f"set aside: it was run with {_words(name, was)}, the search has {_words(name, is_now)}"
        if self._has_other_objectives(trial) and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            names = ", ".join(self.now.objectives)
            if trial.state == TrialState.PRUNED:
                return f"set aside: it was pruned by another objective than {names}"
            if self.measured(trial) is None:
                return f"set aside: its runs have not recorded {names}"
        if trial.state == TrialState.FAIL and self.now.retry_failed and self._still_failed(trial):
            return f"failed before: {attributes.get(REASON, 'no reason recorded')}"
        return ""

    def _still_failed(self, trial: FrozenTrial) -> bool:
        return not self._has_other_objectives(trial) or self.measured(trial) is None

    def _has_other_objectives(self, trial: FrozenTrial) -> bool:
        names = trial.user_attrs.get(OBJECTIVES, self.before["objectives"])
        if names != list(self.now.objectives):
            return True
        if OBJECTIVES in trial.user_attrs or trial.state != TrialState.COMPLETE:
            return False
        # Accepted by an earlier version, which ranked the number of one objective under the name of another.
        recorded = [trial.user_attrs.get(name, value) for name, value in zip(names, trial.values, strict=False)]
        return recorded != list(trial.values)

    def measured(self, trial: FrozenTrial) -> list[float] | None:
        """The objectives by the results of the trial's runs; None where one of them lacks a number."""
        place = self.directory / str(trial.number)
        runs = [place] if self.now.seeds == 1 else sorted(place.glob("seed_*"))
        results = [result for run in runs if (result := self.now.hooks.read_result(run)) is not None]
        if not results or len(results) != self.now.seeds:
            return None
        try:
            means = [statistics.fmean(float(result[name]) for result in results) for name in self.now.objectives]
        except (ValueError, KeyError, TypeError):
            return None
        return None if any(map(math.isnan, means)) else means

    def migrate(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as the next study holds it."""
        attributes, state, scores = dict(trial.user_attrs), trial.state, trial.values
        reports = trial.intermediate_values
        if self._counts(trial):
            if why := self.reason(trial):
                attributes |= {REASON: why, LOST: True}
                state, scores, reports = TrialState.FAIL, None, {}
            elif self._has_other_objectives(trial):
                attributes[OBJECTIVES] = list(self.now.objectives)
                reports = {}
                if (measured := self.measured(trial)) is not None:
                    state, scores = TrialState.COMPLETE, measured
                    attributes.pop(REASON, None)
        params, distributions = _migrated_params(trial, self.now.space)
        migrated = create_trial(
            state=state,
            values=None if state == TrialState.FAIL else scores,
            params=params,
            distributions=distributions,
            user_attrs=attributes,
            system_attrs=trial.system_attrs,
            intermediate_values=reports,
        )
        migrated.number = trial.number
        if trial.datetime_start and trial.datetime_complete:
            migrated.datetime_start, migrated.datetime_complete = trial.datetime_start, trial.datetime_complete
        return migrated


def _migrated_params(trial: FrozenTrial, space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Values of a trial and their distributions, as far as trials of `space` can stand beside them."""
    kept: dict[str, BaseDistribution] = {}
    for name, old in trial.distributions.items():
        new = space.distributions(name)
        fitting = [distribution for distribution in new if _fits(trial.params[name], old, distribution)]
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


def _words(name: str, given: Any) -> str:
    if name == SEEDS:
        return f"{given} seeds" if given != 1 else "one seed"
    return " ".join(given or ()) or "no fixed overrides"


def generation(study: str, search: str) -> int:
    """1 for the study that a search began with, 2 for the one after it."""
    number = study.removeprefix(f"{search}@")
    return int(number) if number != study and number.isdecimal() else 1


def newest(storage: BaseStorage, search: str) -> str:
    """The study of a search that its other machines go on with."""
    there = optuna.get_all_study_summaries(storage)
    complete = [study.study_name for study in there if COMPLETE in study.user_attrs]
    own = [name for name in complete if name == search or generation(name, search) > 1]
    return max(own, key=lambda name: generation(name, search), default=search)
