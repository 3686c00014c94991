"""The pictures of search.html: dictionaries in the notation of plotly.js, which draws them in the browser.

Written by hand instead of with optuna.visualization, whose pictures leave out trials that lack a parameter, that
failed or that were pruned. All texts are escaped here, since plotly.js reads them as HTML.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import re
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import REASON, Search, shortened
from mlp.search import results
from mlp.search.axes import Axis, axes, number
from mlp.search.results import state

Figure = dict[str, Any]

# Okabe and Ito's palette, told apart by colour-blind readers; shapes differ as well.
BLUE, ORANGE, VERMILION, SKY, GREY, BLACK = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#767676", "#1A1A1A"
PALE = "#B5D2E6"
SCALE = ((0.0, (214, 220, 226)), (0.5, (86, 160, 205)), (1.0, (8, 48, 107)))  # worst, middle, best

OVERFITTED = 0.02  # train accuracy this much above test accuracy
LINES = 200  # lines in the parallel coordinates, which a browser still draws quickly
ENOUGH = 20  # completed trials, below which an importance would be chance
TOP = 5  # PED-ANOVA's authors advise at least so many trials among the good ones


def clean(value: object) -> str:
    """Text that plotly.js shows as it is."""
    return html.escape(str(value), quote=False)


def worth(trial: FrozenTrial, index: int) -> float | None:
    """A trial's objective: what a completed one reached, and what a pruned one had when it was stopped."""
    value = None
    if trial.state == TrialState.COMPLETE:
        value = trial.values[index]
    elif trial.state == TrialState.PRUNED and index == 0 and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return value if value is not None and math.isfinite(value) else None


# Components of figures


def _layout(x: str, y: str, height: int = 380, **further: Any) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 64, "r": 20, "t": 40, "b": 56},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": BLACK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "align": "left"},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": _line(x),
        "yaxis": _line(y),
        **further,
    }


def _line(title: str, **further: Any) -> dict[str, Any]:
    return {
        "title": {"text": clean(title), "standoff": 8},
        "gridcolor": "#E5E5E5",
        "linecolor": "#999999",
        "zeroline": False,
        "automargin": True,
        **further,
    }


