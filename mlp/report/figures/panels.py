"""Panels side by side with the same axes, and lines over the seeds in them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from mlp.report import style
from mlp.report.read import Array

Place = Literal["outside lower center", "outside right center"]
PER_DECADE = 12  # points of a line over the steps, on a logarithmic axis


def grid(
    titles: Sequence[Sequence[str]],
    xlabel: str,
    ylabels: Sequence[str],
    *,
    panel: tuple[float, float] = (3.1, 2.7),
    share: bool = True,
    share_x: bool = True,
) -> tuple[Figure, NDArray[Any]]:
    """A figure of panels with these titles, row by row, and its axes (rows, columns). Sizes are in inches.

    With `share` the panels of a row have one y axis (and x axis, if `share_x`), and `ylabels` are those of the rows;
    else those of the columns.
    """
    rows, columns = len(titles), len(titles[0])
    figure = style.new_figure(panel[0] * columns + 1.0, panel[1] * rows + 0.9)
    axes: NDArray[Any] = figure.subplots(
        rows, columns, squeeze=False, sharex=share and share_x and "row", sharey=share and "row"
    )
    for (row, column), ax in np.ndenumerate(axes):
        ylabel = ylabels[column] if not share else ylabels[row] if column == 0 else ""
        style.tidy(ax, titles[row][column], xlabel, ylabel)
    return figure, axes


def band(ax: Axes, x: Array, rows: Array, label: str, look: style.Look) -> None:
    """The mean of `rows` (runs, len(x)) as a line, and from the lowest to the highest as a band behind it."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a column without any finite value
        mean, low, high = np.nanmean(rows, axis=0), np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    few, (color, line, marker) = len(x) <= 12, look
    ax.plot(x, mean, label=label, color=color, linestyle=line, marker=marker if few else "", markersize=4)
    if len(rows) > 1:
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    if few:
        integer_axis(ax)


def step_band(ax: Axes, step: Array, norms: Array, label: str, look: style.Look) -> None:
    """A measurement at single steps (runs, steps) on two logarithmic axes: the median of neighbouring steps and the
    seeds as a line, from the lowest to the highest as a band. A cross at the bottom: zero at half of them or more."""
    height = 0.02 * (1 + len(ax.lines))  # of the panel: crosses of two lines do not cover each other
    x, low, middle, high = binned(step, norms)
    color, line, marker = look
    ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(x, middle, label=label, color=color, linestyle=line, marker=marker, markersize=3)
    x, _, zero, _ = binned(step, 1.0 + (norms == 0))
    if crosses := x[zero >= 1.5].tolist():
        ax.plot(crosses, [height] * len(crosses), linestyle="", marker="x", markersize=4, color=color,
                transform=ax.get_xaxis_transform())  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")


def binned(step: Array, norms: Array) -> tuple[Array, Array, Array, Array]:
    """Steps, and the lowest, median and highest of `norms` (runs, rows) near each of them.

    Bins of equal width on a logarithmic axis, those without a measurement left out. Zeros, which such an axis does
    not have, are left out too.
    """
    place = np.floor(PER_DECADE * np.log10(step)).astype(int)
    bins = []
    for i in np.unique(place):
        within = norms[:, place == i]
        if (within > 0).any():
            within = within[within > 0]
            bins.append((np.exp(np.log(step[place == i]).mean()), within.min(), np.median(within), within.max()))
    x, low, middle, high = np.array(bins).reshape(-1, 4).T
    return x, low, middle, high


def shared_legend(figure: Figure, axes: Iterable[Axes], place: Place, columns: int = 1) -> None:
    """One legend of the named lines of these axes, each name once, outside the panels."""
    handles: dict[str, Any] = {}
    for ax in axes:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc=place, ncols=columns, fontsize=style.SMALL, frameon=False)


def percent_axis(ax: Axes) -> None:
    """Shares on the y axis, written in per cent without the sign."""
    ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))


def integer_axis(ax: Axes) -> None:
    """Epochs or steps on the x axis."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def log_axis(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers."""
    ax.set_yscale("log", nonpositive="mask")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 20 * low else (1, 1.5, 2, 3, 4, 6, 8)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
