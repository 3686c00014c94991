"""A search on the disk: which trials are waiting, running and done, and how none is lost or run twice.

Every trial of the plan is put into the study as a waiting one at the start. A worker takes the first that waits, and
holds the lock of its file in `running/` while it is at work; the system lets go of the lock when the worker dies,
however it dies. A running trial whose lock is free has lost its worker: it is closed as lost, and its point waits
again under a new number. All of that happens under one lock, so that two workers never see half of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from mlp.environment import without_password
from mlp.errors import UserError
from mlp.files import write_json
from mlp.search.definition import Definition, difference
from mlp.search.journal import JOURNAL, open_storage

DEFINITION, RUNNING = "search.json", "running"
optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study and trial on stderr

#: Names of a trial's user attributes.
POINT, HOST, ALIVE, LOST, REASON, RETRIES = "point", "host", "alive", "lost", "reason", "retries"
BEAT, SILENCE = 30.0, 600.0  # seconds between two signs of life, and without one before another host takes over


class Search:
    """A search and its directory, for reading; `Search.begin` and `Search.join` open one to take part in.

    Raises UserError where `directory` holds no search.
    """

    def __init__(self, directory: Path, storage: BaseStorage | None = None) -> None:
        path = directory / DEFINITION
        try:
            self.description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{directory} holds no search: it has no {DEFINITION}") from None
        except ValueError as error:
            raise UserError(f"{path} is damaged: {error}") from error
        self.directory, self.name = directory, str(self.description["name"])
        self.objectives: list[str] = self.description["objectives"]
        self._held: dict[int, int] = {}
        self._here = f"{socket.gethostname()}:{directory.resolve()}"  # who can see each other's locks

        url = self.description["storage"]
        if url is None and storage is None and not (directory / JOURNAL).exists():
            raise UserError(f"{directory} has lost its {JOURNAL}")
        self.study = optuna.load_study(study_name=self.name, storage=storage or open_storage(directory, url))

    @classmethod
    def begin(cls, directory: Path, definition: Definition) -> Search:
        """Create the search, or open it again and add what is missing. Raises UserError where it is another one."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / RUNNING).mkdir(exist_ok=True)
        with _locked(directory / RUNNING / "search"):
            _check_same(directory, definition)
            storage = open_storage(directory, definition.storage)
            study = optuna.create_study(
                storage=storage,
                study_name=definition.name,
                directions=definition.directions,
                load_if_exists=True,
            )
            described = {"name": definition.name, "storage": _public(definition), **definition.described()}
            write_json(directory / DEFINITION, described)
            search = cls(directory, storage)
            search._enqueue(study, definition)
        return search

    def _enqueue(self, study: optuna.Study, definition: Definition) -> None:
        """Let the points of the plan wait that are not in the study yet."""
        points: list[dict[str, Any]]
        if definition.sampler == "grid":
            points = definition.space.grid()
        else:
            assert definition.trials is not None
            points = [{} for _ in range(definition.trials)]
        there = {trial.user_attrs.get(POINT) for trial in study.get_trials(deepcopy=False)}
        for number, point in enumerate(points):
            if number not in there:
                study.enqueue_trial(point, user_attrs={POINT: number})
        if definition.storage is not None:
            self._drop_doubles()

    def _drop_doubles(self) -> None:
        """Two machines that begin at the same moment both enqueue the plan: each point keeps one trial."""
        kept: set[int] = set()
        trials = [t for t in self.study.get_trials(deepcopy=False) if not t.user_attrs.get(LOST)]
        for trial in sorted(trials, key=lambda t: (t.state == TrialState.WAITING, t.number)):
            point = trial.user_attrs.get(POINT)
            if point in kept and trial.state == TrialState.WAITING:
                storage = self.study._storage
                storage.set_trial_user_attr(trial._trial_id, REASON, "enqueued by two machines")
                storage.set_trial_user_attr(trial._trial_id, LOST, True)
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            elif point is not None:
                kept.add(point)

    # Trials, for workers

    def take(self, definition: Definition) -> optuna.Trial | None:
        """The next trial that waits, now running and locked by this process; None if there is none left."""
        with self._alone():
            self._recover(definition.retries)
            trials = self.study.get_trials(deepcopy=False)
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            if not waiting:
                return None
            self._lock(waiting[0].number)
            self.study.sampler = definition.make_sampler(len(trials) - len(waiting))
            self.study.pruner = definition.make_pruner()
            trial = self.study.ask()
            if trial.number != waiting[0].number:  # another machine was faster, which the lock does not reach
                self._unlock(waiting[0].number)
                self._lock(trial.number)
            trial.set_user_attr(HOST, self._here)
            self.beat(trial)
            return trial

    def beat(self, trial: optuna.Trial) -> None:
        """Tell other machines, which cannot see the lock, that the trial's worker is alive."""
        now = time.time()
        if now - trial.user_attrs.get(ALIVE, 0) > BEAT:
            trial.set_user_attr(ALIVE, now)

    def finish(self, trial: optuna.Trial, state: TrialState, values: list[float] | None, **facts: Any) -> None:
        """Record how a trial ended, and let go of it."""
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        with self._alone():
            self.study.tell(trial, values, state=state)
            self._unlock(trial.number)

    def give_back(self, trial: optuna.Trial) -> None:
        """Let somebody else run the trial from its start, as after Ctrl-C: its point waits again."""
        with self._alone():
            self._requeue(self.study.get_trials(deepcopy=False)[trial.number], "interrupted", 0, 0)
            self._unlock(trial.number)

    def recover(self, retries: int, interrupted: bool = False) -> None:
        """Close the trials whose workers are gone; their points wait again, unless they went too often.

        That the user has `interrupted` the search counts against none.
        """
        with self._alone():
            self._recover(retries, interrupted)

    def _recover(self, retries: int, interrupted: bool = False) -> None:
        now = time.time()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(HOST, self._here) == self._here:
                gone = trial.number not in self._held and not _is_locked(self._running(trial.number))
            else:
                gone = now - trial.user_attrs.get(ALIVE, now) > SILENCE
            if gone:
                reason = "interrupted" if interrupted else "its worker was killed, perhaps for want of memory"
                self._requeue(trial, reason, 0 if interrupted else 1, retries)
                self._running(trial.number).unlink(missing_ok=True)

    def _requeue(self, trial: FrozenTrial, reason: str, count: int, retries: int) -> None:
        """Close a running trial; unless it was given up `retries` times before, its point waits again."""
        times = int(trial.user_attrs.get(RETRIES, 0)) + count
        again = count == 0 or times <= retries
        storage, point = self.study._storage, trial.user_attrs.get(POINT)
        storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        storage.set_trial_user_attr(trial._trial_id, LOST, again)
        # First the new one: a kill between the two must not take a point out of the plan, nor put it in twice.
        later = self.study.get_trials(deepcopy=False)[trial.number + 1 :]
        if again and not any(other.user_attrs.get(POINT) == point for other in later):
            fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            self.study.enqueue_trial(fixed, user_attrs={POINT: point, RETRIES: times})
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _alone(self) -> AbstractContextManager[None]:
        return _locked(self._running("search"))

    def _running(self, number: int | str) -> Path:
        return self.directory / RUNNING / str(number)

    def _lock(self, number: int) -> None:
        descriptor = os.open(self._running(number), os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._held[number] = descriptor

    def _unlock(self, number: int) -> None:
        descriptor = self._held.pop(number)
        self._running(number).unlink(missing_ok=True)
        os.close(descriptor)


def _check_same(directory: Path, definition: Definition) -> None:
    path = directory / DEFINITION
    if not path.exists():
        return
    before = Search(directory, open_storage(directory, definition.storage)).description
    changed = difference(before, {**definition.described(), "storage": _public(definition)})
    if changed and not definition.accept_changes:
        raise UserError(
            f"{directory} holds a search with another definition ({changed}). Choose another search.name, or "
            f"search.changed=accept to go on with the new one"
        )


def _public(definition: Definition) -> str | None:
    """The storage as search.json names it. Who reads it later gives the password by the database's own means."""
    return None if definition.storage is None else without_password(definition.storage)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of `path`; a file that is not there is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def counts(trials: list[FrozenTrial]) -> Mapping[str, int]:
    """How many trials are in each state; lost ones, which wait again under another number, are not counted."""
    names = {
        TrialState.COMPLETE: "done",
        TrialState.RUNNING: "running",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
        TrialState.WAITING: "waiting",
    }
    found = dict.fromkeys(names.values(), 0)
    for trial in trials:
        if not trial.user_attrs.get(LOST):
            found[names[trial.state]] += 1
    return found
