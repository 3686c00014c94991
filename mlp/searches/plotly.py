"""Parts of the pictures of search.html: dictionaries in the notation of plotly.js, which draws them in the browser.

Written by hand instead of with optuna.visualization, whose pictures leave out trials that lack a parameter, that
failed or that were pruned. All texts are escaped here, since plotly.js reads them as HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import REASON, Search, shortened, state
from mlp.report.text import shorten

Figure = dict[str, Any]

# Okabe and Ito's palette, told apart by colour-blind readers; shapes differ as well.
BLUE, ORANGE, VERMILION, SKY, GREY = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#767676"
INK = "ink"  # the colour of the page's text, dark or light
PALE = "#B5D2E6"


def escape(value: object) -> str:
    """Text that plotly.js shows as it is."""
    return html.escape(str(value), quote=False)


def number(value: float) -> str:
    return f"{value:.4g}"


def objective_value(trial: FrozenTrial, index: int) -> float | None:
    """A trial's objective: what a completed one reached, and what a pruned one had when it was stopped."""
    value = None
    if trial.state == TrialState.COMPLETE:
        value = trial.values[index]
    elif trial.state == TrialState.PRUNED and index == 0 and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return value if value is not None and math.isfinite(value) else None


def objective_values(trials: Sequence[FrozenTrial], index: int) -> dict[int, float]:
    """`objective_value` of the trials that have one, by their numbers."""
    return {trial.number: value for trial in trials if (value := objective_value(trial, index)) is not None}


def layout(x: str, y: str, height: int = 380, **further: Any) -> dict[str, Any]:
    """What the picture has of its own; its colours and fonts are those of the page."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 20, "t": 40, "b": 56},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": {"title": {"text": escape(x), "standoff": 8}},
        "yaxis": {"title": {"text": escape(y), "standoff": 8}},
        **further,
    }


#: How trials are drawn.
MARKS: Mapping[str, Mapping[str, Any]] = {
    "completed": {"symbol": "circle", "color": BLUE},
    "pruned, where it was stopped": {"symbol": "x", "color": ORANGE},
    "without a value: failed, lost": {"symbol": "triangle-up-open", "color": VERMILION, "line": {"width": 2}},
    "the best trial": {"symbol": "diamond", "color": VERMILION, "size": 10, "opacity": 1},
}


def line(x: Sequence[float | None], y: Sequence[float | None], color: str, width: float = 1, **style: Any) -> Figure:
    """A trace that is a line; None interrupts it."""
    look = {"color": color, "width": width, **style}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "hoverinfo": "skip", "line": look}


def mark(trial: FrozenTrial, values: Mapping[int, float], winner: FrozenTrial | None = None) -> str:
    """Which of MARKS a finished trial gets, where `values` has the values of those that have one."""
    if trial.number not in values:
        return "without a value: failed, lost"
    if trial is winner:
        return "the best trial"
    return "completed" if trial.state == TrialState.COMPLETE else "pruned, where it was stopped"


def points(
    name: str, members: Sequence[Any], x: Callable[[Any], float], y: Callable[[Any], float],
    text: Callable[[Any], str], **marker: Any,
) -> Figure:  # fmt: skip
    """A trace of trials, or of runs of them, as points; a click on one leads to the row of its trial."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [x(member) for member in members],
        "y": [y(member) for member in members],
        "text": [text(member) for member in members],
        "hoverinfo": "text",
        "customdata": [member.number for member in members],
        "marker": {"size": 8, "opacity": 0.8, **marker},
    }


def hover(search: Search, trial: FrozenTrial) -> str:
    return "<br>".join(map(escape, described(search, trial)))


def described(search: Search, trial: FrozenTrial) -> list[str]:
    """A trial in a few lines: state, objectives, parameters, and why it ended."""
    lines = [f"trial {trial.number}, {state(trial)}"]
    lines += [
        f"{name} {number(value)}"
        for i, name in enumerate(search.objectives)
        if (value := objective_value(trial, i)) is not None
    ]
    lines += [f"{key} = {shortened(value)}" for key, value in search.varied(trial).items()]
    if reason := trial.user_attrs.get(REASON):
        lines.append(shorten(str(reason), 90))
    return lines


def padded(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 0.05
    return [low - margin, high + margin]
