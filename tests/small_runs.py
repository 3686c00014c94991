"""Runs of the training loop itself, on fifty made samples: the network, its data, and what it told."""

from pathlib import Path

import numpy as np

from mlp.data import Samples
from mlp.nn import MLP, SGD, Constant, Optimizer, Schedule
from mlp.training import Callback, Run, random_streams

FEATURES, CLASSES = 6, 3


def some_samples(n: int, first: int = 0) -> Samples:
    """n samples of three overlapping classes, stored among others as bytes."""
    rng = np.random.default_rng(first)
    y = rng.integers(0, CLASSES, 2 * n)
    x = np.clip(rng.normal(90 + 20 * y[:, None], 40, (2 * n, FEATURES)), 0, 255).astype(np.uint8)
    return Samples(x, y, np.sort(rng.permutation(2 * n)[:n]), 255.0)


TRAIN, VALIDATION = some_samples(50, first=1), some_samples(21, first=2)
NOTHING = Samples(TRAIN.x, TRAIN.y, np.empty(0, np.int64), 255.0)


def new_run(
    directory: Path = Path(),
    *callbacks: Callback,
    hidden: tuple[int, ...] = (5, 4),
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
) -> Run:
    random = random_streams(0)
    network = MLP(FEATURES, CLASSES, hidden, rng=random["init"], dtype="float64")
    state = Run(directory, {}, network, optimizer or SGD(0.5), schedule or Constant(), random)
    state.callbacks = callbacks
    return state


class Recorder(Callback):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, int]] = []
        self.rows: list[dict[str, float]] = []

    def on_run_start(self, run: Run) -> None:
        self.events.append(("start", run.epoch, run.step))

    def on_batch_end(self, run: Run) -> None:
        self.events.append(("batch", run.epoch, run.step))

    def on_epoch_end(self, run: Run) -> None:
        self.events.append(("epoch", run.epoch, run.step))
        self.rows.append(dict(run.metrics))
