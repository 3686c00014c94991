"""The search of a hundred runs."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.axes import Axis, axes
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.bars import bars
from mlp.report.figures.panels import grid, log_axis
from mlp.report.figures.parallel import parallel_coordinates
from mlp.report.importance import Importance, permutation_importance
from mlp.report.read import Array
from mlp.report.statistics import accuracy_error, is_significant
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.trials import SearchFiles, Trial, read_search, short_name

FEWEST_TRIALS = 20  # below which an importance would be chance
FEWEST_OF_CHOICE = 5  # trials, below which a choice has no median
MOST_BEST = 10  # trials that are described together
PALE = "#B5D2E6"


class HyperparameterSearch(Study):
    name = "hyperparameter_search"
    title = "Hyper-parameter search"
    question = "Which hyper-parameters matter, and which configuration is the best?"
    seconds = 300
    quick = ("search.trials=8", "training.epochs=1")

    def analyse(self, found: StudyRuns) -> Analysis:
        found.with_files()
        search = read_search(found.directory)
        ranked, history = search.ranked, best_so_far(search)
        scores = [(trial.number, trial.scores["val_accuracy"]) for trial in ranked]
        top = ranked[: min(MOST_BEST, max(1, len(ranked) // 2))]
        of_top = {trial.number for trial in top}
        validation = len(found.data.split(np.random.default_rng(0))[1])
        best = scores[0][1] if scores else 0.0
        error = accuracy_error(best, validation)
        least_error = 0.5 / max(validation, 1)  # that is drawn on a logarithmic axis
        early, epoch, accuracies = at_common_epoch(search)
        importances = None
        if len(early) >= FEWEST_TRIALS and np.ptp(accuracies) > 0:
            importances = permutation_importance(search.parameters, early, accuracies)
        by_key = importances.by_key if importances else {}
        return self.answer(
            {
                "sampler": search.sampler, "pruner": search.pruner, "trials": len(search.trials),
                "states": Counter(trial.state for trial in search.trials),
                "failures": Counter(trial.reason for trial in search.of("failed")),
                "optimizers": Counter(trial.varied.get("optimizer") for trial in search.trials).most_common(),
                "ranked": [
                    {"number": trial.number, "point": trial.point, "optimizer": trial.varied.get("optimizer"),
                     "val_accuracy": trial.scores["val_accuracy"], "test_accuracy": trial.scores.get("test_accuracy")}
                    for trial in ranked
                ],
                "top": len(top),
                "validation": validation, "error": error,
                "not_significantly_worse": sum(not is_significant(score - best, error) for _, score in scores),
                "as_good_from": next((number for number, score in history if best - score <= error), None),
                "parameters": [
                    {"name": axis.name, "key": axis.key, "all": _described(axis, list(axis.values.values())),
                     "top": _described(axis, [value for number, value in axis.values.items() if number in of_top])}
                    for axis in axes(search.parameters, search.trials)
                ],
                "early": {"trials": len(early), "epoch": epoch},
                "fewest_trials": FEWEST_TRIALS, "fewest_of_choice": FEWEST_OF_CHOICE,
                "forecast_error": importances.forecast_error if importances else None,
                "median_error": importances.median_error if importances else None,
                "importance": {
                    key: {"name": short_name(key), "increase": one.increase, "error": one.error, "trials": one.trials,
                          "is_significant": one.is_significant, "medians": medians(search, early, accuracies, key)}
                    for key, one in by_key.items()
                },
            },
            {
                "search_parallel": lambda: parallel_coordinates(axes(search.parameters, ranked), scores, least_error),
                "search_importance": lambda: _importance(by_key),
                "search_history": lambda: _history(search, history, least_error),
            },
            [Lines("best_so_far", [number for number, _ in history],
                   {"val_accuracy": [score for _, score in history]}, "trial")] if ranked else [],
        )  # fmt: skip


def best_so_far(search: SearchFiles) -> list[tuple[int, float]]:
    """The completed trials in their order, each with the highest validation accuracy so far."""
    done = sorted(search.ranked, key=lambda trial: trial.number)
    highest = np.maximum.accumulate([trial.scores["val_accuracy"] for trial in done]).tolist()
    return [(trial.number, score) for trial, score in zip(done, highest, strict=True)]


def at_common_epoch(search: SearchFiles) -> tuple[list[Trial], int, Array]:
    """The trials that ran, the last epoch that all of them have reached, and their validation accuracies then."""
    trials = [t for t in search.of("done", "pruned") if (t.run.directory / "metrics.csv").is_file()]
    trials = [t for t in trials if len(t.run.metrics.get("val_accuracy", ()))]
    epoch = min((len(t.run.metrics["epoch"]) for t in trials), default=0)
    values = np.array([t.run.metrics["val_accuracy"][epoch - 1] for t in trials])
    keep = np.isfinite(values)
    return [t for t, k in zip(trials, keep, strict=True) if k], epoch, values[keep]


def _described(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Values of a parameter: choices with how often they were made, or numbers and the part of the axis they span."""
    if axis.choices:
        return {"trials": len(values), "choices": Counter(map(axis.text, values)).most_common()}
    if not values:
        return {"trials": 0}
    low, high = min(values), max(values)
    return {"trials": len(values), "median": statistics.median(values), "low": low, "high": high,
            "span": axis.place(high) - axis.place(low)}  # fmt: skip


