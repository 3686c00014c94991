"""The shared look of all plots.

Only matplotlib's object interface is used: no pyplot, so no global state, no display, and safe in threads.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mlp.base.files import atomic_write

# Okabe and Ito's palette: distinguishable for colour-blind readers and in greyscale.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#666666"
SEQUENTIAL = "Blues"  # cells of a matrix: white paper means nothing there
RANKS = LinearSegmentedColormap.from_list("ranks", ["#8092A4", "#2F7FB8", "#08306B"])  # worst to best, as figures.js
ORDERED = "viridis"  # lines that have an order, such as the layers of a network

DPI = 120
Look = tuple[str, str, str]  # colour, line and mark
TITLE, LABEL, SMALL = 12.0, 10.0, 8.5  # font sizes in points


def new_figure(width: float, height: float) -> Figure:
    """A white figure of `width` x `height` inches; its subplots leave the room that their texts need."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def tidy(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Name the axes, drop the box, and put a light grid behind the data."""
    ax.set_title(title, fontsize=LABEL + 1, loc="left")
    ax.set_xlabel(xlabel, fontsize=LABEL)
    ax.set_ylabel(ylabel, fontsize=LABEL)
    ax.tick_params(labelsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Colour, line and mark of each of up to seven things that are compared: none is told by its colour alone."""
    colors = (BLUE, VERMILION, GREEN, ORANGE, SKY, BLACK, PURPLE)
    return dict(zip(names, zip(colors, ("-", "--", "-.", ":") * 2, "os^DvPX", strict=False), strict=False))


def activation_look(activation: str) -> Look:
    """Colour, line and mark of an activation: one colour for ReLU, another for what ReLU is compared with."""
    known: dict[str, Look] = {"relu": (VERMILION, "--", "s"), "sigmoid": (BLUE, "-", "o"), "tanh": (BLUE, "-", "o")}
    return known.get(activation, (GREY, ":", "^"))


def layer_looks(layers: int) -> list[dict[str, Any]]:
    """Colour, line and mark of each layer of a network, from the first."""
    colors = mpl.colormaps[ORDERED](np.linspace(0, 0.8, max(2, layers)))
    return [
        {"color": color, "linestyle": ("-", "--", ":", "-.")[i % 4], "marker": "os^D"[i % 4]}
        for i, color in enumerate(colors[:layers])
    ]


def text_width(texts: Iterable[str], size: float) -> float:
    """About the width in inches of the widest of `texts`, to choose the size of a figure by."""
    return 0.6 * size / 72 * max(map(len, texts), default=0)


def save(figure: Figure, path: Path) -> Path:
    """Write `figure` as a PNG, whole or not at all."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", pil_kwargs={"compress_level": 3})
    return path
