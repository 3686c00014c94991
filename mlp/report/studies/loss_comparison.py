"""Cross-entropy against mean squared error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base.text import option_name
from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.panels import band, grid, percent_axis, shared_legend
from mlp.report.read import RunFiles, by, over_seeds, stacked
from mlp.report.studies.study import Study, StudyRuns

LOSSES = {"cross_entropy": "cross-entropy", "mean_squared_error": "mean squared error",
          "sum_squared_error": "squared error, summed over the classes"}  # fmt: skip
LOOKS = style.looks(LOSSES)
LEVELS = (0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5, 0.2, 0.0)  # training accuracies to converge to

Groups = Mapping[str, Mapping[str, Sequence[RunFiles]]]  # runs by optimizer and loss


class LossComparison(Study):
    name = "loss_comparison"
    seconds = 100
    quick = ("training.epochs=2", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = [run for run in found.with_files() if run.summary["status"] == "completed"]
        groups: dict[str, dict[str, Sequence[RunFiles]]] = {}
        for (optimizer, loss), members in by(runs, "optimizer", "loss").items():
            if loss in LOSSES:
                groups.setdefault(str(optimizer), {})[str(loss)] = members
        lost = len(found.runs) - sum(len(members) for own in groups.values() for members in own.values())
        classes = found.data.num_classes
        #: Loss of a network that gives every class the same probability.
        guess = {"cross_entropy": math.log(classes), "mean_squared_error": (1 - 1 / classes) / classes,
                 "sum_squared_error": 1 - 1 / classes}  # fmt: skip
        levels = {optimizer: _level(own) for optimizer, own in groups.items()}
        facts = {
            optimizer: {loss: _measured(loss, own[loss], levels[optimizer]) for loss in LOSSES if loss in own}
            for optimizer, own in groups.items()
        }
        return self.answer(
            {
                "optimizers": facts,
                "levels": levels,
                "all_levels": LEVELS,
                "several": any(len(members) > 1 for own in groups.values() for members in own.values()),
                "guess": guess,
                "lost": lost,
                "runs": len(found.runs),
            },
            {"loss_comparison": lambda: _by_optimizer(groups, guess)},
            [
                Lines.of_means(
                    f"train_accuracy/{optimizer}",
                    next(iter(own.values()))[0].metrics["epoch"],
                    {LOSSES[loss]: stacked(members, "train_accuracy") for loss, members in own.items()},
                )
                for optimizer, own in groups.items()
            ],
        )


def _level(own: Mapping[str, Sequence[RunFiles]]) -> float:
    """The highest of LEVELS that one of the losses reaches in all of its runs: an easy one that both reach at once
    tells nothing."""
    compared = [own[loss] for loss in ("cross_entropy", "mean_squared_error") if loss in own] or [*own.values()]
    reached = max(min(max(run.metrics["train_accuracy"]) for run in runs) for runs in compared)
    return next(level for level in LEVELS if level <= reached)


def _measured(loss: str, runs: Sequence[RunFiles], level: float) -> dict[str, Any]:
    recorded = all("grad_norm" in run.metrics for run in runs)
    arrived = [np.flatnonzero(run.metrics["train_accuracy"] >= level) for run in runs]
    return {
        "name": LOSSES[loss],
        "learning_rate": float(runs[0].value("optimizer.learning_rate")),
        "seeds": len(runs),
        "epochs": len(runs[0].metrics["epoch"]),
        "arrived": sum(map(bool, map(len, arrived))),  # runs that reach the level
        "epochs_to": over_seeds(runs, np.array([a[0] + 1.0 for a in arrived])) if all(map(len, arrived)) else None,
        "train_accuracy": {epoch: over_seeds(runs, stacked(runs, "train_accuracy")[:, epoch - 1])
                           for epoch in (1, len(runs[0].metrics["epoch"]))},
        "test_accuracy": over_seeds(runs, "test_accuracy"),
        "gradient": over_seeds(runs, stacked(runs, "grad_norm")[:, 0]) if recorded else None,  # in epoch 1
    }  # fmt: skip


def _by_optimizer(groups: Groups, guess: Mapping[str, float]) -> Figure:
    """A row per optimizer: training accuracy on the left, training loss on the right."""
    titles = [[f"{option_name(optimizer)}: training {what}" for what in ("accuracy", "loss")] for optimizer in groups]
    ylabels = ["training accuracy (%)", "training loss / loss of guessing"]
    figure, axes = grid(titles, "epoch", ylabels, panel=(5, 3), share=False)
    for (left, right), own in zip(axes, groups.values(), strict=True):
        for loss, name in LOSSES.items():
            if runs := own.get(loss):
                epochs = runs[0].metrics["epoch"]
                band(left, epochs, stacked(runs, "train_accuracy"), name, LOOKS[loss])
                band(right, epochs, stacked(runs, "train_loss") / guess[loss], name, LOOKS[loss])
        percent_axis(left)
        right.set_ylim(bottom=0)
    shared_legend(figure, axes.flat, "outside lower center", columns=3)
    return figure
