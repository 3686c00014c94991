"""How much the hyper-parameters of a search matter: what a forecast loses when it is given a wrong value."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlp.report.axes import Points, axes
from mlp.report.read import Array
from mlp.report.statistics import is_significant
from mlp.report.trials import Parameter

TREES, REPEATS, FOLDS, SHUFFLES = 40, 4, 5, 10


@dataclass(frozen=True)
class Importance:
    """By how much the mean absolute error of the forecast grows, with its standard error over the trials."""

    increase: float
    error: float
    trials: int  # that have the hyper-parameter

    @property
    def is_significant(self) -> bool:
        return self.increase > 0 and is_significant(self.increase, self.error)


@dataclass(frozen=True)
class Importances:
    """Mean absolute errors of the forecast and of always saying the median, and what each hyper-parameter adds to the
    first."""

    forecast_error: float
    median_error: float
    by_key: Mapping[str, Importance]  # the largest first


def permutation_importance(parameters: Sequence[Parameter], points: Points, target: Array) -> Importances:
    """Permutation importance (Breiman 2001) of a random forest, on trials that it was not fitted to.

    A forest forecasts `target` (points,) from the hyper-parameters; `REPEATS` times, each `FOLDS`-th part of the
    trials is forecast from the rest. Then one hyper-parameter of a trial takes the value of another trial. It is
    drawn from those that made the same choice where its range depends on a choice, and a choice takes along what
    depends on it: so every changed point is one that the search could have drawn.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import RepeatedKFold

    made, trials = axes(parameters, points), list(points.values())
    table = np.array([[axis.values.get(number, np.nan) for axis in made] for number in points])
    keys = list(dict.fromkeys(axis.key for axis in made))
    needs = {p.key: [condition for condition in p.conditions if condition in keys] for p in parameters}
    places = {key: [i for i, axis in enumerate(made) if axis.key == key or key in needs[axis.key]] for key in keys}
    random = np.random.default_rng(0)
    others = {key: interchangeable(trials, needs[key]) for key in keys}

    errors = np.zeros(len(trials))
    increases = {key: np.zeros(len(trials)) for key in keys}
    for fit, rest in RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0).split(table):
        forest = RandomForestRegressor(TREES, random_state=0).fit(table[fit], target[fit])
        wrong = np.abs(forest.predict(table[rest]) - target[rest])
        errors[rest] += wrong / REPEATS
        changed = np.repeat(table[rest][None, None], len(keys), axis=0).repeat(SHUFFLES, axis=1)
        for block, key in zip(changed, keys, strict=True):
            for place, trial in enumerate(rest):
                taken = random.choice(others[key][trial], SHUFFLES)
                block[:, place, places[key]] = table[taken][:, places[key]]
        forecasts = forest.predict(changed.reshape(-1, len(made))).reshape(changed.shape[:-1])
        for key, forecast in zip(keys, forecasts, strict=True):
            increases[key][rest] += (np.abs(forecast - target[rest]).mean(axis=0) - wrong) / REPEATS
    present = {key: np.array([key in trial for trial in trials]) for key in keys}
    found = {key: _mean_increase(increases[key][present[key]]) for key in keys}
    ordered = dict(sorted(found.items(), key=lambda item: -item[1].increase))
    return Importances(float(errors.mean()), float(np.abs(target - np.median(target)).mean()), ordered)


def interchangeable(points: Sequence[Mapping[str, str]], keys: Sequence[str]) -> list[list[int]]:
    """For each point the places of those that agree with it in `keys`, itself among them."""
    groups: dict[tuple[str | None, ...], list[int]] = {}
    agreed = [tuple(point.get(key) for key in keys) for point in points]
    for place, values in enumerate(agreed):
        groups.setdefault(values, []).append(place)
    return [groups[values] for values in agreed]


def _mean_increase(increases: Array) -> Importance:
    """The mean over the trials that have the hyper-parameter; of a single one nothing is known."""
    error = statistics.stdev(increases.tolist()) / len(increases) ** 0.5 if len(increases) > 1 else math.inf
    return Importance(float(increases.mean()), error, len(increases))
