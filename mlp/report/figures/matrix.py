"""Matrices as pictures, with a text in each cell; of classes above all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from mlp.base.text import shorten
from mlp.report import style
from mlp.report.read import Array

MOST_NUMBERED = 20  # classes up to which the cells carry numbers


def annotated(
    ax: Axes, values: Array, words: Array, *,
    norm: Normalize | None = None, cmap: str = style.SEQUENTIAL, size: float = style.SMALL,
) -> AxesImage:  # fmt: skip
    """A heat map of `values` (rows, columns) with the `words` of each cell, white where the cell is dark."""
    image = ax.imshow(values, cmap=cmap, norm=norm, interpolation="nearest", aspect="auto")
    ax.tick_params(length=0)
    red, green, blue, alpha = np.moveaxis(image.to_rgba(values), -1, 0)
    dark = (0.3 * red + 0.59 * green + 0.11 * blue < 0.5) & (alpha > 0)  # a cell without a value is transparent
    for (row, column), text in np.ndenumerate(words):
        if text:
            color = "white" if dark[row, column] else style.BLACK
            ax.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    return image


def class_axes(names: Sequence[str], side: float, *, panels: int = 1, bar: bool = False) -> tuple[Figure, list[Axes]]:
    """Squares of about `side` inches for matrices of true (rows) and predicted classes, with room for a `bar`."""
    cell = side / len(names)
    widest = style.text_width(names, class_font(cell))
    below = widest if _rotation(widest, cell) else 0.0
    figure = style.new_figure(panels * (side + 0.6 + widest) + 1.2 * bar, side + 1.2 + below)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for ax in axes:
        class_ticks(ax, names, cell)
        ax.set_xlabel("predicted class", fontsize=style.LABEL)
        ax.set_ylabel("true class", fontsize=style.LABEL)
    return figure, axes


def class_font(cell: float) -> float:
    """Size of the names beside cells of so many inches."""
    return min(style.LABEL, max(4.0, 54 * cell))


def class_ticks(ax: Axes, names: Sequence[str], cell: float, *, rows: bool = True) -> None:
    """The names of classes below cells of `cell` inches, and beside `rows`; of very many every second, third ..."""
    every = range(0, len(names), math.ceil(len(names) / 100))
    ticks: dict[str, Any] = {"labels": [names[i] for i in every], "fontsize": class_font(cell), "parse_math": False}
    rotation = _rotation(style.text_width(names, class_font(cell)), cell)
    ha, mode = ("right", "anchor") if rotation == 45 else ("center", None)
    ax.set_xticks(every, rotation=rotation, ha=ha, rotation_mode=mode, **ticks)
    if rows:
        ax.set_yticks(every, **ticks)
    ax.tick_params(length=0)


def _rotation(widest: float, cell: float) -> int:
    """Of names below cells, in degrees."""
    return 0 if widest < 0.9 * cell else 45 if cell > 0.25 else 90


def confusion_matrix(counts: Array, class_names: Sequence[str] | Array, normalised: bool = False) -> Figure:
    """A heat map of counts, or with each row divided by its sum, in per cent in the cells."""
    classes, numbered = len(counts), len(counts) <= MOST_NUMBERED
    values = counts / np.maximum(1, counts.sum(axis=1, keepdims=True)) if normalised else counts
    total, wrong = counts.sum(), counts.sum() - counts.trace()
    side = min(max(5.5, 0.44 * classes), 12.0)
    names = [shorten(str(name)) for name in class_names]
    figure, (ax,) = class_axes(names, side, bar=not numbered)
    words = np.char.mod("%.1f", 100 * values) if normalised else np.char.mod("%d", values)
    words = np.where(np.isin(words, ["0", "0.0"]) | (classes > MOST_NUMBERED), "", words)
    # The diagonal is a hundred times the rest: a root scale keeps the mistakes visible.
    norm = PowerNorm(0.4, vmin=0, vmax=1.0 if normalised else max(1, values.max()))
    font = min(style.LABEL, 18 * side / classes)
    image = annotated(ax, values, words, norm=norm, size=font)
    if numbered:
        between = np.arange(classes - 1) + 0.5
        ax.hlines(between, -0.5, classes - 0.5, color="0.85", linewidth=0.6)
        ax.vlines(between, -0.5, classes - 0.5, color="0.85", linewidth=0.6)
    else:
        unit = "share of the true class" if normalised else "number of samples"
        bar = figure.colorbar(image, ax=ax, format=PercentFormatter(xmax=1) if normalised else None)
        bar.set_label(f"{unit} (stretched near zero)", fontsize=style.LABEL)
    what = "per cent of each true class" if normalised else "number of samples"
    title = f"Confusion matrix, {what}\n{wrong:,} of {total:,} predictions are wrong"
    ax.set_title(title, fontsize=style.TITLE, loc="left")
    return figure
