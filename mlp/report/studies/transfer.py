"""What of the lessons of MNIST holds on Fashion-MNIST: three configurations, chosen by rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from mlp import paths
from mlp.errors import UserError
from mlp.nn.metrics import per_class
from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.configurations import epochs, is_same_configuration, layer_sizes, same_configuration
from mlp.report.figures.bars import bars
from mlp.report.figures.panels import band, grid, integer_axis, percent_axis
from mlp.report.read import Array, RunFiles, by, confusion, over_seeds, read_facts, runs_of, stacked
from mlp.report.statistics import MeanStd, difference
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import shorten

NAMES = {"search_winner": "winner of the search", "showdown_winner": "winner of the showdown",
         "mnist_recipe": "MNIST recipe"}  # fmt: skip
LOOKS = {"search_winner": (style.BLUE, "-", "o"), "showdown_winner": (style.VERMILION, "--", "s"),
         "mnist_recipe": (style.GREEN, "-.", "^")}  # fmt: skip
#: Where other studies keep their runs on MNIST.
SEARCH, SHOWDOWN, ERRORS = "mnist", "optimizer_showdown-mnist", "error_analysis-mnist"
EARLY_EPOCHS = 5  # after which the showdown compares
ONE_SEED = 0.005  # a smaller difference of accuracies means nothing where there is one seed


@dataclass
class Group:
    """The completed runs of one configuration, one per seed, and runs of the same configuration on MNIST."""

    key: str
    runs: Sequence[RunFiles]
    mnist: Sequence[RunFiles]

    def __post_init__(self) -> None:
        self.name = NAMES[self.key]
        self.test = over_seeds(self.runs, lambda run: run.summary["test_accuracy"])
        self.train = over_seeds(self.runs, lambda run: run.summary["train_accuracy"])
        self.recall: Array = np.array([per_class(confusion(run.predictions))["recall"] for run in self.runs])

    def is_level_with(self, other: Group) -> bool:
        """Whether the test accuracies differ no more than by chance."""
        apart = difference(self.test, other.test)
        several = self.test.several and other.test.several
        return not apart.is_significant or (not several and abs(apart.mean) <= ONE_SEED)

    def facts(self, groups: Sequence[Group], classes: Sequence[str]) -> dict[str, Any]:
        score = over_seeds(self.mnist, lambda run: run.summary["test_accuracy"]) if self.mnist else None
        means, ranges = self.recall.mean(axis=0), np.ptp(self.recall, axis=0)
        varied = self.recall[:, ranges.argmax()]
        return {
            "key": self.key, "name": self.name, "epochs": epochs(self.runs[0]),
            "test_accuracy": self.test, "train_accuracy": self.train, "gap": self.train.mean - self.test.mean,
            "accuracy_range": float(np.ptp(self.test.values)),
            "level_with": [other.key for other in groups if other is not self and self.is_level_with(other)],
            "mnist": {"test_accuracy": score, "epochs": epochs(self.mnist[0])} if score else None,
            "early_loss": early_loss(self.runs),
            "recall": dict(zip(classes, means.tolist(), strict=True)),
            "worst": {"name": classes[means.argmin()], "recall": float(means.min())},
            "most_varied": {"name": classes[ranges.argmax()], "range": float(ranges.max()),
                            "low": float(varied.min()), "high": float(varied.max())},
        }  # fmt: skip


class Transfer(Study):
    name = "transfer"
    title = "Transfer to Fashion-MNIST"
    question = "Which accuracies do exactly three configurations, chosen from the lessons of MNIST, reach, and why?"
    seconds = 75
    quick = ("training.epochs=1", "seed=0")
    dataset: ClassVar[str] = "fashion_mnist"

    def analyse(self, found: StudyRuns) -> Analysis:
        runs, completed = found.with_files(), completed_runs(found.directory)
        others = {place: completed_runs(found.directory.parent / place) for place in (SEARCH, SHOWDOWN, ERRORS)}
        on_mnist = [run for place in others.values() for run in place]
        own = {key: [run for run in completed if run.overrides.get("experiment/transfer") == key] for key in NAMES}
        groups = [Group(key, some, same_configuration(some[0], on_mnist)) for key, some in own.items() if some]
        if not groups:
            raise UserError(f"none of the three configurations has a completed run in {found.directory}")
        classes = [str(name) for name in groups[0].runs[0].predictions["class_names"]]
        ranked = sorted(groups, key=lambda group: -group.test.mean)
        own_model = read_facts(paths.home() / "models" / found.dataset)
        rules = {
            "search_winner": lambda run: check_search(others[SEARCH], run),
            "showdown_winner": lambda run: check_showdown(others[SHOWDOWN], run),
            "mnist_recipe": check_recipe,
        }
        return self.answer(
            {
                "dataset": found.dataset, "is_quick": found.quick, "names": NAMES, "early_epochs": EARLY_EPOCHS,
                "diverged": sum(run.summary["status"] == "diverged" for run in runs),
                "several_seeds": all(group.test.several for group in groups), "least_difference": ONE_SEED,
                "level": [f"the {a.name} and the {b.name}" for a, b in pairwise(ranked) if a.is_level_with(b)],
                "groups": {group.key: group.facts(groups, classes) for group in groups},
                "rules": {key: check(own[key][0]) for key, check in rules.items() if own[key]},
                "searched": SEARCH, "compared": SHOWDOWN, "num_classes": len(classes),
                "recipe_gain": recipe_gain(groups, classes),
                "own_model": own_model if "test_accuracy" in own_model else None,
            },
            {"transfer_curves": lambda: _curves(groups), "transfer_classes": lambda: _classes(groups, classes)},
            [_lines(group) for group in groups],
        )  # fmt: skip


def completed_runs(directory: Path) -> list[RunFiles]:
    return [run for run in runs_of(directory) if run.summary["status"] == "completed"]


def early_loss(runs: Sequence[RunFiles]) -> MeanStd | None:
    """The training loss after the epochs of the showdown; None if a run is shorter."""
    if any(len(run.metrics["train_loss"]) < EARLY_EPOCHS for run in runs):
        return None
    return over_seeds(runs, lambda run: run.metrics["train_loss"][EARLY_EPOCHS - 1])


# Whether the rules would choose the same from the files that are there now; None where there are none


def check_search(trials: Sequence[RunFiles], run: RunFiles) -> dict[str, Any] | None:
    if not trials:
        return None
    best = max(trials, key=lambda trial: float(trial.summary.get("val_accuracy", 0)))
    return {
        "trials": len(trials), "val_accuracy": best.summary.get("val_accuracy", 0.0), "epochs": epochs(best),
        "is_same": epochs(run) == epochs(best) and is_same_configuration(run, best), "sizes": layer_sizes(best),
        "optimizer": best.value("optimizer"), "rate": best.value("optimizer.learning_rate"),
        "batch_size": best.value("training.batch_size"),
    }  # fmt: skip


def check_showdown(runs: Sequence[RunFiles], run: RunFiles) -> dict[str, Any] | None:
    pairs = by(runs, "optimizer", "optimizer.learning_rate")
    losses = {pair: loss for pair, group in pairs.items() if (loss := early_loss(group))}
    if not losses:
        return None
    (of_run,) = by([run], "optimizer", "optimizer.learning_rate")
    chosen = min(losses, key=lambda pair: losses[pair].mean), of_run
    best, own = ({"optimizer": pair[0], "rate": pair[1], "loss": losses.get(pair)} for pair in chosen)
    return {"pairs": len(losses), "is_same": best == own, "best": best, "own": own}


def check_recipe(run: RunFiles) -> dict[str, Any] | None:
    """Against the best model at the repository's root."""
    facts = read_facts(paths.home())
    if facts.get("dataset") != "mnist":
        return None
    keys = {"optimizer": "optimizer", "learning_rate": "optimizer.learning_rate", "batch_size": "training.batch_size"}
    same = all(facts.get(name) == run.value(key) for name, key in keys.items())
    return {
        "is_same": same and facts.get("hidden_size") == layer_sizes(run),
        "test_accuracy": facts.get("test_accuracy", math.nan), "epochs": facts.get("epochs"),
    }  # fmt: skip


