"""Figures as data, which report.js draws again: the numbers are those of the picture, read from its own artists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import StepPatch
from matplotlib.ticker import FixedLocator

from mlp.pages.page import rounded
from mlp.report import style

# As figures.js calls them, and shows them on dark pages in other shades.
COLOURS = {
    style.BLACK: "ink", style.BLUE: "blue", style.VERMILION: "vermilion", style.GREEN: "green", style.PURPLE: "pink",
    style.ORANGE: "orange", style.SKY: "sky", style.GREY: "grey",
}  # fmt: skip
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
MARKS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross",
         "X": "x", "x": "x-thin", "<": "triangle-left", ">": "triangle-right"}  # fmt: skip
STEPS = {"steps": "vh", "steps-pre": "vh", "steps-mid": "hvh", "steps-post": "hv"}
DIGITS = 5  # of a number


class _NotPlottable(Exception):
    """A figure with something that is no line, band or point."""


def plot_of(figure: Figure) -> dict[str, Any] | None:
    """The panels of a figure, and how many are beside each other; None where it has pictures, bars or other things,
    which stay a picture. To be asked once it is drawn."""
    places = [ax.get_subplotspec() for ax in figure.axes]
    columns = max((place.get_gridspec().ncols for place in places if place is not None), default=1)
    try:
        panels = [_panel(ax) for ax in figure.axes]
    except _NotPlottable:
        return None
    for before, panel in pairwise(panels):  # of a row only the first panel is labelled
        panel["y"]["label"] = panel["y"]["label"] or before["y"]["label"]
    return {"columns": columns, "panels": panels}


def _panel(ax: Axes) -> dict[str, Any]:
    if (
        ax.images
        or not ax.axison
        or {ax.get_xscale(), ax.get_yscale()} - {"linear", "log"}
        or ax.name != "rectilinear"
    ):
        raise _NotPlottable
    x, y = _axis(ax.xaxis, ax.get_xlim()), _axis(ax.yaxis, ax.get_ylim())
    artists = sorted([*ax.collections, *ax.lines, *ax.patches], key=lambda artist: artist.get_zorder())
    series = [one for artist in artists for one in _series(ax, artist)]
    for one in series:
        for name, axis in (("x", x), ("y", y)):
            one[name] = [_number(value * axis["factor"]) for value in one[name]]
    title = " ".join(ax.get_title(loc="left").split())
    notes = [*_notes(ax, x["factor"], y["factor"])]
    return {"title": title, "x": x, "y": y, "series": series, "notes": notes, "legend": ax.get_legend() is not None}


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    """Label, limits, scale and named ticks. Shares that are written in per cent become that: `factor` is 100."""
    formatter, log = axis.get_major_formatter(), axis.get_scale() == "log"
    ticks = None
    if isinstance(axis.get_major_locator(), FixedLocator):
        at = [float(place) for place in axis.get_majorticklocs()]
        ticks = {"at": [*map(_number, at)], "text": [formatter(place, i) for i, place in enumerate(at)]}
    factor = 1 if ticks else _factor(formatter)
    ends = [math.log10(factor * end) if log else factor * end for end in limits]
    return {"label": axis.get_label_text(), "log": log, "range": ends, "ticks": ticks, "factor": factor}


def _factor(formatter: Any) -> int:
    try:
        return 100 if float(formatter(1.0, 0)) == 100 else 1
    except ValueError:  # such as a power of ten
        return 1


def _series(ax: Axes, artist: Any) -> Iterator[dict[str, Any]]:
    """What an artist shows: lines and points with x and y of each, and how they look."""
    label = str(artist.get_label() or "")
    made: dict[str, Any] = {"name": "" if label.startswith("_") else label, "kind": "line"}
    if isinstance(artist, Line2D):
        mark, dash, every = str(artist.get_marker()), DASHES.get(str(artist.get_linestyle())), artist.get_markevery()
        hollow = "-open" if artist.get_markerfacecolor() == "white" else ""
        look = {"color": _colour(artist.get_color()), "width": artist.get_linewidth(), "dash": dash,
                "mark": MARKS[mark] + hollow if mark in MARKS else None,
                "step": STEPS.get(artist.get_drawstyle())}  # fmt: skip
        places = np.column_stack([np.asarray(artist.get_xdata(), float), np.asarray(artist.get_ydata(), float)])
        if dash is None and isinstance(every, tuple):  # marks that take turns with those of other lines
            places = places[every[0] :: every[1]]
        if len(places) and (dash or look["mark"]):  # else it is the cap of an error bar
            yield made | look | _xy(_in_data(ax, artist, places))
    elif isinstance(artist, PolyCollection):
        for path in artist.get_paths():
            yield (made | {"kind": "band", "color": _only(artist.get_facecolor())} | _xy(np.asarray(path.vertices)))
    elif isinstance(artist, LineCollection):
        segments = [np.asarray(segment, float) for segment in artist.get_segments()]
        ends = [part for one in segments for part in (_in_data(ax, artist, one), [[math.nan] * 2])]
        if ends:
            look = {"color": _only(artist.get_color()), "width": float(np.ravel(artist.get_linewidth())[0])}
            yield made | {"kind": "segments", "dash": "solid"} | look | _xy(np.concatenate(ends))
    elif isinstance(artist, PathCollection):
        faces = artist.get_facecolor()
        look = {
            "color": _only(faces if len(faces) else artist.get_edgecolor()),
            "mark": _mark(artist) + ("" if len(faces) else "-open"),
        }
        yield made | look | {"text": artist.get_urls()} | _xy(np.asarray(artist.get_offsets(), float))
    elif isinstance(artist, StepPatch):
        values, edges, _ = artist.get_data()
        heights = [*values, values[-1]] if len(values) else []
        look = {"color": _colour(artist.get_edgecolor()), "width": artist.get_linewidth(), "step": "hv",
                "dash": DASHES.get(str(artist.get_linestyle()), "solid")}  # fmt: skip
        yield made | look | {"x": list(map(float, edges)), "y": list(map(float, heights))}
    else:
        raise _NotPlottable


def _in_data(ax: Axes, artist: Any, places: Any) -> Any:
    """Places (n, 2) in the units of the data, where the artist has others, such as a share of the panel's height."""
    if artist.get_transform() == ax.transData:
        return places
    return ax.transData.inverted().transform(artist.get_transform().transform(places))


