"""The search of a hundred runs, and beside it a design that fills the same space evenly, without pruning."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base.text import option_name
from mlp.report import style
from mlp.report.axes import Axis, axes
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.bars import bars
from mlp.report.figures.panels import grid, log_axis
from mlp.report.figures.parallel import ParallelCoordinates
from mlp.report.importance import Importance, permutation_importance
from mlp.report.statistics import accuracy_error, is_significant
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.trials import SearchFiles, read_search, spoken

FEWEST_TRIALS = 20  # below which an importance would be chance
OTHER = -1  # number of a line that is no trial of the design
FEWEST_OF_CHOICE = 5  # trials, below which a choice has no median
BINS = 4  # of equal width on the axis of a number


class HyperparameterSearch(Study):
    name = "hyperparameter_search"
    seconds = 700
    quick = ("search.trials=8", "training.epochs=1")
    further = "search_design"

    def analyse(self, found: StudyRuns) -> Analysis:
        found.with_files()
        searches = read_searches(found)
        search, design = searches[0], searches[-1]  # the same one, where there is no design
        ranked = sorted(((t, i) for i, one in enumerate(searches) for t in one.ranked),
                        key=lambda one: -one[0].scores["val_accuracy"])  # fmt: skip
        complete, history = design.ranked, best_so_far(search)
        points = {trial.number: trial.varied for trial in complete}
        scores = {trial.number: trial.scores["val_accuracy"] for trial in complete}
        accuracies = np.array([*scores.values()])
        top = {trial.number for trial in complete[: max(1, len(complete) // 4)]}
        validation = len(found.data.split(np.random.default_rng(0))[1])
        best = ranked[0][0].scores["val_accuracy"] if ranked else 0.0
        error = accuracy_error(best, validation)
        least_error = 0.5 / max(validation, 1)  # that is drawn on a logarithmic axis
        importances = None
        if len(complete) >= FEWEST_TRIALS and np.ptp(accuracies) > 0:
            importances = permutation_importance(design.parameters, points, accuracies)
        by_key = importances.by_key if importances else {}
        drawn = axes(design.parameters, points)
        # The best run of all, where it is of the search: a line more in the picture, and nowhere else.
        other = ranked[0][0] if ranked and ranked[0][0] not in complete else None
        lines = {t.number: (f"{'design' if design is not search else 'trial'} {t.number}", t) for t in complete}
        if other:
            lines = {OTHER: (f"trial {other.number} of the search", other), **lines}
        return self.answer(
            {
                "searches": [
                    {"sampler": one.sampler, "pruner": one.pruner, "trials": len(one.trials),
                     "states": Counter(trial.state for trial in one.trials),
                     "failures": Counter(trial.reason for trial in one.of("failed"))}
                    for one in searches
                ],
                "optimizers": Counter(
                    option_name(trial.varied.get("optimizer", "")) for trial in search.trials
                ).most_common(),
                "ranked": [
                    {"number": trial.number, "place": place, "point": trial.point,
                     "val_accuracy": trial.scores["val_accuracy"], "test_accuracy": trial.scores.get("test_accuracy")}
                    for trial, place in ranked
                ],
                "complete": len(complete), "top": len(top), "validation": validation, "error": error,
                "not_significantly_worse": sum(
                    not is_significant(trial.scores["val_accuracy"] - best, error) for trial, _ in ranked
                ),
                "parameters": [
                    {"name": axis.name.replace("_", " "), "key": axis.key,
                     "all": _described(axis, list(axis.values.values())),
                     "top": _described(axis, [value for number, value in axis.values.items() if number in top]),
                     "explained": explained(axis, scores)}
                    for axis in drawn
                ],
                "fewest_trials": FEWEST_TRIALS,
                "forecast_error": importances.forecast_error if importances else None,
                "median_error": importances.median_error if importances else None,
                "importance": {
                    key: {"key": key, "name": spoken(key), "increase": one.increase, "error": one.error,
                          "trials": one.trials, "is_significant": one.is_significant,
                          "medians": medians(next(axis for axis in drawn if axis.key == key), scores, top)}
                    for key, one in by_key.items()
                },
            },
            {
                "search_parallel": ParallelCoordinates(
                    axes(design.parameters, {number: trial.varied for number, (_, trial) in lines.items()}),
                    [(number, trial.scores["val_accuracy"]) for number, (_, trial) in lines.items()],
                    least_error,
                    {number: name for number, (name, _) in lines.items()},
                    {number: trial.point for number, (_, trial) in lines.items()},
                    OTHER if other else None,
                ),
                "search_importance": lambda: _importance_bars(by_key),
                "search_history": lambda: _best_so_far(search, history, least_error),
            },
            [Lines("best_so_far", [number for number, _ in history],
                   {"val_accuracy": [score for _, score in history]}, "trial")] if history else [],
        )  # fmt: skip


def read_searches(found: StudyRuns) -> list[SearchFiles]:
    """The search, and the design where it has been run."""
    further = [found.further] if found.further and (found.further / "leaderboard.csv").is_file() else []
    return [read_search(directory) for directory in (found.directory, *further)]


def explained(axis: Axis, accuracy: Mapping[int, float]) -> float | None:
    """The share of the variance of the trials' ranks by accuracy that an axis explains.

    Eta squared by the statistic of Kruskal and Wallis, (H - parts + 1) / (trials - parts), for its choices or BINS
    parts of it: about 0, and perhaps below, where it explains nothing (Tomczak & Tomczak 2014). None where fewer than
    two parts have trials, or all accuracies are equal.
    """
    from scipy.stats import kruskal  # takes half a second

    parts: dict[int, list[float]] = {}
    for number, value in axis.values.items():
        part = value if axis.choices else min(BINS * axis.place(value), BINS - 1)
        parts.setdefault(int(part), []).append(accuracy[number])
    trials, scores = len(axis.values), [score for part in parts.values() for score in part]
    if not 1 < len(parts) < trials or min(scores) == max(scores):
        return None
    return float((kruskal(*parts.values()).statistic - len(parts) + 1) / (trials - len(parts)))


def best_so_far(search: SearchFiles) -> list[tuple[int, float]]:
    """The completed trials in their order, each with the highest validation accuracy so far."""
    done = sorted(search.ranked, key=lambda trial: trial.number)
    highest = np.maximum.accumulate([trial.scores["val_accuracy"] for trial in done]).tolist()
    return [(trial.number, score) for trial, score in zip(done, highest, strict=True)]


def _described(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Values of a parameter: choices with how often they were made, or numbers by their median and ends."""
    if axis.choices:
        return {"trials": len(values), "choices": Counter(map(axis.text, values)).most_common()}
    if not values:
        return {"trials": 0}
    return {"trials": len(values), "median": statistics.median(values), "low": min(values), "high": max(values)}