# The classes


def recipe_gain(groups: Sequence[Group], classes: Sequence[str]) -> dict[str, float]:
    """By how much the recipe recognises each class better than the better of the others."""
    means = {group.key: group.recall.mean(axis=0) for group in groups}
    recipe = means.pop("mnist_recipe", None)
    if recipe is None or not means:
        return {}
    return dict(zip(classes, (recipe - np.max(list(means.values()), axis=0)).tolist(), strict=True))


# Figures


def _lines(group: Group) -> Lines:
    """Accuracy over the epochs, for W&B."""
    columns = {"training": "train_accuracy", "validation": "val_accuracy"}
    tables = {label: stacked(group.runs, column) for label, column in columns.items()
              if all(column in run.metrics for run in group.runs)}  # fmt: skip
    return Lines.of_means(f"accuracy/{group.key}", group.runs[0].metrics["epoch"], tables)


def _curves(groups: Sequence[Group]) -> Figure:
    ylabels = ["validation accuracy (%)", "mean training loss"]
    figure, ((accuracy, loss),) = grid([["Accuracy", "Loss"]], "epoch", ylabels, panel=(4.6, 3.2), share=False)
    for group in groups:
        color, line, marker = LOOKS[group.key]
        x = stacked(group.runs, "epoch").max(axis=0)
        for ax, column in ((accuracy, "val_accuracy"), (loss, "train_loss")):
            if all(column in run.metrics for run in group.runs):
                band(ax, x, stacked(group.runs, column), group.name, color, line, marker=marker)
    percent_axis(accuracy)
    loss.set_ylim(bottom=0)
    for ax in (accuracy, loss):
        integer_axis(ax)
        ax.legend(fontsize=style.SMALL)
    return figure


def _classes(groups: Sequence[Group], classes: Sequence[str]) -> Figure:
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
