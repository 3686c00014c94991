"""What a task tells the search that runs it. Outside of a search nothing is told to anyone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class Reporter:
    """Hands the reports of a running trial on to its study.

    Args:
        trial: the trial.
        objective: what is reported; None where nothing can be pruned by it.
        step_name: what its steps are.
        heartbeat: called at each report.
    """

    def __init__(
        self, trial: optuna.Trial, objective: str | None, step_name: str, heartbeat: Callable[[], None]
    ) -> None:
        self.trial, self.objective, self.step_name, self.heartbeat = trial, objective, step_name, heartbeat
        self.pruned = ""  # why, once it is

    def report(self, step: int, value: float | None, prune: bool) -> None:
        from optuna import TrialPruned

        self.heartbeat()
        if self.objective is None or value is None or not math.isfinite(value):
            return
        self.trial.report(value, step)
        if prune and self.trial.should_prune():
            reached = f"{self.objective} {value:.4g}"
            self.pruned = f"pruned after {self.step_name} {step}: {reached} is too far behind the other trials"
            log.info("Trial %d %s.", self.trial.number, self.pruned)
            raise TrialPruned(self.pruned)


_reporter: Reporter | None = None  # of the trial that this process runs


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Let `report` report to `reporter` within the block."""
    global _reporter
    _reporter = reporter
    try:
        yield
    finally:
        _reporter = None


def report(step: int, value: float | None, prune: bool = True) -> None:
    """Tell the search the objective after a step; None: only that the trial is alive.

    Raises optuna.TrialPruned where the trial looks hopeless, but not with prune=False, as after the last step.
    """
    if _reporter is not None:
        _reporter.report(step, value, prune)
