"""What the figures of several studies share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mlp.nn.types import Array

PER_DECADE = 12  # points of a line over the steps, on a logarithmic axis


def band(ax: Axes, x: Array, rows: Array, label: str, color: Any, linestyle: str = "-", **look: Any) -> None:
    """The mean of `rows` (runs, len(x)) as a line, and from the lowest to the highest as a band behind it."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a column without any finite value
        mean, low, high = np.nanmean(rows, axis=0), np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    few = len(x) <= 12
    look = {"marker": "o" if few else "", "markersize": 4, **look}
    ax.plot(x, mean, label=label, color=color, linestyle=linestyle, **look)
    if len(rows) > 1:
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    if few:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def percent_axis(ax: Axes) -> None:
    """Shares on the y axis, written in per cent without the sign."""
    ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))


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
