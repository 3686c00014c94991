"""search.html: all that a search has found, on one page that needs nothing else. Its texts are in page.html.j2."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.files import write_text
from hydra_trials.progress import clock
from hydra_trials.study import Search, counts, finite, is_lost, seconds
from mlp.files import plain
from mlp.report.statistics import OVERFITTED
from mlp.report.templates import content_security_policy
from mlp.report.text import count
from mlp.report.trials import short_name
from mlp.searches import figures, parameter_figures, results
from mlp.searches.plotly import number

PAGE = "search.html"
HERE = Path(__file__).parent
PLOTS = ("curves", "confusion_normalised")  # of a run's plots, those that the table links to


def write_page(search: Search) -> Path:
    """Write search.html into the search's directory; return its path."""
    path = search.directory / PAGE
    write_text(path, render(search))
    return path


def render(search: Search) -> str:
    """The whole page. Only its three own scripts may run, and nothing is fetched: the browser enforces it."""
    from plotly.offline import get_plotlyjs

    # `MathJaxConfig` keeps plotly.js from looking for a library that is not there.
    scripts = [
        'window.PlotlyConfig = {MathJaxConfig: "local"};',
        get_plotlyjs(),
        (HERE / "page.js").read_text(encoding="utf-8"),
    ]
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"as_json": as_json, "count": count}
    template = environment.get_template("page.html.j2")
    return template.render(
        scripts=scripts, policy=content_security_policy(*scripts), **content(search, search.trials())
    )


def as_json(data: object) -> Markup:
    """`data` within a script element, which no text in it can end."""
    return Markup(json.dumps(plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def content(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """What the page says, by the names of the template."""
    done, objectives = search.ranked(trials), search.objectives
    found = counts(trials)
    curves = figures.learning_curves(search, trials)
    several = len(objectives) > 1
    left_out = {"importance" if several else "pareto", *(["curves"] if curves is None else [])}
    names = ("parallel", "importance", "pareto", "history", "overlay", "slices", "curves", "leaderboard")
    return {
        "name": search.name,
        "shown": [name for name in names if name not in left_out],
        "objectives": objectives,
        "head": _head(search, trials),
        "command": results.command(search),
        "left": found["running"] + found["waiting"],
        "done": len(done),
        "min_trials": figures.MIN_TRIALS,
        "parallel": parameter_figures.parallel_coordinates(search, trials),
        "importance": None if several else _importance(search, trials),
        "front": len(search.pareto_front()),
        "pareto": [
            figures.pareto_front(search, trials, *pair)
            for pair in itertools.combinations(range(len(objectives)), 2)
            if done
        ],
        "history": _history(search, trials),
        "overlay": _overlay(search, trials),
        "slices": [(name, parameter_figures.slices(search, trials, i)) for i, name in enumerate(objectives)],
        "curves": curves,
        "pruned": sum(trial.state == TrialState.PRUNED for trial in trials),
        "leaderboard": (search.directory / results.LEADERBOARD).exists(),
        **_table(search, trials),
    }


def _head(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, str]:
    described, winner = search.description, search.best(trials)
    numbers = {**counts(trials), "lost (and run again)": sum(map(is_lost, trials))}
    always = ("done", "pruned", "failed", "lost (and run again)")
    better = ["less" if search.minimizes(index) else "more" for index in range(len(search.objectives))]
    aims = [f"{name} ({which} is better)" for name, which in zip(search.objectives, better, strict=True)]
    seeds = described.get("seeds", 1)
    compute = sum(seconds(trial) or 0.0 for trial in trials)
    return {
        "Best": "no trial is completed yet" if winner is None else _best(search, winner),
        "Trials": ", ".join(f"{n} {word}" for word, n in numbers.items() if n or word in always),
        "Objective" if len(aims) == 1 else "Objectives": ", ".join(aims)
        + (f", the mean of {seeds} seeds" if seeds > 1 else ""),
        "Sampler": described["sampler"],
        "Pruner": described["pruner"],
        "Fixed": " ".join(described["fixed"]) or "nothing but the defaults",
        "Compute": f"{clock(compute)} in all trials together",
        "Written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}",
    }


def _best(search: Search, winner: FrozenTrial) -> str:
    scores = ", ".join(f"{name} {results.score(search, winner, name)}" for name in search.objectives)
    point = search.point(winner)
    first = "the first of the Pareto front, " if len(search.objectives) > 1 else ""
    return f"trial {winner.number}, {first}{scores}" + (f": {point}" if point else "")


def _importance(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    found = figures.importance(search, trials)
    if found is None:
        return None
    sure = {key: one for key, one in found.by_key.items() if one.trials >= figures.MIN_TRIALS}
    return {
        "forecast_error": number(found.forecast_error),
        "median_error": number(found.median_error),
        "helps": found.forecast_error < found.median_error,
        "first": [f"{key} ({number(one.increase)})" for key, one in sure.items() if one.is_significant][:3],
        "guesses": len(sure) < len(found.by_key),
        "bars": figures.importance_bars(found.by_key),
    }


def _history(search: Search, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """For each objective its picture, the best value, its trial, and how many were completed after it."""
    if not any(trial.state.is_finished() for trial in trials):
        return []
    made = []
    for index, objective in enumerate(search.objectives):
        figure = figures.history(search, trials, index)
        facts: dict[str, Any] = {"objective": objective, "figure": figure, "best": None}
        for line in (trace for trace in figure["data"] if trace["mode"] == "lines"):
            best = line["y"][-1]
            place = line["y"].index(best)
            facts |= {"best": number(best), "trial": line["x"][place], "after": len(line["x"]) - place - 1}
        made.append(facts)
    return made


def _overlay(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    runs = figures.scored_runs(search, trials)
    if not runs:
        return None
    return {
        "runs": len(runs),
        "over": sum(run.overfitted for run in runs),
        "gap": 100 * statistics.median(run.gap for run in runs),
        "allowed": 100 * OVERFITTED,
        "figure": figures.train_against_test(runs),
    }


def _table(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The columns of the table with their names, and its rows."""
    rows = results.table(search, trials)
    given = {key for row in rows for key in row}
    measured = [name for name in (*search.objectives, *results.MEASURED) if name in given]
    varied = [name for name in search.description["space"] if name in given]
    columns = dict.fromkeys(["rank", "trial", "run", "state", *measured, "seconds", *varied, "reason"])
    return {
        "columns": {column: short_name(column) if column in varied else column for column in columns},
        "rows": [
            {
                "trial": row["trial"],
                "kind": "best" if place == 0 and row["rank"] else row["state"],
                "cells": [_cell(search, column, row) for column in columns],
            }
            for place, row in enumerate(rows)
        ],
    }


def _cell(search: Search, column: str, row: Mapping[str, Any]) -> dict[str, Any]:
    value = row.get(column, "")
    if column == "run":
        return {"kind": "", "value": row["directory"], "links": _links(search, row), "text": ""}
    if column == "reason" and value:
        return {"kind": "long", "value": value, "links": (), "text": value}
    text = results.with_spread(column, value, row)
    return {"kind": "number" if finite(value) is not None else "", "value": value, "links": (), "text": text}


def _links(search: Search, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The directory of a row's trial and the plots in it, where they exist."""
    if not row["directory"]:
        return []
    paths = {f"{row['directory']}/plots/{plot}.png": plot.partition("_")[0] for plot in PLOTS}
    return [
        (f"{row['trial']}/", "files"),
        *((quote(path), text) for path, text in paths.items() if (search.directory / path).is_file()),
    ]
