"""The dataset itself: samples, how frequent the classes are, and which of them look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlp.base.errors import UserError
from mlp.base.text import shorten
from mlp.data import Dataset
from mlp.data.pictures import is_picture
from mlp.data.split import stratified_split
from mlp.nn.metrics import per_class
from mlp.nn.types import Labels
from mlp.report import style
from mlp.report.blocks import Analysis, Confusion, Gallery
from mlp.report.figures.matrix import MOST_NUMBERED, annotated, class_axes, class_ticks
from mlp.report.figures.panels import grid, percent_axis
from mlp.report.figures.wall import Wall, as_bytes
from mlp.report.read import Array, confusion, over_seeds
from mlp.report.studies.study import Study, StudyRuns

SAMPLES = 5  # of each class
PAIRS = 5  # how many of the most similar are named
KINDS = {"linear classifier": False, "network": True}  # whether it has hidden layers
LONGEST_NAME = 14
PARTS = style.looks(("training", "validation", "test"))
Pixels = NDArray[np.uint8]


@dataclass
class ClassImages:
    """What the study takes from a dataset. Values are those that a network sees: stored / divisor."""

    data: Dataset
    validation_fraction: float

    def __post_init__(self) -> None:
        from sklearn.metrics.pairwise import cosine_similarity  # takes a second

        (x, y), (x_test, y_test) = self.data.load("train"), self.data.load("test")
        divisor, rng = self.data.divisor, np.random.default_rng(0)
        self.names = [str(name) for name in self.data.class_names]
        self.short = [shorten(name, LONGEST_NAME) for name in self.names]
        # Which images are held out depends on a run's seed; how many of each class does not.
        kept, held_out = stratified_split(y, self.validation_fraction, np.random.default_rng(0))
        parts = {"training": y[kept], "validation": y[held_out], "test": y_test}
        self.counts = {part: np.bincount(own, minlength=len(self.names)) for part, own in parts.items() if len(own)}
        rows = [np.flatnonzero(y == label) for label in range(len(self.names))]
        # (c, d); 0 for a class without images
        means: Array = np.stack([x[own].sum(axis=0, dtype=float) / max(1, len(own)) for own in rows]) / divisor
        self.similarity: Array = cosine_similarity(means)  # (c, c)
        self.brightness: Array = means.mean(axis=1)  # (c,)
        nearest = np.abs(x_test.mean(axis=1, dtype=float)[:, None] / divisor - self.brightness).argmin(axis=1)
        self.accuracy_by_brightness = float((nearest == y_test).mean())  # of naming the class whose mean is nearest
        drawn = [np.sort(rng.choice(own, min(SAMPLES, len(own)), replace=False)) for own in rows]
        self.samples = [as_bytes(x[own] / divisor, self.data.image_shape) for own in drawn]
        self.mean_images = as_bytes(means, self.data.image_shape)
        self.is_colour = self.mean_images.ndim == 4

    def facts(self) -> dict[str, Any]:
        shares = {part: counts / counts.sum() for part, counts in self.counts.items()}
        return {
            "is_colour": self.is_colour, "shape": self.mean_images.shape[1:3],
            "samples_per_class": SAMPLES,
            "images": {part: int(counts.sum()) for part, counts in self.counts.items()},
            "accuracy_by_brightness": self.accuracy_by_brightness,
            "classes": [
                {
                    "name": name, "brightness": float(self.brightness[i]),
                    "images": {part: int(counts[i]) for part, counts in self.counts.items()},
                    # How far the share of the class is from that in the training part.
                    "gaps": {part: float(abs(share[i] - shares["training"][i])) for part, share in shares.items()},
                }
                for i, name in enumerate(self.names)
            ],
        }  # fmt: skip


def pair_facts(class_names: Sequence[str], similarity: Array, counts: Mapping[str, Labels]) -> dict[str, Any]:
    """How alike any two of c classes are: by the cosines (c, c), and by the confusion matrix of each classifier.

    A pair is confused in a share of the images of both classes. Its values are given if it is among the first PAIRS
    by any measure.
    """
    from scipy.stats import spearmanr  # takes half a second

    i, j = np.triu_indices(len(class_names), 1)
    names = [f"{a} & {b}" for a, b in combinations(class_names, 2)]
    confused = {name: c[i, j] + c[j, i] for name, c in counts.items()}
    images = {name: np.maximum(1, c.sum(axis=1)[i] + c.sum(axis=1)[j]) for name, c in counts.items()}
    measures = {"similarity": similarity[i, j], **{name: confused[name] / images[name] for name in counts}}
    top = {name: _top(values) for name, values in measures.items()}
    return {
        "top": {name: [names[pair] for pair in own] for name, own in top.items()},
        "pairs": {
            names[pair]: {name: float(values[pair]) for name, values in measures.items()}
            for pair in dict.fromkeys(pair for own in top.values() for pair in own)
        },
        "num_pairs": len(names),
        "rank_correlation": {
            name: float(spearmanr(similarity[i, j], own).statistic)
            if np.ptp(own) and np.ptp(similarity[i, j])
            else None
            for name, own in confused.items()
        },
        # The share of all mistakes that the most similar pairs have.
        "in_similar": {
            name: float(own[top["similarity"]].sum() / max(1, own.sum())) for name, own in confused.items()
        },
    }


def _top(measure: Array) -> list[int]:
    """The PAIRS pairs with the highest values, the highest first; none that has 0."""
    order = np.argsort(-measure, kind="stable")[:PAIRS]
    return [int(pair) for pair in order if measure[pair] > 0]


class DataExploration(Study):
    name = "data_exploration"
    seconds = 25
    quick = ("training.epochs=2", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        if not is_picture(found.data.image_shape):
            raise UserError(f"the samples of {found.dataset} are no images")
        images = ClassImages(found.data, float(runs[0].value("dataset.validation_fraction")))
        names = images.names
        finished = [run for run in runs if (run.directory / "predictions.npz").exists()]
        by_kind = {kind: [run for run in finished if bool(run.layer_sizes) == deep] for kind, deep in KINDS.items()}
        counts = {
            kind: np.sum([confusion(run.predictions) for run in own], axis=0) for kind, own in by_kind.items() if own
        }
        table = [[name, *own, *[""] * (SAMPLES - len(own)), mean]
                 for name, own, mean in zip(names, images.samples, images.mean_images, strict=True)]  # fmt: skip
        return self.answer(
            {
                "dataset": found.dataset, **images.facts(), "most": PAIRS,
                "classifiers": {
                    kind: {
                        "recall": dict(zip(names, per_class(c)["recall"].tolist(), strict=True)),
                        "test_accuracy": over_seeds(by_kind[kind], "test_accuracy"),
                        "mistakes": int(c.sum() - c.trace()),
                    }
                    for kind, c in counts.items()
                },
                **pair_facts(names, images.similarity, counts),
            },
            {
                "data_exploration_samples": lambda: _samples(images),
                "data_exploration_classes": lambda: _marks(images),
                "data_exploration_alike": lambda: _alike(images, counts),
            },
            [
                Gallery("samples", ["class", *(f"sample {n + 1}" for n in range(SAMPLES)), "mean image"], table),
                *(Confusion(kind.replace(" ", "_"), own[0].predictions["y_true"], own[0].predictions["y_pred"], names)
                  for kind, own in by_kind.items() if own),
            ],
        )  # fmt: skip


# Figures


def _samples(images: ClassImages) -> Figure:
    """A row for each class: samples, and the mean image. Grey images are dark where the value is high."""
    names, shape = images.short, images.mean_images.shape[1:]
    table = np.full((len(names), SAMPLES + 1, *shape), 255, np.uint8)
    for row, samples, mean in zip(table, images.samples, images.mean_images, strict=True):
        row[: len(samples)], row[-1] = (samples, mean) if images.is_colour else (255 - samples, 255 - mean)
    wall = Wall(table.reshape(-1, *shape), SAMPLES + 1, size=0.72, beside=0.08, below=0.08,
                left=0.3 + style.text_width(names, style.LABEL), above=0.35, least_width=0)  # fmt: skip
    wall.label(names, [f"sample {n + 1}" for n in range(SAMPLES)] + ["mean"])
    return wall.figure


def _marks(images: ClassImages) -> Figure:
    """Shares of the classes on the left, their brightness on the right."""
    classes, panel = np.arange(len(images.names)), 4.6
    titles = [["How frequent the classes are\n", "How bright they are\n"]]
    ylabels = ["share of the part (%)", "mean input value"]
    figure, axes = grid(titles, "class", ylabels, panel=(panel, 3.2), share=False)
    left, right = axes[0]
    for part, counts in images.counts.items():
        color, _, mark = PARTS[part]
        left.plot(classes, counts / counts.sum(), mark, color=color, label=f"{part} ({counts.sum():,})", alpha=0.8)
    left.axhline(1 / len(classes), color=style.BLACK, linestyle="--", linewidth=1.2)
    percent_axis(left)
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=style.SMALL, frameon=False,
                borderaxespad=0.1)  # fmt: skip
    right.plot(classes, images.brightness, "o", color=style.BLUE)
    for ax in (left, right):
        class_ticks(ax, images.short, panel / len(classes), rows=False)
    return figure


def _alike(images: ClassImages, counts: Mapping[str, Labels]) -> Figure:
    """Similarity on the left, then the confusions of each classifier; all without their diagonal."""
    names = images.short
    panels = [("Similarity of the mean images", images.similarity, "%.2f")]
    for kind, own in counts.items():
        shares = 100 * own / np.maximum(1, own.sum(axis=1, keepdims=True))
        panels.append((f"What the {kind} confuses (%)", shares, "%.1f"))
    figure, axes = class_axes(names, 4.0, panels=len(panels))
    diagonal = np.eye(len(names), dtype=bool)
    for ax, (title, values, form) in zip(axes, panels, strict=True):
        words = np.char.mod(form, values)
        words = np.where(diagonal | (words == "0.0") | (len(names) > MOST_NUMBERED), "", words)
        ax.set_facecolor("0.85")
        annotated(ax, np.where(diagonal, np.nan, values), words, size=min(8.0, 80 / len(names)))
        ax.set_title(title, fontsize=style.LABEL + 1, loc="left")
    axes[0].set_xlabel("class")
    axes[0].set_ylabel("class")
    return figure