def _xy(places: Any) -> dict[str, Any]:
    return {"x": places[:, 0].tolist(), "y": places[:, 1].tolist()}


def _notes(ax: Axes, x: float, y: float) -> Iterator[dict[str, Any]]:
    """Words beside a point of the panel."""
    for text in ax.texts:
        place = text.xy if hasattr(text, "xy") else text.get_position()
        if text.get_transform() != ax.transData and not hasattr(text, "xy"):
            raise _NotPlottable
        words = {"text": text.get_text(), "side": text.get_horizontalalignment()}
        yield {"x": _number(place[0] * x), "y": _number(place[1] * y), **words}


def _mark(points: PathCollection) -> str:
    shown = points.get_paths()[0].vertices
    for mark, name in MARKS.items():
        known = MarkerStyle(mark)
        if np.array_equal(known.get_path().transformed(known.get_transform()).vertices, shown):
            return name
    return "circle"


def _colour(colour: Any) -> str:
    found = to_hex(colour, keep_alpha=False).upper()
    return COLOURS.get(found, found)


def _only(colours: Any) -> str:
    """The colour that all parts of an artist have."""
    found = {_colour(colour) for colour in colours}
    if len(found) != 1:
        raise _NotPlottable
    return found.pop()


def _number(value: float) -> float | None:
    return rounded(value, DIGITS) if math.isfinite(value) else None
