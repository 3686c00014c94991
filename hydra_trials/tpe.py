"""TPE in long searches."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.search import is_feasible

BEST, LATEST = 100, 400  # TPE takes at most 25 for the good ones, and compares them with all others


class RecentTPESampler(TPESampler):
    """Optuna's TPE for the next trial, which sees the best trials and the latest: of a long search all would take
    longer from trial to trial. Where there are several objectives it sees all.
    """

    _view: _Recent | None = None

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._recent(study), trial)

    def sample_relative(
        self, study: Any, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._recent(study), trial, search_space)

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._recent(study), trial, param_name, param_distribution)

    def _recent(self, study: optuna.Study) -> Any:
        if len(study.directions) > 1 or self._n_startup_trials > BEST + LATEST:  # it would never see so many
            return study
        if self._view is None or self._view._study is not study:
            self._view = _Recent(study)
        return self._view


class _Recent:
    """A study with some of its trials, chosen when it is first asked for them."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._first = 0  # of the latest
        self._best: list[FrozenTrial] = []  # of those before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy, states, use_cache)
        if not self._first and len(trials) > BEST + LATEST:
            self._first = trials[-LATEST].number
            ended = (trial for trial in trials[:-LATEST] if trial.state != TrialState.RUNNING)
            self._best = heapq.nsmallest(BEST, ended, key=self._rank)
        latest = bisect.bisect_left(trials, self._first, key=lambda trial: trial.number)
        running = (trial for trial in trials[:latest] if trial.state == TrialState.RUNNING)
        return [*sorted([*self._best, *running], key=lambda trial: trial.number), *trials[latest:]]

    def _rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """As TPE ranks, which asks for trials that are complete, pruned or running: first by value, then those that
        were pruned by how far they came, then those that break a constraint by how much."""
        sign = 1 if self._study.direction == StudyDirection.MINIMIZE else -1
        if not is_feasible(trial):
            return 2, sum(violation for violation in trial.system_attrs["constraints"] if violation > 0)
        if trial.state == TrialState.COMPLETE:
            return 0, sign * trial.values[0]
        step = trial.last_step
        return (1, 1) if step is None else (1, -step, sign * trial.intermediate_values[step])
