"""Real searches for the tests: their record, read by Optuna itself, and what must hold for it at the end."""

import csv
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from runs import finish, start, summary

SMALL = ("-m", "-d", "digits", "-e", "2", "model.hidden_sizes=8", "tracker=none", "search.name=s", "search.workers=2")
DIRECTORY = Path("multirun_outputs/s")
FILES = (
    *("config.yaml", "overrides.yaml", "metrics.csv", "best_model.npy", "best_config.json", "checkpoint.npz"),
    *("predictions.npz", "summary.json", "train.log"),
)


def trials(directory: Path) -> list[FrozenTrial]:
    """All trials of a search, those that are lost too."""
    described = directory / "search.json"
    name = json.loads(described.read_text())["study"] if described.exists() else "s"
    storage = JournalStorage(JournalFileBackend(str(directory / "journal.log")))
    return optuna.load_study(study_name=name, storage=storage).trials


def finished(directory: Path) -> list[FrozenTrial]:
    return [trial for trial in trials(directory) if trial.state.is_finished() and not trial.user_attrs.get("lost")]


def assert_whole(directory: Path, points: int) -> list[FrozenTrial]:
    """Every point of the plan has exactly one trial that counts, nothing runs or waits, nothing is locked.

    Returns the trials that count, by their point. What is complete or pruned has a complete directory.
    """
    found = trials(directory)
    counting = assert_trials(found, points)
    assert os.listdir(directory / "running") == ["search"]
    for trial in found:
        if trial.state == TrialState.FAIL:
            assert trial.user_attrs["reason"]
        else:
            status = "pruned" if trial.state == TrialState.PRUNED else "completed"
            assert_complete(directory / str(trial.number), status)
    with (directory / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["trial"]) for row in rows) == list(range(len(found)))
    return counting


def assert_trials(found: Sequence[FrozenTrial], points: int) -> list[FrozenTrial]:
    """All trials have ended, and those that count have every point once. Returns these by their point."""
    assert [trial.number for trial in found] == list(range(len(found)))
    assert all(trial.state.is_finished() for trial in found), [(t.number, t.state) for t in found]
    counting = [trial for trial in found if not trial.user_attrs.get("lost")]
    assert Counter(trial.user_attrs["point"] for trial in counting) == dict.fromkeys(range(points), 1)
    return sorted(counting, key=lambda trial: trial.user_attrs["point"])


def assert_complete(run: Path, status: str) -> None:
    assert [name for name in FILES if not (run / name).exists()] == [], run
    assert summary(run)["status"] == status


def states(found: Sequence[FrozenTrial]) -> list[str]:
    return [trial.state.name for trial in found]


def begin(cwd: Path, *arguments: str, **further: Any) -> subprocess.Popen[str]:
    """Start a search in a session of its own, so that all of its processes can be counted and struck."""
    return start(cwd, *SMALL, *arguments, start_new_session=True, preexec_fn=heed_ctrl_c, **further)


def heed_ctrl_c() -> None:
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # the tests may run in the background, where it is ignored


def processes(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def strike(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    """A signal to the whole group, and wait for the end of the leader."""
    os.killpg(process.pid, number)
    finish(process)


def wait_for_quiet(session: int, seconds: float = 60) -> None:
    """Wait until no process of the session is left."""
    deadline = time.monotonic() + seconds
    while processes(session):
        assert time.monotonic() < deadline, "processes are left over"
        time.sleep(0.02)
