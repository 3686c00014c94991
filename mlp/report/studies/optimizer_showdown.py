"""All six optimizers on the same network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mlp.base.text import option_name
from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.matrix import annotated
from mlp.report.figures.panels import band, grid, log_axis
from mlp.report.read import GRADIENT_TRACE, Array, RunFiles, by, gradient_trace, over_seeds, stacked
from mlp.report.studies.study import Study, StudyRuns

NEAR_GUESS, BLOWN_UP = 0.9, 2  # times the loss of guessing: from there on it has learned next to nothing, or blew up
OPTIMIZERS = ("sgd", "momentum", "nag", "rmsprop", "adam", "nadam")
LOOKS = style.looks(OPTIMIZERS)


@dataclass
class AtRate:
    """The runs of one optimizer at one learning rate, one per seed."""

    optimizer: str
    rate: float
    losses: Array  # (runs, epochs); NaN where a run had diverged
    runs: Sequence[RunFiles]

    def __post_init__(self) -> None:
        self.key = f"{self.optimizer}/{self.rate:g}"
        self.diverged = int((~np.isfinite(self.losses).all(axis=1)).sum())
        self.final = over_seeds(self.runs, self.losses[:, -1])  # the training loss of the last epoch

    def facts(self, guess: float) -> dict[str, Any]:
        tested = all("test_accuracy" in run.summary for run in self.runs)
        return {
            "key": self.key,
            "optimizer": self.optimizer,
            "rate": self.rate,
            "runs": len(self.runs),
            "diverged": self.diverged,
            "loss": {epoch: over_seeds(self.runs, column) for epoch, column in enumerate(self.losses.T, 1)},
            "hardly_learns": NEAR_GUESS * guess <= self.final.mean < BLOWN_UP * guess,
            "blew_up": self.final.mean >= BLOWN_UP * guess,
            "test_accuracy": over_seeds(self.runs, "test_accuracy") if tested else None,
        }


class OptimizerShowdown(Study):
    name = "optimizer_showdown"
    seconds = 250
    quick = ("training.epochs=2", "optimizer.learning_rate=1e-2", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        groups = _groups(found.with_files())
        epochs = groups[0].losses.shape[1]
        guess = math.log(found.data.num_classes)
        best = _best(groups)
        rates = sorted({group.rate for group in groups})
        losses = {option_name(name): group.losses for name, group in best.items()}
        momentum = next((g.runs[0].value("optimizer.momentum") for g in groups if g.optimizer == "momentum"), None)
        return self.answer(
            {
                "groups": {group.key: group.facts(guess) for group in groups},
                "best": {name: group.key for name, group in best.items()},
                "rates": rates,
                "epochs": epochs,
                "guess": guess,
                "near_guess": NEAR_GUESS,
                "blown_up": BLOWN_UP,
                "seeds": len({run.seed for run in found.runs}),
                "momentum": momentum,
                "zero_inputs": float((found.data.load("train")[0] == 0).mean()),
                **_first_gradients(found.runs, (found.data.num_features, found.data.num_classes)),
            },
            {
                "optimizer_showdown": lambda: _at_best(best),
                "optimizer_rates": lambda: _heat(groups, rates, best, guess),
            },
            [Lines.of_means("train_loss/best_rate", np.arange(1, epochs + 1), losses)],
        )


def _groups(runs: Sequence[RunFiles]) -> list[AtRate]:
    """The runs by optimizer and learning rate, in the order of the assignment."""
    losses = dict(zip(runs, stacked(runs, "train_loss"), strict=True))
    made = [
        AtRate(optimizer, float(rate), np.stack([losses[run] for run in members]), members)
        for (optimizer, rate), members in by(runs, "optimizer", "optimizer.learning_rate").items()
    ]
    return sorted(made, key=lambda g: ((*OPTIMIZERS, g.optimizer).index(g.optimizer), g.optimizer, g.rate))


def _best(groups: Sequence[AtRate]) -> dict[str, AtRate]:
    """For each optimizer its rate with the lowest loss of the last epoch, of those at which no run diverged."""
    sound = [group for group in groups if not group.diverged]
    names = dict.fromkeys(group.optimizer for group in sound)
    return {name: min((g for g in sound if g.optimizer == name), key=lambda g: g.final.mean) for name in names}


def _first_gradients(runs: Sequence[RunFiles], ends: tuple[int, int]) -> dict[str, Any]:
    """Of the first step: whether the runs of a seed and network began alike, of how many runs that is known, and the
    root mean square of the gradient of each layer's weights."""
    traced = [run for run in runs if (run.directory / GRADIENT_TRACE).is_file()]
    alike = by(traced, "seed", "model.hidden_sizes", "model.num_layers").values()
    traces = [gradient_trace(own) for own in alike if len(own) > 1]
    first = [norms[:, 0] for step, norms in traces if list(step[:1]) == [1]]
    facts = {
        "first_gradients": sum(map(len, first)),
        "begin_alike": all(np.allclose(norms, norms[0], rtol=1e-5, atol=0) for norms in first),
        "layer_gradients": [],
    }
    if first:
        sizes = [ends[0], *traced[0].layer_sizes, ends[1]]
        weights = np.multiply(sizes[:-1], sizes[1:])
        facts["layer_gradients"] = (np.concatenate(first).mean(axis=0) / np.sqrt(weights)).tolist()
    return facts


