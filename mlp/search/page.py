"""search.html: all that a search has found, on one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.progress import clock
from hydra_trials.study import Search, counts, finite, is_lost, seconds
from mlp.files import atomic_write, plain
from mlp.search import figures, results
from mlp.search.axes import number

PAGE = "search.html"
HERE = Path(__file__).parent
PLOTS = ("curves", "confusion_normalised")  # of a run's plots, those that the table links to


def write_page(search: Search) -> Path:
    """Write search.html into the search's directory; return its path."""
    path = search.directory / PAGE
    text = render(search)
    with atomic_write(path, "w") as file:
        file.write(text)
    return path


def render(search: Search) -> str:
    """The whole page. Only its three own scripts may run, and nothing is fetched: the browser enforces it."""
    from plotly.offline import get_plotlyjs

    trials = search.trials()
    # `MathJaxConfig` keeps plotly.js from looking for a library that is not there.
    scripts = ['window.PlotlyConfig = {MathJaxConfig: "local"};', get_plotlyjs(), _asset("page.js")]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
    )
    sections = [(name, title, text) for name, title, make in SECTIONS if (text := make(search, trials))]
    links = "".join(f'<a href="#{name}">{_esc(title)}</a>' for name, title, _ in sections)
    return "\n".join([
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_esc(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<link rel="icon" href="data:,"><title>{_esc(search.name)}: search</title>',
        f"<style>{_asset('page.css')}</style></head><body>",
        _head(search, trials),
        f"<nav>{links}</nav>",
        "<noscript><p>The pictures need JavaScript; the table does not.</p></noscript>",
        *(f'<section id="{name}"><h2>{_esc(title)}</h2>\n{text}\n</section>' for name, title, text in sections),
        *(f"<script>{script}</script>" for script in scripts),
        "</body></html>\n",
    ])  # fmt: skip


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _esc(value: object) -> str:
    return html.escape(str(value))


def _p(text: str) -> str:
    return f"<p>{_esc(text)}</p>"


def _figure(figure: figures.Figure, *, name: str = "") -> str:
    data = json.dumps(plain(figure), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    label = f' aria-label="{_esc(name)}"' if name else ""
    return (
        f'<figure{label}><div class="wide"><div class="plot"></div></div>'
        f'<script type="application/json">{data}</script></figure>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


# Sections


def _head(search: Search, trials: Sequence[FrozenTrial]) -> str:
    described = search.description
    found = counts(list(trials))
    lost = sum(is_lost(trial) for trial in trials)
    numbers = {**found, "lost (and run again)": lost}
    always = ("done", "pruned", "failed", "lost (and run again)")
    compute = sum(seconds(trial) or 0.0 for trial in trials)
    winner = search.best(trials)
    command = results.command(search)
    aims = [
        f"{name} ({'less' if search.minimizes(i) else 'more'} is better)" for i, name in enumerate(search.objectives)
    ]
    seeds = described.get("seeds", 1)
    now = datetime.now().astimezone()
    facts = {
        "Best": "no trial is completed yet" if winner is None else _best(search, winner),
        "Trials": ", ".join(f"{n} {word}" for word, n in numbers.items() if n or word in always),
        "Objective" if len(aims) == 1 else "Objectives": ", ".join(aims)
        + (f", the mean of {seeds} seeds" if seeds > 1 else ""),
        "Sampler": described["sampler"],
        "Pruner": described["pruner"],
        "Fixed": " ".join(described["fixed"]) or "nothing but the defaults",
        "Compute": f"{clock(compute)} in all trials together",
        "Written": f"{now:%Y-%m-%d %H:%M:%S %Z}",
    }
    entries = "".join(f"<dt>{_esc(key)}</dt><dd>{_esc(value)}</dd>" for key, value in facts.items())
    left = found["running"] + found["waiting"]
    state = f"{_count(left, 'trial')} had not ended when this was written. " if left else ""
    text = f"{state}This command continues the search, and does nothing when it is complete:"
    goes_on = f'{_p(text)}<code class="command">{_esc(command)}</code>' if command else ""
    return f"<header><h1>{_esc(search.name)}</h1><dl>{entries}</dl>{goes_on}</header>"


def _best(search: Search, winner: FrozenTrial) -> str:
    scores = ", ".join(f"{name} {results.score(search, winner, name)}" for name in search.objectives)
    point = search.point(winner)
    first = "the first of the Pareto front, " if len(search.objectives) > 1 else ""
    return f"trial {winner.number}, {first}{scores}" + (f": {point}" if point else "")


def _parallel(search: Search, trials: Sequence[FrozenTrial]) -> str:
    figure = figures.parallel_coordinates(search, trials)
    if figure is None:
        return _p("There is nothing to draw before the first trial is completed.")
    done = len(search.ranked(trials))
    shown = (
        "" if figure["brush"] == done else f" {figure['brush']} of {done} are drawn: the best, and some of the rest."
    )
    text = (
        f"A line is a completed trial; it crosses each axis at the value that the trial had, and ends at what it "
        f"reached. Dark lines are better (by rank), the thick orange-red one is the best. Where dark lines run "
        f"together, good trials agree.{shown} Drag along an axis to keep the lines that cross there, double-click to "
        f"see all again; click on a point to find its trial in the table."
    )
    return _p(text) + _figure(figure, name="Parallel coordinates")


def _importance(search: Search, trials: Sequence[FrozenTrial]) -> str:
    if len(search.objectives) > 1:
        return ""
    found, best = figures.importance(search, trials)
    done = len(search.ranked(trials))
    if not found:
        why = (
            f"it takes {figures.ENOUGH} completed trials to tell importance from chance, and there are {done}"
            if done < figures.ENOUGH
            else "all completed trials reached the same"
        )
        return _p(f"Not computed: {why}.")
    having = Counter(name for trial in search.ranked(trials) for name in trial.params)
    sure = {name: share for name, share in found.items() if having[name] >= figures.ENOUGH and share > 0}
    first = [f"{name} ({share:.0%})" for name, share in itertools.islice(sure.items(), 3)]
    text = (
        f"How much the {best} best of {done} completed trials differ from all of them in each parameter (PED-ANOVA). "
        f"What mattered most for being among the best: {', '.join(first) or 'nothing that stands out'}."
    )
    if len(sure) < len(found):
        text += f" Pale bars are guesses: fewer than {figures.ENOUGH} trials have the parameter."
    return _p(text) + _figure(figures.importance_bars(found, having), name="Importance")


def _pareto(search: Search, trials: Sequence[FrozenTrial]) -> str:
    if len(search.objectives) < 2:
        return ""
    done = search.ranked(trials)
    if not done:
        return _p("There is nothing to draw before the first trial is completed.")
    front = len(search.pareto_front())
    text = (
        f"{front} of {len(done)} completed trials are on the Pareto front (diamonds): no other trial is at least "
        f"as good in every objective and better in one. Between them, getting better in one costs another."
    )
    pairs = itertools.combinations(range(len(search.objectives)), 2)
    return _p(text) + "".join(_figure(figures.pareto_front(search, trials, *pair)) for pair in pairs)


def _history(search: Search, trials: Sequence[FrozenTrial]) -> str:
    if not any(trial.state.is_finished() for trial in trials):
        return _p("No trial has ended yet.")
    parts = []
    for index, name in enumerate(search.objectives):
        done = [t for t in trials if t.state == TrialState.COMPLETE and figures.worth(t, index) is not None]
        text = f"{name} of every trial, in the order in which they began; the line is the best so far."
        if done:
            best = (min if search.minimizes(index) else max)(done, key=lambda t, index=index: t.values[index])  # type: ignore[misc]
            after = sum(trial.number > best.number for trial in done)
            text += (
                f" The best, {number(best.values[index])}, came with trial {best.number}; "
                f"{_count(after, 'completed trial')} after it brought no more."
            )
        parts.append(_p(text) + _figure(figures.history(search, trials, index), name=f"History of {name}"))
    return "".join(parts)


def _curves(search: Search, trials: Sequence[FrozenTrial]) -> str:
    figure = figures.learning_curves(search, trials)
    if figure is None:
        return ""
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    text = f"{search.objectives[0]} after each epoch, a line for each trial. " + (
        f"{_count(pruned, 'trial')} (dashed) ended early: the pruner saw no hope for them. It chose well where no "
        f"dashed line is above others that went on to be good."
        if pruned
        else "None was pruned."
    )
    return _p(text) + _figure(figure, name="Learning curves")


def _slices(search: Search, trials: Sequence[FrozenTrial]) -> str:
    parts = []
    for index, objective in enumerate(search.objectives):
        drawn = figures.slices(search, trials, index)
        if drawn:
            heading = f"<h3>{_esc(objective)}</h3>" if len(search.objectives) > 1 else ""
            plots = "".join(_figure(figure, name=f"{objective} against {name}") for name, figure in drawn)
            parts.append(f'{heading}<div class="slices">{plots}</div>')
    if not parts:
        return _p("There is nothing to draw before the first trial is completed.")
    text = (
        "Each picture shows all trials that have the parameter, and nothing of the other parameters: a high point "
        "says that the value can do well, a wide column that other things decide. The black bars are medians of "
        "completed trials, the diamond is the best trial, crosses are pruned trials where they were stopped."
    )
    return _p(text) + "".join(parts)


def _overlay(search: Search, trials: Sequence[FrozenTrial]) -> str:
    runs = figures.scored_runs(search, trials)
    if not runs:
        return _p("No run has measured its accuracy on training and test images.")
    over = sum(run.overfitted for run in runs)
    gap = statistics.median(run.gap for run in runs)
    text = (
        f"Each point is one run, the model that it kept: {_count(len(runs), 'run')}. On the diagonal a model knows "
        f"new images as well as those it was trained on; below it, it has learned some by heart. A run counts as "
        f"over-fitted when its train accuracy is more than {100 * figures.OVERFITTED:g} points above its test "
        f"accuracy (dashed line): {over} of {len(runs)} (orange-red diamonds). The median gap is {100 * gap:+.2f} "
        f"points. Open marks are runs of trials that were pruned or failed."
    )
    return _p(text) + _figure(figures.train_against_test(runs), name="Train against test")


def _leaderboard(search: Search, trials: Sequence[FrozenTrial]) -> str:
    rows = results.table(search, list(trials))
    if not rows:
        return _p("No trial has begun yet.")
    varied = list(search.description["space"])
    given = list(dict.fromkeys(key for row in rows for key in row))
    measured = [name for name in (*search.objectives, *results.MEASURED) if name in given]
    shown = [name for name in varied if name in given]
    columns = ["rank", "trial", "run", "state", *dict.fromkeys(measured), "seconds", *shown, "reason"]
    names = dict(zip(shown, figures.labels(shown), strict=True))
    links = _links(search)
    buttons = ((column, f'<button type="button">{_esc(names.get(column, column))}</button>') for column in columns)
    head = "".join(f'<th scope="col" title="{_esc(column)}">{button}</th>' for column, button in buttons)
    body = []
    for place, row in enumerate(rows):
        kind = "best" if place == 0 and row["rank"] else row["state"]
        cells = "".join(_cell(column, row, links) for column in columns)
        body.append(f'<tr id="trial-{row["trial"]}" class="{_esc(kind)}">{cells}</tr>')
    text = (
        "Every trial that was begun: completed ones by rank, then pruned, failed and running ones. A click on a "
        "header sorts by it. The column seconds is the whole trial, training_seconds its training alone. The same "
        "table is in "
    )
    board = f'<a href="{results.LEADERBOARD}">{results.LEADERBOARD}</a>'
    source = board if (search.directory / results.LEADERBOARD).exists() else results.LEADERBOARD
    return (
        f'<p>{_esc(text)}{source}.</p><div class="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></div>"
    )


def _cell(column: str, row: Mapping[str, Any], links: Callable[[Mapping[str, Any]], str]) -> str:
    value = row.get(column, "")
    if column == "run":
        return f'<td data-value="{_esc(row["directory"])}">{links(row)}</td>'
    if column == "reason" and value:
        return f'<td class="long" data-value="{_esc(value)}">{_esc(value)}</td>'
    shown = _esc(results.shown(column, value))
    if (std := row.get(f"{column}_std")) is not None:
        shown += f" ± {_esc(results.shown(column, std))}"
    numeric = ' class="number"' if finite(value) is not None else ""
    return f'<td{numeric} data-value="{_esc(value)}">{shown}</td>'


def _links(search: Search) -> Callable[[Mapping[str, Any]], str]:
    """Links of a row to its directories and plots, those that exist."""

    def link(path: str, text: str) -> str:
        return f'<a href="{_esc(quote(path))}">{_esc(text)}</a>'

    def links(row: Mapping[str, Any]) -> str:
        base = str(row["trial"])
        directory = str(row["directory"])
        if not directory:
            return ""
        found = [link(f"{base}/", "files")]
        for plot in PLOTS:
            path = f"{directory}/plots/{plot}.png"
            if (search.directory / path).is_file():
                found.append(link(path, plot.partition("_")[0]))
        return " ".join(found)

    return links


Section = tuple[str, str, Callable[[Search, Sequence[FrozenTrial]], str]]
SECTIONS: Iterable[Section] = (
    ("parallel", "Parallel coordinates", _parallel),
    ("importance", "Which parameters mattered", _importance),
    ("pareto", "Pareto front", _pareto),
    ("history", "History", _history),
    ("overlay", "Train against test accuracy", _overlay),
    ("slices", "The objective against each parameter", _slices),
    ("curves", "Learning curves", _curves),
    ("leaderboard", "Leaderboard", _leaderboard),
)
