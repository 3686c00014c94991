"""The pictures of search.html about trials as a whole: in the order they ran in, their epochs, their scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import Search, state
from mlp.report.statistics import OVERFITTED, is_overfitted
from mlp.searches import parameter_figures, plotly
from mlp.searches.plotly import Figure, escape
from mlp.searches.results import read_summary, seed_directories

if TYPE_CHECKING:
    from mlp.report.importance import Importance, Importances

MIN_TRIALS = 20  # completed trials, below which an importance would be chance


def history(search: Search, trials: Sequence[FrozenTrial], index: int) -> Figure:
    """The objective of every finished trial, and the best so far. Trials without a value are at the bottom."""
    finished = [trial for trial in trials if trial.state.is_finished()]
    values = plotly.objective_values(finished, index)
    low, high = plotly.padded(list(values.values())) if values else (0.0, 1.0)
    floor = low - 0.06 * (high - low)
    members: dict[str, list[FrozenTrial]] = {name: [] for name in plotly.MARKS}
    for trial in finished:
        members[plotly.mark(trial, values)].append(trial)
    traces = [
        plotly.points(
            name, its, lambda t: t.number, lambda t: values.get(t.number, floor), partial(plotly.hover, search),
            **plotly.MARKS[name],
        )
        for name, its in members.items()
    ]  # fmt: skip
    done = members["completed"]
    best = itertools.accumulate((values[t.number] for t in done), min if search.minimizes(index) else max)
    so_far = plotly.line([t.number for t in done], list(best), plotly.INK, 2, shape="hv")
    traces.append({"name": "best so far", **so_far})
    layout = plotly.layout("trial", search.objectives[index])
    if all(trial.number <= 8 for trial in finished):
        layout["xaxis"]["dtick"] = 1  # no tick at half a trial
    layout["yaxis"]["range"] = [floor - 0.04 * (high - low) if len(values) < len(finished) else low, high]
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def learning_curves(search: Search, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The objective after each epoch, of every trial that has reported it."""
    winner = search.best(trials)
    return [
        {
            "key": trial.number,
            "kind": "best" if trial is winner else trial.state.name.lower(),
            "epoch": sorted(trial.intermediate_values),
            "value": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
        }
        for trial in trials
        if trial.intermediate_values and trial.state.is_finished()
    ]


def importance(search: Search, trials: Sequence[FrozenTrial]) -> Importances | None:
    """How much each parameter matters to the objective, as the report measures it; None where the completed trials
    are too few, or all alike."""
    done = search.ranked(trials)
    scores = np.array([trial.values[0] for trial in done])
    if len(done) < MIN_TRIALS or np.ptp(scores) == 0 or not parameter_figures.trial_axes(search, done):
        return None
    from mlp.report.importance import permutation_importance  # it imports scikit-learn, which takes a while

    made = parameter_figures.points(search, done)
    return permutation_importance(parameter_figures.parameters(search), made, scores)


def importance_bars(found: Mapping[str, Importance]) -> Figure:
    """By how much the forecast of the objective grows worse, with twice the standard error; pale where few trials
    have the parameter."""
    names, values = list(found)[::-1], list(found.values())[::-1]  # plotly draws upwards
    bars = {
        "type": "bar", "orientation": "h", "x": [round(one.increase, 6) for one in values],
        "y": [escape(name) for name in names], "hoverinfo": "skip",
        "error_x": {
            "array": [round(2 * one.error, 6) if math.isfinite(one.error) else 0 for one in values],
            "color": plotly.INK, "thickness": 1,
        },
        "marker": {"color": [plotly.BLUE if one.trials >= MIN_TRIALS else plotly.PALE for one in values]},
    }  # fmt: skip
    layout = plotly.layout("added error of the forecast", "", height=80 + 24 * len(names), showlegend=False)
    layout["margin"] |= {"t": 10, "r": 40}
    layout["yaxis"] |= {"type": "category", "dtick": 1, "showgrid": False}
    return {"data": [bars], "layout": layout}


