"""Horizontal bars with a name each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mlp.base.text import percent, shorten
from mlp.nn import metrics
from mlp.report import style
from mlp.report.read import Array

MOST_BARS = 100


def bars(names: Sequence[str], notes: Sequence[str], title: str, xlabel: str) -> tuple[Figure, Axes]:
    """Axes with a row for each name, from below, and its note on the right; the bars are the caller's to draw."""
    row = min(0.34, 24 / len(names))
    size = min(style.LABEL, 54 * row)
    texts = style.text_width(names, size) + style.text_width(notes, size)
    figure = style.new_figure(6.0 + texts, row * len(names) + 0.85 + 0.2 * len(title.splitlines()))
    ax = figure.subplots()
    style.tidy(ax, title, xlabel, "")
    ax.grid(visible=False, axis="y")
    ax.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    ax.set_ylim(-0.6, len(names) - 0.4)
    for y, note in enumerate(notes):
        ax.text(1.02, y, note, va="center", fontsize=size, transform=ax.get_yaxis_transform())
    return figure, ax


def per_class(counts: Array, class_names: Sequence[str] | Array) -> Figure:
    """The share of each class that was recognised (its recall), best class on top."""
    right, total, recall = counts.diagonal(), counts.sum(axis=1), metrics.per_class(counts)["recall"]
    order = np.lexsort((-np.arange(len(recall)), recall))[:MOST_BARS]  # worst first; ties in class order
    names = [shorten(str(class_names[i])) for i in order]
    notes = [f"{percent(recall[i], 1)}  ({right[i]:,} of {total[i]:,})" if total[i] else "no sample" for i in order]
    overall = right.sum() / max(1, total.sum())
    title = f"Accuracy per class (recall); dashed line: all classes {percent(overall)}"
    if len(order) < len(recall):
        title = f"The {len(order)} lowest of {len(recall)} classes\n{title}"
    low = max(0.0, math.floor(10 * recall[order].min() - 0.1) / 10)  # the bars begin where the differences show
    figure, ax = bars(
        names, notes, title, f"correctly classified samples of the class (%), from {percent(low, 0)} on"
    )
    ax.barh(range(len(order)), recall[order], height=0.72, color=style.SKY, edgecolor=style.BLUE)
    ax.axvline(overall, color=style.BLACK, linestyle="--", linewidth=1.5)
    ax.set_xlim(low, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    return figure


def robustness(accuracies: Sequence[tuple[str, float]], samples: int) -> Figure:
    """The accuracy for each change of the images, the first one on top, with its 95 % interval."""
    names, values = zip(*accuracies[::-1], strict=True)
    intervals = np.array([metrics.wilson_interval(value, samples) for value in values])
    figure, ax = bars(names, [percent(value) for value in values], "Changed images", "accuracy (%)")
    ax.barh(range(len(names)), values, height=0.72, color=style.SKY, edgecolor=style.BLUE)
    spread = np.abs(intervals - np.array(values)[:, None]).T
    ax.errorbar(values, range(len(names)), xerr=spread, fmt="none", color=style.BLACK, capsize=2.5, linewidth=1)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    return figure
