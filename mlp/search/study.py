"""A search on the disk: which trials are waiting, running and done, and how none is lost or run twice.

Every trial of the plan is put into the study as a waiting one at the start. A worker takes the first that waits, and
holds the lock of its file in `running/` while it is at work; the system lets go of the lock when the worker dies,
however it dies. A running trial whose lock is free has lost its worker: it is closed as lost, and its point waits
again under a new number. All of that happens under one lock, so that two workers never see half of it, and signals
wait meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from mlp.environment import without_password
from mlp.errors import UserError
from mlp.files import write_json
from mlp.search.change import FIXED, LOST, OBJECTIVES, POINT, REASON, SEEDS, WHOLE, Judge, check_same, newest, renew
from mlp.search.definition import Definition
from mlp.search.journal import JOURNAL, locked, open_storage

DEFINITION, RUNNING = "search.json", "running"
optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study and trial on stderr

HOST, ALIVE, RETRIES = "host", "alive", "retries"  # further names of a trial's user attributes
REMEDY = "Restore it from a copy, or choose another search.name"
#: Of search.json, what reading a search needs.
PARTS = {"name": str, "objectives": list, "storage": str | None, "space": dict}
BEAT, SILENCE = 30.0, 600.0  # seconds between two signs of life, and without one before another host takes over


class Search:
    """A search and its directory, for reading; `Search.begin` and `Search.join` open one to take part in.

    Raises UserError where `directory` holds no search.
    """

    def __init__(self, directory: Path, storage: BaseStorage | None = None) -> None:
        self.description = _description(directory)
        self.directory = directory
        with _readable(directory):
            self.name = str(self.description["name"])
            self.objectives: list[str] = self.description["objectives"]
            self._url = url = self.description["storage"]
        self._held: dict[int, int] = {}
        self._here = f"{socket.gethostname()}:{directory.resolve()}"  # who can see each other's locks

        self._local = url is None  # then all who take part see each other's locks
        if url is None and storage is None and not (directory / JOURNAL).exists():
            raise UserError(f"{directory} has lost its {JOURNAL}. {REMEDY}")
        runs = numbered(directory)  # before the record is read, which then has the trials of all of them
        with _readable(directory):
            storage = storage or open_storage(directory, url)
            study_name = self.description.get("study", self.name)
            if study_name not in optuna.get_all_study_names(storage):
                record = without_password(url) if url else directory / JOURNAL
                raise UserError(
                    f"{record} is damaged, or of another search: it holds no search {self.name}. {REMEDY}"
                )
            self.study = optuna.load_study(study_name=study_name, storage=storage)
            trials = self.study.get_trials(deepcopy=False)
        # A trial is in the record as running before its directory is made.
        if lost := [n for n in runs if n >= len(trials) or trials[n].state == TrialState.WAITING]:
            raise UserError(
                f"{directory} has lost a part of its record, by which trial {min(lost)} has not begun, though its "
                f"run is here. {REMEDY}"
            )

    @classmethod
    def begin(cls, directory: Path, definition: Definition) -> Search:
        """Create the search, or open it again and add what is missing. Raises UserError where it is another one."""
        (directory / RUNNING).mkdir(parents=True, exist_ok=True)
        with locked(directory / RUNNING / "search"), _sqlite_locked(definition.storage):
            described = {"name": definition.name, "storage": _public(definition), **definition.described()}
            before = described
            if (directory / DEFINITION).exists():
                before = _description(directory)
                described["name"] = before["name"]
                check_same(directory, before, described, definition.accept_changes)
                url = definition.storage
                known = cls(directory, None if url is None else open_storage(directory, url))
                storage = known.study._storage
            elif runs := numbered(directory):
                raise UserError(
                    f"{directory} holds runs of trials ({min(runs)} to {max(runs)}), but no {DEFINITION} that says "
                    f"of which search. {REMEDY}"
                )
            else:
                storage = open_storage(directory, definition.storage)
            described["study"] = before.get("study", before["name"])
            if before is described:
                described["study"] = newest(storage, definition.name)
            study = optuna.create_study(
                storage=storage, study_name=described["study"], directions=definition.directions, load_if_exists=True
            )
            if before is described:
                if WHOLE in study.user_attrs:  # other machines know the search
                    before = study.user_attrs[WHOLE]
                    check_same(directory, before, definition.described(), definition.accept_changes)
                else:
                    study.set_user_attr(WHOLE, definition.described())
                write_json(directory / DEFINITION, described)
            search = cls(directory, storage)
            judge = Judge(directory, before, definition)
            if judge.counts_anew(study):
                working = bool(commands(directory))
                search._recover(definition.retries, interrupted=not working)
                described["study"] = renew(storage, search.study, judge, described, working).study_name
            write_json(directory / DEFINITION, described)
            search = cls(directory, storage)
            search._enqueue(definition)
        return search

    def _enqueue(self, definition: Definition) -> None:
        """Let the points of the plan wait that are not in the study yet; those that it lost wait no more."""
        trials = self.study.get_trials(deepcopy=False)
        there = {trial.user_attrs[POINT] for trial in trials}
        counting = [trial for trial in trials if not trial.user_attrs.get(LOST)]
        if definition.sampler != "grid":
            assert definition.trials is not None
            for number in range(definition.trials):
                if number not in there:
                    self.study.enqueue_trial({}, user_attrs={POINT: number})
        else:
            points = {_content(point): point for point in definition.space.grid()}
            known = {_content(_fixed(trial)) for trial in counting}
            new = [point for content, point in points.items() if content not in known]
            for number, point in enumerate(new, 1 + max(there, default=-1)):
                self.study.enqueue_trial(point, user_attrs={POINT: number})
            for trial in trials:
                if trial.state == TrialState.WAITING and _content(_fixed(trial)) not in points:
                    self._close(trial, "no longer part of the search", lost=True)
        if definition.storage is not None:
            self._drop_doubles()

    def _drop_doubles(self) -> None:
        """Two machines that begin at the same moment both enqueue the plan: each point keeps one trial."""
        kept: set[int] = set()
        trials = [t for t in self.study.get_trials(deepcopy=False) if not t.user_attrs.get(LOST)]
        for trial in sorted(trials, key=lambda t: (t.state == TrialState.WAITING, t.number)):
            if trial.user_attrs[POINT] in kept and trial.state == TrialState.WAITING:
                self._close(trial, "enqueued by two machines", lost=True)
            kept.add(trial.user_attrs[POINT])

    # Trials, for workers

    def take(self, definition: Definition) -> optuna.Trial | None:
        """The next trial that waits, now running and locked by this process; None if there is none."""
        with self._alone():
            self._recover(definition.retries)
            trials = self.study.get_trials(deepcopy=False)
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
            self.beat(trial)
            return trial

    def draw(self, trial: optuna.Trial, definition: Definition) -> list[str]:
        """The overrides of a trial that was taken, drawn and recorded.

        One trial at a time: Optuna counts the points of a quasi-random sequence without a lock.
        """
        with self._alone():
            overrides = [*definition.fixed, *definition.space.suggest(trial)]
            trial.set_user_attr("overrides", overrides)
            described = definition.described()
            for name in (OBJECTIVES, FIXED, SEEDS):
                trial.set_user_attr(name, described[name])
            return overrides

    def busy(self) -> bool:
        """Whether trials are waiting or running, here or elsewhere."""
        states = (TrialState.WAITING, TrialState.RUNNING)
        return bool(self.study.get_trials(deepcopy=False, states=states))

    def beat(self, trial: optuna.Trial) -> None:
        """Tell other machines, which cannot see the lock, that the trial's worker is alive."""
        now = time.time()
        if now - trial.user_attrs.get(ALIVE, 0) > BEAT:
            trial.set_user_attr(ALIVE, now)

    def finish(self, trial: optuna.Trial, state: TrialState, values: list[float] | None, **facts: Any) -> None:
        """Record how a trial ended, and let go of it. One that another machine has taken over is no longer ours."""
        with self._alone():
            if self.study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING:
                with suppress(UpdateFinishedTrialError):
                    for name, value in facts.items():
                        trial.set_user_attr(name, value)
                    self.study.tell(trial, values, state=state)
            self._unlock(trial.number)

    def give_back(self) -> None:
        """Let others run, from the start, what this process has begun and not finished: its points wait again."""
        with self._alone():
            for number in list(self._held):
                try:
                    trial = self.study.get_trials(deepcopy=False)[number]
                    if trial.state == TrialState.RUNNING:
                        self._requeue(trial, "interrupted", 0, 0)
                finally:
                    self._unlock(number)

    def recover(self, retries: int, interrupted: bool = False, take_over: bool = False) -> None:
        """Close the trials whose workers are gone; their points wait again, unless they went too often.

        That the user has `interrupted` the search counts against none. With `take_over`, the trials that other hosts
        seem to run are closed too.
        """
        with self._alone():
            self._recover(retries, interrupted, take_over)

    def elsewhere(self) -> dict[str, tuple[int, float]]:
        """Of each other host that runs trials: how many, and when the last of them is taken over if it is silent."""
        until: dict[str, list[float]] = {}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._sees_lock(trial):
                until.setdefault(trial.user_attrs.get(HOST, "another host"), []).append(_heard(trial) + SILENCE)
        return {host: (len(times), max(times)) for host, times in until.items()}

    def _sees_lock(self, trial: FrozenTrial) -> bool:
        """Whether the lock of a running trial says if its worker is alive: also where the directory was moved."""
        host = trial.user_attrs.get(HOST, self._here if self._local else "")
        if self._local:
            return bool(host.partition(":")[0] == socket.gethostname())
        return bool(host == self._here)

    def _recover(self, retries: int, interrupted: bool = False, take_over: bool = False) -> None:
        now = time.time()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            path = self._running(trial.number)
            if self._sees_lock(trial):
                gone = trial.number not in self._held and not _is_locked(path)
                killed = path.exists() and not interrupted
            else:
                gone = take_over or now - _heard(trial) > SILENCE
                killed = not take_over
            if gone and killed:
                self._requeue(trial, "its worker was killed, perhaps for want of memory", 1, retries)
            elif gone:  # interrupted; or its worker let go of it, but could not say so, as when the disk is full
                self._requeue(trial, "interrupted", 0, 0)
            if gone:
                path.unlink(missing_ok=True)

    def _requeue(self, trial: FrozenTrial, reason: str, count: int, retries: int) -> None:
        """Close a running trial; unless it was given up `retries` times before, its point waits again."""
        times = int(trial.user_attrs.get(RETRIES, 0)) + count
        again, point = count == 0 or times <= retries, trial.user_attrs[POINT]
        # First the new one: a kill between the two must not take a point out of the plan, nor put it in twice.
        later = self.study.get_trials(deepcopy=False)[trial.number + 1 :]
        if again and not any(other.user_attrs[POINT] == point for other in later):
            fixed = {**_fixed(trial), **trial.params}
            self.study.enqueue_trial(fixed, user_attrs={POINT: point, RETRIES: times})
        self._close(trial, reason, lost=again)

    def _close(self, trial: FrozenTrial, reason: str, lost: bool) -> None:
        """Another machine may do the same at the same moment; what is closed stays as it is."""
        storage = self.study._storage
        with suppress(UpdateFinishedTrialError):
            storage.set_trial_user_attr(trial._trial_id, REASON, reason)
            storage.set_trial_user_attr(trial._trial_id, LOST, lost)
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self._running("search")), _sqlite_locked(self._url), signals_deferred():
            yield

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


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    """What Optuna raises over a record that it cannot read becomes one message."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AssertionError, OptunaError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"the record of the search in {directory} is damaged: {what}. {REMEDY}") from error


def numbered(directory: Path) -> list[int]:
    """The trials whose runs are in the directory of a search."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]


