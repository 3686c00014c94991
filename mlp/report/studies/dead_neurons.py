"""ReLU at a high learning rate: hidden units that no training image moves any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base.text import option_name, setting_name, share
from mlp.report import style
from mlp.report.blocks import Analysis, Chart, Histogram, Lines
from mlp.report.figures.panels import grid, integer_axis, percent_axis, shared_legend, step_band
from mlp.report.read import GRADIENT_TRACE, Array, RunFiles, by, gradient_trace, late, over_seeds
from mlp.report.statistics import accuracy_error
from mlp.report.studies.study import Study, StudyRuns

UNITS = "dead_units.npz"
RISE, FALL = 0.02, 0.1  # by which the validation accuracy may still rise or fall on its plateau
MANY_DEAD = 0.1  # share of dead units from which on they may be the reason of a plateau
DRAWN = ("relu", "tanh")  # whose outputs are drawn
OTHER_LOOK: style.Look = (style.GREEN, "-.", "^")  # of the tanh run with another optimizer


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
            "activation": self.activation, "name": option_name(self.activation),
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
        highest, lowest = (extreme.accumulate(self.accuracies[::-1])[::-1] for extreme in (np.maximum, np.minimum))
        is_flat = (highest - self.accuracies <= RISE) & (self.accuracies - lowest <= FALL)  # from this epoch on
        self.epoch = int(is_flat.argmax()) + 1
        self.plateau: Array = self.accuracies[self.epoch - 1 :]
        self.level = float(self.plateau.mean())
        self.is_early = 2 * self.epoch <= len(self.accuracies)
        shares = group.dead / group.width if group.activation == "relu" else group.saturated
        self.silent: Array = np.average(shares[self.place], axis=-1, weights=group.width)  # (counts,)
        self.has_many_dead = group.activation == "relu" and bool(self.silent[-1] >= MANY_DEAD)
        self.norms: Array = group.norms[self.place : self.place + 1, :, 0]

    def facts(self, guess: float) -> dict[str, Any]:
        at_end = self.norms[:, late(self.group.step)]
        return {
            "run": self.run.directory.name, "seed": self.run.seed,
            "optimizer": self.group.optimizer, "rate": self.group.rate, "setting": self.group.setting,
            "epoch": self.epoch, "epochs": len(self.accuracies), "is_early": self.is_early,
            "has_many_dead": self.has_many_dead, "has_learned": self.level > guess,
            "accuracy": float(self.accuracies[-1]), "level": self.level,
            "low": float(self.plateau.min()), "high": float(self.plateau.max()), "peak": float(self.accuracies.max()),
            "silent": float(self.silent[-1]),
            "silent_first": float(self.silent[1]) if len(self.silent) > 2 else None,  # after the first epoch
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
        labels = found.data.split(np.random.default_rng(0))[1].labels
        guess = float(np.bincount(labels).max() / len(labels))  # always naming the most frequent class
        learned = guess + 2 * accuracy_error(guess, len(labels))
        highest = next((group for group in groups if group.activation == "relu"), groups[0]).rate
        high = [Plateau(group, place) for group in groups if group.rate == highest
                for place in range(len(group.runs))]  # fmt: skip
        compared = _compared(high, learned)
        dying = [one for one in high if one.has_many_dead]
        charts: list[Chart] = [
            Histogram(f"nonzero_outputs/{group.key.replace('/', '_')}", group.histogram.sum(axis=0), group.edges[0])
            for group in groups
        ]
        charts += [_dead_share(group) for group in groups if group.activation == "relu"]
        return self.answer(
            {
                "groups": {group.key: group.facts() for group in groups},
                "plateaus": {name: run.facts(learned) for name, run in compared.items()},
                "dying": len(dying),
                "stalled": sum(one.is_early and one.level > learned for one in dying),
                "rise": RISE,
                "many_dead": MANY_DEAD,
                "guess": guess,
                "lost": len(found.runs) - len(runs),
                "runs": len(found.runs),
            },
            {
                "dead_neurons_plateau": lambda: _plateau([*compared.values()], guess),
                "dead_neurons_activations": lambda: _histograms(shown),
            },
            charts,
        )


def _compared(high: Sequence[Plateau], learned: float) -> dict[str, Plateau]:
    """Of the runs at the highest rate: a ReLU run that plateaus, the tanh run with the same optimizer and seed, and,
    where that has not learned either, the most accurate tanh run of this seed.

    The ReLU run is the first there is of: one with many dead units that has learned before its early plateau and
    stays below some tanh run, the highest of them; one with many dead units and an early plateau; one with an early
    plateau; any. Of the last three the least accurate.
    """
    relu, tanh = ([one for one in high if one.group.activation == name] for name in DRAWN)
    early = [one for one in relu if one.is_early]
    dying = [one for one in early if one.has_many_dead]
    best_tanh = max((float(one.accuracies[-1]) for one in tanh), default=1.0)
    if stalled := [one for one in dying if learned < one.level < best_tanh - RISE]:
        chosen = max(stalled, key=lambda one: one.level)
    elif pool := dying or early or relu:
        chosen = min(pool, key=lambda one: float(one.accuracies[-1]))
    else:
        return {}
    compared = {"relu": chosen}
    own = [one for one in tanh if one.run.seed == chosen.run.seed]
    beside = [one for one in own if one.group.setting == chosen.group.setting]
    if beside:
        compared["tanh"] = beside[0]
    best = max(own, key=lambda one: float(one.accuracies[-1]), default=None)
    if best and best not in beside and best.level > learned and not (beside and beside[0].level > learned):
        compared["other tanh"] = best
    return compared


def _dead_share(group: Setting) -> Lines:
    shares = {f"layer {i}": own for i, own in enumerate(np.moveaxis(group.dead / group.width, -1, 0), 1)}
    return Lines.of_means(f"dead_share/{group.optimizer}_{group.rate:g}", group.epochs, shares)


# Figures


def _histograms(groups: Sequence[Setting]) -> Figure:
    """A row of panels for each activation, a column for each setting."""
    rows = [name for name in DRAWN if any(group.activation == name for group in groups)]
    settings = {group.setting: setting_name(group.optimizer, group.rate) for group in groups}
    titles = [[f"{option_name(row)}, {name}" for name in settings.values()] for row in rows]
    figure, axes = grid(titles, "output of a unit", ["share of the outputs"] * len(rows))
    for group in groups:
        ax, relu = axes[rows.index(group.activation), [*settings].index(group.setting)], group.activation == "relu"
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


def _plateau(compared: Sequence[Plateau], guess: float) -> Figure:
    """Accuracy, dead or saturated units, and gradient of the compared runs."""
    titles = [["Validation accuracy", "Dead (ReLU), saturated (tanh)", "Gradient, first hidden layer"]]
    ylabels = ["validation accuracy (%)", "share of units, of outputs (%)", "gradient norm"]
    figure, axes = grid(titles, "epoch", ylabels, panel=(3.4, 2.9), share=False)
    accuracy, silent, gradient = axes[0]
    for place, one in enumerate(compared):
        color, line, mark = style.activation_look(one.group.activation) if place < 2 else OTHER_LOOK
        setting = setting_name(one.group.optimizer, one.group.rate)
        label = f"{option_name(one.group.activation)}, {setting}, run {one.run.directory.name}"
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
    accuracy.axhline(guess, color=style.GREY, linestyle=":", linewidth=1, label="guessing")
    shared_legend(figure, axes.flat, "outside lower center", columns=4)
    return figure