def medians(search: SearchFiles, trials: Sequence[Trial], accuracies: Array, key: str) -> list[dict[str, Any]]:
    """The median accuracy of each choice of `key` that several trials have made, the highest first."""
    axis = next(axis for axis in axes(search.parameters, trials) if axis.key == key)
    scores = dict(zip([trial.number for trial in trials], accuracies.tolist(), strict=True))
    found = []
    for place, choice in enumerate(axis.choices):
        own = [scores[number] for number, value in axis.values.items() if value == place]
        if len(own) >= FEWEST_OF_CHOICE:
            found.append({"choice": choice, "accuracy": statistics.median(own), "trials": len(own)})
    return sorted(found, key=lambda one: -one["accuracy"])


# Figures


def _importance(by_key: Mapping[str, Importance]) -> Figure:
    names = [short_name(key) for key in reversed(list(by_key))]
    figure, ax = bars(names, [], "", "growth of the error (points of accuracy)")
    for place, one in enumerate(reversed(list(by_key.values()))):
        whisker = 200 * one.error if math.isfinite(one.error) else 0
        ax.barh(place, 100 * one.increase, xerr=whisker, color=style.BLUE if one.trials >= FEWEST_TRIALS else PALE,
                error_kw={"ecolor": style.BLACK, "capsize": 3, "elinewidth": 1})  # fmt: skip
    ax.axvline(0, color=style.BLACK, linewidth=0.8)
    return figure


def _history(search: SearchFiles, history: Sequence[tuple[int, float]], least_error: float) -> Figure:
    figure, ((ax,),) = grid([[""]], "trial", ["validation error (%, log scale)"], panel=(8.0, 3.3))
    looks = {"done": ("trained to the end", "o", style.BLUE), "pruned": ("pruned", "x", style.ORANGE)}
    for state, (label, marker, color) in looks.items():
        own = [trial for trial in search.of(state) if "val_accuracy" in trial.scores]
        errors = [100 * max(1 - trial.scores["val_accuracy"], least_error) for trial in own]
        if own:
            ax.plot([trial.number for trial in own], errors, marker, color=color, label=label, markersize=5)
    lowest = [100 * max(1 - score, least_error) for _, score in history]
    ax.step([number for number, _ in history], lowest, where="post", color=style.BLACK, label="lowest so far")
    log_axis(ax)
    ax.legend(fontsize=style.SMALL)
    return figure
