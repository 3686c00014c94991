"""Reliability diagram: whether confidences are what they say."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mlp.base.text import percent
from mlp.nn import metrics
from mlp.report import style
from mlp.report.read import Array


def reliability(confidence: Array, right: Array) -> Figure:
    """Accuracy over confidence in bins, with 95 % intervals; on the diagonal they agree (Guo et al. 2017)."""
    counts, mean, accuracy = (values[metrics.reliability(confidence, right)[0] > 0]
                              for values in metrics.reliability(confidence, right))  # fmt: skip
    intervals = np.array([metrics.wilson_interval(*of_bin) for of_bin in zip(accuracy, counts, strict=True)])
    figure = style.new_figure(5.2, 5.0)
    ax = figure.subplots()
    scores = f"mean confidence {percent(confidence.mean())}, accuracy {percent(right.mean())}"
    style.tidy(
        ax, f"Calibration error {metrics.calibration_error(confidence, right):.4f} (ECE)\n{scores}",
        "confidence: probability of the predicted class (%)", "share of these that is right (%)",
    )  # fmt: skip
    ax.plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=1.2)
    spread = np.abs(intervals - accuracy[:, None]).T
    ax.errorbar(mean, accuracy, spread, fmt="o", color=style.BLUE, capsize=2.5, markersize=5)
    for i, (x, top, count) in enumerate(zip(mean, intervals[:, 1], counts, strict=True)):
        above = (0, 3 + 9 * (i % 2))  # neighbours keep out of each other's way
        ax.annotate(f"{count:,}", (x, top), above, textcoords="offset points", ha="center", fontsize=style.SMALL)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    ax.set_xlim(0, 1.06)
    ax.set_ylim(-0.02, 1.1)
    return figure
