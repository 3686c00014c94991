"""Searches that are struck: afterwards the same command runs exactly what is missing.

What is cut off in the middle of a line is in test_search_journal.py.
"""

import os
import random
import re
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from runs import Ended, Strike, finish, run, start, wait_until
from searches import (
    DIRECTORY,
    SMALL,
    assert_whole,
    begin,
    finished,
    processes,
    states,
    strike,
    trials,
    wait_for_quiet,
)
from test_survival_disk import fill, one_message
from test_survival_interrupt import screen, terminal

GRID = ("optimizer.learning_rate=0.01,0.02,0.03,0.04",)
LONG = (*GRID, "-e", "100")  # trials of about two seconds
STEP = "mlp.nn.optimizers.Optimizer.step"  # 21 times in an epoch


def some_are_done(directory: Path, least: int = 1) -> bool:
    try:
        return (directory / "journal.log").exists() and len(finished(directory)) >= least
    except KeyError:  # the study is not in the journal yet
        return False


def some_run(directory: Path) -> bool:
    """Two trials are in the middle of their training."""
    return len([path for path in directory.glob("*/metrics.csv") if not (path.parent / "summary.json").exists()]) >= 2


def recorded(directory: Path) -> dict[int, Any]:
    """What is finished, and when: must never change."""
    return {trial.number: (trial.state, trial.values, trial.datetime_complete) for trial in finished(directory)}


# Kills


def test_a_killed_worker_is_replaced_and_its_trial_runs_again(tmp_path: Path) -> None:
    struck = Strike(STEP, 60, once=str(tmp_path / "struck"))
    ended = run(tmp_path, *SMALL, *GRID, strike=struck)
    assert states(assert_whole(tmp_path / DIRECTORY, 4)) == ["COMPLETE"] * 4
    lost = [trial for trial in trials(tmp_path / DIRECTORY) if trial.user_attrs.get("lost")]
    assert [trial.user_attrs["reason"] for trial in lost] == ["its worker was killed, perhaps for want of memory"]
    assert re.search(rf"^trial {lost[0].number} lost: .*\(runs again\)", ended.out, re.MULTILINE)
    assert ended.err == ""


def test_a_trial_that_kills_every_worker_is_given_up_and_the_others_are_not(tmp_path: Path) -> None:
    struck = Strike("mlp.nn.activations.Tanh.forward", 5)  # as the system does when the memory is used up
    ended = run(tmp_path, *SMALL, "search.retries=1", "activation=relu,tanh,elu", strike=struck)
    found = assert_whole(tmp_path / DIRECTORY, 3)
    assert states(found) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "killed" in found[1].user_attrs["reason"]
    assert found[1].user_attrs["retries"] == 1
    assert re.search(rf"^failed: trial {found[1].number}: its worker was killed", ended.out, re.MULTILINE)


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(Strike("hydra_trials.queue.write_text"), marks=pytest.mark.slow),  # a study without a definition
        Strike("optuna.study.Study.enqueue_trial", 3),  # half of the plan
        pytest.param(Strike("os.fork", 2), marks=pytest.mark.slow),  # one worker
    ],
    ids=str,
)
def test_a_search_killed_at_its_start(tmp_path: Path, at: Strike) -> None:
    process = begin(tmp_path, *GRID, strike=at)
    assert process.wait(300) == -signal.SIGKILL
    finish(process)
    run(tmp_path, *SMALL, *GRID)
    assert_whole(tmp_path / DIRECTORY, 4)
    wait_for_quiet(process.pid)


