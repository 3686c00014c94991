"""A search as the studies read it, from its files only: search.json, leaderboard.csv and the runs of its trials."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlp.errors import UserError
from mlp.report.read import RunFiles

STATES = ("done", "pruned", "failed", "running")
SCORES = ("val_accuracy", "test_accuracy", "train_accuracy")


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
        """`adam, learning_rate 0.00123`, in the order of the space."""
        words = [value if "." not in key else f"{bare(key)} {short(value)}" for key, value in self.varied.items()]
        return ", ".join(words)


@dataclass(frozen=True)
class SearchFiles:
    """A search. Trials that were lost and run again under another number are left out, and so are waiting ones."""

    space: Mapping[str, str]  # key to what it may be, in words
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


@dataclass(frozen=True)
class Column:
    """A hyper-parameter as numbers, for the trials that have it; the place of its choice where there are choices."""

    key: str
    name: str
    values: Mapping[int, float]  # by number of the trial
    choices: tuple[str, ...] = ()
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` is between the smallest and the largest, from 0 to 1."""
        scale = math.log if self.log else float
        values = range(len(self.choices)) if self.choices else self.values.values()
        low, high = min(values), max(values)
        return (scale(value) - scale(low)) / (scale(high) - scale(low)) if high > low else 0.5

    def text(self, value: float) -> str:
        return self.choices[round(value)] if self.choices else f"{value:.3g}"


def read_search(directory: Path) -> SearchFiles:
    """Raises UserError where `directory` holds no search, or one without its table."""
    described = directory / "search.json"
    board = directory / "leaderboard.csv"
    for path in (described, board):
        if not path.is_file():
            raise UserError(f"{path} is missing: python -m mlp.search report {shlex.quote(str(directory))} writes it")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        space = {str(key): str(text) for key, text in facts["space"].items()}
        with board.open(newline="", encoding="utf-8") as file:
            trials = [_trial(directory, row, space) for row in csv.DictReader(file) if row["state"] in STATES]
        return SearchFiles(space, str(facts["sampler"]), str(facts["pruner"]), sorted(trials, key=lambda t: t.number))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{directory}: {described.name} or {board.name} is damaged: {error!r}") from error


def _trial(directory: Path, row: Mapping[str, str], space: Mapping[str, str]) -> Trial:
    scores = {name: float(row[name]) for name in SCORES if row.get(name)}
    return Trial(
        number=int(row["trial"]),
        state=row["state"],
        varied={key: row[key] for key in space if row.get(key)},
        scores={name: score for name, score in scores.items() if math.isfinite(score)},
        reason=row.get("reason", ""),
        run=RunFiles(directory / (row.get("directory") or row["trial"])),
    )


def columns(search: SearchFiles, trials: Sequence[Trial]) -> list[Column]:
    """What differs between trials, in the order of the space; a list of numbers becomes its length and its sum."""
    made = []
    for key, text in search.space.items():
        written = {trial.number: trial.varied[key] for trial in trials if key in trial.varied}
        if not written:
            continue
        if all(value.startswith("[") for value in written.values()):
            lists = {number: [float(n) for n in re.findall(r"[-+.\deE]+", v)] for number, v in written.items()}
            made.append(Column(key, f"length of {bare(key)}", {n: float(len(v)) for n, v in lists.items()}))
            made.append(Column(key, f"sum of {bare(key)}", {n: sum(v) for n, v in lists.items()}))
        elif re.search(r"\d to [-\d]", text):
            values = {number: float(value) for number, value in written.items()}
            made.append(Column(key, bare(key), values, log="(log" in text and min(values.values()) > 0))
        else:
            given = re.split(r", | or ", text.partition(", when ")[0])
            choices = [*(c for c in given if c in written.values()), *sorted({*written.values()} - {*given})]
            made.append(Column(key, bare(key), {n: choices.index(v) for n, v in written.items()}, tuple(choices)))
    return made


def conditions(search: SearchFiles, key: str) -> list[str]:
    """The keys on whose choice it depends whether `key` exists, and in which range."""
    return list(dict.fromkeys(re.findall(r"(?:when|and) (\S+) is ", search.space[key])))


def bare(key: str) -> str:
    """`learning_rate` of `optimizer.learning_rate`."""
    return key.rpartition(".")[2]


def short(value: str) -> str:
    """Numbers to three digits, other words as they are."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.replace(",", "-").strip("[]") if value.startswith("[") else value
