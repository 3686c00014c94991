"""What the figures of several studies share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mlp.nn.types import Array


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
