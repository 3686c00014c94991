"""Cross-entropy against mean squared error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.panels import band, grid, percent_axis
from mlp.report.read import RunFiles, by, over_seeds, stacked
from mlp.report.studies.study import Study, StudyRuns

LOSSES = {"cross_entropy": "cross-entropy", "mean_squared_error": "mean squared error"}
LOOKS = {"cross_entropy": (style.BLUE, "-"), "mean_squared_error": (style.VERMILION, "--")}

Groups = Mapping[str, Mapping[str, Sequence[RunFiles]]]  # runs by optimizer and loss


class LossComparison(Study):
    name = "loss_comparison"
    title = "Loss functions: cross-entropy or mean squared error"
    question = "With the same network and learning rate, which loss trains better, and why?"
    seconds = 45
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
        guess = {"cross_entropy": math.log(classes), "mean_squared_error": (1 - 1 / classes) / classes}
        facts = {
            optimizer: {loss: _facts(loss, members) for loss, members in own.items()}
            for optimizer, own in groups.items()
        }
        return self.answer(
            {
                "optimizers": facts,
                "compared": {
                    optimizer: _compared(*(own[loss] for loss in LOSSES))
                    for optimizer, own in facts.items()
                    if len(own) == len(LOSSES)
                },
                "several": any(len(members) > 1 for own in groups.values() for members in own.values()),
                "guess": guess,
                "lost": lost,
                "runs": len(found.runs),
            },
            {"loss_comparison": lambda: _curves(groups, guess)},
            [
                Lines.of_means(
                    f"val_accuracy/{optimizer}",
                    next(iter(own.values()))[0].metrics["epoch"],
                    {loss: stacked(members, "val_accuracy") for loss, members in own.items()},
                )
                for optimizer, own in groups.items()
            ],
        )


def _facts(loss: str, runs: Sequence[RunFiles]) -> dict[str, Any]:
    recorded = all("grad_norm" in run.metrics for run in runs)
    return {
        "name": LOSSES[loss],
        "learning_rate": float(runs[0].value("optimizer.learning_rate")),
        "epochs": len(runs[0].metrics["epoch"]),
        "first_epoch_accuracy": over_seeds(runs, lambda run: run.metrics["val_accuracy"][0]),
        "test_accuracy": over_seeds(runs, lambda run: run.summary["test_accuracy"]),
        "gradient": over_seeds(runs, lambda run: run.metrics["grad_norm"][0]) if recorded else None,  # in epoch 1
    }


def _compared(ce: Mapping[str, Any], mse: Mapping[str, Any]) -> dict[str, float | None]:
    """How much larger the gradient of the cross-entropy is in epoch 1, and its lead in accuracy after it."""
    measured = ce["gradient"] and mse["gradient"] and mse["gradient"].mean > 0
    return {
        "lead": ce["first_epoch_accuracy"].mean - mse["first_epoch_accuracy"].mean,
        "ratio": ce["gradient"].mean / mse["gradient"].mean if measured else None,
    }


def _curves(groups: Groups, guess: Mapping[str, float]) -> Figure:
    """A row per optimizer: accuracy on the left, relative loss on the right."""
    titles = [[f"{optimizer}: accuracy", f"{optimizer}: loss"] for optimizer in groups]
    ylabels = ["validation accuracy (%)", "loss / loss of guessing"]
    figure, axes = grid(titles, "epoch", ylabels, panel=(5, 3), share=False)
    for (left, right), own in zip(axes, groups.values(), strict=True):
        for loss, name in LOSSES.items():
            if runs := own.get(loss):
                epochs = runs[0].metrics["epoch"]
                band(left, epochs, stacked(runs, "val_accuracy"), name, *LOOKS[loss])
                band(right, epochs, stacked(runs, "val_loss") / guess[loss], name, *LOOKS[loss])
        percent_axis(left)
        right.set_ylim(bottom=0)
        left.legend(fontsize=style.SMALL)
    return figure
