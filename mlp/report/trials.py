"""A search as the studies read it, from its files only: search.json, leaderboard.csv and the runs of its trials."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.files import fault_of_file
from mlp.base.text import option_name, shorten
from mlp.report.read import RunFiles

STATES = ("done", "pruned", "failed", "running")
SCORES = ("val_accuracy", "test_accuracy", "train_accuracy")


@dataclass(frozen=True)
class Parameter:
    """What a search varies. Searches of old versions say its key and nothing else as data."""

    key: str
    choices: tuple[str, ...] = ()  # as they are written; none where it is drawn from a range
    log: bool | None = None  # whether the range is logarithmic; None: not known
    conditions: tuple[str, ...] = ()  # keys on whose choice it depends whether it exists, and in which range

    @property
    def name(self) -> str:
        return short_name(self.key)


@dataclass(frozen=True)
class Trial:
    """A point that the search has tried; `varied` are its values as they were written."""

    number: int
    state: str  # one of STATES
    varied: Mapping[str, str]
    scores: Mapping[str, float]  # those of SCORES that were measured
    reason: str  # why it failed or was pruned
    run: RunFiles

    @property
    def point(self) -> str:
        """`Adam, learning rate 0.00123`, in the order of the space."""
        return ", ".join(
            option_name(value) if "." not in key else f"{spoken(key)} {_written(value)}"
            for key, value in self.varied.items()
        )


@dataclass(frozen=True)
class SearchFiles:
    """A search. Trials that were lost and run again under another number are left out, and so are waiting ones."""

    parameters: Sequence[Parameter]
    sampler: str
    pruner: str
    trials: Sequence[Trial]

    def of(self, *states: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.state in states]

    @property
    def ranked(self) -> list[Trial]:
        """The completed trials by their validation accuracy, best first; of equal ones the earlier one."""
        done = [trial for trial in self.of("done") if "val_accuracy" in trial.scores]
        return sorted(done, key=lambda trial: (-trial.scores["val_accuracy"], trial.number))


def read_search(directory: Path) -> SearchFiles:
    """Raises UserError where `directory` holds no search, or one without its table."""
    described = directory / "search.json"
    board = directory / "leaderboard.csv"
    for path in (described, board):
        if not path.is_file():
            raise UserError(f"{path} is missing: {paths.command('search', 'report', str(directory))} writes it")
        if fault := fault_of_file(path, directory):
            raise UserError(f"{path} {fault}")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        parameters = read_parameters(facts)
        keys = [parameter.key for parameter in parameters]
        with board.open(newline="", encoding="utf-8") as file:
            trials = [_trial(directory, row, keys) for row in csv.DictReader(file) if row["state"] in STATES]
        trials.sort(key=lambda trial: trial.number)
        return SearchFiles(parameters, str(facts["sampler"]), str(facts["pruner"]), trials)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        what = shorten(repr(error), 200)
        raise UserError(f"{directory}: {described.name} or {board.name} is damaged: {what}") from error


def read_parameters(described: Mapping[str, Any]) -> list[Parameter]:
    """What the search of a search.json varies; one of an old version says the keys only."""
    if "parameters" not in described:
        return [Parameter(str(key)) for key in described["space"]]
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for entry in described["parameters"]:  # one for each key and condition
        by_key.setdefault(entry["key"], []).append(entry)
    made = []
    for key, own in by_key.items():
        ranges = [entry["distribution"]["attributes"] for entry in own]
        values = [choice for one in ranges for choice in one.get("choices", ())]
        # As an override, and so the leaderboard, has them.
        choices = dict.fromkeys(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
        conditions = dict.fromkeys(condition for entry in own for condition in entry["when"])
        made.append(Parameter(key, tuple(choices), any(one.get("log") for one in ranges), tuple(conditions)))
    return made


def _trial(directory: Path, row: Mapping[str, str], keys: Sequence[str]) -> Trial:
    scores = {name: float(row[name]) for name in SCORES if row.get(name)}
    run = directory / (row.get("directory") or row["trial"])
    if not run.resolve().is_relative_to(directory.resolve()):
        raise ValueError(f"trial {row['trial']} is in {run}, elsewhere")
    return Trial(
        number=int(row["trial"]),
        state=row["state"],
        varied={key: row[key] for key in keys if row.get(key)},
        scores={name: score for name, score in scores.items() if math.isfinite(score)},
        reason=row.get("reason", ""),
        run=RunFiles(run),
    )


def short_name(key: str) -> str:
    """`learning_rate` of `optimizer.learning_rate`."""
    return key.rpartition(".")[2]


def spoken(key: str) -> str:
    """`learning rate` of `optimizer.learning_rate`."""
    return short_name(key).replace("_", " ")


def _written(value: str) -> str:
    """Numbers to three digits, other words as they are."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.replace(",", "-").strip("[]") if value.startswith("[") else value
