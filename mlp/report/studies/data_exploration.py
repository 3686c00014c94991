"""The dataset itself: samples, how frequent the classes are, and which of them look alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlp.data import Dataset
from mlp.data.pictures import as_pictures, is_picture
from mlp.data.split import stratified_split
from mlp.errors import UserError
from mlp.nn.metrics import confusion_matrix
from mlp.nn.types import Labels
from mlp.report import style
from mlp.report.blocks import Analysis, Chart, Confusion, Gallery, Picture, Table
from mlp.report.figures.panels import percent_axis
from mlp.report.read import Array, RunFiles
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed, shorten

SAMPLES = 5  # of each class
PAIRS = 5  # how many of the most similar are named
LONGEST_NAME = 14
MOST_NUMBERED = 16  # classes up to which the cells of a matrix carry numbers
Pixels = NDArray[np.uint8]
PARTS = {"training": (style.BLUE, ""), "validation": (style.SKY, "//"), "test": (style.ORANGE, "..")}


@dataclass(frozen=True)
class Pictures:
    """What the study takes from a dataset. Values are those that a network sees: stored / divisor."""

    data: Dataset
    validation_fraction: float

    @cached_property
    def train(self) -> tuple[Array, Array]:
        return self.data.load("train")

    @cached_property
    def names(self) -> list[str]:
        return [str(name) for name in self.data.class_names]

    @cached_property
    def counts(self) -> dict[str, Labels]:
        """Images of each class (c,), by part."""
        labels = self.train[1]
        # Which images are held out depends on a run's seed; how many of each class does not.
        kept, held_out = stratified_split(labels, self.validation_fraction, np.random.default_rng(0))
        parts = {"training": labels[kept], "validation": labels[held_out], "test": self.data.load("test")[1]}
        return {name: np.bincount(y, minlength=len(self.names)) for name, y in parts.items() if len(y)}

    @cached_property
    def means(self) -> Array:
        """The mean image of each class, (c, d), over training and validation; 0 for a class without images."""
        x, y = self.train
        sums = np.zeros((len(self.names), x.shape[1]))
        for label in range(len(sums)):
            rows = np.flatnonzero(y == label)
            sums[label] = x[rows].sum(axis=0, dtype=np.float64) / max(1, len(rows))
        return sums / self.data.divisor

    @cached_property
    def brightness(self) -> Array:
        """The mean value of all pixels of each class, (c,)."""
        return np.asarray(self.means.mean(axis=1))

    @cached_property
    def by_brightness(self) -> float:
        """Accuracy on the test set of naming the class whose brightness is nearest."""
        x, y = self.data.load("test")
        values = x.mean(axis=1, dtype=np.float64) / self.data.divisor
        nearest = np.abs(values[:, None] - self.brightness).argmin(axis=1)
        return float((nearest == y).mean())

    @cached_property
    def similarity(self) -> Array:
        """Cosine similarity of the mean images, (c, c)."""
        lengths = np.linalg.norm(self.means, axis=1, keepdims=True)
        directions = self.means / np.where(lengths > 0, lengths, 1)
        return np.asarray(directions @ directions.T)

    @cached_property
    def samples(self) -> list[Pixels]:
        """Up to SAMPLES images of each class, drawn once and for all; (k, h, w) or (k, h, w, 3), bytes."""
        x, y = self.train
        rng = np.random.default_rng(0)
        drawn = []
        for label in range(len(self.names)):
            rows = np.flatnonzero(y == label)
            chosen = np.sort(rng.choice(rows, min(SAMPLES, len(rows)), replace=False))
            drawn.append(self._bytes(x[chosen] / self.data.divisor))
        return drawn

    @cached_property
    def mean_images(self) -> Pixels:
        return self._bytes(self.means)

    def _bytes(self, values: Array) -> Pixels:
        """Inputs of a network as pictures of bytes."""
        pixels = np.clip(np.round(255 * values), 0, 255).astype(np.uint8)
        pictures = as_pictures(pixels, self.data.image_shape)
        return pictures[..., 0] if pictures.shape[-1] == 1 else pictures


@dataclass(frozen=True)
class Alike:
    """How alike any two classes are, by two measures: of the c (c - 1) / 2 pairs, vectors (pairs,)."""

    names: Sequence[str]
    similarity: Array  # cosine of the mean images
    confused: Array | None  # share of the images of both classes that are taken for the other; None: not known

    @classmethod
    def of(cls, names: Sequence[str], similarity: Array, confusion: Array | None) -> Alike:
        i, j = np.triu_indices(len(names), 1)
        shares = None
        if confusion is not None and confusion.sum() > confusion.trace():
            images = confusion.sum(axis=1)
            shares = (confusion[i, j] + confusion[j, i]) / np.maximum(1, images[i] + images[j])
        return cls(names, similarity[i, j], shares)

    def name(self, pair: int) -> str:
        i, j = (index[pair] for index in np.triu_indices(len(self.names), 1))
        return f"{self.names[i]} & {self.names[j]}"

    @staticmethod
    def top(measure: Array) -> list[int]:
        """The PAIRS pairs with the highest values, the highest first; none that has 0."""
        order = np.argsort(-measure, kind="stable")[:PAIRS]
        return [int(pair) for pair in order if measure[pair] > 0]

    @property
    def shared(self) -> list[int]:
        """The pairs that both measures have among their highest."""
        assert self.confused is not None
        confused = self.top(self.confused)
        return [pair for pair in self.top(self.similarity) if pair in confused]

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation of the two measures; NaN where one of them is the same for all pairs."""
        assert self.confused is not None
        a, b = (ranks(values) - (len(values) - 1) / 2 for values in (self.similarity, self.confused))
        length = math.sqrt(float(a @ a) * float(b @ b))
        return float(a @ b) / length if length else math.nan


