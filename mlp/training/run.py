"""The state of one training run, which callbacks see and a checkpoint keeps, and the events of a callback."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlp.base.errors import CallbackFailed
from mlp.data import Samples
from mlp.nn.network import MLP
from mlp.nn.optimizers import Optimizer
from mlp.nn.schedules import Schedule
from mlp.nn.types import Array, Labels
from mlp.training.average import WeightAverage

#: Independent sources of randomness, in the order in which a run's seed is spawned into them.
STREAMS = ("init", "split", "shuffle", "augment", "dropout")


def random_streams(seed: int) -> dict[str, np.random.Generator]:
    """One generator per purpose, so that e.g. another batch size does not change the initial weights."""
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(STREAMS, children, strict=True)}


#: In the order of a run.
EVENTS = ("on_run_start", "on_batch_end", "on_epoch_end", "on_run_end")


class Callback:
    """Override what you need. `on_run_end` is always called, after a failure too.

    Within an event, callbacks are called in the order of the run's list: those that add to `run.metrics` come
    before those that write it somewhere.
    """

    def on_run_start(self, run: Run) -> None:
        """Before the first epoch, or before the first after a checkpoint was loaded."""

    def on_batch_end(self, run: Run) -> None:
        """After each update; `run.network.grad` still holds the gradients it was made from."""

    def on_epoch_end(self, run: Run) -> None:
        """After training and validation of an epoch; `run.metrics` is its row."""

    def on_run_end(self, run: Run) -> None:
        """Once, at the end; `run.status`, `run.exit_code` and `run.summary` say how it went."""


@dataclass
class Run:
    """One training run. `epoch` and `step` count what is finished; `metrics` is the row of the latest epoch."""

    directory: Path
    config: dict[str, Any]
    network: MLP
    optimizer: Optimizer
    schedule: Schedule
    random: dict[str, np.random.Generator]
    callbacks: Sequence[Callback] = ()
    train: Samples | None = None  # what it trains on, from the start of the training
    data_sha256: dict[str, str] = field(default_factory=dict)  # of the parts of the data that were read

    epochs: int = 0  # how many are to be trained in all
    steps_per_epoch: int = 0
    epoch: int = 0
    step: int = 0
    batch_loss: float = float("nan")  # of the latest batch
    confusion: Labels | None = None  # (classes, classes) of this epoch's training samples so far
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    average: WeightAverage | None = None

    best_epoch: int = 0
    best_value: float | None = None  # None: nothing is monitored, and the best epoch is the last
    best_loss: float | None = None  # it decides between epochs of the same value
    best_state: Array | None = None  # of the network

    stop: bool = False  # a callback sets it to end the run after this epoch
    stop_reason: str = ""
    pruned: bool = False  # whether a pruner stopped it
    status: str = "running"  # then completed, pruned, interrupted, diverged or failed
    exit_code: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)  # seconds by part, without those before a resume

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds that the block takes to `timing[part]`, also when it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timing[part] = self.timing.get(part, 0.0) + time.perf_counter() - started

    def emit(self, event: str) -> None:
        """Call `event` of every callback, in order.

        One that fails, in a way that names it, ends the run after the others: they keep what is finished.
        """
        failure: CallbackFailed | None = None
        for callback in self.callbacks:
            try:
                getattr(callback, event)(self)
            except CallbackFailed as error:
                failure, self.stop = failure or error, True
        if failure is not None:
            raise failure
