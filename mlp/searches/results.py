"""What a search has found: the best trial, the leaderboard, and what failed and why."""

from __future__ import annotations

import csv
import logging
import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.files import fault_of_file
from hydra_trials.search import REASON, Search, counts, finite, state
from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.files import atomic_write, read_json
from mlp.base.text import metric
from mlp.config.files import read_yaml
from mlp.config.user_classes import allow_flags, foreign
from mlp.experiment.best_model import CONFIG, MODEL

log = logging.getLogger(__name__)

LEADERBOARD = "leaderboard.csv"
#: Numbers of a trial beside its objectives: columns of leaderboard.csv and search.html, and where True of `show`.
MEASURED = {"val_accuracy": False, "test_accuracy": True, "train_accuracy": False, "training_seconds": True}


def directory(search: Search, trial: FrozenTrial) -> Path | None:
    """The trial's directory, or that of its first seed; None before it was begun, and for a link to elsewhere."""
    path = search.directory / str(trial.number)
    if not _is_own(search, path):
        return None
    return path if (path / "config.yaml").exists() else next(iter(seed_directories(search, trial)), path)


def seed_directories(search: Search, trial: FrozenTrial) -> list[Path]:
    """Of a trial on several seeds, in their order."""
    found = (search.directory / str(trial.number)).glob("seed_*")
    return sorted(path for path in found if _is_own(search, path))


def _is_own(search: Search, path: Path) -> bool:
    return path.is_dir() and path.resolve().is_relative_to(search.directory.resolve())


def read_summary(run: Path) -> dict[str, Any]:
    """summary.json of a run; empty where it is missing or damaged."""
    path = run / "summary.json"
    try:
        return {} if fault_of_file(path, run) else read_json(path)
    except UserError:
        return {}


def table(search: Search, trials: Sequence[FrozenTrial] | None = None) -> list[dict[str, Any]]:
    """A row for each trial that was begun: completed ones, best first, then pruned, failed and running ones."""
    trials = search.trials() if trials is None else trials
    placed = search.ranked(trials)
    places = {trial.number: rank for rank, trial in enumerate(placed, 1)}
    # A completed trial has no place where its objective is infinite.
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    others = [t for state in states for t in trials if t.state == state and t.number not in places]
    rows = []
    for trial in [*placed, *others]:
        attributes, done = trial.user_attrs, trial.state == TrialState.COMPLETE
        path = directory(search, trial)
        rows.append(
            {
                "rank": places.get(trial.number, ""),
                "trial": trial.number,
                "state": state(trial),
                **{name: trial.values[i] if done else "" for i, name in enumerate(search.objectives)},
                **{
                    key: attributes[key]
                    for name in (*search.objectives, *MEASURED)
                    for key in (name, f"{name}_std")
                    if key in attributes and not (done and key in search.objectives)
                },
                "seconds": attributes.get("seconds", ""),
                "reason": attributes.get(REASON, ""),
                "directory": "" if path is None else str(path.relative_to(search.directory)),
                **search.varied(trial),
            }
        )
    return rows


def write_leaderboard(search: Search) -> Path:
    """Write `table` as leaderboard.csv into the search's directory; return its path."""
    rows = table(search)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path = search.directory / LEADERBOARD
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, fieldnames=columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def draw_best(search: Search) -> None:
    """Draw those plots of the best trial that are not there yet. A failure is only logged."""
    winner = search.best()
    path = None if winner is None else directory(search, winner)
    if path is None:  # nothing is done, or another machine has done it
        return
    try:
        from mlp.report import run_plots

        run_plots.save_all([plot for plot in run_plots.plots(path) if not plot[0].exists()])
    except Exception as error:  # `python -m mlp.report run DIR` draws them again
        log.error("The plots of %s could not be drawn: %s: %s", path, type(error).__name__, error)


