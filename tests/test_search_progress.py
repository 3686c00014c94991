"""What a search shows of itself: how long it still takes, and its lines on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import made_searches
import pytest
from made_searches import trial
from optuna.trial import FrozenTrial, TrialState, create_trial
from runs import start
from searches import DIRECTORY, SMALL, trials

from hydra_trials.progress import STATUS, Progress, status_of, time_left

NOW = datetime(2026, 1, 31, 12)


def ended(seconds: float) -> FrozenTrial:
    return create_trial(value=0.5, user_attrs={"seconds": seconds})


def running(seconds: float) -> FrozenTrial:
    trial = create_trial(state=TrialState.RUNNING)
    trial.datetime_start = NOW - timedelta(seconds=seconds)
    return trial


@pytest.mark.parametrize(
    ("trials", "waiting", "workers", "expected"),
    [
        ([running(5), running(5)], 8, 2, 0),  # nothing has ended: nobody knows
        ([ended(10), running(4)], 0, 2, 6),
        ([ended(10), running(0), running(10)], 8, 2, 50),  # two at a time, one of them about to end
        ([ended(10), ended(30), running(5)], 0, 4, 15),
        ([ended(10), running(25)], 3, 1, 30),  # it takes longer than the mean
        ([ended(10), running(1), running(2), running(3)], 0, 1, 9),  # other machines work at it too
    ],
)
def test_time_left(trials: list[FrozenTrial], waiting: int, workers: int, expected: float) -> None:
    assert time_left(trials, waiting, workers, NOW) == pytest.approx(expected)


def test_it_never_climbs_while_nothing_ends() -> None:
    trials = [ended(10), running(3), running(0)]
    times = [time_left(trials, 7, 2, NOW + timedelta(seconds=after)) for after in range(60)]
    assert times == sorted(times, reverse=True)
    assert times[0] - times[5] == pytest.approx(5)


def test_a_terminal_gets_a_status_area_and_above_it_what_workers_write(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        create_trial(value=0.75, user_attrs={"seconds": 10, "overrides": ["optimizer.learning_rate=0.123456"]}),
        create_trial(state=TrialState.RUNNING, intermediate_values={0: 0.5, 1: 0.625}),
        create_trial(state=TrialState.RUNNING),
        create_trial(state=TrialState.WAITING),
    ]
    for number, one in enumerate(known):
        one.number = number
    search = SimpleNamespace(
        trials=lambda: known, best=lambda _: known[0], objectives=["val_accuracy"],
        point=lambda _: "optimizer.learning_rate=0.1235", varied=lambda t: dict(
            word.split("=") for word in t.user_attrs.get("overrides", ())
        ),
    )  # fmt: skip
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    usual = [os.dup(1), os.dup(2)]
    try:
        os.dup2(end, 1)
        os.dup2(end, 2)
        with os.fdopen(end, "w", closefd=False) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            progress = Progress(search, 2, "epoch")  # type: ignore[arg-type]
            first, *rest = progress.status(known)
            os.write(1, b"\x1b[1mone\x1b[0m\x1b[2J\n")
            subprocess.run(["sh", "-c", "echo two >&2; printf half"], check=True)  # it inherits what the search has
            progress.refresh()
            progress.close()
            progress = Progress(search, 2, "epoch")  # type: ignore[arg-type]
            os.write(1, b"last\n")
            monkeypatch.setattr(search, "trials", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                progress.close()
            print("end", flush=True)
    finally:
        for number, own in enumerate(usual, 1):
            os.dup2(own, number)
    assert first.startswith("1 done  2 running  0 pruned  0 failed  3 left, about ")
    assert rest == [
        "trial 1: epoch 1, 0.625  []",
        "trial 2: begun  []",
        "best trial 0: val_accuracy 0.75  [learning_rate=0.1235]",
    ]
    shown = ""
    while not shown.endswith("end\r\n"):
        shown += os.read(terminal, 65536).decode()
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown).replace("\r", "")
    assert "\x1b[2J" not in shown
    places = [plain.index(word) for word in ("one[2J\n", "two\n", "1 done", "half\n", "last\n", "end\n")]
    assert places == sorted(places)


def test_of_several_objectives_the_pareto_front_is_shown(tmp_path: Path) -> None:
    states = [trial({"lr": 0.1}, [0.5, 9.0]), trial({"lr": 0.2}, [0.7, 5.0]), trial({"lr": 0.3}, [0.6, 2.0])]
    many = made_searches.search(tmp_path, [*states, trial({"lr": 1.0})], objectives=["val_accuracy", "val_loss"])
    first, *rest = Progress(many, 2).status(many.trials())
    assert first == "3 done  0 running  0 pruned  1 failed  0 left"
    assert rest == [
        "Pareto front: 2 of 3 completed trials",
        "best val_accuracy: trial 1: val_accuracy 0.7, val_loss 5  [lr=0.2]",
        "best val_loss: trial 2: val_accuracy 0.6, val_loss 2  [lr=0.3]",
    ]


def test_a_notebook_finds_the_status_among_the_lines_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(STATUS, "1")
    search = made_searches.search(tmp_path, [trial({"lr": 0.1}, 0.5), trial({}, state=TrialState.RUNNING)])
    progress = Progress(search, 2)
    print("half a line", end="")  # a worker's
    progress.close()
    found = [status_of(line) for line in [capsys.readouterr().out.removesuffix("\n"), "a\x1eb"]]
    assert found == [("half a line", progress.status(search.trials())), ("a\x1eb", None)]


def on_a_terminal(cwd: Path, columns: int, *words: str) -> str:
    """What train.py shows on a terminal so wide."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = start(cwd, *words, stdout=end, stderr=end, env={**environment, "TERM": "xterm"})
    os.close(end)
    shown = b""
    with suppress(OSError):  # when all who write to it have ended
        while received := os.read(terminal, 65536):
            shown += received
    os.close(terminal)
    assert process.wait(60) == 0, shown.decode()
    return shown.decode()


def test_on_a_terminal_the_bars_of_trials_stay_away_and_lines_break_between_words(tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, 120, *SMALL, "search=random", "search.trials=2", "search/space=assignment")
    status, board = shown.replace("\r", "").split("what was varied")
    assert " running" in status
    assert "━" not in shown
    varied = [word for trial in trials(tmp_path / DIRECTORY) for word in trial.user_attrs["overrides"]]
    names = {word for word in varied if word.startswith(("activation=", "init=", "loss=", "model.", "optimizer="))}
    assert names - {"model.hidden_sizes=8"} <= set(board.split())
    assert max(len(line) for line in board.splitlines() if str(tmp_path) not in line) <= 120
    assert len([line for line in board.splitlines() if "loss=" in line]) == 2  # none on the next line


def test_a_single_run_shows_its_bar_there(tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, 120, "-d", "digits", "-e", "1", "--no_wandb").partition("train loss")[0]
    assert "left: epoch" in shown
