"""The pictures of search.html about hyper-parameters: parallel coordinates, and each against the objective."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import Search
from mlp.report.axes import Axis, Point, axes
from mlp.report.text import shorten
from mlp.report.trials import Parameter, read_parameters
from mlp.searches import plotly
from mlp.searches.plotly import Figure, escape, number

MAX_LINES = 200  # in the parallel coordinates, which a browser still draws quickly


class _Point(NamedTuple):
    number: int
    varied: Mapping[str, str]


def parameters(search: Search) -> list[Parameter]:
    """What the search varies; one of an old version says the keys only."""
    described = search.description
    if "parameters" in described:
        return read_parameters(described["parameters"])
    return [Parameter(key) for key in described["space"]]


def points(search: Search, trials: Sequence[FrozenTrial]) -> Sequence[Point]:
    """The trials as the report knows them."""
    return [_Point(trial.number, search.varied(trial)) for trial in trials]


def trial_axes(search: Search, trials: Sequence[FrozenTrial]) -> list[Axis]:
    """The parameters of the trials as axes."""
    return axes(parameters(search), points(search, trials))


def parallel_coordinates(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """The completed trials as lines over all parameters to the objectives, best first; None marks what a trial
    lacks. With more than `MAX_LINES` trials, half are the best and half are spread over the rest."""
    done = search.ranked(trials)
    if not done:
        return None
    if len(done) > MAX_LINES:
        rest = done[MAX_LINES // 2 :]
        done = [*done[: MAX_LINES // 2], *rest[:: math.ceil(len(rest) / (MAX_LINES // 2))]]
    columns = trial_axes(search, done)

    def value(axis: Axis, trial: FrozenTrial) -> Any:
        place = axis.values.get(trial.number)
        return axis.choices[round(place)] if axis.choices and place is not None else place

    return {
        "axes": [
            *({"name": axis.name, "choices": axis.choices or None, "log": axis.log} for axis in columns),
            *({"name": name, "log": False} for name in search.objectives),
        ],
        "lines": [
            {
                "key": trial.number,
                "text": "\n".join(plotly.described(search, trial)),
                "values": [*(value(axis, trial) for axis in columns), *trial.values],
            }
            for trial in done
        ],
    }


def slices(search: Search, trials: Sequence[FrozenTrial], index: int) -> list[tuple[str, Figure]]:
    """The objective against each parameter."""
    values = plotly.objective_values(trials, index)
    shown = [trial for trial in trials if trial.number in values]
    if not shown:
        return []
    winner, made = search.best(trials), []
    for axis in trial_axes(search, shown):
        drawn = _slice(axis, [trial for trial in shown if trial.number in axis.values], values, winner)
        layout = plotly.layout(f"{axis.name} (log)" if axis.log else axis.name, search.objectives[index], 260)
        layout |= {"showlegend": False, "margin": {"l": 52, "r": 12, "t": 10, "b": 48}}
        layout["xaxis"] |= _ticks(axis)
        layout["yaxis"]["range"] = plotly.padded(list(values.values()))
        made.append((axis.name, {"data": drawn, "layout": layout}))
    return made


def _slice(
    axis: Axis, trials: Sequence[FrozenTrial], values: Mapping[int, float], winner: FrozenTrial | None
) -> list[Figure]:
    """The traces of trials that have the parameter, and of choices the median of their completed trials."""

    def across(trial: FrozenTrial) -> float:
        place = axis.values[trial.number]
        # Points of one choice are spread sideways, evenly: the golden ratio never comes near where it was.
        return round(place + (trial.number * 0.618034 % 1 - 0.5) * 0.5, 4) if axis.choices else place

    def text(trial: FrozenTrial) -> str:
        best = ", the best" if trial is winner else ""
        value = f"{axis.name} = {axis.text(axis.values[trial.number])}"
        return f"trial {trial.number}{best}: {number(values[trial.number])}<br>{escape(value)}"

    traces = []
    for name, marker in plotly.MARKS.items():
        members = [trial for trial in trials if plotly.mark(trial, values, winner) == name]
        looks = {"size": 6, "opacity": 0.65, **marker}
        traces.append(plotly.points(name, members, across, lambda t: values[t.number], text, **looks))
    x: list[float | None] = []
    y: list[float | None] = []
    for place in range(len(axis.choices)):
        reached = [
            values[t.number] for t in trials if (axis.values[t.number], t.state) == (place, TrialState.COMPLETE)
        ]
        if reached:
            x += [place - 0.35, place + 0.35, None]
            y += [statistics.median(reached)] * 2 + [None]
    return [trace for trace in (*traces, plotly.line(x, y, plotly.INK, 2)) if trace["x"]]


def _ticks(axis: Axis) -> dict[str, Any]:
    """How plotly.js writes the values of an axis."""
    if axis.choices:
        return {
            "tickvals": list(range(len(axis.choices))),
            "ticktext": [escape(shorten(choice, 18)) for choice in axis.choices],
            "range": [-0.6, len(axis.choices) - 0.4],
            "tickangle": 0 if len(axis.choices) * max(map(len, axis.choices)) <= 38 else -35,
            "ticklabeloverflow": "allow",
        }
    if not axis.log:
        return {}
    decades = math.log10(axis.high / axis.low)
    far = {"dtick": math.ceil(decades / 6)} if decades >= 2 else {}
    return {"type": "log", "exponentformat": "power", "tickangle": 0, **far}