def pareto_front(search: Search, trials: Sequence[FrozenTrial], first: int, second: int) -> Figure:
    """Two objectives against each other, with the trials of the Pareto front marked."""
    done = search.ranked(trials)
    numbers = search.pareto_front()
    front = sorted((t for t in done if t.number in numbers), key=lambda t: t.values[first])
    beaten = [trial for trial in done if trial.number not in numbers]
    traces = [
        plotly.points(
            name, members, lambda t: t.values[first], lambda t: t.values[second], partial(plotly.hover, search),
            **marker,
        )
        for name, members, marker in (
            ("beaten by another trial", beaten, {"color": plotly.SKY}),
            ("Pareto front", front, {"color": plotly.VERMILION, "symbol": "diamond", "size": 11, "opacity": 1}),
        )
        if members
    ]  # fmt: skip
    if len(search.objectives) == 2 and front:
        traces[-1] |= {"mode": "lines+markers", "line": {"color": plotly.VERMILION, "width": 1, "dash": "dot"}}

    def title(index: int) -> str:
        name = search.objectives[index]
        return f"{name} ({'less' if search.minimizes(index) else 'more'} is better)"

    return {"data": traces, "layout": plotly.layout(title(first), title(second), height=440)}


# Train against test


@dataclass(frozen=True)
class Scored:
    """A run, of which a trial may have several, and its two accuracies."""

    trial: FrozenTrial
    name: str
    train: float
    test: float

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def gap(self) -> float:
        return self.train - self.test

    @property
    def overfitted(self) -> bool:
        return is_overfitted(self.train, self.test)

    @property
    def text(self) -> str:
        scores = f"<br>train {self.train:.4f}<br>test {self.test:.4f}<br>gap {100 * self.gap:+.2f} points"
        return escape(f"{self.name}, {state(self.trial)}") + scores


def scored_runs(search: Search, trials: Sequence[FrozenTrial]) -> list[Scored]:
    """Every run that has measured both accuracies, whether its trial was completed or not."""
    found = []
    for trial in trials:
        name = f"trial {trial.number}"
        seeds = seed_directories(search, trial)
        of_seeds = {f"{name}, {path.name}": facts for path in seeds if (facts := read_summary(path))}
        for run, facts in (of_seeds or {name: trial.user_attrs}).items():
            train, test = facts.get("train_accuracy"), facts.get("test_accuracy")
            if isinstance(train, int | float) and isinstance(test, int | float):
                found.append(Scored(trial, run, train, test))
    return found


def train_against_test(runs: Sequence[Scored]) -> Figure:
    """Train accuracy to the right, test accuracy upwards: memorised training data lie below the diagonal."""
    dashed = plotly.line([OVERFITTED, 1], [0, 1 - OVERFITTED], plotly.VERMILION, dash="dash")
    traces: list[Figure] = [
        {"name": "train = test", **plotly.line([0, 1], [0, 1], plotly.GREY)},
        {"name": f"train = test + {100 * OVERFITTED:g} point", **dashed},
    ]
    for name, overfitted, symbol, color in (
        ("not over-fitted", False, "circle", plotly.BLUE),
        ("over-fitted", True, "diamond", plotly.VERMILION),
    ):
        members = [run for run in runs if run.overfitted == overfitted]
        if members:
            symbols = [f"{symbol}-open" if run.trial.state != TrialState.COMPLETE else symbol for run in members]
            traces.append(plotly.points(
                name, members, lambda run: run.train, lambda run: run.test, lambda run: run.text, color=color,
                symbol=symbols,
            ))  # fmt: skip
    scores = [value for run in runs for value in (run.train, run.test)]
    everything = [max(0.0, min(scores) - 0.02), min(1.0, max(scores)) + 0.01]
    layout = plotly.layout("train accuracy", "test accuracy", height=560)
    layout["margin"]["t"] = 12
    layout["legend"] = {"x": 0.01, "y": 0.99, "bgcolor": "rgba(0,0,0,0)"}  # nobody is above the diagonal
    layout["xaxis"] |= {"range": everything, "constrain": "domain"}
    layout["yaxis"] |= {"range": everything}
    return {"data": traces, "layout": layout, "most_width": 760}
