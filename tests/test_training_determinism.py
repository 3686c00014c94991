"""One seed, one result, to the last bit; and each kind of randomness has a stream of its own."""

import signal
from pathlib import Path

import numpy as np
import pytest
from runs import Strike, assert_same_run, best_model, checkpoint, metrics, run

from mlp.config.files import options
from mlp.data import Digits
from mlp.data.batches import Batches
from mlp.training import random_streams

COMMAND = ("-d", "digits", "-e", "2", "-sz", "32", "--no_wandb")


def trained(folder: Path, name: str, *arguments: str) -> Path:
    run(folder, *COMMAND, *arguments, f"hydra.run.dir={name}")
    return folder / name


@pytest.mark.parametrize("optimizer", ["adam", "nag"])
def test_the_same_seed_gives_the_same_bits_twice(tmp_path: Path, optimizer: str) -> None:
    first, again = (trained(tmp_path, name, "-o", optimizer, "-s", "7") for name in ("first", "again"))
    assert_same_run(first, again)


def test_another_seed_gives_other_weights_split_and_metrics(tmp_path: Path) -> None:
    zero, one = (trained(tmp_path, seed, "-s", seed) for seed in ("0", "1"))
    for name, array in best_model(zero).items():
        assert not np.array_equal(array, best_model(one)[name]), name
    for row, other in zip(metrics(zero), metrics(one), strict=True):
        assert all(row[name] != other[name] for name in ("train_loss", "val_loss", "grad_norm_1"))


SLOW = [pytest.param(change, marks=pytest.mark.slow) for change in (("-e", "3"), ("-l", "mse"), ("-a", "tanh"))]


@pytest.mark.parametrize("change", [("-b", "500"), ("-o", "nag"), *SLOW])
def test_initial_weights_and_split_depend_on_the_seed_alone(tmp_path: Path, change: tuple[str, str]) -> None:
    # At a rate that rounds to zero the weights after an epoch are the initial ones. A second epoch is not needed.
    command, second_epoch = (*COMMAND, "-lr", "1e-60"), Strike("mlp.training.callbacks.MetricsFile.on_epoch_end", 2)
    one, other = tmp_path / "one", tmp_path / "other"
    run(tmp_path, *command, "hydra.run.dir=one", strike=second_epoch, code=-signal.SIGKILL)
    run(tmp_path, *command, *change, "hydra.run.dir=other", strike=second_epoch, code=-signal.SIGKILL)
    initial = checkpoint(one)["state"]
    assert np.abs(initial).max() > 0.1
    assert checkpoint(other)["state"].tobytes() == initial.tobytes()
    if change[0] in ("-b", "-e", "-o"):  # then the held-out samples, and only those, decide on the loss
        assert metrics(one)[0]["val_loss"] == metrics(other)[0]["val_loss"]


def test_the_order_of_the_samples_is_another_in_every_epoch_and_for_every_seed() -> None:
    def orders(seed: int) -> list[list[int]]:
        random = random_streams(seed)
        train, _ = Digits(0).split(random["split"])
        batches = Batches(train, 10, 64, random["shuffle"], np.dtype(np.float32))
        return [[int(label) for _, _, labels, _ in batches.epoch() for label in labels] for _ in range(2)]

    first, again, other = orders(0), orders(0), orders(1)
    assert first == again
    assert len({tuple(order) for order in first + other}) == 4


@pytest.mark.parametrize("schedule", options("schedule"))
def test_every_schedule_has_its_last_rate_in_the_table(tmp_path: Path, schedule: str) -> None:
    rows = metrics(trained(tmp_path, "run", f"schedule={schedule}"))
    assert all(0 < float(row["learning_rate"]) <= 0.001 for row in rows)
