"""Training against test accuracy of every run of the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlp.base.text import percent
from mlp.report import style
from mlp.report.axes import axes, numbers
from mlp.report.blocks import Analysis
from mlp.report.figures.panels import grid, percent_axis
from mlp.report.read import Array
from mlp.report.statistics import OVERFITTED, is_overfitted, is_significant
from mlp.report.studies.hyperparameter_search import HyperparameterSearch, read_searches
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.trials import Parameter, Trial

HIGH = 0.9  # of the highest training accuracy of all runs: from there on a run has learned, and can be over-fitted
FEWEST = 5  # runs of a group that is compared with another
LEAST_SHARE = 0.6  # of the pairs that must differ the same way
MARKS = {False: ("o", style.BLUE, "not over-fitted"), True: ("D", style.VERMILION, "over-fitted")}


class GlobalPerformance(Study):
    name = "global_performance"
    seconds = HyperparameterSearch.seconds
    quick = HyperparameterSearch.quick
    experiment = HyperparameterSearch.name
    further = HyperparameterSearch.further

    def analyse(self, found: StudyRuns) -> Analysis:
        found.with_files()
        searches = read_searches(found)
        training, test = len(found.data.split(np.random.default_rng(0))[0]), len(found.data.test())
        points: list[Mapping[str, str]] = []
        runs: list[dict[str, Any]] = []
        unmeasured = []
        for one in searches:
            for trial in one.of("done", "pruned", "failed"):
                name = f"{'trial' if one is searches[0] else 'design'} {trial.number}"
                if {"train_accuracy", "test_accuracy"} <= trial.scores.keys():
                    points.append(trial.varied)
                    runs.append(_facts(trial, name, test))
                else:
                    unmeasured.append({"name": name, "state": trial.state})
        high = HIGH * max((run["train"] for run in runs), default=0.0)
        for run in runs:
            run["is_overfitted"] &= run["train"] >= high
        learned = [n for n, run in enumerate(runs) if run["train"] >= high]
        return self.answer(
            {
                "trials": sum(len(one.trials) for one in searches), "runs": runs,
                "unmeasured": unmeasured, "least_gap": OVERFITTED, "high": high, "part": HIGH, "fewest": FEWEST,
                "least_share": LEAST_SHARE,
                "differences": distinctions(
                    searches[0].parameters, [points[n] for n in learned], [runs[n] for n in learned]
                ),
                "suffice": 2 * training + found.data.num_features,  # weights, for any labels
            },
            {"global_performance": lambda: _overlay(runs, high)},
        )  # fmt: skip


def _facts(trial: Trial, name: str, samples: int) -> dict[str, Any]:
    """Of a trial with both accuracies, that on the test set on so many samples."""
    train, test = trial.scores["train_accuracy"], trial.scores["test_accuracy"]
    losses = trial.run.metrics.get("val_loss", np.array([]))
    losses = losses[np.isfinite(losses)]
    risen = len(losses) and losses.min() > 0
    return {
        "name": name, "state": trial.state, "point": trial.point, "train": train, "test": test, "gap": train - test,
        "is_overfitted": is_overfitted(train, test, samples),
        # By which share the validation loss was above its lowest at the end.
        "loss_rise": float(losses[-1] / losses.min() - 1) if risen else math.nan,
        "epochs": len(trial.run.metrics["epoch"]), "parameters": trial.run.summary.get("num_parameters"),
    }  # fmt: skip


def distinctions(
    parameters: Sequence[Parameter], points: Sequence[Mapping[str, str]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What distinguishes the half of the runs with the wider gaps from the rest, the strongest first; `points` are
    their varied values.

    It is larger in LEAST_SHARE of the pairs, or smaller, and by more than chance.
    """
    middle = np.median([run["gap"] for run in runs]) if runs else 0.0
    values: dict[str, Mapping[int, float]]
    values = {name: {n: run[key] for n, run in enumerate(runs) if run[key] is not None}
              for name, key in (("epochs trained", "epochs"), ("parameters", "parameters"))}  # fmt: skip
    choices = []
    for axis in axes(parameters, dict(enumerate(points))):
        if not axis.choices:
            values.setdefault(axis.name.replace("_", " "), axis.values)
        elif (given := numbers(*axis.choices)) is not None:
            values[axis.name.replace("_", " ")] = {n: given[round(value)] for n, value in axis.values.items()}
        else:
            for place in range(len(axis.choices)):
                choices.append(f"{axis.name} {axis.text(place)}".replace("_", " "))
                values[choices[-1]] = {n: float(value == place) for n, value in axis.values.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, of_run in values.items():
        a, b = (np.array([value for n, value in of_run.items() if (runs[n]["gap"] > middle) == which])
                for which in (True, False))  # fmt: skip
        if min(len(a), len(b)) < FEWEST:
            continue
        share = larger(a, b)
        error = math.sqrt((len(a) + len(b) + 1) / (12 * len(a) * len(b)))  # of Mann and Whitney's statistic
        if abs(share - 0.5) > LEAST_SHARE - 0.5 and is_significant(share - 0.5, error):
            described = {
                group: {"runs": len(x), "sum": float(x.sum()), "median": float(np.median(x)), "max": float(x.max())}
                for group, x in (("wide", a), ("rest", b))
            }
            found[name] = {"share": share, "is_choice": name in choices, **described}
    return dict(sorted(found.items(), key=lambda item: -abs(item[1]["share"] - 0.5)))


def larger(a: Array, b: Array) -> float:
    """The share of pairs in which the value of `a` is the larger one; equal ones count half."""
    return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))