def ranks(values: Array) -> Array:
    """0 for the lowest; equal values share the mean of their ranks."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(times) - (times + 1) / 2)[place])


class DataExploration(Study):
    name = "data_exploration"
    title = "The data: samples, classes, and which look alike"
    question = "What do the ten classes look like, how frequent are they, and which of them look alike?"
    seconds = 6
    references = (
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE, 1998",
        "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning "
        "algorithms, arXiv:1708.07747, 2017",
    )
    quick = ("training.epochs=2",)

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        if not is_picture(found.data.image_shape):
            raise UserError(f"{self.name}: the samples of {found.dataset} are no images")
        pictures = Pictures(found.data, float(runs[0].value("dataset.validation_fraction")))
        names = pictures.names
        told = [run for run in runs if (run.directory / "predictions.npz").exists()]
        confusion = np.sum([_confusion(run, len(names)) for run in told], axis=0) if told else None
        score = MeanStd([float(run.summary["test_accuracy"]) for run in told]) if told else None
        alike = Alike.of(names, pictures.similarity, confusion)
        facts: dict[str, Any] = {
            **{f"images/{part}": int(counts.sum()) for part, counts in pictures.counts.items()},
            "largest_over_smallest": _ratio(pictures.counts["training"]),
            "most_similar": [alike.name(pair) for pair in alike.top(alike.similarity)],
        }
        if score:
            facts["test_accuracy"] = score.mean
        if alike.confused is not None:
            facts |= {
                "most_confused": [alike.name(pair) for pair in alike.top(alike.confused)],
                "shared_pairs": len(alike.shared),
                "rank_correlation": alike.correlation,
            }
        charts: list[Chart] = [
            Gallery(
                "samples",
                ["class", *(f"sample {n + 1}" for n in range(SAMPLES)), "mean image"],
                [
                    [name, *images, *[""] * (SAMPLES - len(images)), mean]
                    for name, images, mean in zip(names, pictures.samples, pictures.mean_images, strict=True)
                ],
            )
        ]
        if told:
            first = told[0].predictions
            charts.append(Confusion("linear_classifier", first["y_true"], first["y_pred"], names))
        return Analysis(
            blocks=[
                _introduction(pictures, found.dataset),
                Picture(
                    "data_exploration_samples",
                    lambda: _wall(pictures),
                    f"Images of the training set, {SAMPLES} of each class, drawn at random once and for all, and the "
                    "mean of all images of the class."
                    + (
                        ""
                        if _coloured(pictures)
                        else " Dark is a high value: the network sees 0 where paper is white."
                    ),
                ),
                _balance(pictures),
                Picture(
                    "data_exploration_classes",
                    lambda: _bars(pictures),
                    "Left: the share of each class in each part; the dashed line is the share of equally frequent "
                    "classes. Right: the mean input value of the images of a class, over all pixels.",
                ),
                _class_table(pictures, confusion),
                _alike(alike, score, told),
                Picture(
                    "data_exploration_alike",
                    lambda: _matrices(pictures, confusion),
                    "Cosine similarity of the mean images, 1 for the same direction."
                    if confusion is None
                    else "Left: cosine similarity of the mean images, 1 for the same direction. Right: what the "
                    "linear classifier calls the test images of a class, in per cent of the class; correct answers, "
                    "on the diagonal, are left out, and so are numbers below 0.05.",
                ),
                *_pair_table(alike),
                _why(found.dataset, score),
            ],
            facts=facts,
            charts=charts,
        )


def _confusion(run: RunFiles, classes: int) -> Labels:
    y_true, y_pred = (run.predictions[name].astype(np.int64) for name in ("y_true", "y_pred"))
    return confusion_matrix(y_true, y_pred, classes)


def _ratio(counts: Labels) -> float:
    """Of the largest class to the smallest."""
    return float(counts.max() / counts.min()) if counts.min() else math.inf


def _coloured(pictures: Pictures) -> bool:
    return pictures.mean_images.ndim == 4


def _introduction(pictures: Pictures, dataset: str) -> str:
    height, width = pictures.mean_images.shape[1:3]
    sizes = listed([f"{counts.sum():,} for {part}" for part, counts in pictures.counts.items()])
    kind = "colour" if _coloured(pictures) else "grey"
    return (
        f"**{dataset}** has {kind} images of {height} × {width} pixels in {len(pictures.names)} classes: {sizes}. "
        f"The network sees {pictures.means.shape[1]:,} numbers per image, each of them the stored value divided by "
        f"{pictures.data.divisor:g}, and nothing of which pixel is beside which."
    )


def _balance(pictures: Pictures) -> str:
    names, counts = pictures.names, pictures.counts
    train, test = counts["training"], counts["test"]
    most, least, ratio = int(train.argmax()), int(train.argmin()), _ratio(train)
    if ratio == 1:
        said = f"exactly balanced: every class has {train[0]:,} training images"
    else:
        said = "nearly balanced" if ratio <= 1.1 else "slightly unbalanced" if ratio <= 1.5 else "unbalanced"
        said += (
            f": the largest class, {names[most]}, has {train[most]:,} training images, the smallest, {names[least]}, "
            f"{train[least]:,}" + (f"; that is a ratio of {ratio:.2f}" if math.isfinite(ratio) else "")
        )
    text = (
        f"**Balance.** The classes are {said}. Always naming {'the first' if ratio == 1 else 'the largest'} class is "
        f"right for {_percent(test[most] / test.sum(), 2)} of the test images: what a model must beat."
    )
    shares = {part: values / values.sum() for part, values in counts.items()}
    gaps = {part: np.abs(shares[part] - shares["training"]) for part in shares if part != "training"}
    if "validation" in gaps:
        text += f" The validation part is drawn class by class; it {_gap(gaps['validation'], names)}."
    text += f" The test set {_gap(gaps['test'], names)}."
    bright = pictures.brightness
    high, low = int(bright.argmax()), int(bright.argmin())
    return (
        f"{text}\n\n**Brightness.** The mean input is largest for {names[high]} ({bright[high]:.3f}) and smallest "
        f"for {names[low]} ({bright[low]:.3f}). Brightness alone, by naming the class whose mean is nearest, is "
        f"right for {_percent(pictures.by_brightness)} of the test images."
    )


def _gap(gaps: Array, names: Sequence[str]) -> str:
    """How far the shares of the classes in a part are from those in the training part."""
    widest = int(gaps.argmax())
    if gaps[widest] < 5e-7:
        return "has the same share of every class"
    points = f"{100 * gaps[widest]:.2g} percentage points"
    return f"differs in the share of a class by at most {points} (class {names[widest]})"


def _alike(alike: Alike, score: MeanStd | None, told: Sequence[RunFiles]) -> str:
    """What both measures say, and whether they say the same."""
    similar = alike.top(alike.similarity)
    text = "**Which look alike?** By their mean images "
    text += f"{listed([f'{alike.name(p)} ({alike.similarity[p]:.2f})' for p in similar]) or 'none'}."
    if score is None:
        return f"{text} The linear classifier left no predictions: its training failed."
    wrong = sum(int((run.predictions["y_true"] != run.predictions["y_pred"]).sum()) for run in told)
    total = sum(len(run.predictions["y_true"]) for run in told)
    begin = f"Softmax regression, which is right for {score.percent()} of the test images,"
    if alike.confused is None:
        return f"{text} {begin} confuses no classes at all: it cannot tell which look alike."
    confused = alike.top(alike.confused)
    pairs = listed([f"{alike.name(p)} ({_percent(alike.confused[p])})" for p in confused])
    text += (
        f" {begin} most often confuses {pairs}: in brackets the share of the images of both classes that are taken "
        f"for the other; {wrong:,} of {total:,} answers are wrong."
    )
    gains = [float(run.metrics["val_accuracy"][-1] - run.metrics["val_accuracy"][-2])
             for run in told if len(run.metrics.get("val_accuracy", ())) > 1]  # fmt: skip
    if gains and min(gains) > 0.02:
        rise = f"{100 * min(gains):.1f} points"
        text += f" It was still learning: its validation accuracy rose by {rise} in the last epoch."
    return f"{text}\n\n{_agreement(alike, similar, confused)}"


def _agreement(alike: Alike, similar: list[int], confused: list[int]) -> str:
    rho, shared, pairs = alike.correlation, len(alike.shared), len(alike.similarity)
    if math.isnan(rho):
        return "With so few different values the two measures cannot be compared."
    if rho >= 0.7:
        verdict = "The two measures agree"
    elif rho >= 0.3:
        verdict = "The two measures agree in part"
    elif rho > -0.3:
        verdict = "The two measures have little to do with each other"
    else:
        verdict = "The two measures contradict each other"
    text = (
        f"{verdict}: over all {pairs} pairs their rank correlation is {rho:.2f}, and of the {len(similar)} most "
        f"similar and the {len(confused)} most confused pairs {shared} {'is' if shared == 1 else 'are'} the same "
        f"({len(similar) * len(confused) / pairs:.1f} would be by chance)."
    )
    if similar[:1] == confused[:1]:
        text += f" Both put {alike.name(similar[0])} first."
    only = [
        f"only among the most {kind} {'is' if len(pairs_) == 1 else 'are'} {listed([alike.name(p) for p in pairs_])}"
        for kind, pairs_ in (
            ("confused", [pair for pair in confused if pair not in similar]),
            ("similar", [pair for pair in similar if pair not in confused]),
        )
        if pairs_
    ]
    return text + (f" {'; '.join(only)[0].upper()}{'; '.join(only)[1:]}." if only else "")


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _why(dataset: str, score: MeanStd | None) -> str:
    text = (
        "**Why.** Softmax regression gives each class one image of weights and scores an input by its inner "
        "product with it. Naming the class with the nearest mean image is a linear rule of the same form, with the "
        "mean image as weights: ‖x − m‖² = ‖x‖² − 2 m·x + ‖m‖², where ‖x‖² is the same for all classes. Both "
        "therefore tend to find those classes alike whose images are bright in the same places. They differ where "
        "a class is not a cloud around its mean: the trained weights use the few pixels that tell two classes "
        "apart, a mean does not know which these are; and a mean is blurred where a class comes in several shapes."
    )
    if dataset == "mnist" and score:
        text += (
            f" LeCun et al. (1998) report 12 % errors of a linear classifier on the pixels of MNIST; here they are "
            f"{_percent(1 - score.mean)}."
        )
    if dataset == "fashion_mnist":
        text += (
            " Fashion-MNIST was made with the format and the sizes of MNIST, to replace it where it has become too "
            "easy (Xiao, Rasul & Vollgraf 2017)."
        )
    return text


def _class_table(pictures: Pictures, confusion: Array | None) -> Table:
    header = ["class", *pictures.counts, "mean input", "recall of the linear classifier"]
    rows = [
        [
            name,
            *(f"{counts[label]:,}" for counts in pictures.counts.values()),
            f"{pictures.brightness[label]:.3f}",
            _percent(confusion[label, label] / confusion[label].sum())
            if confusion is not None and confusion[label].sum()
            else "",
        ]
        for label, name in enumerate(pictures.names)
    ]
    return Table(header, rows, "Images of each class, and how many of its test images the linear classifier finds.")


def _pair_table(alike: Alike) -> list[Table]:
    if alike.confused is None:
        return []
    similar, confused = alike.top(alike.similarity), alike.top(alike.confused)
    place = {
        name: len(measure) - ranks(measure) for name, measure in (("s", alike.similarity), ("c", alike.confused))
    }
    rows = [
        [alike.name(pair), f"{alike.similarity[pair]:.3f}", f"{place['s'][pair]:g}", _percent(alike.confused[pair]),
         f"{place['c'][pair]:g}"]
        for pair in dict.fromkeys([*similar, *confused])
    ]  # fmt: skip
    header = ["pair", "similarity of the means", "its rank", "confused by the linear classifier", "its rank"]
    return [
        Table(
            header, rows, f"The pairs that are among the first {PAIRS} of {len(alike.similarity)} by either measure."
        )
    ]


def _wall(pictures: Pictures) -> Figure:
    """A row per class: samples, and the mean image apart. All of it is one image: an axes each would take seconds."""
    names = [shorten(name, LONGEST_NAME) for name in pictures.names]
    height, width = pictures.mean_images.shape[1:3]
    cell, gap = 0.72, 0.08  # inches
    pixel = cell / max(height, width)
    pitch = max(height, width) + max(1, round(gap / pixel))
    apart = pitch // 3
    paper = np.full((len(names) * pitch, (SAMPLES + 1) * pitch + apart, 3), 255, np.uint8)
    for row, (images, mean) in enumerate(zip(pictures.samples, pictures.mean_images, strict=True)):
        for column, image in [*enumerate(images), (SAMPLES, mean)]:
            x, y = column * pitch + (apart if column == SAMPLES else 0), row * pitch
            paper[y : y + height, x : x + width] = image if image.ndim == 3 else 255 - image[..., None]
    left, above = 0.3 + style.text_width(names, style.LABEL), 0.35
    wide, high = paper.shape[1] * pixel, paper.shape[0] * pixel
    figure = style.new_figure(left + wide + 0.1, above + high + 0.05)
    inches = figure.get_size_inches()
    ax = figure.add_axes((left / inches[0], 0.05 / inches[1], wide / inches[0], high / inches[1]))
    ax.set_axis_off()
    ax.imshow(paper, interpolation="nearest", aspect="auto", extent=(0, paper.shape[1], paper.shape[0], 0))
    for row, name in enumerate(names):
        at = (-0.12 / pixel, row * pitch + height / 2)
        ax.text(*at, name, ha="right", va="center", fontsize=style.LABEL, parse_math=False)
    heads = ((SAMPLES * pitch / 2, f"{SAMPLES} samples"), (SAMPLES * pitch + apart + width / 2, "mean"))
    for x, text in heads:
        ax.text(x, -0.1 / pixel, text, ha="center", va="bottom", fontsize=style.LABEL)
    return figure


def _bars(pictures: Pictures) -> Figure:
    """Shares of the classes on the left, their brightness on the right."""
    names = [shorten(name, LONGEST_NAME) for name in pictures.names]
    classes = np.arange(len(names))
    below = 0.55 + (style.text_width(names, style.SMALL) if _wide(names) else 0.0)
    high = 3.3 + below
    figure = style.new_figure(11, high)
    grid: dict[str, Any] = {"left": 0.065, "right": 0.985, "bottom": below / high, "top": 1 - 0.65 / high,
                            "width_ratios": [1.7, 1], "wspace": 0.16}  # fmt: skip
    left, right = figure.subplots(1, 2, gridspec_kw=grid)
    style.tidy(left, "How frequent the classes are\n", "class", "share of the part (%)")
    width = 0.8 / len(pictures.counts)
    for place, (part, counts) in enumerate(pictures.counts.items()):
        color, hatch = PARTS[part]
        at = classes + (place - (len(pictures.counts) - 1) / 2) * width
        label = f"{part} ({counts.sum():,})"
        left.bar(
            at, counts / counts.sum(), width, color=color, hatch=hatch, edgecolor="white", linewidth=0.4, label=label
        )
    left.axhline(1 / len(names), color=style.BLACK, linestyle="--", linewidth=1.2, zorder=3)
    percent_axis(left)
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=style.SMALL, frameon=False,
                borderaxespad=0.1)  # fmt: skip
    style.tidy(right, "How bright they are\n", "class", "mean input value")
    right.bar(classes, pictures.brightness, 0.7, color=style.SKY, edgecolor=style.BLUE)
    for ax in (left, right):
        ax.grid(visible=False, axis="x")
        _name_classes(ax, names)
    return figure


def _wide(names: Sequence[str]) -> bool:
    """Whether the names of classes do not fit side by side under bars."""
    return style.text_width(names, style.SMALL) > 3.4 / len(names)


def _name_classes(ax: Axes, names: Sequence[str]) -> None:
    if len(names) > 40:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    rotation = 90 if _wide(names) else 0
    ax.set_xticks(range(len(names)), names, fontsize=style.SMALL, rotation=rotation, parse_math=False)


def _matrices(pictures: Pictures, confusion: Array | None) -> Figure:
    """Similarity on the left, confusions on the right; both without their diagonal."""
    names = [shorten(name, LONGEST_NAME) for name in pictures.names]
    off = ~np.eye(len(names), dtype=bool)
    panels = [("Similarity of the mean images", pictures.similarity, ".2f", "class", "class")]
    if confusion is not None:
        shares = 100 * confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
        panels.append(("What a linear classifier confuses (%)", shares, ".1f", "predicted class", "true class"))
    label = style.text_width(names, style.SMALL)
    side, beside, below, above = 4.4, 0.55 + label, 0.6 + (label if _wide(names) else 0.1), 0.4
    wide, high = len(panels) * (side + beside) + 0.15, below + side + above
    figure = style.new_figure(wide, high)
    for place, (title, values, form, xlabel, ylabel) in enumerate(panels):
        left = place * (side + beside) + beside
        ax = figure.add_axes((left / wide, below / high, side / wide, side / high))
        shown = np.where(off, values, np.nan)
        low, top = np.nanmin(shown), np.nanmax(shown)
        ax.set_facecolor("0.85")
        ax.imshow(shown, cmap=style.SEQUENTIAL, vmin=low, vmax=max(top, low + 1e-9), interpolation="nearest")
        if len(names) <= MOST_NUMBERED:
            middle = low + 0.55 * (top - low)
            for i, j in np.argwhere(off):
                if form == ".2f" or values[i, j] >= 0.05:
                    color = "white" if values[i, j] > middle else "black"
                    text = f"{values[i, j]:{form}}"
                    ax.text(j, i, text, ha="center", va="center", fontsize=min(8.0, 80 / len(names)), color=color)
        ax.set_title(title, fontsize=style.LABEL + 1, loc="left")
        ax.set_xlabel(xlabel, fontsize=style.LABEL)
        ax.set_ylabel(ylabel, fontsize=style.LABEL)
        _name_classes(ax, names)
        if len(names) <= 40:
            ax.set_yticks(range(len(names)), names, fontsize=style.SMALL, parse_math=False)
        ax.tick_params(length=0)
    return figure