def medians(axis: Axis, accuracy: Mapping[int, float], top: Collection[int]) -> list[dict[str, Any]]:
    """The median accuracy of each choice that several trials have made, the highest first; and how many are in
    `top`."""
    found = []
    for place in range(len(axis.choices)):
        own = [number for number, value in axis.values.items() if value == place]
        if len(own) >= FEWEST_OF_CHOICE:
            found.append({"choice": axis.text(place), "accuracy": statistics.median(accuracy[n] for n in own),
                          "trials": len(own), "top": sum(n in top for n in own)})  # fmt: skip
    return sorted(found, key=lambda one: -one["accuracy"])


# Figures


def _importance_bars(by_key: Mapping[str, Importance]) -> Figure:
    by_key = {key: one for key, one in by_key.items() if one.trials >= FEWEST_TRIALS}
    names = [spoken(key) for key in reversed(list(by_key))]
    figure, ax = bars(names, [], "", "growth of the error (points of accuracy)")
    for place, one in enumerate(reversed(list(by_key.values()))):
        whisker = 200 * one.error if math.isfinite(one.error) else 0
        ax.barh(place, 100 * one.increase, xerr=whisker, color=style.BLUE,
                error_kw={"ecolor": style.BLACK, "capsize": 3, "elinewidth": 1})  # fmt: skip
    ax.axvline(0, color=style.BLACK, linewidth=0.8)
    return figure


def _best_so_far(search: SearchFiles, history: Sequence[tuple[int, float]], least_error: float) -> Figure:
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
