"""A search that goes on with another definition: what is refused, which trials still count, and for what.

A finished trial of Optuna never changes, and a study never mixes choices. So where trials have to be judged anew, or
a choice gains a value, the search goes on in another study of the same record: all trials in their old order, and so
under their old numbers, those that no longer fit set aside. The study before stays in the record as it was.
"""

from __future__ import annotations

import copy
import json
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
    check_distribution_compatibility,
    json_to_distribution,
)
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.compat import storage_of
from hydra_trials.definition import Definition, Hooks
from hydra_trials.errors import SearchError
from hydra_trials.files import shortened
from hydra_trials.passwords import without_password
from hydra_trials.schema import fault_of_description
from hydra_trials.search import LOST, OVERRIDES, POINT, REASON, is_lost
from hydra_trials.space import Space, values

OBJECTIVES, FIXED, SEEDS = "objectives", "fixed", "seeds"  # user attributes of a trial: what it was run with
POINT_PARAMS = "fixed_params"  # a system attribute of Optuna's: the values that a point of a grid is to have
MAX_GRID = 1_000_000  # values of a range that anybody enumerates
COMPLETE = "definition"  # of a study: what it is a search for; it is there once all trials are


def check_same(directory: Path, before: Mapping[str, Any], now: Definition) -> None:
    """Raises SearchError where `now` is another search than the one described `before`, and that is not accepted, or
    where that is in a database that the command line does not name: files name none."""
    if (storage := before.get("storage")) is not None and now.storage is None:
        raise SearchError(
            f"{directory} holds a search that is recorded in '{without_password(storage)}'. To continue there, give "
            f"{now.node}.storage=URL"
        )
    changed = first_change(_renamed_description(before, now.hooks), now.described())
    if changed and not now.accept_mismatch:
        raise SearchError(
            f"{directory} holds a search with another definition ({changed}). Choose another {now.node}.name, or "
            f"{now.node}.on_mismatch=accept to continue with the new one"
        )


def _renamed_description(before: Mapping[str, Any], hooks: Hooks) -> dict[str, Any]:
    """A description with the names that its keys have now."""
    return {
        **before,
        "space": {hooks.renamed(key): text for key, text in before["space"].items()},
        "parameters": [{**one, "key": hooks.renamed(one["key"])} for one in before.get("parameters", ())],
    }


