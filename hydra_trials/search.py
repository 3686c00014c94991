"""A search as it is on the disk: its definition in search.json, its trials in Optuna's record."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.compat import url_of
from hydra_trials.errors import SearchError
from hydra_trials.files import fault_of_file
from hydra_trials.journal import JOURNAL, open_storage
from hydra_trials.passwords import without_password
from hydra_trials.schema import fault_of_description, fault_of_trials

SEARCH_FILE = "search.json"
REMEDY = "Restore it from a copy, or choose another name for the search"

#: Names of a trial's user attributes: its place in the plan, whether it stands for it no more, why, the overrides.
POINT, LOST, REASON, OVERRIDES = "point", "lost", "reason", "overrides"

STATES = {
    TrialState.COMPLETE: "done",
    TrialState.RUNNING: "running",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}


@contextmanager
def checked(directory: Path) -> Iterator[None]:
    """Read the record of the search in `directory` within. Raises SearchError for whatever a damaged one raises."""
    try:
        yield
    except (SearchError, OSError):
        raise
    except Exception as error:
        raise _damaged(directory, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _damaged(directory: Path, fault: str) -> SearchError:
    return SearchError(f"the record of the search in {directory} is damaged: {fault}. {REMEDY}")


class Search:
    """A search and its directory, for reading; `queue.Queue` takes part in it.

    Args:
        directory: the search's.
        storage: its record; None: the journal in the directory. What else search.json names is connected to by
            nobody: its reader has to name it too.

    Raises SearchError where `directory` holds no search, or one that is damaged.
    """

    def __init__(self, directory: Path, storage: BaseStorage | None = None) -> None:
        self.description = read_description(directory)
        self.directory, self.name = directory, str(self.description["name"])
        self.objectives: list[str] = self.description["objectives"]
        named = self.description["storage"]
        if storage is None and named is not None:
            raise SearchError(
                f"the search in {directory} is recorded in '{without_password(named)}', as its {SEARCH_FILE} says. "
                f"Nothing connects to it unless you name it: --storage URL"
            )
        if storage is None and not (directory / JOURNAL).exists():
            raise SearchError(f"{directory} has lost its {JOURNAL}. {REMEDY}")
        runs = numbered(directory)  # before the record is read, which then has the trials of all of them
        with checked(directory):
            storage = storage or open_storage(directory, None)
            self.url: str | None = url_of(storage)  # None: the journal
            study_name = self.description.get("study", self.name)
            if study_name not in optuna.get_all_study_names(storage):
                record = without_password(self.url) if self.url else directory / JOURNAL
                raise SearchError(
                    f"{record} is damaged, or of another search: it holds no search {self.name}. {REMEDY}"
                )
            self.study = optuna.load_study(study_name=study_name, storage=storage)
            trials = self.trials()
            if fault := fault_of_trials(trials, len(self.objectives), len(self.study.directions)):
                raise _damaged(directory, fault)
        # A trial is in the record as running before its directory is made.
        if lost := [n for n in runs if n >= len(trials) or trials[n].state == TrialState.WAITING]:
            raise SearchError(
                f"{directory} has lost a part of its record, by which trial {min(lost)} has not begun, though its "
                f"run is here. {REMEDY}"
            )

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials of the record, those in `states` only if some are given. They must not be changed."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def minimizes(self, objective: int) -> bool:
        """Whether less is better."""
        return self.study.directions[objective] == StudyDirection.MINIMIZE

    def ranked(self, trials: Sequence[FrozenTrial] | None = None) -> list[FrozenTrial]:
        """Completed trials that keep the constraints, best first; with several objectives the Pareto front first, in
        order of the first one."""
        trials = self.trials() if trials is None else trials
        done = [t for t in trials if t.state == TrialState.COMPLETE and is_feasible(t)]
        done = [t for t in done if all(map(math.isfinite, t.values))]
        front = self.pareto_front()
        sign = 1 if self.minimizes(0) else -1
        return sorted(done, key=lambda t: (not is_feasible(t), t.number not in front, sign * t.values[0], t.number))

    def pareto_front(self) -> set[int]:
        """The numbers of the trials that no other one beats; empty where there is a single objective."""
        return {trial.number for trial in self.study.best_trials} if len(self.objectives) > 1 else set()

    def best(self, trials: Sequence[FrozenTrial] | None = None) -> FrozenTrial | None:
        """The best of the `ranked` ones; None before the first one is done."""
        return next(iter(self.ranked(trials)), None)

    def varied(self, trial: FrozenTrial) -> dict[str, str]:
        """The overrides in which trials differ, key to value."""
        words = (word.lstrip("+").partition("=") for word in trial.user_attrs.get(OVERRIDES, ()))
        return {key: value for key, _, value in words if key in self.description["space"]}

    def point(self, trial: FrozenTrial) -> str:
        """What was varied, as text."""
        return " ".join(f"{key}={rounded(value)}" for key, value in self.varied(trial).items())


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial keeps the constraints of its search."""
    return all(violation <= 0 for violation in trial.system_attrs.get("constraints") or ())


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial counts no longer: its point waits again under another number."""
    return bool(trial.user_attrs.get(LOST))


def state(trial: FrozenTrial) -> str:
    """How far a trial is, in a word: one of STATES, or lost."""
    return "lost" if is_lost(trial) else STATES[trial.state]


def counts(trials: Sequence[FrozenTrial]) -> Mapping[str, int]:
    """How many trials are in each state; lost ones are not counted."""
    found = Counter(map(state, trials))
    return {word: found[word] for word in STATES.values()}


def seconds(trial: FrozenTrial) -> float | None:
    """How long a trial took; None where nobody knows, as for one that was lost or that runs."""
    own = trial.user_attrs.get("seconds")
    return float(own) if isinstance(own, int | float) else None


def finite(value: Any) -> float | None:
    """The finite number that a text or a value means, None if it means another thing."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def rounded(value: str) -> str:
    """Numbers to four digits, other words as they are."""
    number = finite(value)
    return value if number is None else f"{number:.4g}"


def numbered(directory: Path) -> list[int]:
    """The trials whose runs are in the directory of a search."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]


def read_description(directory: Path) -> dict[str, Any]:
    """The content of search.json. Raises SearchError where it is missing or damaged."""
    path = directory / SEARCH_FILE
    if fault := fault_of_file(path, directory, most=2**24):
        raise SearchError(f"{path} {fault}. {REMEDY}")
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SearchError(f"{directory} holds no search: it has no {SEARCH_FILE}") from None
    except (ValueError, RecursionError) as error:
        raise SearchError(f"{path} is damaged: {error}. {REMEDY}") from error
    if fault := fault_of_description(described):
        raise SearchError(f"{path} is damaged: {fault}. {REMEDY}")
    return described
