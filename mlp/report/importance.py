"""How much the hyper-parameters of a search matter: what a forecast loses when it is told a wrong value."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlp.report.read import Array
from mlp.report.trials import SearchFiles, Trial, columns, conditions

TREES, REPEATS, FOLDS, SHUFFLES = 100, 4, 5, 10


@dataclass(frozen=True)
class Share:
    """By how much the mean absolute error of the forecast grows, with its standard error over the trials."""

    rise: float
    error: float
    trials: int  # that have the hyper-parameter

    @property
    def told(self) -> bool:
        """Whether the rise is more than twice its standard error."""
        return self.rise > 2 * self.error


@dataclass(frozen=True)
class Importance:
    """Errors of the forecast and of guessing the median, and what each hyper-parameter adds to the first."""

    error: float
    guess: float
    shares: Mapping[str, Share]  # by key, the largest first


def importance(search: SearchFiles, trials: Sequence[Trial], target: Array) -> Importance:
    """Permutation importance (Breiman 2001) of a random forest, on trials that it was not fitted to.

    A forest forecasts `target` (trials,) from the hyper-parameters; `REPEATS` times, each `FOLDS`-th part of the
    trials is forecast from the rest. Then one hyper-parameter of a trial takes the value of another trial. It is
    drawn from those that made the same choice where its range depends on a choice, and a choice takes along what
    depends on it: so every changed point is one that the search could have drawn.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import RepeatedKFold

    made = columns(search, trials)
    table = np.array([[column.values.get(t.number, np.nan) for column in made] for t in trials])
    keys = list(dict.fromkeys(column.key for column in made))
    needs = {key: [need for need in conditions(search, key) if need in keys] for key in keys}
    places = {key: [i for i, c in enumerate(made) if c.key == key or key in needs[c.key]] for key in keys}
    random = np.random.default_rng(0)
    donors = {key: _donors(trials, needs[key]) for key in keys}

    errors = np.zeros(len(trials))
    rises = {key: np.zeros(len(trials)) for key in keys}
    for fit, rest in RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0).split(table):
        forest = RandomForestRegressor(TREES, random_state=0).fit(table[fit], target[fit])
        wrong = np.abs(forest.predict(table[rest]) - target[rest])
        errors[rest] += wrong / REPEATS
        changed = np.repeat(table[rest][None, None], len(keys), axis=0).repeat(SHUFFLES, axis=1)
        for block, key in zip(changed, keys, strict=True):
            for place, trial in enumerate(rest):
                taken = random.choice(donors[key][trial], SHUFFLES)
                block[:, place, places[key]] = table[taken][:, places[key]]
        told = forest.predict(changed.reshape(-1, len(made))).reshape(changed.shape[:-1])
        for key, forecast in zip(keys, told, strict=True):
            rises[key][rest] += (np.abs(forecast - target[rest]).mean(axis=0) - wrong) / REPEATS
    having = {key: np.array([key in trial.varied for trial in trials]) for key in keys}
    shares = {key: _share(rises[key][having[key]]) for key in keys}
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1].rise))
    return Importance(float(errors.mean()), float(np.abs(target - np.median(target)).mean()), ordered)


def _donors(trials: Sequence[Trial], needs: Sequence[str]) -> list[list[int]]:
    """For each trial the places of those that agree with it in the keys `needs`, itself among them."""
    groups: dict[tuple[str | None, ...], list[int]] = {}
    agreed = [tuple(trial.varied.get(key) for key in needs) for trial in trials]
    for place, values in enumerate(agreed):
        groups.setdefault(values, []).append(place)
    return [groups[values] for values in agreed]


def _share(rises: Array) -> Share:
    """The mean over the trials that have the hyper-parameter; of a single one nothing is known."""
    error = statistics.stdev(rises.tolist()) / len(rises) ** 0.5 if len(rises) > 1 else math.inf
    return Share(float(rises.mean()), error, len(rises))
