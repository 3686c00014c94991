"""Runs that start at the same time: each has a directory of its own, and all share one cache."""

import os
import re
import signal
from pathlib import Path

import pytest
from runs import Ended, Strike, assert_same_run, finish, run, start, summary, wait_until

from mlp.runs.detail import show
from mlp.runs.read import row

COMMAND = ("-d", "digits", "-sz", "16", "-e", "2", "--no_wandb")


@pytest.mark.slow
def test_two_at_once_share_the_cache_and_get_their_own_directories(tmp_path: Path) -> None:
    env = {**os.environ, "MLP_CACHE_DIR": str(tmp_path / "cache")}
    ended = [finish(process) for process in [start(tmp_path, *COMMAND, env=env) for _ in range(2)]]
    assert [e.code for e in ended] == [0, 0]
    directories = {re.search(r"Run directory: (\S+)", e.out)[1] for e in ended}  # type: ignore[index]
    assert len(directories) == 2
    assert_same_run(*(tmp_path / directory for directory in directories))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_one_directory_given_to_two_at_once_goes_to_exactly_one(tmp_path: Path) -> None:
    def compete() -> list[Ended]:
        processes = [start(tmp_path, *COMMAND, "-e", "30", "hydra.run.dir=run") for _ in range(2)]
        return sorted((finish(process) for process in processes), key=lambda ended: ended.code)

    won, lost = compete()
    assert (won.code, lost.code) == (0, 2)
    assert re.match(r"Error: .*run (already holds a run|is being written by another process)", lost.err)
    run(tmp_path, *COMMAND, "-e", "30", "hydra.run.dir=reference")
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def test_the_loser_does_not_take_the_directory_from_the_winner(tmp_path: Path) -> None:
    # The winner stands still where it has claimed the directory, and written nothing yet but its log.
    with start(tmp_path, *COMMAND, "hydra.run.dir=run", strike=Strike("tempfile.mkstemp", 1, "SIGSTOP")) as winner:
        wait_until(winner, lambda: stopped(winner.pid))
        run(tmp_path, *COMMAND, "hydra.run.dir=run", code=2)
        winner.send_signal(signal.SIGCONT)
        out, err = winner.communicate(timeout=300)
    assert winner.returncode == 0, err
    assert "Run directory: run" in out
    assert summary(tmp_path / "run")["status"] == "completed"
    assert (tmp_path / "run" / "train.log").exists()


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_directory_that_holds_a_run_is_not_run_in_again(tmp_path: Path) -> None:
    run(tmp_path, *COMMAND, "hydra.run.dir=run")
    before = {
        path.name: path.read_bytes()
        for path in (tmp_path / "run").iterdir()
        if path.suffix != ".log" and path.is_file()
    }
    refused = run(tmp_path, *COMMAND, "-s", "1", "hydra.run.dir=run", code=2)
    assert re.fullmatch(r"Error: .*already holds a run\. Continue it with resume=.*\n", refused.err)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


def test_a_run_that_is_refused_leaves_no_directory(tmp_path: Path) -> None:
    run(tmp_path, *COMMAND, "optimizer.beta1=2", "hydra.run.dir=run", code=2)
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_before_its_first_epoch_says_why(tmp_path: Path) -> None:
    place = "${oc.env:PLACE}/a.npy"
    saves = [f"save.{name}='{place}'" for name in ("model_path", "config_path")]
    failed = run(tmp_path, *COMMAND, *saves, "hydra.run.dir=run", code=2, env={**os.environ, "PLACE": "secret"})
    assert failed.err == "Error: save.model_path and save.config_path are the same file, secret/a.npy: name two\n"
    assert "the same file" not in failed.out  # once is enough
    written = failed.err[7:-1].replace("secret/a.npy", place)
    assert f"The run has failed: {written}\n" in (tmp_path / "run" / "train.log").read_text()
    assert row(tmp_path / "run")["state"] == "failed"
    assert f"failed after epoch 0 of 2: {written}\n" in show(row(tmp_path / "run"))


def test_files_of_the_user_are_left_alone(tmp_path: Path) -> None:
    mine = [tmp_path / "run" / name for name in ("precious.log", ".editor.tmp")]
    mine[0].parent.mkdir()
    for path in mine:
        path.write_text("precious")
    run(tmp_path, *COMMAND, "-lr", "-1", "hydra.run.dir=run", code=2)
    run(tmp_path, *COMMAND, "hydra.run.dir=run")
    assert [path.read_text() for path in mine] == ["precious", "precious"]
