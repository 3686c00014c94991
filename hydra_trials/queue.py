"""The queue of a search's trials, from which none is lost and none is taken twice.

Every trial of the plan is put into the study as a waiting one at the start. A worker takes the first that waits, and
holds the lock of its file in `running/` while it is at work; the system lets go of the lock when the worker dies,
however it dies. A running trial whose lock is free has lost its worker: it is closed as lost, and its point waits
again under a new number. All of that happens under one lock, so that two workers never see half of it, and signals
wait meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.compat import fail_trial, is_running, storage_of
from hydra_trials.definition import Definition
from hydra_trials.errors import SearchError
from hydra_trials.files import fault_of_places, write_text
from hydra_trials.journal import open_storage
from hydra_trials.locks import RUNNING, acquire, commands, is_locked, locked
from hydra_trials.migration import (
    COMPLETE,
    FIXED,
    OBJECTIVES,
    POINT_PARAMS,
    SEEDS,
    Migration,
    check_same,
    definition_of,
    name_objectives,
    newest,
)
from hydra_trials.passwords import without_password
from hydra_trials.search import (
    LOST,
    OVERRIDES,
    POINT,
    REASON,
    REMEDY,
    SEARCH_FILE,
    Search,
    checked,
    is_lost,
    numbered,
    read_description,
)
from hydra_trials.signals import deferred

WORKERS = "workers"  # the folder of a search for what its launcher keeps of them
HOST, ALIVE, RETRIES = "host", "alive", "retries"  # further names of a trial's user attributes
#: Seconds between two signs of life, and without one before another host takes over, as Optuna calls them.
HEARTBEAT_INTERVAL, GRACE_PERIOD = 30.0, 600.0


class Queue(Search):
    """A search to take part in; `Queue.open` creates it."""

    def __init__(self, directory: Path, storage: BaseStorage | None = None) -> None:
        super().__init__(directory, storage)
        if any(POINT not in trial.user_attrs for trial in self.trials()):
            raise SearchError(f"the record of the search in {directory} is damaged: a trial has no point. {REMEDY}")
        self._held: dict[int, int] = {}  # the locks of the trials of this process
        self._here = f"{socket.gethostname()}:{directory.resolve()}"  # who can see each other's locks
        self._local = self.url is None  # then all who take part see each other's locks

    @classmethod
    def open(cls, directory: Path, definition: Definition) -> Queue:
        """Create the search, or open it again and add what is missing. Raises SearchError where it is another one."""
        if fault := fault_of_places(directory, RUNNING, WORKERS):
            raise SearchError(fault)
        (directory / RUNNING).mkdir(parents=True, exist_ok=True)
        with locked(directory / RUNNING / "search"), _sqlite_locked(definition.storage):
            if (directory / SEARCH_FILE).exists():
                before: Mapping[str, Any] = read_description(directory)
                check_same(directory, before, definition)
                storage = None if definition.storage is None else open_storage(directory, definition.storage)
            else:
                before, storage = _begin(directory, definition)
            queue, working = cls(directory, storage), bool(commands(directory))
            # What was running when the whole search was killed runs again without counting against a trial.
            queue._requeue_lost(definition.retries, interrupted=not working, take_over=definition.take_over)
            with checked(directory):
                study = Migration(directory, before, definition).run(queue.study, queue.name, working)
            _describe(directory, definition, queue.name, study)
            queue = cls(directory, storage_of(study))
            queue._enqueue(definition)
        return queue

    def _enqueue(self, definition: Definition) -> None:
        """Let the points of the plan wait that are not in the study yet; those that it lost wait no more."""
        trials = self.trials()
        there = {trial.user_attrs[POINT] for trial in trials}
        if definition.trials is not None:
            live = {trial.user_attrs[POINT] for trial in trials if not is_lost(trial)}
            for number in range(definition.trials):
                if number not in live:
                    self.study.enqueue_trial({}, user_attrs={POINT: number})
        else:
            points = {_key(point): point for point in definition.space.grid()}
            known = {_key(_enqueued(trial)) for trial in trials if not is_lost(trial)}
            new = [point for key, point in points.items() if key not in known]
            for number, point in enumerate(new, 1 + max(there, default=-1)):
                self.study.enqueue_trial(point, user_attrs={POINT: number})
            for trial in trials:
                if trial.state == TrialState.WAITING and _key(_enqueued(trial)) not in points:
                    self._fail(trial, "no longer part of the search", lost=True)
        if not self._local:
            self._remove_duplicates()

    def _remove_duplicates(self) -> None:
        """Two machines that begin at the same moment both enqueue the plan: each point keeps one trial."""
        kept: set[int] = set()
        trials = [trial for trial in self.trials() if not is_lost(trial)]
        for trial in sorted(trials, key=lambda t: (t.state == TrialState.WAITING, t.number)):
            if trial.user_attrs[POINT] in kept and trial.state == TrialState.WAITING:
                self._fail(trial, "enqueued by two machines", lost=True)
            kept.add(trial.user_attrs[POINT])

    # Trials, for workers

    def ask(self, definition: Definition) -> optuna.Trial | None:
        """The next trial that waits, now running and locked by this process; None if there is none."""
        with self._exclusive():
            trials = self._requeue_lost(definition.retries)
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            if not waiting:
                return None
            self._lock(waiting[0].number)
            salt = 0 if self._local else zlib.crc32(self._here.encode())  # another machine may have counted the same
            self.study.sampler = definition.make_sampler(len(trials) - len(waiting) + salt)
            self.study.pruner = definition.make_pruner()
            trial = self.study.ask()
            if trial.number != waiting[0].number:  # another machine was faster, which the lock does not reach
                self._unlock(waiting[0].number)
                self._lock(trial.number)
            trial.set_user_attr(HOST, self._here)
            self.heartbeat(trial)
            return trial

    def suggest(self, trial: optuna.Trial, definition: Definition) -> list[str]:
        """The overrides of a trial that was asked for, drawn and recorded.

        One trial at a time: Optuna counts the points of a quasi-random sequence without a lock.
        """
        with self._exclusive():
            overrides = [*definition.fixed, *definition.space.suggest(trial)]
            trial.set_user_attr(OVERRIDES, overrides)
            described = definition.described()
            for name in (OBJECTIVES, FIXED, SEEDS):
                trial.set_user_attr(name, described[name])
            return overrides

    def heartbeat(self, trial: optuna.Trial) -> None:
        """Tell other machines, which cannot see the lock, that the trial's worker is alive."""
        now = time.time()
        if now - trial.user_attrs.get(ALIVE, 0) > HEARTBEAT_INTERVAL:
            trial.set_user_attr(ALIVE, now)

    def tell(self, trial: optuna.Trial, state: TrialState, values: list[float] | None, **attributes: Any) -> None:
        """Record how a trial ended, and unlock it. One that another machine has taken over is no longer ours."""
        with self._exclusive():
            if is_running(trial):
                with suppress(UpdateFinishedTrialError):
                    for name, value in attributes.items():
                        trial.set_user_attr(name, value)
                    self.study.tell(trial, values, state=state)
            self._unlock(trial.number)

    def release(self) -> None:
        """Let others run, from the start, what this process has begun and not finished: its points wait again."""
        with self._exclusive():
            for number in list(self._held):
                try:
                    trial = self.trials()[number]
                    if trial.state == TrialState.RUNNING:
                        self._requeue(trial, killed=False)
                finally:
                    self._unlock(number)

    def interrupt(self, retries: int) -> None:
        """Let the points of trials wait again whose workers are gone since the user has interrupted the search."""
        with self._exclusive():
            self._requeue_lost(retries, interrupted=True)

    def other_hosts(self) -> dict[str, tuple[int, float]]:
        """Of each other host that runs trials: how many, and when the last of them is taken over if it is silent."""
        until: dict[str, list[float]] = {}
        for trial in self.trials(TrialState.RUNNING):
            if not self._sees_lock(trial):
                host = trial.user_attrs.get(HOST, "another host")
                until.setdefault(host, []).append(_last_heartbeat(trial) + GRACE_PERIOD)
        return {host: (len(times), max(times)) for host, times in until.items()}

    def _sees_lock(self, trial: FrozenTrial) -> bool:
        """Whether the lock of a running trial says if its worker is alive: also where the directory was moved."""
        host = trial.user_attrs.get(HOST, self._here if self._local else "")
        if self._local:
            return bool(host.partition(":")[0] == socket.gethostname())
        return bool(host == self._here)

    def _requeue_lost(
        self, retries: int, interrupted: bool = False, take_over: bool = False
    ) -> Sequence[FrozenTrial]:
        """Close the trials whose workers are gone; their points wait again, unless they went too often. All trials.

        That the user has `interrupted` the search counts against none. With `take_over`, the trials that other hosts
        seem to run are closed too.
        """
        now, trials, changed = time.time(), self.trials(), False
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                continue
            path = self._lock_file(trial.number)
            if self._sees_lock(trial):
                gone = trial.number not in self._held and not is_locked(path)
                killed = path.exists() and not interrupted
            else:
                gone = take_over or now - _last_heartbeat(trial) > GRACE_PERIOD
                killed = not take_over
            if gone:
                self._requeue(trial, killed, retries)
                path.unlink(missing_ok=True)
                changed = True
        return self.trials() if changed else trials  # each look at them takes as long as there are trials

    def _requeue(self, trial: FrozenTrial, killed: bool, retries: int = 0) -> None:
        """Close a running trial; its point waits again, unless its workers were killed more than `retries` times.

        Those that were not were interrupted, or let go of it and could not say so, as when the disk is full.
        """
        times, point = int(trial.user_attrs.get(RETRIES, 0)) + killed, trial.user_attrs[POINT]
        again = not killed or times <= retries
        # First the new one: a kill between the two must not take a point out of the plan, nor put it in twice. A
        # later trial that is lost itself is no successor: what two machines enqueued is lost, and nothing follows.
        later = [one for one in self.trials()[trial.number + 1 :] if not is_lost(one)]
        if again and not any(one.user_attrs[POINT] == point for one in later):
            params = {**_enqueued(trial), **trial.params}
            self.study.enqueue_trial(params, user_attrs={POINT: point, RETRIES: times})
        reason = "its worker was killed, perhaps for want of memory" if killed else "interrupted"
        self._fail(trial, reason, lost=again)

    def _fail(self, trial: FrozenTrial, reason: str, lost: bool) -> None:
        fail_trial(self.study, trial, **{REASON: reason, LOST: lost})

    # Locks

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with locked(self.directory / RUNNING / "search"), _sqlite_locked(self.url), deferred():
            yield

    def _lock_file(self, number: int) -> Path:
        return self.directory / RUNNING / str(number)

    def _lock(self, number: int) -> None:
        self._held[number] = acquire(self._lock_file(number))

    def _unlock(self, number: int) -> None:
        descriptor = self._held.pop(number)
        self._lock_file(number).unlink(missing_ok=True)
        os.close(descriptor)


