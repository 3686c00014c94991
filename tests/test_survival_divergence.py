"""A diverging run is stopped with advice, and never passes for a good one."""

from pathlib import Path

import numpy as np
import pytest
from runs import Ended, best_model, metrics, run, summary

COMMAND = ("-d", "digits", "-sz", "32", "-o", "sgd", "--no_wandb", "hydra.run.dir=run")


def diverged(ended: Ended, directory: Path) -> None:
    assert ended.err.startswith("Error: the training loss became ")
    assert "smaller optimizer.learning_rate" in ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "Warning" not in ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err
    assert (directory / "checkpoint.npz").exists()
    assert summary(directory)["status"] == "diverged"
    assert summary(directory)["reason"] in ended.err


@pytest.mark.parametrize("rate", ["1e6", "1e20"])
def test_divergence_in_the_first_epoch(tmp_path: Path, rate: str) -> None:
    ended = run(tmp_path, *COMMAND, "-lr", rate, code=3)
    diverged(ended, tmp_path / "run")
    assert "in epoch 1, step " in ended.err
    assert f"learning rate {float(rate):g}" in ended.err


def test_divergence_later_keeps_every_finished_epoch(tmp_path: Path) -> None:
    run(tmp_path, *COMMAND, "-e", "2", "-lr", "0.1")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("metrics.csv", "best_model.npy")}
    # The same run, continued by somebody who hopes for much.
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("learning_rate: 0.1", "learning_rate: 1.0e+20"))
    ended = run(tmp_path, "resume=run", "-e", "5", code=3)
    diverged(ended, tmp_path / "run")
    assert "in epoch 3, step 44 " in ended.err
    assert len(metrics(tmp_path / "run")) == 2
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before
    assert summary(tmp_path / "run")["best_epoch"] == 2


@pytest.mark.parametrize(("monitor", "fraction"), [("val_f1", "0.1"), ("val_loss", "0.1"), ("null", "0")])
def test_a_last_step_into_nothing_is_divergence_too(tmp_path: Path, monitor: str, fraction: str) -> None:
    # One step an epoch: its loss is that of the initial weights, and finite; the weights after it are not.
    command = (*COMMAND, "-e", "1", "-b", "2000", "-lr", "1e38", f"training.monitor={monitor}")
    ended = run(tmp_path, *command, f"dataset.validation_fraction={fraction}", code=3)
    assert "Warning" not in ended.err
    assert summary(tmp_path / "run")["status"] == "diverged"
    if (tmp_path / "run" / "best_model.npy").exists():
        assert all(np.isfinite(array).all() for array in best_model(tmp_path / "run").values())


def test_nan_in_the_data_is_refused_before_training(tmp_path: Path) -> None:
    x = np.ones((20, 3), np.float32)
    y = np.arange(20) % 2
    x[7, 1] = np.nan
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    ended = run(tmp_path, "-d", "npz", "dataset.path=data.npz", "--no_wandb", "hydra.run.dir=run", code=2)
    assert "NaN or infinity in row 7" in ended.err
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_a_point_that_diverges_does_not_end_a_multirun(tmp_path: Path) -> None:
    line = "-m -d digits -e 1 --no_wandb -o sgd -lr 1e30,0.01 hydra.sweep.dir=sweep"
    ended = run(tmp_path, *line.split())
    assert "failed: trial 0: the training loss became" in ended.out
    assert [summary(tmp_path / "sweep" / point)["status"] for point in "01"] == ["diverged", "completed"]
