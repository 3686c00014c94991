"""The training of one run: its curves over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mlp.report import style
from mlp.report.figures.panels import integer_axis, log_axis, percent_axis
from mlp.report.read import Array


def curves(metrics: Mapping[str, Array], facts: Mapping[str, Any]) -> Figure:
    """Loss, accuracy and F1, learning rate and gradient norms over the epochs."""
    figure = style.new_figure(13, 7.6)
    (loss, score), (rate, norms) = figure.subplots(2, 2)
    epochs = metrics["epoch"]
    few = len(epochs) <= 30
    circle, square = ("o", "s") if few else ("", "")

    def line(ax: Axes, column: str, label: str, color: Any, **look: Any) -> None:
        values = metrics.get(column)  # a run without validation data has no val_ columns
        if values is not None and np.isfinite(values).any():
            ax.plot(epochs, values, label=label, color=color, markersize=4, **look)

    style.tidy(loss, "Loss", "epoch", "mean loss per sample")
    line(loss, "train_loss", "training", style.BLUE, marker=circle)
    line(loss, "val_loss", "validation", style.VERMILION, linestyle="--", marker=square)
    if loss.lines:
        loss.legend(loc="upper right", fontsize=style.SMALL)

    style.tidy(score, "Accuracy and F1", "epoch", "share of samples, F1 (%)")
    percent_axis(score)
    # F1 runs close to the accuracy: light dashes on top leave both visible.
    line(score, "train_accuracy", "training accuracy", style.BLUE, linewidth=2.5, marker=circle)
    line(score, "train_f1", "training F1", style.SKY, linestyle="--", marker="x" if few else "")
    line(score, "val_accuracy", "validation accuracy", style.VERMILION, linewidth=2.5, marker=square)
    line(score, "val_f1", "validation F1", style.ORANGE, linestyle="--", marker="x" if few else "")
    _legend_outside(score)

    style.tidy(rate, "Learning rate", "epoch", "learning rate")
    rate.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    line(rate, "learning_rate", "learning rate", style.BLACK, marker=circle)
    rate.set_ylim(bottom=0)

    style.tidy(norms, "Gradient norm per layer", "epoch", "L2 norm of the gradient (log scale)")
    columns = sorted((name for name in metrics if _is_layer_norm(name)), key=lambda name: int(name[10:]))
    colors = mpl.colormaps[style.ORDERED](np.linspace(0, 0.9, max(len(columns), 1)))
    named = math.ceil(len(columns) / 12)  # a legend of more than a dozen layers names every second, third ...
    line(norms, "grad_norm", "all layers", style.BLACK, linestyle=":", marker="x" if few else "")
    for i, column in enumerate(columns):
        last = i == len(columns) - 1
        label = f"layer {column[10:]}" + (" (output)" if last else " (first hidden)" if i == 0 else "")
        label += "" if metrics[column].any() else ", all zero"
        label = label if i % named == 0 or last else "_unnamed"
        line(norms, column, label, colors[i], marker="os^Dv<>"[i % 7] if few else "")
    _log_scale(norms)
    _legend_outside(norms)

    best = facts.get("best_epoch")
    measured = facts.get("selected_by") != "last epoch"
    best = best if measured and isinstance(best, int | float) and best in epochs else None
    pad = max(0.5, 0.03 * (epochs[-1] - epochs[0]))
    for ax in (loss, score, rate, norms):
        ax.set_xlim(epochs[0] - pad, epochs[-1] + pad)
        integer_axis(ax)
        if best is not None:
            ax.axvline(best, color=style.GREY, linestyle=(0, (1, 2)), linewidth=1.5, zorder=1)

    said = [str(facts["dataset"])] if facts.get("dataset") else []
    said += [f"best epoch {best:g} (dotted line)"] if best is not None else []
    for key, name in (("test_accuracy", "test accuracy"), ("test_f1", "test F1")):
        said += [f"{name} {facts[key]:.2%}"] if isinstance(facts.get(key), int | float) else []
    figure.suptitle(", ".join(said), x=0.01, ha="left", fontsize=style.TITLE, parse_math=False)
    return figure


def _is_layer_norm(column: str) -> bool:
    return column.startswith("grad_norm_") and column[10:].isdecimal()


def _legend_outside(ax: Axes) -> None:
    """Right of the panel, where it can hide no line."""
    if ax.lines:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
        ax.legend(**place, fontsize=style.SMALL, frameon=False)


def _log_scale(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers, at least two of them; linear if there is nothing positive."""
    heights = np.concatenate([np.asarray(line.get_ydata()) for line in ax.lines] or [np.empty(0)])
    heights = heights[(heights > 1e-100) & (heights < 1e100)]  # beyond, the arithmetic of the ticks overflows
    if not len(heights):
        return
    low, high = heights.min() / 1.3, heights.max() * 1.3
    middle = math.sqrt(low) * math.sqrt(high)
    low, high = min(low, middle / 3), max(high, middle * 3)
    ax.set_ylim(low, high)
    log_axis(ax, (1, 2, 5) if high / low < 300 else (1,))
