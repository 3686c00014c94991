"""What a search has found: the best trial, the leaderboard, and what failed and why."""

from __future__ import annotations

import csv
import io
import logging
import math
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mlp.best_model import CONFIG, MODEL
from mlp.errors import UserError
from mlp.files import atomic_write
from mlp.search.definition import minimised
from mlp.search.study import LOST, REASON, Search, counts

log = logging.getLogger(__name__)

LEADERBOARD, SHOWN = "leaderboard.csv", 10
STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
MEASURED = ("val_accuracy", "test_accuracy", "train_accuracy", "training_seconds")


def ranked(search: Search, trials: list[FrozenTrial] | None = None) -> list[FrozenTrial]:
    """Completed trials, best first; with several objectives the Pareto front comes first, in order of the first."""
    trials = search.study.get_trials(deepcopy=False) if trials is None else trials
    done = [t for t in trials if t.state == TrialState.COMPLETE and all(map(math.isfinite, t.values))]
    front = {t.number for t in pareto(search, done)} if len(search.objectives) > 1 else set()
    sign = 1 if minimised(search.objectives[0]) else -1
    return sorted(done, key=lambda t: (t.number not in front, sign * t.values[0], t.number))


def pareto(search: Search, done: list[FrozenTrial]) -> list[FrozenTrial]:
    """The completed trials that no other one beats: at least as good in every objective, and better in one."""
    signs = [1 if minimised(name) else -1 for name in search.objectives]

    def costs(trial: FrozenTrial) -> list[float]:
        return [sign * value for sign, value in zip(signs, trial.values, strict=True)]

    def beaten(trial: FrozenTrial) -> bool:
        own = costs(trial)
        return any(
            other is not trial and all(a <= b for a, b in zip(costs(other), own, strict=True)) and costs(other) != own
            for other in done
        )

    return [trial for trial in done if not beaten(trial)]


def best(search: Search, trials: list[FrozenTrial] | None = None) -> FrozenTrial | None:
    """The best completed trial; None before the first one is done."""
    return next(iter(ranked(search, trials)), None)


def best_values(search: Search) -> float | list[float] | None:
    winner = best(search)
    if winner is None:
        return None
    return winner.values[0] if len(winner.values) == 1 else list(winner.values)


def varied(search: Search, trial: FrozenTrial) -> dict[str, str]:
    """The overrides in which trials differ, key to value."""
    keys = search.description["space"]
    words = (word.partition("=") for word in trial.user_attrs.get("overrides", ()))
    return {key: value for key, _, value in words if key in keys}


def directory(search: Search, trial: FrozenTrial) -> Path | None:
    """The trial's directory, or that of its first seed; None before it was begun."""
    path = search.directory / str(trial.number)
    if not path.is_dir():
        return None
    return path if (path / "config.yaml").exists() else next(iter(sorted(path.glob("seed_*"))), path)


def table(search: Search) -> list[dict[str, Any]]:
    """A row for each trial that was begun, best first, then pruned, failed and running ones."""
    trials = search.study.get_trials(deepcopy=False)
    order = [
        *ranked(search, trials),
        *(
            t
            for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
            for t in trials
            if t.state == state
        ),
    ]
    rows = []
    for rank, trial in enumerate(order, 1):
        attributes, done = trial.user_attrs, trial.state == TrialState.COMPLETE
        path = directory(search, trial)
        rows.append(
            {
                "rank": rank if done else "",
                "trial": trial.number,
                "state": "lost" if attributes.get(LOST) else STATES[trial.state],
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
                **varied(search, trial),
            }
        )
    return rows


def write(search: Search) -> None:
    """Write leaderboard.csv and search.html into the search's directory. A failure of the page is only logged."""
    rows = table(search)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(search.directory / LEADERBOARD, "w") as file:
        file.write(text.getvalue())
    try:
        from mlp.search.page import write_page

        write_page(search)
    except Exception as error:  # `python -m mlp.search report` draws it again
        log.error("search.html could not be written: %s", error)


def show(search: Search, most: int = SHOWN) -> str:
    """The leaderboard's first rows, the counts, and why trials failed, as text."""
    trials = search.study.get_trials(deepcopy=False)
    found = counts(trials)
    lines = [f"{search.name}: " + ", ".join(f"{number} {name}" for name, number in found.items() if number)]
    top = ranked(search, trials)[:most]
    if top:
        names = list(dict.fromkeys([*search.objectives, "test_accuracy", "training_seconds"]))
        head = ["rank", "trial", *names, "what was varied"]
        rows = [
            [
                str(rank),
                str(trial.number),
                *(_number(search, trial, name) for name in names),
                point(search, trial),
            ]
            for rank, trial in enumerate(top, 1)
        ]
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
        lines += [
            "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
            for row in [head, *rows]
        ]
        if len(search.objectives) > 1:
            done = ranked(search, trials)
            lines.append(f"Pareto front: the first {len(pareto(search, done))} of {len(done)}")
    lines += [f"running: trial {t.number}  {point(search, t)}" for t in trials if t.state == TrialState.RUNNING]
    lines += [
        f"failed: trial {t.number}: {t.user_attrs.get(REASON, '')}  {point(search, t)}"
        for t in trials
        if t.state == TrialState.FAIL and not t.user_attrs.get(LOST)
    ]
    lines.append(f"Leaderboard: {search.directory / LEADERBOARD}")
    return "\n".join(lines)


def point(search: Search, trial: FrozenTrial) -> str:
    """What was varied, as text."""
    return " ".join(f"{key}={_short(value)}" for key, value in varied(search, trial).items())


def _number(search: Search, trial: FrozenTrial, name: str) -> str:
    value = (
        trial.values[search.objectives.index(name)]
        if name in search.objectives
        else trial.user_attrs.get(name, math.nan)
    )
    std = trial.user_attrs.get(f"{name}_std")
    return f"{value:.4f}" + (f" ± {std:.4f}" if std is not None else "")


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def install(search: Search, root: Path) -> tuple[FrozenTrial, list[Path]]:
    """Copy the winner's best_model.npy and best_config.json to `root`. Raises UserError where there is none yet."""
    winner = best(search)
    if winner is None:
        raise UserError(f"{search.directory} has no completed trial yet")
    source = directory(search, winner)
    copied = []
    for name in (MODEL, CONFIG):
        if source is None or not (source / name).is_file():
            raise UserError(
                f"trial {winner.number} is the best, but {search.directory / str(winner.number)} has no {name}"
            )
        with atomic_write(root / name) as file:
            file.write((source / name).read_bytes())
        copied.append(root / name)
    return winner, copied