def show(search: Search, most: int = 10) -> str:
    """The counts, the leaderboard's first rows, what runs since when, and what was pruned or failed and why."""
    trials = search.trials()
    found = ", ".join(f"{number} {name}" for name, number in counts(trials).items() if number)
    lines = [f"{' '.join(search.name.split())}: {found or 'no trials'}"]
    done = search.ranked(trials)
    lines += _board(search, done[:most])
    if len(done) > most:
        lines.append(f"and {len(done) - most} more (--top {len(done)})")
    if len(search.objectives) > 1 and done:
        lines.append(f"Pareto front: the first {len(search.pareto_front())} of {len(done)}")
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            since = f" since {trial.datetime_start:%Y-%m-%d %H:%M:%S}" if trial.datetime_start else ""
            lines.append(f"running: trial {trial.number}{since}{_last_epoch(trial)}  {search.point(trial)}")
    if pruned := [trial for trial in trials if trial.state == TrialState.PRUNED]:
        after = Counter(trial.last_step or 0 for trial in pruned)
        when = ", ".join(f"{number} after epoch {epoch}" for epoch, number in sorted(after.items()))
        lines.append(f"stopped by the pruner: {when}")
    alike: dict[tuple[str, str], list[FrozenTrial]] = {}
    for trial in trials:
        if state(trial) in ("failed", "lost"):
            alike.setdefault((state(trial), re.sub(r"[\d.]+", "", _reason(trial))), []).append(trial)
    for (word, _), members in sorted(alike.items(), key=lambda item: item[0][0]):
        again = " (run again under another number)" if word == "lost" else ""
        first = "" if len({_reason(trial) for trial in members}) == 1 else "the first: "
        lines.append(f"{word}: {_numbers(members)}: {first}{_reason(members[0])}{again}  {search.point(members[0])}")
    for name in (LEADERBOARD, "search.html"):
        if (search.directory / name).exists():
            lines.append(f"{'Leaderboard' if name == LEADERBOARD else 'Page'}: {search.directory / name}")
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    """A line as a terminal shows it best: broken between words, and going on below its last column."""
    if not sys.stdout.isatty():
        return line
    columns = shutil.get_terminal_size().columns
    gap = line.rfind("  ", 0, columns // 2)
    start = gap + 2 if gap > 0 else 4
    return textwrap.fill(
        line, columns, subsequent_indent=" " * start, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False,
    )  # fmt: skip


def _board(search: Search, top: list[FrozenTrial]) -> list[str]:
    """Lines of a table of the trials `top`."""
    if not top:
        return []
    names = list(dict.fromkeys([*search.objectives, *(name for name, printed in MEASURED.items() if printed)]))
    table = [["rank", "trial", *names, "what was varied"]]
    for rank, trial in enumerate(top, 1):
        scores = (score(search, trial, name) for name in names)
        table.append([str(rank), str(trial.number), *scores, search.point(trial)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in table
    ]


def _last_epoch(trial: FrozenTrial) -> str:
    if trial.last_step is None:
        return ""
    return f", epoch {trial.last_step}: {trial.intermediate_values[trial.last_step]:.4g}"


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(REASON) or "no reason recorded")


def _numbers(trials: Sequence[FrozenTrial], most: int = 20) -> str:
    numbers = ", ".join(str(trial.number) for trial in trials[:most])
    more = f" and {len(trials) - most} more" if len(trials) > most else ""
    return f"trial{'s' if len(trials) > 1 else ''} {numbers}{more}"


def score(search: Search, trial: FrozenTrial, name: str) -> str:
    """A number of a completed trial as text: four digits after the point, or four that count, and after `±` the
    standard deviation over its seeds; `-` where it has none."""
    value = trial.values[search.objectives.index(name)] if name in search.objectives else trial.user_attrs.get(name)
    if not isinstance(value, int | float):
        return "-"
    std = trial.user_attrs.get(f"{name}_std")
    numbers = [number for number in (value, std) if isinstance(number, int | float)]  # a file may say anything
    return " ± ".join(str(v) if finite(v) is None else metric(name, v) for v in numbers)


def command(search: Search) -> str | None:
    """The command that began the search and continues it; None where it is not known."""
    started = _started(search)
    if started is None:
        return None
    folders, about_hydra, task = started
    words = [word for word in about_hydra if word != "hydra.mode=MULTIRUN"]
    return paths.command("train", "-m", *folders, *words, *task)


def repeat(search: Search, trial: FrozenTrial) -> str:
    """The command that trains the network of a trial again, on its first seed."""
    words = list(trial.user_attrs.get("overrides", ()))
    path = directory(search, trial)
    if path is not None and path.name.startswith("seed_"):
        words.append(f"seed={path.name.removeprefix('seed_')}")
    if any(word.startswith("+experiment=") for word in words):
        words.append("hydra.mode=RUN")  # the experiment's own may be the search
    folders, about_hydra, _ = _started(search) or ([], [], [])
    searched = [word for word in about_hydra if word.lstrip("+").startswith("hydra.searchpath=")]
    return paths.command("train", *folders, *searched, *words)


def _started(search: Search) -> tuple[list[str], list[str], list[str]] | None:
    """How the search was last started: --config-dir, overrides that are Hydra's, those of the trials."""
    try:
        path = search.directory / "multirun.yaml"
        if fault_of_file(path, search.directory):
            return None
        hydra = read_yaml(path)["hydra"]
        about_hydra, task = ([*map(str, hydra["overrides"][kind])] for kind in ("hydra", "task"))
        sources = hydra.get("runtime", {}).get("config_sources") or []
        folders = [f"--config-dir={source['path']}" for source in sources if source["provider"] == "command-line"]
    except (UserError, LookupError, TypeError, AttributeError):
        return None
    return [*allow_flags(_foreign(search)), *folders], about_hydra, task


def _foreign(search: Search) -> list[str]:
    """The modules of the user whose classes the trials name."""
    targets = re.compile(r"^\s*_target_: (\S+)", re.MULTILINE)
    files = [path for place in ("*", "*/seed_*") for path in search.directory.glob(f"{place}/config.yaml")]
    own = [path for path in files if not fault_of_file(path, search.directory)]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in own)
    found = {target for text in texts for target in targets.findall(text)}
    return foreign([{"_target_": target} for target in sorted(found)])


def install(search: Search, winner: FrozenTrial, root: Path) -> list[Path]:
    """Copy the winner's best_model.npy and best_config.json to `root`, both or none. Raises UserError where one is
    not there."""
    source, contents = directory(search, winner), {}
    for name in (MODEL, CONFIG):
        if source is None or not (source / name).is_file():
            raise UserError(
                f"trial {winner.number} is the best, but {search.directory / str(winner.number)} has no {name}"
            )
        if fault := fault_of_file(source / name, search.directory):
            raise UserError(f"{source / name} {fault}: it is not installed")
        contents[root / name] = (source / name).read_bytes()
    root.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        with atomic_write(path) as file:
            file.write(content)
    return [*contents]
