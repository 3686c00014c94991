"""The journal of a search survives kills in the middle of a line and full disks, and none reads half of it."""

import json
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from runs import fork

from hydra_trials.journal import Journal, open_storage
from hydra_trials.locks import locked
from hydra_trials.signals import deferred


def study(directory: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(directory, None), load_if_exists=True)


def lines(directory: Path) -> list[bytes]:
    return (directory / "journal.log").read_bytes().splitlines(keepends=True)


def in_child(work: Callable[[], None]) -> int:
    """Do `work` in a forked process; its exit code, negative after a signal."""
    return fork(work)()


def limit_files(size: int, signal_too: bool) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if signal_too else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_optuna_reads_what_the_journal_writes(tmp_path: Path) -> None:
    ours = study(tmp_path)
    ours.tell(ours.ask(), 1.0)
    ours.enqueue_trial({"x": 2})
    theirs = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    )
    assert [trial.state for trial in theirs.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    assert all(json.loads(line) for line in lines(tmp_path))


@pytest.mark.parametrize("room", [1, 40, 150])
def test_a_kill_in_the_middle_of_a_line_is_healed_by_the_next_writer(tmp_path: Path, room: int) -> None:
    writer = study(tmp_path)
    writer.enqueue_trial({})
    whole = (tmp_path / "journal.log").read_bytes()

    def die() -> None:
        limit_files(len(whole) + room, signal_too=True)
        writer.enqueue_trial({})

    assert in_child(die) == -signal.SIGXFSZ
    torn = (tmp_path / "journal.log").read_bytes()
    assert len(torn) == len(whole) + room
    assert not torn.endswith(b"\n")

    assert len(writer.trials) == 1
    other = study(tmp_path)
    other.enqueue_trial({})
    assert (tmp_path / "journal.log").read_bytes().startswith(whole)
    assert all(json.loads(line) for line in lines(tmp_path))
    assert len(writer.trials) == len(other.trials) == len(study(tmp_path).trials) == 2


@pytest.mark.parametrize("size", [65535, 65536, 65537, 200_000])
def test_a_torn_line_may_be_longer_than_what_is_read_at_once(tmp_path: Path, size: int) -> None:
    study(tmp_path).enqueue_trial({})
    whole = (tmp_path / "journal.log").read_bytes()
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b"x" * size)
    study(tmp_path).enqueue_trial({})
    assert (tmp_path / "journal.log").read_bytes().startswith(whole)
    assert len(study(tmp_path).trials) == 2


def test_a_journal_that_is_nothing_but_half_a_line(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes(b'{"op_co')
    study(tmp_path).enqueue_trial({})
    assert len(study(tmp_path).trials) == 1


def test_without_room_an_append_fails_as_a_whole_names_the_file_and_keeps_nobody_out(tmp_path: Path) -> None:
    writer = study(tmp_path)
    writer.enqueue_trial({})
    before = (tmp_path / "journal.log").read_bytes()

    def fail() -> None:
        limit_files(len(before) + 50, signal_too=False)
        for _ in range(2):  # the lock is free again
            with pytest.raises(OSError, match="File too large") as caught:
                writer.enqueue_trial({})
            assert caught.value.filename == str(tmp_path / "journal.log")
            assert (tmp_path / "journal.log").read_bytes() == before

    assert in_child(fail) == 0
    study(tmp_path).enqueue_trial({})


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    def write() -> None:
        writer = study(tmp_path)
        for _ in range(25):
            writer.tell(writer.ask(), 1.0)

    study(tmp_path)
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            code = 1
            try:
                write()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    found = study(tmp_path).trials
    assert [trial.number for trial in found] == list(range(100))
    assert all(trial.state == TrialState.COMPLETE for trial in found)


@pytest.mark.parametrize(("state", "durable"), [(TrialState.RUNNING, 0), (TrialState.COMPLETE, 1)])
def test_the_end_of_a_trial_is_on_the_disk_when_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: TrialState, durable: int
) -> None:
    running = study(tmp_path)
    trial = running.ask()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    if state == TrialState.RUNNING:
        trial.report(0.5, 1)
    else:
        running.tell(trial, 1.0)
    assert synced == [str(tmp_path / "journal.log")] * durable


def test_a_lock_goes_with_its_holder(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def hold() -> None:
        with locked(tmp_path / "lock"):
            os.write(writing, b"held")
            signal.pause()

    pid = os.fork()
    if pid == 0:
        hold()
    assert os.read(reading, 4) == b"held"
    taken = threading.Event()

    def take() -> None:
        with locked(tmp_path / "lock"):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.wait(0.2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert taken.wait(10)
    thread.join()
    os.close(reading)
    os.close(writing)


def test_a_backend_of_optuna_is_healed_too(tmp_path: Path) -> None:
    """What was begun with Optuna's own journal goes on with ours."""
    path = tmp_path / "journal.log"
    optuna.create_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path)))).enqueue_trial({})
    os.truncate(path, path.stat().st_size - 3)
    Journal(path).append_logs([])
    assert len(study(tmp_path).trials) == 0


# Signals


def test_signals_wait_until_the_block_is_left() -> None:
    done = []

    def work() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with deferred():
        pass


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    done = []

    def work() -> None:
        with deferred():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
