"""A worker: takes trials one after another, runs them, and records how they ended."""

from __future__ import annotations

import errno
import logging
import math
import os
import statistics
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import TrialState

from mlp import experiment
from mlp.config.resolve import resolve_trial
from mlp.errors import CallbackFailed, Diverged, UserError
from mlp.experiment.directory import discarded_if_refused
from mlp.report import draw_run
from mlp.search.change import REASON
from mlp.search.definition import Definition
from mlp.search.journal import open_storage
from mlp.search.study import Search
from mlp.training import Callback, Run

log = logging.getLogger(__name__)

#: Of a run's summary.json, what the study keeps for tables and pictures.
KEPT = ("val_accuracy", "val_f1", "val_loss", "train_accuracy", "test_accuracy", "test_f1", "test_loss",
        "training_seconds", "total_seconds", "best_epoch", "epochs", "num_parameters")  # fmt: skip


#: Where the disk fails, so would every further trial: the search stops and nothing is counted as a failed trial.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
IDLE = 0.5  # seconds between two looks for a trial that comes back, when none waits but others run


class Orphaned(KeyboardInterrupt):
    """The program that started this worker is gone, or wants it no longer."""


class Report(Callback):
    """Tells the study of each epoch, and ends the run when the pruner says that it is hopeless."""

    def __init__(self, worker: Worker, search: Search, trial: optuna.Trial, metric: str | None) -> None:
        self.worker, self.search, self.trial, self.metric = worker, search, trial, metric

    def on_epoch_end(self, run: Run) -> None:
        self.worker.check_wanted()
        self.search.beat(self.trial)
        value = run.metrics.get(self.metric or "")
        if value is None or not math.isfinite(value):
            return
        self.trial.report(value, run.epoch)
        if run.epoch < run.epochs and self.trial.should_prune():
            run.stop, run.pruned = True, True
            run.stop_reason = (
                f"pruned after epoch {run.epoch}: {self.metric} {value:.4g} is worse than others had then"
            )
            log.info("Trial %d %s.", self.trial.number, run.stop_reason)


@dataclass
class Worker:
    """What a launcher runs, once for each worker: a Hydra task, which can be pickled for other machines.

    Calls return how many trials were finished. `present` is a file that the program which wants the worker removes
    when it ends.
    """

    directory: str
    definition: Definition
    hydra_context: HydraContext
    config: DictConfig
    present: str | None = None  # a file that exists while the command that started the search wants its workers
    # Set by a launcher that forks: the process without which the worker ends, and the signals that came to stop it.
    parent: int | None = None
    interrupted: Sequence[int] = ()

    def __call__(self, _: DictConfig) -> int:
        directory, finished = Path(self.directory), 0
        search = Search(directory, open_storage(directory, self.definition.storage))
        try:
            while (trial := self._next(search)) is not None:
                self._run(search, trial)
                finished += 1
        except BaseException:
            search.give_back()
            if self.wanted() or self.interrupted:
                raise  # otherwise nobody is there to be told
        return finished

    def _next(self, search: Search) -> optuna.Trial | None:
        """The next trial; None when all are done. One that runs elsewhere may come back, so the end is waited for."""
        while True:
            self.check_wanted()
            trial = search.take(self.definition)
            if trial is not None or not search.busy():
                return trial
            time.sleep(IDLE)

    def wanted(self) -> bool:
        """Whether the program that started the worker is still there, and neither of them was interrupted."""
        orphaned = self.parent is not None and os.getppid() != self.parent
        return not orphaned and not self.interrupted and (self.present is None or Path(self.present).exists())

    def check_wanted(self) -> None:
        if not self.wanted():
            raise Orphaned

    def _run(self, search: Search, trial: optuna.Trial) -> None:
        """Run one trial, on each of its seeds, and record it. What goes wrong is recorded too."""
        started, definition = time.time(), self.definition
        summaries: list[dict[str, Any]] = []
        facts: dict[str, Any] = {}
        state, values = TrialState.COMPLETE, None
        try:
            overrides = search.draw(trial, definition)
            for place in range(definition.seeds):
                pruned, summary = self._run_seed(search, trial, overrides, place)
                summaries.append(summary)
                if pruned:
                    state = TrialState.PRUNED
                    break
            values = [self._mean(summaries, name) for name in definition.objectives]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            origin = error.__cause__ if isinstance(error, CallbackFailed) else error
            if isinstance(origin, OSError) and origin.errno in DISK:
                raise origin from None
            state, facts[REASON] = TrialState.FAIL, reason(error)
            if not isinstance(error, Diverged | UserError):
                log.error("Trial %d failed:\n%s", trial.number, traceback.format_exc())
        if state == TrialState.PRUNED:
            facts[REASON] = summaries[-1].get("reason", "pruned")
            values = None  # the study takes the last report
        facts |= means(summaries)
        facts["seconds"] = round(time.time() - started, 3)
        search.finish(trial, state, None if state == TrialState.FAIL else values, **facts)

    def _run_seed(
        self, search: Search, trial: optuna.Trial, overrides: Sequence[str], place: int
    ) -> tuple[bool, dict[str, Any]]:
        """One training run of a trial, in a directory of its own. Returns whether it was pruned, and its summary."""
        single = self.definition.seeds == 1
        subdir = str(trial.number) if single else f"{trial.number}/seed_{self.definition.first_seed + place}"
        own = [] if single else [f"seed={self.definition.first_seed + place}"]
        config = self.hydra_context.config_loader.load_sweep_config(
            self.config, [*overrides, *own, f"hydra.sweep.subdir={subdir}", "hydra/job_logging=quiet"]
        )
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"{trial.number}", trial.number
            config.hydra.sweep.dir = self.directory
        reports = place == 0 and len(self.definition.objectives) == 1
        report = Report(self, search, trial, self.definition.objectives[0] if reports else None)
        directory = Path(self.directory) / subdir
        given: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)

        def run(cfg: DictConfig) -> Run:
            with discarded_if_refused(directory, f"{config.hydra.job.name}.log", named=False):
                resolved = resolve_trial(cfg, Path(self.directory).name)
                plots = experiment.plot_callbacks(resolved, draw_run, default=False)
                return experiment.run(resolved, directory, [report, *plots], given)

        result = run_job(
            task_function=run,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.hydra_context,
        )
        if result.status == JobStatus.FAILED:
            raise result._return_value  # .return_value would also print
        done: Run = result._return_value
        if not (directory / "summary.json").exists():  # a run ends well without it only if it could not be written
            raise OSError(errno.EIO, "The summary of a run could not be written", str(directory / "summary.json"))
        return done.pruned, done.summary

    def _mean(self, summaries: Sequence[dict[str, Any]], name: str) -> float:
        found = [summary.get(name) for summary in summaries]
        if not all(isinstance(value, int | float) for value in found):
            numbers = sorted(key for key, value in summaries[0].items() if isinstance(value, int | float))
            raise UserError(f"search.objectives: {name} is no number of summary.json, which has {', '.join(numbers)}")
        return statistics.fmean(found)  # type: ignore[arg-type]


def means(summaries: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean over the seeds of every number that the study keeps, and its standard deviation where there is one."""
    facts = {}
    for name in KEPT:
        found = [summary[name] for summary in summaries if isinstance(summary.get(name), int | float)]
        if found:
            facts[name] = statistics.fmean(found)
            if len(found) > 1:
                facts[f"{name}_std"] = statistics.stdev(found)
    return facts


def reason(error: BaseException) -> str:
    """Why a trial failed, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, Diverged | UserError | CallbackFailed) else f"{type(error).__name__}: {text}"