# Figure


def _overlay(runs: Sequence[Mapping[str, Any]], least: float) -> Figure:
    high = [run for run in runs if run["train"] >= least]
    titles = [f"All {len(runs)} runs", f"The {len(high)} with at least {percent(least, 1)} training accuracy"]
    ylabels = ["test accuracy (%)", "training - test accuracy (points)"]
    figure, axes = grid([titles], "training accuracy (%)", ylabels, panel=(4.7, 4.3), share=False)
    left = axes[0, 0]
    low = min(min(run["train"], run["test"]) for run in runs)
    ends = [max(0.0, low - 0.03), 1.01]
    left.plot(ends, ends, color=style.GREY, linewidth=1, label="equal")
    left.plot([ends[0] + OVERFITTED, ends[1]], [ends[0], ends[1] - OVERFITTED], "--", color=style.VERMILION,
              linewidth=1, label=f"gap of {100 * OVERFITTED:g} point")  # fmt: skip
    _points(left, runs, [run["test"] for run in runs])
    left.set(xlim=ends, ylim=ends)
    left.legend(fontsize=style.SMALL, loc="upper left")
    right = axes[0, 1]
    right.axhline(0, color=style.GREY, linewidth=1)
    right.axhline(OVERFITTED, color=style.VERMILION, linestyle="--", linewidth=1)
    _points(right, high, [run["gap"] for run in high])
    widest = max(high, key=lambda run: run["gap"])
    right.annotate(widest["name"], (widest["train"], widest["gap"]), (-7, 0), va="center", ha="right",
                   textcoords="offset points", fontsize=style.SMALL)  # fmt: skip
    for ax in axes.flat:
        percent_axis(ax)
        ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.3g}")
    return figure


def _points(ax: Axes, runs: Sequence[Mapping[str, Any]], heights: Sequence[float]) -> None:
    """A group of marks for each of over-fitted or not, pruned or not."""
    for overfitted, (marker, color, label) in MARKS.items():
        for pruned in (False, True):
            own = [(run["train"], y, f"{run['name']}: {run['point']}") for run, y in zip(runs, heights, strict=True)
                   if (run["is_overfitted"], run["state"] == "pruned") == (overfitted, pruned)]  # fmt: skip
            if own:
                x, y, names = zip(*own, strict=True)
                ax.scatter(x, y, s=26, marker=marker, edgecolors=color, facecolors="none" if pruned else color,
                           linewidths=1.1, alpha=0.85, urls=names,
                           label=f"{label}{', pruned' if pruned else ''} ({len(own)})")  # fmt: skip