@pytest.mark.slow  # it must catch a moment, which a busy machine may miss
def test_a_search_killed_in_its_middle_repeats_nothing_that_is_finished(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    process = begin(tmp_path, *LONG)
    wait_until(process, lambda: some_are_done(directory) and some_run(directory))
    strike(process)
    before = recorded(directory)
    assert 1 <= len(before) < 4
    ended = run(tmp_path, *SMALL, *LONG)
    left = 4 - len(before)
    assert f"{left} trial{'s' * (left > 1)} to run, {len(before)} done before" in ended.out
    assert_whole(directory, 4)
    assert recorded(directory).items() > before.items()
    again = run(tmp_path, *SMALL, *LONG)
    assert "is complete: nothing is left to run" in again.out


def test_orphans_end_by_themselves_and_give_their_trials_back(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    process = begin(tmp_path, *LONG, "-e", "4000")
    wait_until(process, lambda: some_run(directory))
    process.kill()
    finish(process)
    wait_for_quiet(process.pid)
    found = trials(directory)
    assert [trial.user_attrs["reason"] for trial in found if trial.user_attrs.get("lost")] == ["interrupted"] * 2
    assert states(found[-2:]) == ["WAITING"] * 2
    assert [trial.user_attrs["retries"] for trial in found[-2:]] == [0, 0]


def test_what_orphans_still_run_is_waited_for(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    command = ("optimizer.learning_rate=0.01,0.02", "-e", "40")
    first = begin(tmp_path, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(first, lambda: some_run(directory))
    orphans = sorted(set(processes(first.pid)) - {first.pid})
    try:
        for worker in orphans:
            os.kill(worker, signal.SIGSTOP)
        first.kill()
        first.wait()
        second = begin(tmp_path, *command)
        wait_until(second, lambda: len(processes(second.pid)) == 3)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1)
    finally:
        for worker in orphans:
            os.kill(worker, signal.SIGCONT)
    ended = finish(second)
    assert ended.code == 0, ended
    assert_whole(directory, 2)


# Interruptions


def stopped_well(ended: Ended, code: int, directory: Path) -> None:
    assert ended.code == code
    assert re.search(r"^Stopped: \d of 4 trials are done\. The same command continues\.$", ended.out, re.MULTILINE)
    assert "Traceback" not in ended.out + ended.err
    assert ended.err.strip() == "Interrupted."
    assert not [trial for trial in trials(directory) if trial.user_attrs.get("retries", 0) > 0]


@pytest.mark.slow  # it must catch a moment, which a busy machine may miss
@pytest.mark.parametrize("to", ["the group", "the parent"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interruption_stops_at_once_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, to: str
) -> None:
    directory = tmp_path / DIRECTORY
    process = begin(tmp_path, *LONG)
    wait_until(process, lambda: some_run(directory))
    if to == "the group":
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    ended = finish(process)
    stopped_well(ended, 130 if number == signal.SIGINT else 143, directory)
    assert processes(process.pid) == []
    if number == signal.SIGTERM:
        run(tmp_path, *SMALL, *LONG)
        assert_whole(directory, 4)


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    with terminal(tmp_path, *SMALL, *LONG) as tty:
        settings = tty.settings()
        wait_until(tty.process, lambda: some_run(directory) and "running" in tty.shown)
        tty.type(b"\x03")
        assert tty.wait() == 130
        assert tty.settings() == settings
        assert processes(tty.process.pid) == []
    assert tty.shown.rfind("\x1b[?25h") > tty.shown.rfind("\x1b[?25l") > -1  # the cursor, hidden, is back
    assert "Traceback" not in tty.shown
    assert [line for line in screen(tty.shown) if line.endswith("The same command continues.")]


# Disks


def limited(cwd: Path, size: int) -> Ended:
    """A search whose files cannot grow beyond `size`."""
    limit = (size, resource.RLIM_INFINITY)
    return finish(start(cwd, *SMALL, *GRID, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)))


@pytest.mark.parametrize(
    ("size", "file"), [(500, "journal.log"), pytest.param(12_000, "checkpoint.npz", marks=pytest.mark.slow)]
)
def test_no_room_for_a_file_stops_the_search_and_nothing_counts_as_failed(
    tmp_path: Path, size: int, file: str
) -> None:
    directory = tmp_path / DIRECTORY
    one_message(limited(tmp_path, size), "File too large", file)
    assert finished(directory) == []
    run(tmp_path, *SMALL, *GRID)
    assert states(assert_whole(directory, 4)) == ["COMPLETE"] * 4


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_search_is_going_on(small_disk: Path) -> None:
    directory, command = small_disk / DIRECTORY, (*LONG, "search.retries=0")
    process = begin(small_disk, *command)
    wait_until(process, lambda: some_run(directory))
    fill(small_disk / "filler")
    one_message(finish(process), "No space left on device")
    wait_for_quiet(process.pid)
    before = recorded(directory)
    one_message(finish(start(small_disk, *SMALL, *command)), "No space left on device")
    (small_disk / "filler").unlink()
    run(small_disk, *SMALL, *command)
    assert states(assert_whole(directory, 4)) == ["COMPLETE"] * 4
    assert recorded(directory).items() >= before.items()


# Chaos


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1])
def test_chaos(tmp_path: Path, seed: int) -> None:
    """Kills of workers, parents and whole searches at random moments, until 30 have struck; then to the end."""
    chance, directory, points, wanted = random.Random(seed), tmp_path / DIRECTORY, 40, 30
    command = ("search=random", "search/space=none", f"search.trials={points}", "search.retries=100", "-e", "60",
               "optimizer.learning_rate=tag(log,interval(1e-3,1e-1))")  # fmt: skip
    kills = {"worker": 0, "parent": 0, "search": 0}
    before: dict[int, Any] = {}
    sessions = []
    while sum(kills.values()) < wanted:
        process = begin(tmp_path, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sessions.append(process.pid)
        while process.poll() is None and sum(kills.values()) < wanted:
            time.sleep(chance.uniform(0, 2))
            victim = chance.choice(["worker", "worker", "worker", "parent", "search"])
            workers = sorted(set(processes(process.pid)) - {process.pid})
            if process.poll() is not None or (victim == "worker" and not workers):
                continue
            kills[victim] += 1
            if victim == "worker":
                os.kill(chance.choice(workers), signal.SIGKILL)
            elif victim == "parent":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (directory / "journal.log").exists() and (directory / "search.json").exists():
            now = recorded(directory)
            assert now.items() >= before.items()
            before = now
        if len(before) == points:
            break
    last = finish(start(tmp_path, *SMALL, *command), timeout=300)
    assert last.code == 0, last
    for session in sessions:
        wait_for_quiet(session)
    assert states(assert_whole(directory, points)) == ["COMPLETE"] * points
    assert recorded(directory).items() >= before.items()
    lost = len(trials(directory)) - points
    print(f"\n{kills}: {points} trials counted once, {lost} lost and run again")
    assert sum(kills.values()) >= 20