def _heard(trial: FrozenTrial) -> float:
    """When the worker of a running trial gave its last sign of life."""
    assert trial.datetime_start is not None
    return float(trial.user_attrs.get(ALIVE, trial.datetime_start.timestamp()))


def _description(directory: Path) -> dict[str, Any]:
    path = directory / DEFINITION
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} holds no search: it has no {DEFINITION}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}. {REMEDY}") from error
    known = described if isinstance(described, dict) else {}
    for key, kinds in PARTS.items():
        if not isinstance(known.get(key, Ellipsis), kinds):
            raise UserError(f"{path} is damaged: its {key} is missing or of a wrong type. {REMEDY}")
    return described


def _public(definition: Definition) -> str | None:
    """The storage as search.json names it. Who reads it later gives the password by the database's own means."""
    return None if definition.storage is None else without_password(definition.storage)


def _fixed(trial: FrozenTrial) -> dict[str, Any]:
    """The values that were enqueued for a trial."""
    fixed: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed


def _content(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def commands(directory: Path) -> list[Path]:
    """The files of the commands at work on a search; those of this machine that were killed are removed."""
    prefix = f"command-{socket.gethostname()}-"
    for path in (directory / RUNNING).glob(f"{prefix}*"):
        if not _exists(path.name.removeprefix(prefix)):
            path.unlink(missing_ok=True)
    return list((directory / RUNNING).glob("command-*"))


def _exists(pid: str) -> bool:
    """Whether a process of this machine has the number `pid`."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        pass
    return True


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


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is left."""
    came: list[int] = []

    def defer(number: int, _: object) -> None:
        came.append(number)

    try:
        before = {number: signal.signal(number, defer) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are the main thread's business
        yield
        return
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        if came:
            signal.raise_signal(came[0])


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
