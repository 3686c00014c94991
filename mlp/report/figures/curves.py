"""The training of one run: its curves over the epochs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mlp.base.text import percent
from mlp.report import style
from mlp.report.figures.panels import integer_axis, log_axis, percent_axis
from mlp.report.read import Array

TRAINING = {"color": style.BLUE, "marker": "o"}
VALIDATION = {"color": style.VERMILION, "marker": "s"}
MARKED = 30  # epochs up to which each has a mark


def curves(metrics: Mapping[str, Array], facts: Mapping[str, Any]) -> Figure:
    """Loss, accuracy and F1, gradient norms and, unless it is constant, the learning rate over the epochs."""
    figure = style.new_figure(13, 7.6)
    figure.set_layout_engine(
        "none"
    )  # every run draws this figure, and to measure its texts takes a tenth of a second
    grid = {"left": 0.065, "right": 0.86, "bottom": 0.075, "top": 0.89, "hspace": 0.36, "wspace": 0.22}
    epochs, rates = metrics["epoch"], metrics["learning_rate"]
    is_constant = len(rates) > 0 and bool((rates == rates[0]).all())
    places: Any = [["loss", "score"], ["norms" if is_constant else "rate", "norms"]]
    panels = figure.subplot_mosaic(places, gridspec_kw=grid)
    loss, score, norms = (panels[name] for name in ("loss", "score", "norms"))

    def line(ax: Axes, column: str, label: str, **look: Any) -> None:
        values = metrics.get(column)  # a run without validation data has no val_ columns
        if values is not None and np.isfinite(values).any():
            look |= {} if len(epochs) <= MARKED else {"marker": ""}
            ax.plot(epochs, values, label=label, markersize=4, **look)

    style.tidy(loss, "Loss", "epoch", "mean loss per sample")
    line(loss, "train_loss", "training", **TRAINING)
    line(loss, "val_loss", "validation", linestyle="--", **VALIDATION)
    if loss.lines:
        loss.legend(loc="upper right", fontsize=style.SMALL)

    style.tidy(score, "Accuracy and F1", "epoch", "share of samples, F1 (%)")
    percent_axis(score)
    # F1 runs close to the accuracy: light dashes on top leave both visible.
    line(score, "train_accuracy", "training accuracy", linewidth=2.5, **TRAINING)
    line(score, "train_f1", "training F1", color=style.SKY, linestyle="--", marker="x")
    line(score, "val_accuracy", "validation accuracy", linewidth=2.5, **VALIDATION)
    line(score, "val_f1", "validation F1", color=style.ORANGE, linestyle="--", marker="x")

    if rate := panels.get("rate"):
        style.tidy(rate, "Learning rate", "epoch", "learning rate")
        rate.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        line(rate, "learning_rate", "learning rate", color=style.BLACK, marker="o")
        rate.set_ylim(bottom=0)

    style.tidy(norms, "Gradient norm per layer", "epoch", "L2 norm of the gradient (log scale)")
    columns = sorted(filter(re.compile(r"grad_norm_\d+").fullmatch, metrics), key=lambda name: int(name[10:]))
    colors = mpl.colormaps[style.ORDERED](np.linspace(0, 0.9, max(len(columns), 1)))
    named = math.ceil(len(columns) / 12)  # a legend of more than a dozen layers names every second, third ...
    line(norms, "grad_norm", "all layers", color=style.BLACK, linestyle=":", marker="x")
    for i, column in enumerate(columns):
        last = i == len(columns) - 1
        label = f"layer {column[10:]}" + (" (output)" if last else " (first hidden)" if i == 0 else "")
        label += "" if metrics[column].any() else ", all zero"
        label = label if i % named == 0 or last else "_unnamed"
        line(norms, column, label, color=colors[i], marker="os^Dv<>"[i % 7])
    heights = np.concatenate([np.asarray(line.get_ydata()) for line in norms.lines] or [np.empty(0)])
    heights = heights[(heights > 1e-100) & (heights < 1e100)]  # beyond, the arithmetic of the ticks overflows
    if len(heights):
        norms.set_ylim(heights.min() / 1.3, heights.max() * 1.3)
        norms.set_yscale("log")
        if heights.max() < 300 * heights.min():  # powers of ten would be too few ticks
            log_axis(norms)

    best = facts.get("best_epoch") if facts.get("selected_by") != "last epoch" else None
    best = best if isinstance(best, int | float) and best in epochs else None
    for ax in panels.values():
        ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        integer_axis(ax)
        if best is not None:
            ax.axvline(best, color=style.GREY, linestyle=(0, (1, 2)), linewidth=1.5, zorder=1)
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    for ax in (score, norms):
        if ax.get_legend_handles_labels()[0]:  # a legend right of the panel can hide no line
            ax.legend(**outside, fontsize=style.SMALL, frameon=False)

    said = [str(facts["dataset"])] if facts.get("dataset") else []
    said += [f"learning rate {rates[0]:g}"] if is_constant else []
    said += [f"best epoch {best:g} (dotted line)"] if best is not None else []
    for key, name in (("test_accuracy", "test accuracy"), ("test_f1", "test F1")):
        said += [f"{name} {percent(facts[key])}"] if isinstance(facts.get(key), int | float) else []
    figure.suptitle(", ".join(said), x=0.065, ha="left", fontsize=style.TITLE, parse_math=False)
    return figure