def _last_heartbeat(trial: FrozenTrial) -> float:
    """When the worker of a running trial gave its last sign of life."""
    assert trial.datetime_start is not None
    return float(trial.user_attrs.get(ALIVE, trial.datetime_start.timestamp()))


def _enqueued(trial: FrozenTrial) -> dict[str, Any]:
    """The values that were enqueued for a trial."""
    params: dict[str, Any] = trial.system_attrs.get(POINT_PARAMS, {})
    return params


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def _begin(directory: Path, definition: Definition) -> tuple[Mapping[str, Any], BaseStorage]:
    """Begin a search, or join that of other machines: its description, which they may know, and its record."""
    if runs := numbered(directory):
        raise SearchError(
            f"{directory} holds runs of trials ({min(runs)} to {max(runs)}), but no {SEARCH_FILE} that says of which "
            f"search. {REMEDY}"
        )
    with checked(directory):
        storage = open_storage(directory, definition.storage)
        study = optuna.create_study(
            storage=storage, study_name=newest(storage, definition.name), directions=definition.directions,
            load_if_exists=True,
        )  # fmt: skip
        before = definition_of(study) if COMPLETE in study.user_attrs else definition.described()
    check_same(directory, before, definition)
    name_objectives(study, definition)
    study.set_user_attr(COMPLETE, before)
    _describe(directory, definition, definition.name, study)
    return before, storage


def _describe(directory: Path, definition: Definition, name: str, study: optuna.Study) -> None:
    """Write search.json."""
    storage = None if definition.storage is None else without_password(definition.storage)
    described = {"name": name, "storage": storage, **definition.described(), "study": study.study_name}
    write_text(directory / SEARCH_FILE, json.dumps(described, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _sqlite_locked(url: str | None) -> Iterator[None]:
    """The lock of an SQLite database for all directories that share it: Optuna reads and takes a waiting trial in two
    steps, which only other databases make one."""
    file = re.match(r"sqlite[^:]*:///(?:file:)?([^?]+)", url or "")
    if file is None:
        yield
    else:
        place = zlib.crc32(str(Path(file[1]).resolve()).encode())
        with locked(Path(tempfile.gettempdir()) / f"sqlite-{os.getuid()}-{place:08x}.lock"):
            yield
