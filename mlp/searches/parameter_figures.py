"""The pictures of search.html about hyper-parameters: parallel coordinates, and each against the objective."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import Search
from mlp.report.axes import Axis, axes
from mlp.report.text import shorten
from mlp.report.trials import Parameter, read_parameters
from mlp.searches import plotly
from mlp.searches.plotly import (
    BLACK,
    BLUE,
    ORANGE,
    VERMILION,
    Figure,
    broken,
    escape,
    hover,
    note,
    number,
    objective_value,
    padded,
)  # fmt: skip

SCALE = ((0.0, (214, 220, 226)), (0.5, (86, 160, 205)), (1.0, (8, 48, 107)))  # worst, middle, best
MAX_LINES = 200  # in the parallel coordinates, which a browser still draws quickly


@dataclass(frozen=True)
class _Point:
    number: int
    varied: Mapping[str, str]


def trial_axes(search: Search, trials: Sequence[FrozenTrial]) -> list[Axis]:
    """The parameters of the trials as axes."""
    described = search.description
    if "parameters" in described:
        parameters = read_parameters(described["parameters"])
    else:
        parameters = [Parameter(key) for key in described["space"]]
    return axes(parameters, [_Point(trial.number, search.varied(trial)) for trial in trials])


def shade(place: float) -> str:
    """The colour of a trial, from the worst (0) to the best (1)."""
    for (low, dark), (high, light) in itertools.pairwise(SCALE):
        if place <= high:
            share = (place - low) / (high - low)
            return "rgb({},{},{})".format(*(round(a + share * (b - a)) for a, b in zip(dark, light, strict=True)))
    raise ValueError(place)


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
    absent, spread = -0.14, 0.05
    lines: list[Figure] = []
    x: list[int] = []
    y: list[float] = []
    colors: list[str] = []
    texts: list[str] = []
    numbers: list[int] = []
    for trial in reversed(done):  # the best ones on top
        heights = []
        for column in columns:
            value = column.values.get(trial.number)
            height = absent if value is None else column.place(value)
            if column.choices or value is None:  # lines of one choice fan out, the better ones higher
                height += spread * (rank[trial.number] - 0.5)
            heights.append(round(height, 4))
        color = VERMILION if trial is done[0] else shade(rank[trial.number])
        lines.append({
            "type": "scatter", "mode": "lines", "x": list(range(len(columns))), "y": heights, "hoverinfo": "skip",
            "showlegend": False, "name": f"trial {trial.number}", "customdata": [trial.number],
            "line": {"color": color, "width": 3 if trial is done[0] else 1.3},
        })  # fmt: skip
        text = hover(search, trial)
        x += range(len(columns))
        y += heights
        colors += [color] * len(columns)
        texts += [text] * len(columns)
        numbers += [trial.number] * len(columns)
    handles = {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "text": texts, "hoverinfo": "text",
        "customdata": numbers, "marker": {"size": 5, "color": colors}, "showlegend": False,
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.08}},
    }  # fmt: skip
    notes = []
    for place, column in enumerate(columns):
        title = "<br>".join(escape(part) for part in broken(column.name))
        notes.append(note(place, 1.06, f"<b>{title}</b>", yanchor="bottom", xanchor="center"))
        notes += [
            note(place, column.place(value), escape(shorten(column.text(value), 12)), xanchor="left", xshift=4)
            for value in column.ticks()
        ]
    lacking = [column for column in columns if len(column.values) < len(done)]
    if lacking:
        notes.append(note(-0.05, absent, "not<br>there", xanchor="right"))
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
    shown = [trial for trial in trials if objective_value(trial, index) is not None]
    if not shown:
        return []
    values = {trial.number: float(objective_value(trial, index) or 0.0) for trial in shown}
    limits = padded(list(values.values()))
    winner = next(iter(search.ranked(trials)), None)
    made = []
    for axis in trial_axes(search, shown):
        traces = []
        present = [trial for trial in shown if trial.number in axis.values]

        def across(trial: FrozenTrial, axis: Axis = axis) -> float:
            # Points of one choice are spread sideways, evenly: the golden ratio never comes near where it was.
            jitter = (trial.number * 0.618034 % 1 - 0.5) * 0.5 if axis.choices else 0.0
            return round(axis.values[trial.number] + jitter, 4) if axis.choices else axis.values[trial.number]

        for name, wanted, symbol, color in (
            ("completed", TrialState.COMPLETE, "circle", BLUE),
            ("pruned", TrialState.PRUNED, "x", ORANGE),
        ):
            members = [t for t in present if t.state == wanted and t is not winner]
            texts = [
                escape(f"trial {t.number}: {number(values[t.number])}") + "<br>"
                + escape(f"{axis.name} = {axis.text(axis.values[t.number])}")
                for t in members
            ]  # fmt: skip
            x, y = [across(trial) for trial in members], [values[trial.number] for trial in members]
            traces.append(plotly.points(name, members, x, y, texts, symbol=symbol, color=color, size=6, opacity=0.65))
        if winner is not None and winner.number in axis.values:
            traces.append(plotly.points("best", [winner], [across(winner)], [values[winner.number]],
                                  [f"trial {winner.number}, the best: {number(values[winner.number])}"],
                                  symbol="diamond", color=VERMILION, size=10, opacity=1))  # fmt: skip
        if axis.choices:
            bars_x: list[float | None] = []
            bars_y: list[float | None] = []
            for place in range(len(axis.choices)):
                group = [
                    values[t.number]
                    for t in present
                    if t.state == TrialState.COMPLETE and axis.values[t.number] == place
                ]
                if group:
                    bars_x += [place - 0.35, place + 0.35, None]
                    bars_y += [statistics.median(group)] * 2 + [None]
            traces.append({"type": "scatter", "mode": "lines", "x": bars_x, "y": bars_y, "hoverinfo": "skip",
                           "line": {"color": BLACK, "width": 2}})  # fmt: skip
        layout = plotly.layout(
            axis.name + (" (log)" if axis.log else ""), search.objectives[index], 260, showlegend=False
        )
        layout["margin"] = {"l": 52, "r": 12, "t": 10, "b": 48}
        layout["yaxis"]["range"] = limits
        if axis.choices:
            layout["xaxis"] |= {
                "tickvals": list(range(len(axis.choices))),
                "ticktext": [escape(shorten(choice, 18)) for choice in axis.choices],
                "range": [-0.6, len(axis.choices) - 0.4],
                "tickangle": 0 if len(axis.choices) * max(map(len, axis.choices)) <= 38 else -35,
                "ticklabeloverflow": "allow",
            }
        elif axis.log:
            decades = math.log10(axis.high / axis.low)
            layout["xaxis"] |= {"type": "log", "exponentformat": "power", "tickangle": 0}
            if decades >= 2:
                layout["xaxis"]["dtick"] = math.ceil(decades / 6)
        made.append((axis.name, {"data": [trace for trace in traces if trace["x"]], "layout": layout}))
    return made
