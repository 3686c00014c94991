"""Parallel coordinates: an axis for each parameter, a line for each trial."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base.text import option_name
from mlp.report import style
from mlp.report.axes import Axis

SMALL = 7.5  # points, beside the axes
ACCURACIES = (0.2, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995)  # ticks
ABSENT, FAN = -0.13, 0.05  # height of a parameter that a trial lacks; how far lines of one choice fan out


@dataclass(frozen=True)
class ParallelCoordinates:
    """Numbers of trials with their accuracies, the best first, over the axes and the accuracy. The latter is
    logarithmic in the error; one below `least_error` counts as that. A picture, and the same for figures.js."""

    axes: Sequence[Axis]
    ranked: Sequence[tuple[int, float]]
    least_error: float
    names: Mapping[int, str]  # of the trials
    points: Mapping[int, str]  # what a trial is, in words
    other: int | None = None  # a trial from elsewhere, drawn in a colour of its own

    def __call__(self) -> Figure:
        axes, ranked, least_error = self.axes, self.ranked, self.least_error
        errors = [max(1 - accuracy, least_error) for _, accuracy in ranked]
        best = next((number for number, _ in ranked if number != self.other), None)
        low, high = math.log(min(errors)), math.log(max(errors))

        def height(error: float) -> float:
            return (high - math.log(error)) / (high - low) if high > low else 0.5

        figure = style.new_figure(max(6.0, 0.88 * len(axes) + 1.6), 5.2)
        ax = figure.subplots()
        shades = style.RANKS(np.linspace(1.0, 0.0, len(ranked)))
        for place in reversed(range(len(ranked))):  # the best ones on top
            number, fan = ranked[place][0], FAN * (0.5 - place / max(1, len(ranked) - 1))
            heights = [_height(axis, number, fan) for axis in axes]
            look: dict[str, Any] = {"color": shades[place], "linewidth": 1.1, "marker": "o", "markersize": 3}
            if number == best:
                look |= {"color": style.VERMILION, "linewidth": 2.6}
            elif number == self.other:
                look |= {"color": style.GREEN, "linewidth": 2.6, "linestyle": "--", "zorder": 2.5}
            ax.plot([*heights, height(errors[place])], **look, label=self.names[number])

        words: dict[str, Any] = {"va": "center", "fontsize": SMALL, "zorder": 3}
        words["bbox"] = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
        for place, name in enumerate([*(axis.name for axis in axes), "validation accuracy"]):
            ax.axvline(place, 0, 1, color="0.6", linewidth=0.8, zorder=0)
            ax.text(place, 1.06, _broken(name), ha="center", va="bottom", fontsize=style.SMALL, weight="bold")
        for place, axis in enumerate(axes):
            for value in axis.ticks():
                ax.text(place + 0.05, axis.place(value), _broken(axis.text(value)), **words)
        between = [1 - accuracy for accuracy in ACCURACIES if min(errors) < 1 - accuracy < max(errors)]
        for error in {min(errors), max(errors), *(error for error in between if 0.05 < height(error) < 0.95)}:
            ax.text(len(axes) + 0.05, height(error), f"{100 * (1 - error):.4g} %", **words)
        if any(len(axis.values) < len(ranked) for axis in axes):
            ax.text(-0.12, ABSENT, "not\nthere", ha="right", va="center", fontsize=SMALL)
        ax.set(xlim=(-0.3, len(axes) + 0.1), ylim=(ABSENT - 0.06, 1.05))
        ax.set_axis_off()
        return figure

    def data(self) -> dict[str, Any]:
        axes = [{"name": axis.name.replace("_", " "), "choices": [*map(option_name, axis.choices)] or None,
                 "log": axis.log} for axis in self.axes]  # fmt: skip
        lines = [
            {"key": number, "text": f"{self.names[number]}: {100 * accuracy:.2f} %\n{self.points[number]}",
             "values": [*(_value(axis, number) for axis in self.axes), accuracy],
             **({"slot": 2} if number == self.other else {})}  # green, as above
            for number, accuracy in self.ranked
        ]  # fmt: skip
        last = {"name": "validation accuracy", "least": self.least_error}
        return {"axes": [*axes, last], "lines": lines}


def _value(axis: Axis, number: int) -> float | str | None:
    value = axis.values.get(number)
    return axis.text(value) if axis.choices and value is not None else value


def _broken(name: str) -> str:
    """In short lines, with blanks for underscores."""
    return textwrap.fill(name.replace("_", " "), 11, break_long_words=False)


def _height(axis: Axis, number: int, fan: float) -> float:
    if number not in axis.values:
        return ABSENT + fan
    return axis.place(axis.values[number]) + (fan if axis.choices else 0.0)
