"""Sigmoid against ReLU: what is left of the gradient at the first hidden layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base.text import count, option_name
from mlp.report import style
from mlp.report.blocks import Analysis, Chart, Lines
from mlp.report.figures.panels import grid, percent_axis, shared_legend, step_band
from mlp.report.read import GRADIENT_TRACE, Array, RunFiles, gradient_trace, late, over_seeds, stacked
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns


@dataclass
class Group:
    """The runs of one activation and depth, one per seed; layers run from the first hidden one to the output."""

    activation: str
    depth: int  # hidden layers
    runs: Sequence[RunFiles]

    def __post_init__(self) -> None:
        self.name = option_name(self.activation)
        self.key = f"{self.activation}/{self.depth}"
        self.step, self.norms = gradient_trace(self.runs)  # (rows,), (runs, rows, layers)
        self.start: Array = self.norms[:, 0]  # (runs, layers)
        self.end: Array = np.median(self.norms[:, late(self.step)], axis=1)
        self.ratio_at_start = self._ratio(self.start)
        self.test = over_seeds(self.runs, "test_accuracy")

    def facts(self, features: int, classes: int) -> dict[str, Any]:
        means = self.norms.mean(axis=0)
        tenth = np.flatnonzero((10 * means[:, 0] >= means[:, -1]) & (means[:, -1] > 0))
        weights = features * self.runs[0].layer_sizes[0]
        rms, epsilon = self.start[:, 0].mean() / math.sqrt(weights), float(self.runs[0].value("optimizer.epsilon"))
        return {
            "activation": self.activation, "name": self.name, "depth": self.depth,
            "epochs": len(self.runs[0].metrics["epoch"]), "steps": int(self.step[-1]),
            "ratio_at_start": self.ratio_at_start,
            "ratio_at_end": self._ratio(self.end),
            "first_layer_at_start": over_seeds(self.runs, self.start[:, 0]),
            "tenth_reached_at": int(self.step[tenth[0]]) if len(tenth) else None,
            "first_weight_gradient": float(rms), "over_epsilon": float(rms / epsilon),
            "first_epoch_accuracy": over_seeds(self.runs, stacked(self.runs, "val_accuracy")[:, 0]),
            "test_accuracy": self.test,
            "learns": self.test.mean >= 2 / classes,
        }  # fmt: skip

    def _ratio(self, norms: Array) -> MeanStd:
        """First hidden layer over output layer, of norms (runs, layers); NaN where the latter is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return over_seeds(self.runs, np.where(norms[:, -1] > 0, norms[:, 0] / norms[:, -1], np.nan))


class VanishingGradients(Study):
    name = "vanishing_gradients"
    seconds = 130
    quick = ("training.epochs=1", "model.num_layers=1,6", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = [run for run in found.with_files(GRADIENT_TRACE) if "test_accuracy" in run.summary]
        by_depth: dict[tuple[str, int], list[RunFiles]] = {}
        for run in runs:  # the depth as it was recorded, however the configuration says it
            depth = run.arrays(GRADIENT_TRACE)["norms"].shape[1] - 1
            by_depth.setdefault((str(run.value("activation")), depth), []).append(run)
        groups = [Group(activation, depth, members) for (activation, depth), members in by_depth.items()]
        size = found.data.num_features, found.data.num_classes
        return self.answer(
            {
                "groups": {group.key: group.facts(*size) for group in groups},
                "depths": {  # of each activation, from the shallowest network to the deepest
                    name: [g.key for g in sorted(groups, key=lambda g: g.depth) if g.activation == name]
                    for name in dict.fromkeys(group.activation for group in groups)
                },
                "lost": len(found.runs) - len(runs),
                "runs": len(found.runs),
            },
            {
                "vanishing_gradients_over_time": lambda: _over_time(groups),
                "vanishing_gradients_per_layer": lambda: _per_layer_figure(groups),
            },
            [_first_layer(depth, groups) for depth in dict.fromkeys(group.depth for group in groups)],
        )


def _first_layer(depth: int, groups: Sequence[Group]) -> Chart:
    own = [group for group in groups if group.depth == depth]
    norms = {g.name: g.norms[..., 0] for g in own if np.array_equal(g.step, own[0].step)}
    return Lines.of_means(f"first_layer_gradient/{depth}_layers", own[0].step, norms, "step")


# Figures


def _over_time(groups: Sequence[Group]) -> Figure:
    """A panel for each depth."""
    depths = sorted({group.depth for group in groups})
    titles = [[count(depth, "hidden layer") for depth in depths]]
    figure, axes = grid(titles, "step", ["gradient norm, first hidden layer"])
    for group in groups:
        look = style.activation_look(group.activation)
        step_band(axes[0, depths.index(group.depth)], group.step, group.norms[..., 0], group.name, look)
    figure.axes[0].legend(fontsize=style.SMALL, loc="best")
    return figure


def _per_layer_figure(groups: Sequence[Group]) -> Figure:
    """The norm of each layer, and beside it the accuracies."""
    depths = sorted({group.depth for group in groups})
    titles = [[*(count(depth, "hidden layer") for depth in depths), "Test accuracy"]]
    ylabels = ["gradient norm", *[""] * (len(depths) - 1), "test accuracy (%)"]
    figure, axes = grid(titles, "layer", ylabels, panel=(2.6, 2.9), share=False)
    *panels, accuracy = axes[0]
    for ax in panels[1:]:
        ax.sharey(panels[0])
        ax.tick_params(labelleft=False)
    for group in groups:
        ax, x = panels[depths.index(group.depth)], np.arange(1, group.depth + 2)
        color, line, mark = style.activation_look(group.activation)
        for norms, when, width, inside in (
            (group.start, "first step", 2.0, color),
            (group.end, "last fifth", 0.9, "white"),
        ):
            mean = norms.mean(axis=0)
            ax.plot(x, np.where(mean > 0, mean, np.nan), color=color, linestyle=line, marker=mark, markersize=5,
                    linewidth=width, markerfacecolor=inside, label=f"{group.name}, {when}")  # fmt: skip
        ax.set_yscale("log")
        ax.set_xticks(x, [*map(str, x[:-1]), "out"])
        ax.set_xlim(0.6, group.depth + 1.4)
    for name in dict.fromkeys(group.activation for group in groups):
        own = sorted((group for group in groups if group.activation == name), key=lambda group: group.depth)
        color, line, mark = style.activation_look(name)
        reach = np.array([[g.test.mean - min(g.test.values), max(g.test.values) - g.test.mean] for g in own]).T
        means = np.array([group.test.mean for group in own])
        accuracy.errorbar([group.depth for group in own], means, reach, color=color, linestyle=line, marker=mark,
                          markersize=5, capsize=3)  # fmt: skip
    accuracy.set_xticks(depths)
    accuracy.set_xlabel("hidden layers")
    percent_axis(accuracy)
    shared_legend(figure, panels, "outside lower center", columns=4)
    return figure
