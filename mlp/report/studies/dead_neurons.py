"""ReLU at a high learning rate: hidden units that no training image moves any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.blocks import Analysis, Chart, Histogram, Lines
from mlp.report.figures.panels import grid, integer_axis, percent_axis, step_band
from mlp.report.read import GRADIENT_TRACE, Array, RunFiles, by, gradient_trace, late, over_seeds
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import activation_name, share

UNITS = "dead_units.npz"
FLAT = 0.01  # what the validation accuracy may still rise after it has reached its plateau
DRAWN = ("relu", "tanh")  # whose outputs are drawn


@dataclass
class Setting:
    """The runs of one activation, optimizer and learning rate, one per seed.

    Tables are (runs, counts, layers): the units are counted before the first step, and after each epoch.
    """

    activation: str
    optimizer: str
    rate: float
    runs: Sequence[RunFiles]

    def __post_init__(self) -> None:
        self.setting = f"{self.optimizer}/{self.rate:g}"
        self.key = f"{self.activation}/{self.setting}"
        files = [run.arrays(UNITS) for run in self.runs]
        rows = min(len(file["step"]) for file in files)
        nonzero, saturated, flat = (
            np.stack([file[name][:rows] for file in files]) for name in ("nonzero", "saturated", "flat")
        )  # (runs, counts, layers, units)
        self.samples = int(files[0]["samples"][0])
        self.width: Array = (nonzero[0, 0] >= 0).sum(axis=-1)  # (layers,)
        outputs = self.width * self.samples
        self.dead: Array = (nonzero == 0).sum(axis=-1)
        self.zero: Array = 1 - np.where(nonzero > 0, nonzero, 0).sum(axis=-1) / outputs  # shares of the outputs
        self.bounded = bool((saturated >= 0).any())
        self.saturated: Array = np.where(saturated > 0, saturated, 0).sum(axis=-1) / outputs
        self.stuck: Array = (flat == self.samples).sum(axis=-1)
        self.histogram: Array = np.stack([file["counts"][rows - 1] for file in files]).sum(axis=0)  # (layers, bins)
        self.edges: Array = files[0]["edges"][0]  # (layers, bins + 1)
        step = files[0]["step"][:rows]
        self.epochs: Array = step / max(1, step[-1]) * len(self.runs[0].metrics["epoch"])  # of the counts
        self.step, self.norms = gradient_trace(self.runs)  # (rows,), (runs, rows, layers)

    def facts(self) -> dict[str, Any]:
        units, last = int(self.width.sum()), -1
        norms = self.norms[:, late(self.step), 0]
        total = self.dead.sum(axis=-1)  # (runs, counts)
        # Shares of all hidden outputs, not of the layers.
        zero, saturated = (
            float(np.average(shares[:, last], axis=-1, weights=self.width).mean())
            for shares in (self.zero, self.saturated)
        )
        return {
            "activation": self.activation, "name": activation_name(self.activation),
            "optimizer": self.optimizer, "rate": self.rate, "setting": self.setting,
            "dtype": self.runs[0].value("model.dtype"), "epochs": len(self.runs[0].metrics["epoch"]),
            "units": units, "width": self.width.tolist(), "samples": self.samples,
            "dead_units": over_seeds(self.runs, total[:, last]),
            "dead_per_layer": [over_seeds(self.runs, counts) for counts in self.dead[:, last].T],
            "dead_at_start": float(total[:, 0].mean()) if self.epochs[0] == 0 else None,
            "dead_after_epoch_1": over_seeds(self.runs, total[:, 1]) if len(self.epochs) > 2 else None,
            "ever_dead": bool(self.dead.any()),
            "zero_outputs": zero,
            "saturated_outputs": saturated if self.bounded else None,
            "stuck_units": over_seeds(self.runs, self.stuck[:, last].sum(axis=-1)) if self.bounded else None,
            "gradient": over_seeds(self.runs, np.median(norms, axis=1)),
            "without_gradient": float((norms == 0).mean()),
            "first_norms": self.norms[:, 0].mean(axis=0).tolist(),  # of the layers, at the first step
            # Of the weights that were counted.
            "val_accuracy": over_seeds(self.runs, [run.metrics["val_accuracy"][-1] for run in self.runs]),
        }  # fmt: skip


@dataclass
class Plateau:
    """A run, by its place among the seeds of its group, and from where on its validation accuracy is flat."""

    group: Setting
    place: int

    def __post_init__(self) -> None:
        group, self.run = self.group, self.group.runs[self.place]
        self.accuracies: Array = np.nan_to_num(self.run.metrics["val_accuracy"])  # (epochs,)
        still_rises = np.maximum.accumulate(self.accuracies[::-1])[::-1] - self.accuracies > FLAT
        self.epoch = int(still_rises.argmin()) + 1
        self.is_early = 2 * self.epoch <= len(self.accuracies)
        shares = group.dead / group.width if group.activation == "relu" else group.saturated
        self.silent: Array = np.average(shares[self.place], axis=-1, weights=group.width)  # (counts,)
        self.norms: Array = group.norms[self.place : self.place + 1, :, 0]

    def facts(self) -> dict[str, Any]:
        at_end = self.norms[:, late(self.group.step)]
        return {
            "run": self.run.directory.name, "seed": self.run.seed, "setting": self.group.setting.replace("/", " at "),
            "epoch": self.epoch, "epochs": len(self.accuracies), "is_early": self.is_early,
            "accuracy": float(self.accuracies[-1]), "silent": float(self.silent[-1]),
            "first_gradient": float(self.norms[0, 0]), "last_gradient": float(np.median(at_end)),
            "without_gradient": float((at_end == 0).mean()),
        }  # fmt: skip


class DeadNeurons(Study):
    name = "dead_neurons"
    seconds = 160
    quick = ("training.epochs=1", "optimizer.learning_rate=0.1", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files(UNITS, GRADIENT_TRACE)
        settings = by(runs, "activation", "optimizer", "optimizer.learning_rate").items()
        groups = [Setting(a, o, float(rate), members) for (a, o, rate), members in settings]
        groups.sort(key=lambda group: -group.rate)
        shown = [group for group in groups if group.activation in DRAWN]
        compared = _compared(groups)
        charts: list[Chart] = [
            Histogram(f"nonzero_outputs/{group.key.replace('/', '_')}", group.histogram.sum(axis=0), group.edges[0])
            for group in groups
        ]
        charts += [_dead_share(group) for group in groups if group.activation == "relu"]
        return self.answer(
            {
                "groups": {group.key: group.facts() for group in groups},
                "plateaus": {run.group.activation: run.facts() for run in compared},
                "flat": FLAT,
                "lost": len(found.runs) - len(runs),
                "runs": len(found.runs),
            },
            {
                "dead_neurons_plateau": lambda: _plateau(compared),
                "dead_neurons_activations": lambda: _histograms(shown),
            },
            charts,
        )


def _compared(groups: Sequence[Setting]) -> list[Plateau]:
    """Of the ReLU runs at the highest rate the least accurate, of those that are flat early if there are any; and the
    tanh run of the same setting and seed."""
    runs = [Plateau(group, place) for group in groups for place in range(len(group.runs))]
    relu = [one for one in runs if one.group.activation == "relu"]
    high = [one for one in relu if one.group.rate == relu[0].group.rate]
    found = sorted([one for one in high if one.is_early] or high, key=lambda one: float(one.accuracies[-1]))[:1]
    return found + [one for one in runs if found and one.group.activation == "tanh"
                    and (one.group.setting, one.run.seed) == (found[0].group.setting, found[0].run.seed)]  # fmt: skip


def _dead_share(group: Setting) -> Lines:
    shares = {f"layer {i}": own for i, own in enumerate(np.moveaxis(group.dead / group.width, -1, 0), 1)}
    return Lines.of_means(f"dead_share/{group.optimizer}_{group.rate:g}", group.epochs, shares)


# Figures


def _histograms(groups: Sequence[Setting]) -> Figure:
    """A row of panels for each activation, a column for each setting."""
    rows = [name for name in DRAWN if any(group.activation == name for group in groups)]
    settings = list(dict.fromkeys(group.setting for group in groups))
    titles = [[f"{activation_name(row)}, {setting.replace('/', ' at ')}" for setting in settings] for row in rows]
    figure, axes = grid(titles, "output of a unit", ["share of the outputs"] * len(rows))
    for group in groups:
        ax, relu = axes[rows.index(group.activation), settings.index(group.setting)], group.activation == "relu"
        ax.set_xscale("log" if relu else "linear")
        ax.set_yscale("log")
        for i, look in enumerate(style.layer_looks(len(group.width))):
            shares = group.histogram[i] / (len(group.runs) * group.width[i] * group.samples)
            edges = group.edges[i]
            if relu:  # no negative outputs; the bin around zero becomes the first
                middle = len(shares) // 2
                shares, edges = shares[middle:], edges[middle:].copy()
                edges[0] = edges[1] ** 2 / edges[2]
            zero = float(group.zero[:, -1, i].mean())
            label = f"layer {i + 1}" + (f", {share(zero, 1)} zero" if zero else "")
            ax.stairs(np.where(shares > 0, shares, np.nan), edges, baseline=None, color=look["color"],
                      linestyle=look["linestyle"], linewidth=1.5, label=label)  # fmt: skip
        if relu or group.setting == groups[0].setting:
            ax.legend(fontsize=style.SMALL - 1.5, loc="best" if relu else "lower center")
    return figure


def _plateau(compared: Sequence[Plateau]) -> Figure:
    """Accuracy, dead or saturated units, and gradient of the compared runs."""
    titles = [["Validation accuracy", "Dead (ReLU), saturated (tanh)", "Gradient, first hidden layer"]]
    ylabels = ["validation accuracy (%)", "share of units, of outputs (%)", "gradient norm"]
    figure, [[accuracy, silent, gradient]] = grid(titles, "epoch", ylabels, panel=(3.4, 2.9), share=False)
    for one in compared:
        color, line, mark = style.activation_look(one.group.activation)
        label = f"{activation_name(one.group.activation)}, run {one.run.directory.name}"
        for ax, x, y in (
            (accuracy, one.run.metrics["epoch"], one.accuracies),
            (silent, one.group.epochs, one.silent),
        ):
            ax.plot(x, y, color=color, linestyle=line, marker=mark, markersize=4, label=label)
            ax.set_ylim(-0.03, 1.03)
            integer_axis(ax)
            percent_axis(ax)
        step_band(gradient, one.group.step, one.norms, label, (color, line, mark))
    gradient.set_xlabel("step")
    accuracy.legend(fontsize=style.SMALL, loc="best")
    return figure
