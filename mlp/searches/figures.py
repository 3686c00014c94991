"""The pictures of search.html about trials as a whole: in the order they ran in, their epochs, their scores."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.study import Search
from mlp.report.statistics import OVERFITTED, is_overfitted
from mlp.searches import plotly
from mlp.searches.plotly import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PALE,
    SKY,
    VERMILION,
    Figure,
    escape,
    hover,
    number,
    objective_value,
    padded,
)  # fmt: skip
from mlp.searches.results import state

MIN_TRIALS = 20  # completed trials, below which an importance would be chance
MIN_BEST_TRIALS = 5  # PED-ANOVA's authors advise at least so many trials among the good ones


def history(search: Search, trials: Sequence[FrozenTrial], index: int) -> Figure:
    """The objective of every finished trial, and the best so far. Trials without a value are at the bottom."""
    objective = search.objectives[index]
    finished = [trial for trial in trials if trial.state.is_finished()]
    values = {trial.number: value for trial in finished if (value := objective_value(trial, index)) is not None}
    groups = {
        "completed": ([t for t in finished if t.state == TrialState.COMPLETE], "circle", BLUE),
        "pruned, where it was stopped": ([t for t in finished if t.state == TrialState.PRUNED], "x", ORANGE),
    }
    traces = []
    for name, (members, symbol, color) in groups.items():
        shown = [trial for trial in members if trial.number in values]
        traces.append(plotly.points(
            name, shown, [t.number for t in shown], [values[t.number] for t in shown],
            [hover(search, t) for t in shown], symbol=symbol, color=color,
        ))  # fmt: skip
    low, high = padded(list(values.values())) if values else (0.0, 1.0)
    floor = low - 0.06 * (high - low)
    without = [trial for trial in finished if trial.number not in values]
    traces.append(plotly.points(
        "without a value: failed, lost", without, [t.number for t in without], [floor] * len(without),
        [hover(search, t) for t in without], symbol="triangle-up-open", color=VERMILION, line={"width": 2},
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
    layout = plotly.layout("trial", objective)
    layout["yaxis"]["range"] = [floor - 0.04 * (high - low) if without else low, high]
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def learning_curves(search: Search, trials: Sequence[FrozenTrial]) -> Figure | None:
    """The objective after each epoch, a line for each trial."""
    reported = [t for t in trials if t.intermediate_values and t.state.is_finished()]
    if not reported:
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
        for trial in filter(belongs, reported):
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
    layout = plotly.layout("epoch", search.objectives[0])
    last = max(trial.last_step or 0 for trial in reported)
    layout["xaxis"] |= {"dtick": 1} if last <= 12 else {"tickformat": "d"}
    return {"data": traces, "layout": layout}


def importance(search: Search, trials: Sequence[FrozenTrial]) -> tuple[dict[str, float], int]:
    """PED-ANOVA: how differently each parameter is distributed among the best trials, as shares of one; and how
    many trials are those best ones. Empty where the trials are too few, or all alike."""
    done = search.ranked(trials)
    if len(done) < MIN_TRIALS or len({trial.values[0] for trial in done}) < 2:
        return {}, 0
    # Here, since it imports scikit-learn: most of the time that a page takes.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    share = max(0.1, MIN_BEST_TRIALS / len(done))
    with warnings.catch_warnings():  # of parameters that one or two trials have
        warnings.simplefilter("ignore")
        found = get_param_importances(search.study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share))
    return dict(found), math.ceil(share * len(done))


def importance_bars(found: Mapping[str, float], trials: Mapping[str, int]) -> Figure:
    """The shares of `importance`, pale for parameters that few trials have, which `trials` counts."""
    names, shares = list(found)[::-1], list(found.values())[::-1]  # plotly draws upwards
    bars = {
        "type": "bar", "orientation": "h", "x": [round(share, 4) for share in shares],
        "y": [escape(name) for name in names], "hoverinfo": "skip", "cliponaxis": False,
        "marker": {"color": [BLUE if trials[name] >= MIN_TRIALS else PALE for name in names]},
        "text": [f"{share:.0%}" for share in shares], "textposition": "outside",
    }  # fmt: skip
    layout = plotly.layout("share of the importance", "", height=80 + 24 * len(names), showlegend=False)
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
            traces.append(plotly.points(name, members, [t.values[first] for t in members],
                                  [t.values[second] for t in members], [hover(search, t) for t in members],
                                  **marker))  # fmt: skip
    if len(search.objectives) == 2 and front:
        traces[-1] |= {"mode": "lines+markers", "line": {"color": VERMILION, "width": 1, "dash": "dot"}}

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
    def gap(self) -> float:
        return self.train - self.test

    @property
    def overfitted(self) -> bool:
        return is_overfitted(self.train, self.test)


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
    """Train accuracy to the right, test accuracy upwards: memorised training data lie below the diagonal."""
    traces: list[Figure] = [
        {"type": "scatter", "mode": "lines", "name": "train = test", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip",
         "line": {"color": GREY, "width": 1}},
        {"type": "scatter", "mode": "lines", "name": f"train = test + {100 * OVERFITTED:g} point",
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
                escape(f"{run.name}, {state(run.trial)}")
                + f"<br>train {run.train:.4f}<br>test {run.test:.4f}<br>gap {100 * run.gap:+.2f} points"
                for run in members
            ]
            traces.append(plotly.points(name, [run.trial for run in members], [run.train for run in members],
                                  [run.test for run in members], texts, color=color, symbol=symbols))  # fmt: skip
    scores = [value for run in runs for value in (run.train, run.test)]
    everything = [max(0.0, min(scores) - 0.02), min(1.0, max(scores)) + 0.01]
    layout = plotly.layout("train accuracy", "test accuracy", height=560)
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