def first_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two descriptions differ, in words; empty if they mean the same search.

    The order of parameters and of choices does not count, nor do values that a grid gains. `space`, which is text,
    counts in descriptions without `parameters` only, as the first version wrote them.
    """
    for name in (*now, *({"constraints"} & before.keys() - now.keys())):
        old, new = before.get(name), now.get(name)
        if name == "parameters":
            grid = before["sampler"] == now["sampler"] == "grid"
            was, is_now = (_by_key(of, grid, as_text=not old) for of in (before, now))
            for key in {**was, **is_now}:
                if not _same(was.get(key, []), is_now.get(key, []), grid):
                    return _change(f"space: {key}", *(of["space"].get(key, "not there") for of in (before, now)))
        elif name != "space" and old != new:
            return _change(name, old, new)
    return ""


def _change(name: str, old: Any, new: Any) -> str:
    """The words for a change; what an old file says may be long."""
    was, is_now = (shortened(without_password(str(value)[:10_000])) for value in (old, new))
    return f"{name} was {was}, now {is_now}"


def _by_key(described: Mapping[str, Any], grid: bool, as_text: bool) -> dict[str, list[Any]]:
    """Of each key what makes it the same parameter: for each condition the condition, the values, the lengths."""
    if as_text:
        return {key: [text] for key, text in described["space"].items()}
    found: dict[str, list[Any]] = {}
    for one in described["parameters"]:
        drawn = (_drawn_from(one[part], grid) for part in ("distribution", "length"))
        found.setdefault(one["key"], []).extend([one["when"], *drawn])
    return found


def _drawn_from(distribution: Any, grid: bool) -> Any:
    """The set of all values, where their order does not count; else the distribution as it is."""
    read = json_to_distribution(json.dumps(distribution)) if distribution else None
    if isinstance(read, CategoricalDistribution) or (
        grid and isinstance(read, IntDistribution) and (read.high - read.low) // read.step < MAX_GRID
    ):
        return {(type(read), type(value), value) for value in values(read)}
    return distribution


def _same(was: Sequence[Any], is_now: Sequence[Any], grid: bool) -> bool:
    """Whether a parameter takes the same values as before, under the same conditions; on a grid, more are as good."""

    def gains(old: Any, new: Any) -> bool:
        return grid and isinstance(old, set) and isinstance(new, set) and old <= new

    return len(was) == len(is_now) and all(
        old == new or gains(old, new) for old, new in zip(was, is_now, strict=True)
    )


def name_objectives(study: optuna.Study, definition: Definition) -> None:
    """As optuna-dashboard is to show them."""
    with warnings.catch_warnings(action="ignore"):  # experimental since Optuna 3.2
        study.set_metric_names(list(definition.objectives))


class Migration:
    """What the trials of a search are under the definition `now`, and their move to a study of it.

    Args:
        directory: the search's.
        before: how the search was described; so were the trials run that do not know it themselves.
    """

    def __init__(self, directory: Path, before: Mapping[str, Any], now: Definition) -> None:
        self.directory, self.before, self.now = directory, before, now
        self.described = now.described()

    def run(self, study: optuna.Study, name: str, working: bool) -> optuna.Study:
        """The study that the search `name` goes on with: `study`, or where that cannot be, a new one with its trials.

        Raises SearchError where it takes a new one while trials run, or another command is `working` on the search.
        """
        trials = study.get_trials(deepcopy=False)
        migrated = [self.migrate(trial) for trial in trials]
        moved = any(new != old for old, new in zip(trials, migrated, strict=True) if not is_lost(old))
        if not moved and [direction.name.lower() for direction in study.directions] == list(self.now.directions):
            return study
        if working or any(trial.state == TrialState.RUNNING for trial in trials):
            raise SearchError(
                f"another command is at work on the search {name}: let it end, or stop it with Ctrl-C, before the "
                f"search goes on with something changed"
            )
        storage = storage_of(study)
        last = optuna.load_study(study_name=newest(storage, name), storage=storage)
        same = last.study_name != study.study_name and not first_change(definition_of(last), self.described)
        if same and not self.now.retry_failed:  # another machine was first
            return last
        # Without COMPLETE, a study of a command that was killed while it wrote it is nobody's.
        number = 1 + max(generation(other, name) for other in optuna.get_all_study_names(storage))
        renewed = optuna.create_study(storage=storage, study_name=f"{name}@{number}", directions=self.now.directions)
        name_objectives(renewed, self.now)
        renewed.add_trials(migrated)
        for trial in migrated:
            if is_lost(trial) and not is_lost(trials[trial.number]):
                given = trial.system_attrs.get(POINT_PARAMS, {}) if self.now.trials is None else trial.params
                renewed.enqueue_trial(given, user_attrs={POINT: trial.user_attrs[POINT]})
        renewed.set_user_attr(COMPLETE, self.described)
        return renewed

    def reason(self, trial: FrozenTrial) -> str:
        """Why a trial counts no longer, and its point is to be run again; empty where it counts."""
        attributes = trial.user_attrs
        for name in (FIXED, SEEDS):
            was, is_now = attributes.get(name, self.before.get(name)), self.described[name]
            if was != is_now:
                return f"set aside: it was run with {_words(name, was)}, the search has {_words(name, is_now)}"
        if self._has_other_objectives(trial):
            names = ", ".join(self.now.objectives)
            if trial.state == TrialState.PRUNED:
                return f"set aside: it was pruned by another objective than {names}"
            if self.measured(trial) is not None:
                return ""
            if trial.state == TrialState.COMPLETE:
                return f"set aside: its runs have not recorded {names}"
        if trial.state == TrialState.FAIL and self.now.retry_failed:
            return f"failed before: {attributes.get(REASON, 'no reason recorded')}"
        return ""

    def _has_other_objectives(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get(OBJECTIVES, self.before["objectives"]) != list(self.now.objectives))

    def measured(self, trial: FrozenTrial) -> list[float] | None:
        """The objectives by the results of the trial's runs; None where one of them lacks a number."""
        place = self.directory / str(trial.number)
        runs = [place] if self.now.seeds == 1 else sorted(place.glob("seed_*"))
        if not all(run.resolve().is_relative_to(self.directory.resolve()) for run in runs):
            return None  # a link to elsewhere
        results = [result for run in runs if (result := self.now.hooks.read_result(run)) is not None]
        if not results or len(results) != self.now.seeds:
            return None
        try:
            means = [statistics.fmean(float(result[name]) for result in results) for name in self.now.objectives]
        except (ValueError, KeyError, TypeError):
            return None
        return None if any(map(math.isnan, means)) else means

    def migrate(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as the next study holds it; equal where it counts as it is."""
        migrated = _renamed_trial(trial, self.now.hooks)
        migrated.params, migrated.distributions = _migrated_params(migrated, self.now.space)
        if trial.state.is_finished() and trial.datetime_start is None:  # closed while it waited
            migrated.datetime_start = trial.datetime_complete
        if not _counts(trial):
            return migrated
        if why := self.reason(trial):
            migrated.state, migrated.values, migrated.intermediate_values = TrialState.FAIL, None, {}
            migrated.user_attrs |= {REASON: why, LOST: True}
        elif self._has_other_objectives(trial):
            migrated.user_attrs |= {OBJECTIVES: list(self.now.objectives)}
            migrated.intermediate_values = {}
            if (measured := self.measured(trial)) is not None:
                migrated.state, migrated.values = TrialState.COMPLETE, measured
                migrated.user_attrs.pop(REASON, None)
        return migrated


def _counts(trial: FrozenTrial) -> bool:
    return not (trial.state == TrialState.WAITING or is_lost(trial))


def _renamed_trial(trial: FrozenTrial, hooks: Hooks) -> FrozenTrial:
    """A copy of the trial with the names that its keys have now."""

    def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
        return {hooks.renamed(key): value for key, value in values.items()}

    found = copy.deepcopy(trial)
    found.params, found.distributions = renamed(trial.params), renamed(trial.distributions)
    if POINT_PARAMS in found.system_attrs:
        found.system_attrs[POINT_PARAMS] = renamed(found.system_attrs[POINT_PARAMS])
    if OVERRIDES in found.user_attrs:
        words = (word.partition("=") for word in found.user_attrs[OVERRIDES])
        found.user_attrs[OVERRIDES] = [f"{hooks.renamed(key)}{sign}{value}" for key, sign, value in words]
    return found


def _migrated_params(trial: FrozenTrial, space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Values of a trial and their distributions, as far as trials of `space` can stand beside them."""
    kept: dict[str, BaseDistribution] = {}
    for name, old in trial.distributions.items():
        new = space.distributions(name)
        fitting = [distribution for distribution in new if _fits(trial.params[name], old, distribution)]
        if not new or old in new:
            kept[name] = old
        elif fitting:
            kept[name] = fitting[0] if isinstance(fitting[0], CategoricalDistribution) else old
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
    return int(number) if number != study and number.isdecimal() and len(number) < 10 else 1


def definition_of(study: optuna.Study) -> Mapping[str, Any]:
    """What `study` is a search for. Raises SearchError where its record says what cannot be."""
    described: Any = study.user_attrs[COMPLETE]
    given = {"name": "", "storage": None, **described} if isinstance(described, dict) else described
    if fault := fault_of_description(given):
        raise SearchError(f"the record of the search is damaged: in the definition of {study.study_name}, {fault}")
    return described  # type: ignore[no-any-return]


def newest(storage: BaseStorage, search: str) -> str:
    """The study of a search that its other machines go on with."""
    there = optuna.get_all_study_summaries(storage)
    complete = [study.study_name for study in there if COMPLETE in study.user_attrs]
    own = [name for name in complete if name == search or generation(name, search) > 1]
    return max(own, key=lambda name: generation(name, search), default=search)