def _points(
    name: str,
    trials: Sequence[FrozenTrial],
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    **marker: Any,
) -> Figure:
    """A trace of points; a click on one leads to the row of its trial."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": clean(name),
        "x": list(x),
        "y": list(y),
        "text": list(texts),
        "hoverinfo": "text",
        "customdata": [trial.number for trial in trials],
        "marker": {"size": 8, "opacity": 0.8, **marker},
    }


def _hover(search: Search, trial: FrozenTrial) -> str:
    lines = [f"trial {trial.number}, {state(trial)}"]
    lines += [
        f"{name} {number(value)}"
        for i, name in enumerate(search.objectives)
        if (value := worth(trial, i)) is not None
    ]
    lines += [f"{key} = {shortened(value)}" for key, value in search.varied(trial).items()]
    if reason := trial.user_attrs.get(REASON):
        lines.append(results.cut(str(reason), 90))
    return "<br>".join(map(clean, lines))


def _padded(values: Sequence[float], share: float = 0.05) -> list[float]:
    low, high = min(values), max(values)
    margin = (high - low) * share or abs(high) * share or share
    return [low - margin, high + margin]


# Figures


def history(search: Search, trials: Sequence[FrozenTrial], index: int) -> Figure:
    """The objective of every finished trial, and the best so far. Trials without a value are at the bottom."""
    objective = search.objectives[index]
    finished = [trial for trial in trials if trial.state.is_finished()]
    values = {trial.number: value for trial in finished if (value := worth(trial, index)) is not None}
    groups = {
        "completed": ([t for t in finished if t.state == TrialState.COMPLETE], "circle", BLUE),
        "pruned, where it was stopped": ([t for t in finished if t.state == TrialState.PRUNED], "x", ORANGE),
    }
    traces = []
    for name, (members, symbol, color) in groups.items():
        shown = [trial for trial in members if trial.number in values]
        traces.append(_points(
            name, shown, [t.number for t in shown], [values[t.number] for t in shown],
            [_hover(search, t) for t in shown], symbol=symbol, color=color,
        ))  # fmt: skip
    low, high = _padded(list(values.values())) if values else (0.0, 1.0)
    floor = low - 0.06 * (high - low)
    without = [trial for trial in finished if trial.number not in values]
    traces.append(_points(
        "without a value: failed, lost", without, [t.number for t in without], [floor] * len(without),
        [_hover(search, t) for t in without], symbol="triangle-up-open", color=VERMILION, line={"width": 2},
    ))  # fmt: skip
    best: list[float] = []
    completed = [t for t in groups["completed"][0] if t.number in values]
    for trial in completed:
        value = values[trial.number]
        better = min if search.minimizes(index) else max
        best.append(better(best[-1], value) if best else value)
    traces.append({
        "type": "scatter", "mode": "lines", "name": "best so far", "x": [t.number for t in completed], "y": best,
        "line": {"color": BLACK, "width": 2, "shape": "hv"}, "hoverinfo": "skip",
    })  # fmt: skip
    layout = _layout("trial", objective)
    layout["yaxis"]["range"] = [floor - 0.04 * (high - low) if without else low, high]
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def learning_curves(search: Search, trials: Sequence[FrozenTrial]) -> Figure | None:
    """The objective after each epoch, a line for each trial."""
    told = [t for t in trials if t.intermediate_values and t.state.is_finished()]
    if not told:
        return None
    winner = search.best(trials)
    styles: dict[str, tuple[Any, str, float, str]] = {
        "completed": (lambda t: t.state == TrialState.COMPLETE and t is not winner, SKY, 1.2, "solid"),
        "pruned": (lambda t: t.state == TrialState.PRUNED, ORANGE, 1.2, "dash"),
        "failed": (lambda t: t.state == TrialState.FAIL, VERMILION, 1.2, "dot"),
        "the best trial": (lambda t: t is winner, BLACK, 2.5, "solid"),
    }
    traces = []
    for name, (belongs, color, width, dash) in styles.items():
        x: list[int | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        numbers: list[int] = []
        for trial in filter(belongs, told):
            for epoch, value in sorted(trial.intermediate_values.items()):
                x.append(epoch)
                y.append(value if math.isfinite(value) else None)
                texts.append(f"trial {trial.number}, epoch {epoch}: {number(value)}")
                numbers.append(trial.number)
            x, y, texts, numbers = [*x, None], [*y, None], [*texts, ""], [*numbers, trial.number]
        if x:
            traces.append({
                "type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": y, "text": texts,
                "hoverinfo": "text", "customdata": numbers, "marker": {"size": 4, "color": color},
                "line": {"color": color, "width": width, "dash": dash},
            })  # fmt: skip
    layout = _layout("epoch", search.objectives[0])
    last = max(trial.last_step or 0 for trial in told)
    layout["xaxis"] |= {"dtick": 1} if last <= 12 else {"tickformat": "d"}
    return {"data": traces, "layout": layout}


def shade(place: float) -> str:
    """The colour of a trial, from the worst (0) to the best (1)."""
    for (low, dark), (high, light) in itertools.pairwise(SCALE):
        if place <= high:
            share = (place - low) / (high - low)
            return "rgb({},{},{})".format(*(round(a + share * (b - a)) for a, b in zip(dark, light, strict=True)))
    raise ValueError(place)


def parallel_coordinates(search: Search, trials: Sequence[FrozenTrial]) -> Figure | None:
    """A line for each completed trial over all parameters to the objectives. A parameter that a trial lacks is at
    the bottom. With more than `LINES` trials, half are the best and half are spread over the rest."""
    done = search.ranked(trials)
    if not done:
        return None
    if len(done) > LINES:
        rest = done[LINES // 2 :]
        done = [*done[: LINES // 2], *rest[:: math.ceil(len(rest) / (LINES // 2))]]
    columns = axes(search, done)
    for i, name in enumerate(search.objectives):
        values = {trial.number: trial.values[i] for trial in done}
        columns.append(Axis(name, values, low=min(values.values()), high=max(values.values())))
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
        hover = _hover(search, trial)
        x += range(len(columns))
        y += heights
        colors += [color] * len(columns)
        texts += [hover] * len(columns)
        numbers += [trial.number] * len(columns)
    handles = {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "text": texts, "hoverinfo": "text",
        "customdata": numbers, "marker": {"size": 5, "color": colors}, "showlegend": False,
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.08}},
    }  # fmt: skip
    names = labels([column.name for column in columns])
    notes = []
    for place, column in enumerate(columns):
        title = "<br>".join(clean(part) for part in _broken(names[place]))
        notes.append(_note(place, 1.06, f"<b>{title}</b>", yanchor="bottom", xanchor="center"))
        notes += [
            _note(place, column.place(value), clean(results.cut(column.text(value), 12)), xanchor="left", xshift=4)
            for value in column.ticks()
        ]
    lacking = [column for column in columns if len(column.values) < len(done)]
    if lacking:
        notes.append(_note(-0.05, absent, "not<br>there", xanchor="right"))
    bare = {"visible": False, "fixedrange": True}
    layout = _layout("", "", height=520, annotations=notes, dragmode="select", selectdirection="v", showlegend=False)
    layout["shapes"] = [
        {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": {"color": "#999999", "width": 1},
         "layer": "below"}
        for i in range(len(columns))
    ]  # fmt: skip
    layout["margin"] = {"l": 40, "r": 70, "t": 10, "b": 10}
    layout["xaxis"] = {**bare, "range": [-0.3, len(columns) - 0.6]}
    layout["yaxis"] = {**bare, "range": [-0.22 if lacking else -0.05, 1.22]}
    return {"data": [*lines, handles], "layout": layout, "least_width": 88 * len(columns), "brush": len(lines)}


def _note(x: float, y: float, text: str, **further: Any) -> dict[str, Any]:
    return {
        "x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 11}, "yanchor": "middle",
        "bgcolor": "rgba(255,255,255,0.75)", "borderpad": 1, **further,
    }  # fmt: skip


def _broken(name: str, width: int = 12) -> list[str]:
    """`name` in lines of about `width` characters, broken after blanks, dots and underscores."""
    lines = [""]
    for part in re.findall(r"[^ ._]*[ ._]?", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return lines


def labels(names: Sequence[str]) -> list[str]:
    """`names` without their groups, where what is left tells them apart."""

    def bare(name: str) -> str:
        head, of, key = name.rpartition(" of ")
        return f"{head}{of}{key.rpartition('.')[2]}"

    short = [bare(name) for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]


def slices(search: Search, trials: Sequence[FrozenTrial], index: int) -> list[tuple[str, Figure]]:
    """The objective against each parameter."""
    shown = [trial for trial in trials if worth(trial, index) is not None]
    if not shown:
        return []
    values = {trial.number: float(worth(trial, index) or 0.0) for trial in shown}
    limits = _padded(list(values.values()))
    winner = next(iter(search.ranked(trials)), None)
    made = []
    for axis in axes(search, shown):
        traces = []
        having = [trial for trial in shown if trial.number in axis.values]

        def across(trial: FrozenTrial, axis: Axis = axis) -> float:
            # Points of one choice are spread sideways, evenly: the golden ratio never comes near where it was.
            aside = (trial.number * 0.618034 % 1 - 0.5) * 0.5 if axis.choices else 0.0
            return round(axis.values[trial.number] + aside, 4) if axis.choices else axis.values[trial.number]

        for name, wanted, symbol, color in (
            ("completed", TrialState.COMPLETE, "circle", BLUE),
            ("pruned", TrialState.PRUNED, "x", ORANGE),
        ):
            members = [t for t in having if t.state == wanted and t is not winner]
            texts = [
                clean(f"trial {t.number}: {number(values[t.number])}") + "<br>"
                + clean(f"{axis.name} = {axis.text(axis.values[t.number])}")
                for t in members
            ]  # fmt: skip
            traces.append(_points(name, members, [across(t) for t in members], [values[t.number] for t in members],
                                  texts, symbol=symbol, color=color, size=6, opacity=0.65))  # fmt: skip
        if winner is not None and winner.number in axis.values:
            traces.append(_points("best", [winner], [across(winner)], [values[winner.number]],
                                  [f"trial {winner.number}, the best: {number(values[winner.number])}"],
                                  symbol="diamond", color=VERMILION, size=10, opacity=1))  # fmt: skip
        if axis.choices:
            x: list[float | None] = []
            y: list[float | None] = []
            for place in range(len(axis.choices)):
                group = [
                    values[t.number]
                    for t in having
                    if t.state == TrialState.COMPLETE and axis.values[t.number] == place
                ]
                if group:
                    x += [place - 0.35, place + 0.35, None]
                    y += [statistics.median(group)] * 2 + [None]
            traces.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip",
                           "line": {"color": BLACK, "width": 2}})  # fmt: skip
        layout = _layout(axis.name + (" (log)" if axis.log else ""), search.objectives[index], 260, showlegend=False)
        layout["margin"] = {"l": 52, "r": 12, "t": 10, "b": 48}
        layout["yaxis"]["range"] = limits
        if axis.choices:
            layout["xaxis"] |= {
                "tickvals": list(range(len(axis.choices))),
                "ticktext": [clean(results.cut(choice, 18)) for choice in axis.choices],
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


def importance(search: Search, trials: Sequence[FrozenTrial]) -> tuple[dict[str, float], int]:
    """PED-ANOVA: how differently each parameter is distributed among the best trials, as shares of one; and how
    many trials are those best ones. Empty where the trials are too few, or all alike."""
    done = search.ranked(trials)
    if len(done) < ENOUGH or len({trial.values[0] for trial in done}) < 2:
        return {}, 0
    # Here, since it imports scikit-learn: most of the time that a page takes.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    share = max(0.1, TOP / len(done))
    with warnings.catch_warnings():  # of parameters that one or two trials have
        warnings.simplefilter("ignore")
        found = get_param_importances(search.study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share))
    return dict(found), math.ceil(share * len(done))


def importance_bars(found: Mapping[str, float], having: Mapping[str, int]) -> Figure:
    """The shares of `importance`, pale for parameters that few trials have, of which `having` is the number."""
    names, shares = list(found)[::-1], list(found.values())[::-1]  # plotly draws upwards
    bars = {
        "type": "bar", "orientation": "h", "x": [round(share, 4) for share in shares],
        "y": [clean(name) for name in names], "hoverinfo": "skip", "cliponaxis": False,
        "marker": {"color": [BLUE if having[name] >= ENOUGH else PALE for name in names]},
        "text": [f"{share:.0%}" for share in shares], "textposition": "outside",
    }  # fmt: skip
    layout = _layout("share of the importance", "", height=80 + 24 * len(names), showlegend=False)
    layout["margin"] |= {"t": 10, "r": 40}
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    layout["yaxis"] |= {"type": "category", "dtick": 1, "gridcolor": "white"}
    return {"data": [bars], "layout": layout}


def pareto_front(search: Search, trials: Sequence[FrozenTrial], first: int, second: int) -> Figure:
    """Two objectives against each other, with the trials of the Pareto front marked."""
    done = search.ranked(trials)
    numbers = search.pareto_front()
    front = sorted((t for t in done if t.number in numbers), key=lambda t: t.values[first])
    traces = []
    for name, members, marker in (
        ("beaten by another trial", [t for t in done if t.number not in numbers], {"color": SKY}),
        ("Pareto front", front, {"color": VERMILION, "symbol": "diamond", "size": 11, "opacity": 1}),
    ):
        if members:
            traces.append(_points(name, members, [t.values[first] for t in members],
                                  [t.values[second] for t in members], [_hover(search, t) for t in members],
                                  **marker))  # fmt: skip
    if len(search.objectives) == 2 and front:
        traces[-1] |= {"mode": "lines+markers", "line": {"color": VERMILION, "width": 1, "dash": "dot"}}

    def title(index: int) -> str:
        name = search.objectives[index]
        return f"{name} ({'less' if search.minimizes(index) else 'more'} is better)"

    return {"data": traces, "layout": _layout(title(first), title(second), height=440)}


# Train against test


@dataclass(frozen=True)
class Scored:
    """A run, of which a trial may have several, and its two accuracies."""

    trial: FrozenTrial
    name: str
    train: float
    test: float

    @property
    def gap(self) -> float:
        return self.train - self.test

    @property
    def overfitted(self) -> bool:
        return self.gap > OVERFITTED


def scored_runs(search: Search, trials: Sequence[FrozenTrial]) -> list[Scored]:
    """Every run that has measured both accuracies, whether its trial was completed or not."""
    found = []
    for trial in trials:
        base = search.directory / str(trial.number)
        own: list[tuple[str, Mapping[str, Any]]] = []
        if search.description.get("seeds", 1) > 1:
            for path in sorted(base.glob("seed_*/summary.json")):
                try:
                    own.append((f"trial {trial.number}, {path.parent.name}", json.loads(path.read_text("utf-8"))))
                except (OSError, ValueError):
                    continue  # its numbers are in the means of the trial
        for name, facts in own or [(f"trial {trial.number}", trial.user_attrs)]:
            train, test = facts.get("train_accuracy"), facts.get("test_accuracy")
            if isinstance(train, int | float) and isinstance(test, int | float):
                found.append(Scored(trial, name, train, test))
    return found


def train_against_test(runs: Sequence[Scored]) -> Figure:
    """Train accuracy to the right, test accuracy upwards: what is learned by heart lies below the diagonal."""
    traces: list[Figure] = [
        {"type": "scatter", "mode": "lines", "name": "train = test", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip",
         "line": {"color": GREY, "width": 1}},
        {"type": "scatter", "mode": "lines", "name": f"train = test + {100 * OVERFITTED:g} points",
         "x": [OVERFITTED, 1], "y": [0, 1 - OVERFITTED], "hoverinfo": "skip",
         "line": {"color": VERMILION, "width": 1, "dash": "dash"}},
    ]  # fmt: skip
    for name, overfitted, symbol, color in (
        ("not over-fitted", False, "circle", BLUE),
        ("over-fitted", True, "diamond", VERMILION),
    ):
        members = [run for run in runs if run.overfitted == overfitted]
        if members:
            symbols = [f"{symbol}-open" if run.trial.state != TrialState.COMPLETE else symbol for run in members]
            texts = [
                clean(f"{run.name}, {state(run.trial)}")
                + f"<br>train {run.train:.4f}<br>test {run.test:.4f}<br>gap {100 * run.gap:+.2f} points"
                for run in members
            ]
            traces.append(_points(name, [run.trial for run in members], [run.train for run in members],
                                  [run.test for run in members], texts, color=color, symbol=symbols))  # fmt: skip
    scores = [value for run in runs for value in (run.train, run.test)]
    everything = [max(0.0, min(scores) - 0.02), min(1.0, max(scores)) + 0.01]
    layout = _layout("train accuracy", "test accuracy", height=560)
    layout["margin"]["t"] = 12
    layout["legend"] = {"x": 0.01, "y": 0.99, "bgcolor": "rgba(255,255,255,0.8)"}  # nobody is above the diagonal
    layout["xaxis"] |= {"range": everything, "constrain": "domain"}
    layout["yaxis"] |= {"range": everything}
    near = max(run.test for run in runs) - 0.1
    if near > everything[0] + 0.05:
        layout["updatemenus"] = [{
            "type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom",
            "pad": {"t": 0, "b": 0}, "bgcolor": "white", "bordercolor": "#999999", "font": {"size": 11},
            "buttons": [
                {"label": label, "method": "relayout", "args": [{"xaxis.range": view, "yaxis.range": view}]}
                for label, view in (("all runs", everything), ("the best 10 points", [near, everything[1]]))
            ],
        }]  # fmt: skip
        layout["margin"]["t"] = 52
    return {"data": traces, "layout": layout, "most_width": 760}