# Figures


def _at_best(best: Mapping[str, AtRate]) -> Figure:
    """The loss, and the loss over the lowest of each epoch."""
    titles = [["Training loss", "Over the lowest mean of the epoch"]]
    ylabels = ["training loss (log scale)", "loss / lowest loss"]
    figure, [[left, right]] = grid(titles, "epoch", ylabels, panel=(5, 3.4), share=False)
    lowest = np.min([group.losses.mean(axis=0) for group in best.values()], axis=0)
    several = len({group.rate for group in best.values()}) > 1
    for name, group in best.items():
        label = option_name(name) + (f" ({group.rate:g})" if several else "")
        for ax, rows in ((left, group.losses), (right, group.losses / lowest)):
            if np.isfinite(rows).any():
                band(ax, np.arange(1.0, rows.shape[1] + 1), rows, label, LOOKS.get(name, (style.GREY, "-", "x")))
    log_axis(left)
    left.legend(fontsize=style.SMALL)
    return figure


def _heat(groups: Sequence[AtRate], rates: Sequence[float], best: Mapping[str, AtRate], guess: float) -> Figure:
    """A cell for each optimizer and rate."""
    names = list(dict.fromkeys(group.optimizer for group in groups))
    cells = np.full((len(names), len(rates)), np.nan)
    words = np.full(cells.shape, "no run", object)
    figure = style.new_figure(2.4 + 1.6 * len(rates), 1.0 + 0.5 * len(names))
    ax = figure.subplots()
    for group in groups:
        row, column = place = names.index(group.optimizer), rates.index(group.rate)
        lost = f"{group.diverged} of {len(group.runs)}\ndiverged"
        words[place] = lost if group.diverged else group.final.plus_minus()
        cells[place] = math.nan if group.diverged else group.final.mean
        if best.get(group.optimizer) is group:
            frame: dict[str, Any] = {"fill": False, "linewidth": 2.2, "edgecolor": style.VERMILION}
            ax.add_patch(Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, **frame))
    low, high = (np.nanmin(cells), np.nanmax(cells)) if np.isfinite(cells).any() else (1.0, 1.0)
    norm = LogNorm(low / 1.5, max(min(high, 1.2 * guess), low)) if high > low > 0 else None
    annotated(ax, cells, words, norm=norm, cmap=f"{style.SEQUENTIAL}_r")
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates], fontsize=style.LABEL)
    ax.set_yticks(range(len(names)), map(option_name, names), fontsize=style.LABEL)
    ax.set_xlabel("learning rate", fontsize=style.LABEL)
    ax.spines[:].set_visible(False)
    return figure
