"""Trouble with the disk: one clear message, and nothing lost that was there before."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from forks import python
from runs import (
    ROOT,
    Ended,
    Strike,
    assert_same_run,
    checkpoint,
    finish,
    metrics,
    plotless,
    run,
    start,
    summary,
    wait_until,
)

COMMAND = ("-d", "digits", "-e", "3", "--no_wandb", "schedule=cosine")  # checkpoints of 175, then 695 kB


LIMITED = """
import os, resource, runpy, sys

size, *sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(cwd: Path, size: int, *arguments: str, **environment: str) -> Ended:
    """Run with a limit on the size of files: writing beyond it fails with EFBIG."""
    words = [LIMITED, str(size), str(ROOT / "train.py"), *plotless(arguments)]
    done = python("-c", *words, cwd=cwd, env={**os.environ, **environment})
    return Ended(done.returncode, done.stdout, done.stderr)


def one_message(ended: Ended, *parts: str, code: int = 1) -> None:
    """The exit code and one line that says what failed, and where."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.out + ended.err
    assert "Logging error" not in ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, ended.err
    for part in parts:
        assert part in errors[0]


def test_no_room_for_the_first_checkpoint(tmp_path: Path) -> None:
    ended = limited(tmp_path, 100_000, *COMMAND, "hydra.run.dir=run")
    one_message(ended, "File too large", "run/checkpoint.npz")
    assert not list((tmp_path / "run").glob(".*"))
    assert summary(tmp_path / "run")["status"] == "failed"
    run(tmp_path, "resume=run")
    run(tmp_path, *COMMAND, "hydra.run.dir=reference")
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def test_no_room_for_a_later_checkpoint_keeps_the_earlier_one(tmp_path: Path) -> None:
    run(tmp_path, *COMMAND, "hydra.run.dir=run", strike=Strike("mlp.nn.optimizers.Optimizer.step", 30), code=-9)
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    for size in (300_000, 600_000):
        one_message(limited(tmp_path, size, "resume=run"), "File too large")
        assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before
        assert [row["epoch"] for row in metrics(tmp_path / "run")] == ["1", "2"]
    assert not list((tmp_path / "run").glob(".*"))
    run(tmp_path, "resume=run")
    run(tmp_path, *COMMAND, "hydra.run.dir=reference")
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_run_is_going_on(tmp_path: Path, small_disk: Path) -> None:
    command = (*COMMAND, "-e", "200", "-sz", "32")
    log = small_disk / "run" / "train.log"
    with start(small_disk, *command, "hydra.run.dir=run") as process:
        wait_until(process, lambda: log.exists() and log.stat().st_size > 5000)
        fill(small_disk / "filler")
        one_message(finish(process), "No space left on device")
    assert 0 < len(metrics(small_disk / "run")) < 200
    assert checkpoint(small_disk / "run").keys() > {"state", "best_state", "optimizer.t"}
    assert not list((small_disk / "run").glob(".*"))

    one_message(finish(start(small_disk, "resume=run")), "No space left on device")

    (small_disk / "filler").unlink()
    run(small_disk, "resume=run")
    run(tmp_path, *command, "hydra.run.dir=reference")
    assert_same_run(small_disk / "run", tmp_path / "reference")


@pytest.mark.parametrize(("directory", "code"), [("file/run", 2), ("/proc/run", 1), ("/dev/full/run", 2)])
def test_a_run_directory_that_cannot_be_created_is_one_message(tmp_path: Path, directory: str, code: int) -> None:
    """A file where a folder should be is the user's mistake."""
    (tmp_path / "file").touch()
    ended = run(tmp_path, *COMMAND, f"hydra.run.dir={directory}", code=code)
    one_message(ended, directory.split("/")[1], code=code)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {**os.environ, "MLP_CACHE_DIR": str(tmp_path / "file" / "cache")}
    ended = run(tmp_path, *COMMAND, "hydra.run.dir=run", env=env)
    assert "the cache cannot be used" in ended.out
    assert "MLP_CACHE_DIR" in ended.out
    assert "Traceback" not in ended.out + ended.err
    run(tmp_path, *COMMAND, "hydra.run.dir=reference")
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def test_a_full_disk_under_the_cache_is_done_without(tmp_path: Path) -> None:
    # 117 kB of digits do not fit; the files of so small a network do.
    cache = str(tmp_path / "cache")
    ended = limited(tmp_path, 100_000, *COMMAND, "-sz", "8", "hydra.run.dir=run", MLP_CACHE_DIR=cache)
    assert "the cache cannot be used" in ended.out
    assert (tmp_path / "run" / "best_model.npy").exists()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_copy_that_cannot_be_saved_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run(tmp_path, *COMMAND, "-msp", "file/model.npy", "hydra.run.dir=run", code=2)
    one_message(ended, "file", code=2)  # a file for a folder: a mistake, as a folder for a file is
    assert "epoch 1/" not in ended.out
