"""What the pictures of search.html show, as data: page.js draws it with the parts of mlp/pages.

Not with optuna.visualization, whose pictures leave out trials that lack a parameter, that failed or that were pruned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.search import REASON, Search, is_feasible, rounded, state
from mlp.base.text import number, shorten
from mlp.report.axes import Axis, Points, axes
from mlp.report.statistics import is_overfitted
from mlp.report.trials import read_parameters
from mlp.searches.results import directory, read_summary, seed_directories

if TYPE_CHECKING:
    from mlp.report.importance import Importances

MAX_LINES = 200  # in the parallel coordinates, which a browser still draws quickly
MIN_TRIALS = 20  # completed trials, below which an importance would be chance


def objective(trial: FrozenTrial, index: int) -> float | None:
    """A trial's objective: what a completed one reached, and what a pruned one had when it was stopped."""
    value = None
    if trial.state == TrialState.COMPLETE:
        value = trial.values[index]
    elif trial.state == TrialState.PRUNED and index == 0 and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return value if value is not None and math.isfinite(value) else None


def trials_drawn(search: Search, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The finished trials: their objectives, None where they have none, and the first one after each epoch."""
    winner, front, count = search.best(trials), search.pareto_front(), len(search.objectives)
    drawn = []
    for trial in trials:
        if not trial.state.is_finished():
            continue
        values = [objective(trial, index) for index in range(count)]
        kind = "best" if trial is winner else trial.state.name.lower()
        drawn.append({
            "key": trial.number, "kind": kind, "front": trial.number in front, "feasible": is_feasible(trial),
            "values": values,
            "text": "\n".join(_described(search, trial, values)),
            "epochs": sorted(trial.intermediate_values),
            "reported": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
        })  # fmt: skip
    return drawn


def _described(search: Search, trial: FrozenTrial, values: Sequence[float | None]) -> list[str]:
    """A trial in a few lines: state, objectives, parameters, and why it ended."""
    lines = [f"trial {trial.number}, {state(trial)}"]
    scored = zip(search.objectives, values, strict=True)
    lines += [f"{name} {number(value, 4)}" for name, value in scored if value is not None]
    lines += [f"{key} = {rounded(value)}" for key, value in search.varied(trial).items()]
    return [*lines, shorten(str(trial.user_attrs[REASON]), 90)] if trial.user_attrs.get(REASON) else lines


def lines_drawn(search: Search, trials: Sequence[FrozenTrial]) -> list[int]:
    """The completed trials that the parallel coordinates show, best first; of more than `MAX_LINES` half are the best
    ones, half are spread over the rest."""
    done = [trial.number for trial in search.ranked(trials)]
    rest = done[MAX_LINES // 2 :]
    step = math.ceil(len(rest) / (MAX_LINES // 2)) or 1
    return done if len(done) <= MAX_LINES else [*done[: MAX_LINES // 2], *rest[::step]]


def points(search: Search, trials: Sequence[FrozenTrial]) -> Points:
    return {trial.number: search.varied(trial) for trial in trials}


def axes_drawn(search: Search, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The parameters of the trials that have an objective as axes: values by the number of the trial."""
    scored = [t for t in trials if any(objective(t, i) is not None for i in range(len(search.objectives)))]

    def written(axis: Axis) -> dict[int, float | str]:
        return {n: axis.choices[round(value)] if axis.choices else value for n, value in axis.values.items()}

    return [
        {"name": axis.name, "choices": axis.choices or None, "log": axis.log, "values": written(axis)}
        for axis in axes(read_parameters(search.description), points(search, scored))
    ]


def importances(search: Search, trials: Sequence[FrozenTrial]) -> Importances | None:
    """How much each parameter matters to the objective, as the report measures it; None where the completed trials
    are too few, or all alike."""
    done = search.ranked(trials)
    scores = np.array([trial.values[0] for trial in done])
    varied, made = read_parameters(search.description), points(search, done)
    if len(done) < MIN_TRIALS or np.ptp(scores) == 0 or not axes(varied, made):
        return None
    from mlp.report.importance import permutation_importance  # it imports scikit-learn, which takes a while

    return permutation_importance(varied, made, scores)


def runs_drawn(search: Search, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """Every run that has measured both accuracies, of whatever state its trial is; a trial may have several."""
    found = []
    for trial in trials:
        name = f"trial {trial.number}"
        runs = {f"{name}, {path.name}": read_summary(path) for path in seed_directories(search, trial)}
        if not any(runs.values()):
            path = directory(search, trial)
            runs = {name: {**(read_summary(path) if path else {}), **trial.user_attrs}}
        for run, facts in runs.items():
            train, test, samples = (facts.get(key) for key in ("train_accuracy", "test_accuracy", "test_samples"))
            samples = samples if isinstance(samples, int) and samples > 0 else None
            if isinstance(train, int | float) and isinstance(test, int | float):
                found.append({
                    "key": trial.number, "train": train, "test": test, "complete": trial.state == TrialState.COMPLETE,
                    "overfitted": is_overfitted(train, test, samples),
                    "text": f"{run}, {state(trial)}\ntrain {train:.4f}\ntest {test:.4f}\n"
                            f"gap {100 * (train - test):+.2f} points",
                })  # fmt: skip
    return found
