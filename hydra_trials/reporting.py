"""What a task tells the search that runs it. Outside of a search nothing is told to anyone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Receiver = Callable[[int, float | None, bool], None]
_receive: Receiver | None = None  # of the trial that this process runs


@contextmanager
def reported_to(receive: Receiver) -> Iterator[None]:
    """Let `receive` get what is reported within the block."""
    global _receive
    _receive = receive
    try:
        yield
    finally:
        _receive = None


def report(step: int, value: float | None, prune: bool = True) -> None:
    """Tell the search the objective after a step; None: only that the trial is alive.

    Raises optuna.TrialPruned if the pruner stops the trial, but not with prune=False, as after the last step.
    """
    if _receive is not None:
        _receive(step, value, prune)
