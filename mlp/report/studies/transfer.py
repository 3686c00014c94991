"""What of the lessons of MNIST holds on Fashion-MNIST: three configurations, chosen by rules, on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.text import shorten
from mlp.nn.metrics import per_class
from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.bars import bars
from mlp.report.figures.panels import band, grid, integer_axis, percent_axis
from mlp.report.read import Array, RunFiles, configured, confusion, over_seeds, read_facts, stacked
from mlp.report.statistics import MeanStd, difference
from mlp.report.studies.study import Study, StudyRuns

NAMES = {"shallow_relu": "one ReLU layer, Nadam", "tanh_rmsprop": "three tanh layers, RMSprop",
         "deep_recipe": "six ReLU layers, Adam, augmentation"}  # fmt: skip
LOOKS = style.looks(NAMES)
ONE_SEED = 0.005  # a smaller difference of accuracies means nothing where there is one seed


@dataclass
class Configuration:
    """The completed runs of one configuration on Fashion-MNIST, one per seed, and those on MNIST."""

    key: str
    runs: Sequence[RunFiles]
    mnist: Sequence[RunFiles]

    def __post_init__(self) -> None:
        self.name = NAMES[self.key]
        self.test, self.train = (over_seeds(self.runs, f"{part}_accuracy") for part in ("test", "train"))
        self.recall: Array = np.array([per_class(confusion(run.predictions))["recall"] for run in self.runs])

    def facts(self, groups: Sequence[Configuration], classes: Sequence[str]) -> dict[str, Any]:
        means = self.recall.mean(axis=0)
        on_mnist = {part: over_seeds(self.mnist, f"{part}_accuracy") if self.mnist else None
                    for part in ("test", "train")}  # fmt: skip
        return {
            "key": self.key, "name": self.name, "configuration": {k: v[0] for k, v in configured(self.runs).items()},
            "test_accuracy": self.test, "train_accuracy": self.train, "gap": self.train.mean - self.test.mean,
            "level_with": [g.key for g in groups if g is not self and is_level(self.test, g.test)],
            "place": _place(self.test, [g.test for g in groups]),
            "mnist_place": on_mnist["test"] and _place(
                on_mnist["test"], [over_seeds(g.mnist, "test_accuracy") for g in groups if g.mnist]
            ),
            "mnist": on_mnist["test"], "mnist_train": on_mnist["train"],
            "recall": dict(zip(classes, means.tolist(), strict=True)),
            "worst": {"name": classes[means.argmin()], "recall": float(means.min())},
        }  # fmt: skip


def is_level(a: MeanStd, b: MeanStd) -> bool:
    """Whether two test accuracies differ no more than by chance."""
    apart = difference(a, b)
    return not apart.is_significant or (not (a.several and b.several) and abs(apart.mean) <= ONE_SEED)


def _place(own: MeanStd, scores: Sequence[MeanStd]) -> int:
    """From 1 on: how many of the scores are significantly better, so that ties share a place."""
    return 1 + sum(other.mean > own.mean and not is_level(other, own) for other in scores)


class Transfer(Study):
    name = "transfer"
    seconds = 240
    quick = ("training.epochs=1", "seed=0", "dataset=fashion_mnist")
    dataset: ClassVar[str] = "fashion_mnist"

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        completed = [run for run in runs if run.summary["status"] == "completed"]
        own = {
            place: [run for run in completed if run.value("dataset") == place] for place in (found.dataset, "mnist")
        }
        groups = [Configuration(key, *of_key) for key in NAMES
                  if (of_key := [[run for run in some if run.overrides.get("experiment/transfer") == key]
                                 for some in own.values()])[0]]  # fmt: skip
        if not groups:
            raise UserError(f"none of the three configurations has a completed run in {found.directory}")
        classes = [str(name) for name in groups[0].runs[0].predictions["class_names"]]
        ranked = sorted(groups, key=lambda group: -group.test.mean)
        own_model = read_facts(paths.home() / "models" / found.dataset)
        return self.answer(
            {
                "dataset": found.dataset, "is_quick": found.quick, "names": NAMES,
                "diverged": sum(run.summary["status"] == "diverged" for run in runs),
                "several_seeds": all(group.test.several for group in groups), "least_difference": ONE_SEED,
                "level": [f"{a.name} and {b.name}" for a, b in pairwise(ranked) if is_level(a.test, b.test)],
                "groups": {group.key: group.facts(groups, classes) for group in groups},
                "own_model": own_model if "test_accuracy" in own_model else None,
            },
            {"transfer_curves": lambda: _curves(groups), "transfer_classes": lambda: _classes(groups, classes)},
            [_accuracies(group) for group in groups],
        )  # fmt: skip


# Figures


def _accuracies(group: Configuration) -> Lines:
    """Accuracy over the epochs, for W&B."""
    columns = {"training": "train_accuracy", "validation": "val_accuracy"}
    tables = {label: stacked(group.runs, column) for label, column in columns.items()
              if all(column in run.metrics for run in group.runs)}  # fmt: skip
    return Lines.of_means(f"accuracy/{group.key}", group.runs[0].metrics["epoch"], tables)


def _curves(groups: Sequence[Configuration]) -> Figure:
    ylabels = ["validation accuracy (%)", "mean training loss"]
    figure, ((accuracy, loss),) = grid([["Accuracy", "Loss"]], "epoch", ylabels, panel=(4.6, 3.2), share=False)
    for group in groups:
        x = stacked(group.runs, "epoch").max(axis=0)
        for ax, column in ((accuracy, "val_accuracy"), (loss, "train_loss")):
            if all(column in run.metrics for run in group.runs):
                band(ax, x, stacked(group.runs, column), group.name, LOOKS[group.key])
    percent_axis(accuracy)
    loss.set_ylim(bottom=0)
    for ax in (accuracy, loss):
        integer_axis(ax)
        ax.legend(fontsize=style.SMALL)
    return figure


def _classes(groups: Sequence[Configuration], classes: Sequence[str]) -> Figure:
    """A row per class, a point per configuration."""
    order = np.argsort(np.mean([group.recall.mean(axis=0) for group in groups], axis=0), kind="stable")
    names = [shorten(classes[i], 20) for i in order]
    figure, ax = bars(names, [], "Recall of each class", "share of the class's test images (%)")
    for number, group in enumerate(groups):
        color, _, marker = LOOKS[group.key]
        y = np.arange(len(order)) + 0.22 * ((len(groups) - 1) / 2 - number)
        recall = group.recall[:, order]
        ax.hlines(y, recall.min(axis=0), recall.max(axis=0), color=color, linewidth=1.5)
        ax.plot(recall.mean(axis=0), y, color=color, marker=marker, linestyle="none", markersize=6, label=group.name)
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g}")
    ax.legend(fontsize=style.SMALL, loc="best")
    return figure
