"""Training against test accuracy of every run of the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.axes import axes, numbers
from mlp.report.blocks import Analysis
from mlp.report.figures.panels import grid, percent_axis
from mlp.report.read import Array
from mlp.report.statistics import OVERFITTED, is_overfitted, is_significant
from mlp.report.studies.hyperparameter_search import HyperparameterSearch, read_searches
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.trials import Parameter, Trial

HIGH = 0.9  # training accuracy from which on runs are drawn once more
FEWEST = 5  # runs of a group that is compared with another
LEAST_SHARE = 0.7  # of the pairs that must differ the same way
MARKS = {False: ("o", style.BLUE, "not over-fitted"), True: ("D", style.VERMILION, "over-fitted")}


@dataclass
class ScoredTrial:
    """A trial with both accuracies, the latter on so many samples."""

    trial: Trial
    name: str
    train: float
    test: float
    samples: int

    def __post_init__(self) -> None:
        self.gap = self.train - self.test
        self.is_overfitted = is_overfitted(self.train, self.test, self.samples)

    @cached_property
    def facts(self) -> dict[str, Any]:
        run = self.trial.run
        losses = run.metrics.get("val_loss", np.array([]))
        losses = losses[np.isfinite(losses)]
        risen = len(losses) and losses.min() > 0
        return {
            "name": self.name, "state": self.trial.state, "point": self.trial.point, "train": self.train,
            "test": self.test, "gap": self.gap, "is_overfitted": self.is_overfitted,
            # By which share the validation loss was above its lowest at the end.
            "loss_rise": float(losses[-1] / losses.min() - 1) if risen else math.nan,
            "epochs": len(run.metrics["epoch"]), "parameters": run.summary.get("num_parameters"),
        }  # fmt: skip


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
        ended = [(one, trial) for one in searches for trial in one.of("done", "pruned", "failed")]
        runs, unmeasured = [], []
        for number, (one, trial) in enumerate(ended):  # no two have the same number
            name = f"{'trial' if one is searches[0] else 'design'} {trial.number}"
            a, b = trial.scores.get("train_accuracy"), trial.scores.get("test_accuracy")
            if a is None or b is None:
                unmeasured.append({"name": name, "state": trial.state})
            else:
                runs.append(ScoredTrial(replace(trial, number=number), name, a, b, test))
        over, rest = ([run for run in runs if run.is_overfitted == which] for which in (True, False))
        return self.answer(
            {
                "trials": sum(len(one.trials) for one in searches), "runs": [run.facts for run in runs],
                "unmeasured": unmeasured, "least_gap": OVERFITTED, "high": HIGH, "fewest": FEWEST,
                "differences": differences(searches[0].parameters, over, rest),
                # Most over-fitted runs were trained at least as long.
                "long": int(np.quantile([run.facts["epochs"] for run in over], 0.25)) if over else None,
                "suffice": 2 * training + found.data.num_features,  # weights, for any labels
            },
            {"global_performance": lambda: _overlay(runs)},
        )  # fmt: skip


def differences(
    parameters: Sequence[Parameter], over: Sequence[ScoredTrial], rest: Sequence[ScoredTrial]
) -> dict[str, dict[str, Any]]:
    """What distinguishes the over-fitted runs from the rest, the strongest first.

    It is larger in LEAST_SHARE of the pairs, or smaller, and by more than chance.
    """
    values: dict[str, Mapping[int, float]]
    values = {name: {run.trial.number: run.facts[key] for run in (*over, *rest) if run.facts[key] is not None}
              for name, key in (("epochs trained", "epochs"), ("parameters", "parameters"))}  # fmt: skip
    choices = []
    for axis in axes(parameters, [run.trial for run in (*over, *rest)]):
        if not axis.choices:
            values.setdefault(axis.name, axis.values)
        elif (given := numbers(*axis.choices)) is not None:
            values[axis.name] = {n: given[round(value)] for n, value in axis.values.items()}
        else:
            for place, choice in enumerate(axis.choices):
                choices.append(f"{axis.name} {choice}")
                values[choices[-1]] = {n: float(value == place) for n, value in axis.values.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, of_run in values.items():
        a, b = (np.array([of_run[run.trial.number] for run in group if run.trial.number in of_run])
                for group in (over, rest))  # fmt: skip
        if min(len(a), len(b)) < FEWEST:
            continue
        share = larger(a, b)
        error = math.sqrt((len(a) + len(b) + 1) / (12 * len(a) * len(b)))  # of Mann and Whitney's statistic
        if abs(share - 0.5) > LEAST_SHARE - 0.5 and is_significant(share - 0.5, error):
            described = {
                group: {"runs": len(x), "sum": float(x.sum()), "median": float(np.median(x)), "max": float(x.max())}
                for group, x in (("over", a), ("rest", b))
            }
            found[name] = {"share": share, "is_choice": name in choices, **described}
    return dict(sorted(found.items(), key=lambda item: -abs(item[1]["share"] - 0.5)))


def larger(a: Array, b: Array) -> float:
    """The share of pairs in which the value of `a` is the larger one; equal ones count half."""
    return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))


# Figure


def _overlay(runs: Sequence[ScoredTrial]) -> Figure:
    high = [run for run in runs if run.train >= HIGH]
    titles = [f"All {len(runs)} runs", f"The {len(high)} with at least {100 * HIGH:g} % training accuracy"]
    ylabels = ["test accuracy (%)", "training - test accuracy (points)"]
    figure, axes = grid(
        [titles if high else titles[:1]], "training accuracy (%)", ylabels, panel=(4.7, 4.3), share=False
    )
    left = axes[0, 0]
    low = min(min(run.train, run.test) for run in runs)
    ends = [max(0.0, low - 0.03), 1.01]
    left.plot(ends, ends, color=style.GREY, linewidth=1, label="equal")
    left.plot([ends[0] + OVERFITTED, ends[1]], [ends[0], ends[1] - OVERFITTED], "--", color=style.VERMILION,
              linewidth=1, label=f"gap of {100 * OVERFITTED:g} point")  # fmt: skip
    _points(left, runs, [run.test for run in runs])
    left.set(xlim=ends, ylim=ends)
    left.legend(fontsize=style.SMALL, loc="upper left")
    if high:
        right = axes[0, 1]
        right.axhline(0, color=style.GREY, linewidth=1)
        right.axhline(OVERFITTED, color=style.VERMILION, linestyle="--", linewidth=1)
        _points(right, high, [run.gap for run in high])
        widest = max(high, key=lambda run: run.gap)
        right.annotate(widest.name, (widest.train, widest.gap), (-7, 0), va="center", ha="right",
                       textcoords="offset points", fontsize=style.SMALL)  # fmt: skip
    for ax in axes.flat:
        percent_axis(ax)
        ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f}")
    return figure


def _points(ax: Axes, runs: Sequence[ScoredTrial], heights: Sequence[float]) -> None:
    """A group of marks for each of over-fitted or not, pruned or not."""
    for overfitted, (marker, color, label) in MARKS.items():
        for pruned in (False, True):
            own = [(run.train, y) for run, y in zip(runs, heights, strict=True)
                   if (run.is_overfitted, run.trial.state == "pruned") == (overfitted, pruned)]  # fmt: skip
            if own:
                x, y = np.array(own).T
                ax.scatter(x, y, s=26, marker=marker, edgecolors=color, facecolors="none" if pruned else color,
                           linewidths=1.1, alpha=0.85,
                           label=f"{label}{', pruned' if pruned else ''} ({len(own)})")  # fmt: skip
