"""A worker: takes trials one after another, runs them, and records how they ended."""

from __future__ import annotations

import errno
import logging
import math
import os
import statistics
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from optuna.trial import TrialState

from hydra_trials import signals
from hydra_trials.compat import returned, run_task
from hydra_trials.definition import Definition
from hydra_trials.errors import SearchError
from hydra_trials.journal import open_storage
from hydra_trials.locks import is_wanted
from hydra_trials.passwords import without_password
from hydra_trials.queue import Queue
from hydra_trials.reporting import reported_to
from hydra_trials.search import REASON

log = logging.getLogger(__name__)

#: Where the disk fails, so would every further trial: the search stops and nothing is counted as a failed trial.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
STORAGE = "HYDRA_TRIALS_STORAGE"  # of the environment: the database of the search, with its password
#: Between two looks for a trial that comes back, when none waits but others run: most of them end soon.
FIRST_POLL_SECONDS, POLL_SECONDS = 0.05, 0.5


@dataclass
class Worker:
    """What a launcher runs, once for each worker: a Hydra task, which can be pickled for other machines.

    Calls return how many trials were finished. `presence` is the file of the command that wants the worker.
    """

    definition: Definition
    hydra_context: HydraContext
    config: DictConfig
    task_function: TaskFunction
    presence: str

    def __getstate__(self) -> dict[str, Any]:  # engines may pickle it into files
        url = self.definition.storage
        shown = replace(self.definition, storage=url and without_password(url))
        return {**vars(self), "definition": shown}

    def __call__(self, _: DictConfig) -> int:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study and trial on stderr
        directory, finished = Path(self.config.hydra.sweep.dir), 0
        queue = Queue(directory, open_storage(directory, os.environ.get(STORAGE, self.definition.storage)))
        try:
            while (trial := self._next(queue)) is not None:
                self._run(queue, trial)
                finished += 1
        except BaseException:
            queue.release()
            if self.is_wanted() or signals.received:
                raise  # otherwise nobody is there to see it
        return finished

    def _next(self, queue: Queue) -> optuna.Trial | None:
        """The next trial; None when all are done. One that runs elsewhere may come back, so the end is waited for."""
        pause = FIRST_POLL_SECONDS
        while True:
            self.check_wanted()
            trial = queue.ask(self.definition)
            if trial is not None or not queue.trials(TrialState.WAITING, TrialState.RUNNING):
                return trial
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)

    def is_wanted(self) -> bool:
        """Whether the command that started the worker is still there, and neither of them was interrupted."""
        return not signals.received and is_wanted(Path(self.presence))

    def check_wanted(self) -> None:
        if not self.is_wanted():
            raise KeyboardInterrupt

    def _run(self, queue: Queue, trial: optuna.Trial) -> None:
        """Run one trial, on each of its seeds, and record it. What goes wrong is recorded too."""
        started, definition = time.time(), self.definition
        results: list[Mapping[str, Any]] = []
        facts: dict[str, Any] = {}
        state, values = TrialState.COMPLETE, None
        try:
            overrides = queue.suggest(trial, definition)
            for place in range(definition.seeds):
                result, pruned = self._run_seed(queue, trial, overrides, place)
                results.append(result)
                if pruned:
                    state, facts[REASON] = TrialState.PRUNED, result.get(REASON, pruned)
                    break  # the study takes the last report for a value
            else:
                values = [self._mean(results, name) for name in definition.objectives]
                facts |= self._check_constraints(results)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            _check_disk(error)
            if isinstance(error, SystemExit) and error.code in (130, 143):  # an interruption
                raise
            state, values, facts[REASON] = TrialState.FAIL, None, self._reason(error)
            if not isinstance(error, definition.hooks.expected):
                log.error("Trial %d failed:\n%s", trial.number, traceback.format_exc())
        facts |= means(results, definition.hooks.recorded)
        facts["seconds"] = round(time.time() - started, 3)
        queue.tell(trial, state, values, **facts)

    def _run_seed(
        self, queue: Queue, trial: optuna.Trial, overrides: Sequence[str], place: int
    ) -> tuple[Mapping[str, Any], str]:
        """Run the task of a trial once, in a directory of its own. Returns what it found and why it was pruned."""
        definition = self.definition
        subdir, seed = str(trial.number), definition.first_seed + place
        own = []
        if definition.seeds > 1:
            subdir, own = f"{subdir}/seed_{seed}", [f"seed={seed}"]
        overrides = [*overrides, *own, f"hydra.sweep.subdir={subdir}", "hydra/job_logging=trial"]

        pruned = ""
        prunable = place == 0 and len(definition.objectives) == 1

        def receive(step: int, value: float | None, prune: bool) -> None:
            nonlocal pruned
            self.check_wanted()
            queue.heartbeat(trial)
            if not prunable or value is None or not math.isfinite(value):
                return
            trial.report(value, step)
            if prune and trial.should_prune():
                reached = f"{definition.objectives[0]} {value:.4g}"
                pruned = (
                    f"pruned after {definition.hooks.step_name} {step}: {reached} is too far behind the other trials"
                )
                log.info("Trial %d %s.", trial.number, pruned)
                raise optuna.TrialPruned(pruned)

        try:
            with reported_to(receive):
                job = run_task(self.hydra_context, self.task_function, self.config, overrides, trial.number)
            return self._named(returned(job)), pruned
        except optuna.TrialPruned as error:
            return {}, pruned or str(error) or "pruned"

    def _named(self, value: Any) -> Mapping[str, Any]:
        """What a task returned, by name."""
        if isinstance(value, Mapping):
            return value
        values = [value] if isinstance(value, Real) else list(value) if isinstance(value, Iterable) else []
        if len(values) != len(self.definition.objectives):
            raise SearchError(
                f"the task must return a number for each of {', '.join(self.definition.objectives)}. Got {value!r}"
            )
        return dict(zip(self.definition.objectives, values, strict=True))

    def _mean(self, results: Sequence[Mapping[str, Any]], name: str, setting: str = "objectives") -> float:
        found = [result.get(name) for result in results]
        if not all(isinstance(value, Real) for value in found):
            numbers = sorted(key for key, value in results[0].items() if isinstance(value, Real))
            raise SearchError(
                f"{self.definition.node}.{setting}: {name} is not a number of the result. It has {', '.join(numbers)}"
            )
        mean = statistics.fmean(map(float, found))  # type: ignore[arg-type]
        if math.isnan(mean):
            raise SearchError(f"{name} is nan")
        return mean

    def _check_constraints(self, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The constrained numbers, and the reason why the trial is no candidate where one is beyond its bound."""
        bounds = self.definition.constraints
        found = {name: self._mean(results, name, "constraints") for name in bounds}
        broken = [
            f"{name} {found[name]:g} is beyond {bounds[name]:g}" for name in bounds if found[name] > bounds[name]
        ]
        return {**found, **({REASON: ", ".join(broken)} if broken else {})}

    def _reason(self, error: BaseException) -> str:
        """Why a trial failed, in one line."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text if isinstance(error, self.definition.hooks.expected) else f"{type(error).__name__}: {text}"


def _check_disk(error: BaseException) -> None:
    """Raise an error of the disk, also where another one was made of it."""
    for origin in (error, error.__cause__):
        if isinstance(origin, OSError) and origin.errno in DISK_ERRORS:
            raise origin from None


def means(results: Sequence[Mapping[str, Any]], recorded: Sequence[str] | None) -> dict[str, float]:
    """The mean over the seeds of every number that the study keeps, and its standard deviation where there is one."""
    names = list(results[0]) if recorded is None and results else recorded or ()
    facts = {}
    for name in names:
        found = [float(result[name]) for result in results if isinstance(result.get(name), Real)]
        if found:
            facts[name] = statistics.fmean(found)
            if len(found) > 1:
                facts[f"{name}_std"] = statistics.stdev(found)
    return facts
