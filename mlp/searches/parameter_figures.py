"""The pictures of search.html about hyper-parameters: parallel coordinates, and each against the objective."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import Search
from mlp.report.axes import Axis, Point, axes
from mlp.report.text import shorten
from mlp.report.trials import Parameter, read_parameters
from mlp.searches import plotly
from mlp.searches.plotly import Figure, escape, number

SCALE = ("rgb(214,220,226)", "rgb(86,160,205)", "rgb(8,48,107)")  # worst, middle, best
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


def parallel_coordinates(search: Search, trials: Sequence[FrozenTrial]) -> Figure | None:
    """A line for each completed trial over all parameters to the objectives. A parameter that a trial lacks is at
    the bottom. With more than `MAX_LINES` trials, half are the best and half are spread over the rest."""
    done = search.ranked(trials)
    if not done:
        return None
    if len(done) > MAX_LINES:
        rest = done[MAX_LINES // 2 :]
        done = [*done[: MAX_LINES // 2], *rest[:: math.ceil(len(rest) / (MAX_LINES // 2))]]
    columns = trial_axes(search, done)
    for i, name in enumerate(search.objectives):
        columns.append(Axis(name, name, {trial.number: trial.values[i] for trial in done}))
    rank = {trial.number: 1 - place / max(1, len(done) - 1) for place, trial in enumerate(done)}
    from plotly.colors import sample_colorscale

    absent, spread = -0.14, 0.05

    def height(trial: FrozenTrial, column: Axis) -> float:
        value = column.values.get(trial.number)
        place = absent if value is None else column.place(value)
        if column.choices or value is None:  # lines of one choice fan out, the better ones higher
            place += spread * (rank[trial.number] - 0.5)
        return round(place, 4)

    across = list(range(len(columns)))
    shades = sample_colorscale(list(SCALE), [rank[trial.number] for trial in reversed(done)])
    shades[-1] = plotly.VERMILION
    lines: list[Figure] = []
    for trial, color in zip(reversed(done), shades, strict=True):  # the best ones on top
        heights = [height(trial, column) for column in columns]
        drawn = plotly.line(across, heights, color, 3 if trial is done[0] else 1.3)
        lines.append({**drawn, "showlegend": False, "name": f"trial {trial.number}", "customdata": [trial.number]})

    def at_each_axis(items: Iterable[Any]) -> list[Any]:
        return [item for item in items for _ in columns]

    handles = {
        "type": "scatter", "mode": "markers", "x": across * len(lines),
        "y": list(itertools.chain(*(line["y"] for line in lines))), "hoverinfo": "text", "showlegend": False,
        "text": at_each_axis(plotly.hover(search, trial) for trial in reversed(done)),
        "customdata": at_each_axis(trial.number for trial in reversed(done)),
        "marker": {"size": 5, "color": at_each_axis(shades)},
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.08}},
    }  # fmt: skip
    notes = []
    for place, column in enumerate(columns):
        title = "<br>".join(escape(part) for part in plotly.broken(column.name))
        notes.append(plotly.note(place, 1.06, f"<b>{title}</b>", yanchor="bottom", xanchor="center"))
        notes += [
            plotly.note(place, column.place(value), escape(shorten(column.text(value), 12)), xanchor="left", xshift=4)
            for value in column.ticks()
        ]
    lacking = [column for column in columns if len(column.values) < len(done)]
    if lacking:
        notes.append(plotly.note(-0.05, absent, "not<br>there", xanchor="right"))
    bare = {"visible": False, "fixedrange": True}
    layout = plotly.layout(
        "", "", height=520, annotations=notes, dragmode="select", selectdirection="v", showlegend=False
    )
    layout["shapes"] = [
        {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": {"color": "#999999", "width": 1},
         "layer": "below"}
        for i in range(len(columns))
    ]  # fmt: skip
    layout["margin"] = {"l": 40, "r": 70, "t": 10, "b": 10}
    layout["xaxis"] = {**bare, "range": [-0.3, len(columns) - 0.6]}
    layout["yaxis"] = {**bare, "range": [-0.22 if lacking else -0.05, 1.22]}
    return {"data": [*lines, handles], "layout": layout, "least_width": 88 * len(columns), "brush": len(lines)}


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
    return [trace for trace in (*traces, plotly.line(x, y, plotly.BLACK, 2)) if trace["x"]]


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
