"""search.html: all that a search has found, on one page that needs nothing else. Its texts are in page.html.j2."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.files import write_text
from hydra_trials.progress import clock
from hydra_trials.search import Search, counts, finite, is_feasible, is_lost, seconds
from mlp.base.text import count, number
from mlp.pages.page import column, environment, shell
from mlp.report.statistics import OVERFITTED
from mlp.report.trials import short_name
from mlp.searches import page_data, results

if TYPE_CHECKING:
    from mlp.report.importance import Importances

PAGE = "search.html"
HERE = Path(__file__).parent
PLOTS = ("curves", "confusion_normalised")  # of a run's plots, those that the table links to


def write_page(search: Search) -> Path:
    """Write search.html into the search's directory; return its path."""
    path = search.directory / PAGE
    write_text(path, render(search))
    return path


def render(search: Search) -> str:
    """The whole page."""
    templates = environment(HERE)
    templates.filters["count"] = count
    return templates.get_template("page.html.j2").render(
        **shell(HERE / "page.js"), **content(search, search.trials())
    )


def content(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """What the page says, by the names of the template."""
    done, objectives, found = search.ranked(trials), search.objectives, counts(trials)
    shown, runs = page_data.trials_drawn(search, trials), page_data.runs_drawn(search, trials)
    lines = page_data.lines_drawn(search, trials)
    several = len(objectives) > 1
    importances = None if several else page_data.importances(search, trials)
    curves = any(one["epochs"] for one in shown)
    left_out = {"importance" if several else "pareto", *([] if curves else ["curves"])}
    names = ("parallel", "importance", "pareto", "history", "overlay", "slices", "curves", "leaderboard")
    return {
        "name": search.name,
        "shown": [name for name in names if name not in left_out],
        "objectives": objectives,
        "head": _head(search, trials),
        "command": results.command(search),
        "left": found["running"] + found["waiting"],
        "done": len(done),
        "min_trials": page_data.MIN_TRIALS,
        "lines": len(lines),
        "importance": importances and _importance(importances),
        "front": len(search.pareto_front()),
        "pareto": list(itertools.combinations(range(len(objectives)), 2)) if done else [],
        "history": [_history(search, trials, i) for i in range(len(objectives))] if shown else [],
        "gap": 100 * statistics.median(run["train"] - run["test"] for run in runs) if runs else None,
        "allowed": 100 * OVERFITTED,
        "pruned": sum(trial.state == TrialState.PRUNED for trial in trials),
        "leaderboard": (search.directory / results.LEADERBOARD).exists(),
        "data": {
            **_table(search, trials),
            "objectives": [{"name": name, "less": search.minimizes(i)} for i, name in enumerate(objectives)],
            "trials": shown,
            "lines": lines,
            "axes": page_data.axes_drawn(search, trials),
            "importance": [
                {
                    "name": name,
                    "increase": one.increase,
                    "error": 2 * one.error,
                    "guess": one.trials < page_data.MIN_TRIALS,
                }
                for name, one in (importances.by_key.items() if importances else ())
            ],
            "runs": runs,
            "allowed": OVERFITTED,
        },
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


def _importance(found: Importances) -> dict[str, Any]:
    sure = {key: one for key, one in found.by_key.items() if one.trials >= page_data.MIN_TRIALS}
    return {
        "forecast_error": number(found.forecast_error, 4),
        "median_error": number(found.median_error, 4),
        "helps": found.forecast_error < found.median_error,
        "first": [f"{key} ({number(one.increase, 4)})" for key, one in sure.items() if one.is_significant][:3],
        "guesses": len(sure) < len(found.by_key),
    }


def _history(search: Search, trials: Sequence[FrozenTrial], index: int) -> dict[str, Any]:
    """The best value of an objective, the first trial that reached it, and how many were completed after it. Trials
    that break a constraint do not count."""
    values = {
        trial.number: value
        for trial in trials
        if trial.state == TrialState.COMPLETE and is_feasible(trial)
        if (value := page_data.objective(trial, index)) is not None
    }
    if not values:
        return {"objective": search.objectives[index], "best": None}
    best = (min if search.minimizes(index) else max)(values, key=lambda trial: values[trial])
    return {
        "objective": search.objectives[index], "best": number(values[best], 4), "trial": best,
        "after": len(values) - 1 - list(values).index(best),
    }  # fmt: skip


def _table(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The columns of the table; of each row its trial, how it is marked, and its links."""
    rows = results.table(search, trials)
    given = {key for row in rows for key in row}
    measured = [name for name in (*search.objectives, *results.MEASURED) if name in given]
    varied = [name for name in search.description["space"] if name in given]
    spread = {name: f"{name}_std" for name in measured if f"{name}_std" in given}
    shown = dict.fromkeys(["rank", "trial", "run", "state", *measured, "seconds", *varied, "reason"])
    titles = {name: short_name(name) for name in varied}

    def values(name: str) -> list[Any]:
        found = [row.get("directory" if name == "run" else name, "") for row in rows]
        if name in varied and all(finite(value) is not None for value in found if value != ""):
            return [finite(value) for value in found]
        return [None if value == "" else value for value in found]

    return {
        "columns": [column(name, values(name), titles.get(name, "")) for name in (*shown, *spread.values())],
        "shown": list(shown),
        "spread": spread,
        "keys": [row["trial"] for row in rows],
        "kinds": ["best" if place == 0 and row["rank"] else row["state"] for place, row in enumerate(rows)],
        "links": [_links(search, row) for row in rows],
    }


def _links(search: Search, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The directory of a row's trial and the plots in it, where they exist."""
    if not row["directory"]:
        return []
    paths = {f"{row['directory']}/plots/{plot}.png": plot.partition("_")[0] for plot in PLOTS}
    return [
        (f"{row['trial']}/", "files"),
        *((quote(path), text) for path, text in paths.items() if (search.directory / path).is_file()),
    ]
