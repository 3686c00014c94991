"""What this program adds to hydra_trials: a trial is a training, its objectives are numbers of summary.json."""

from __future__ import annotations

import errno
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna import TrialPruned

import hydra_trials
from hydra_trials.definition import Definition, Hooks
from hydra_trials.errors import SearchError
from hydra_trials.files import escaped, shown
from hydra_trials.search import Search
from hydra_trials.space import Space, extremes
from mlp import experiment
from mlp.base import paths
from mlp.base.errors import CallbackFailed, Diverged, UserError
from mlp.config.files import RENAMED, renamed
from mlp.config.resolve import resolve, resolve_trial
from mlp.config.user_classes import allowed, allowing
from mlp.experiment import Components
from mlp.experiment.directory import discarded_if_refused
from mlp.report import draw_run
from mlp.searches import results
from mlp.training import Callback, Run, random_streams
from mlp.training.trainer import MONITORS

log = logging.getLogger(__name__)

PARTS = ("val", "test", "train")
SCORES = ("accuracy", "f1", "precision", "recall", "loss")
SECONDS_BESIDE_TRAINING, SECONDS_OF_PLOTS = 0.3, 1.0  # composing, validation, evaluation, files; pictures
TIMED_POINTS, TIMED_STEPS = 6, 20


class ReportCallback(Callback):
    """Reports `objective` after each epoch, and ends the run if the pruner stops it."""

    def __init__(self, objective: str) -> None:
        self.objective = objective

    def on_epoch_end(self, run: Run) -> None:
        try:
            hydra_trials.report(run.epoch, run.metrics.get(self.objective), prune=run.epoch < run.epochs)
        except TrialPruned as pruned:
            run.stop, run.pruned, run.stop_reason = True, True, str(pruned)


def run_trial(cfg: DictConfig, objective: str, modules: Sequence[str] = ()) -> dict[str, Any]:
    """Hydra's task for one run of a trial, which reports `objective` and may use classes of the user's `modules`; its
    summary."""
    with allowing(modules):
        return _run_trial(cfg, objective)


def _run_trial(cfg: DictConfig, objective: str) -> dict[str, Any]:
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    overrides: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    with discarded_if_refused(directory, f"{hydra_config.job.name}.log", named=False):
        config = resolve_trial(cfg, Path(str(hydra_config.sweep.dir)).name, hydra_config.runtime.choices)
        plots = experiment.plot_callbacks(config, draw_run, default=False)
        run = experiment.run(config, directory, [ReportCallback(objective), *plots], overrides)
    if not (directory / "summary.json").exists():  # a run ends well without it only if it could not be written
        raise OSError(errno.EIO, "The summary of a run could not be written", str(directory / "summary.json"))
    return run.summary


class MlpSearch(Hooks):
    """Searches over the configuration of a training."""

    objectives = (
        *(f"{part}_{name}" for part in PARTS for name in SCORES),
        *("training_seconds", "total_seconds", "epochs", "steps", "num_parameters"),
    )
    reported = MONITORS
    step_name = "epoch"
    recorded = (
        *("val_accuracy", "val_f1", "val_loss", "train_accuracy", "test_accuracy", "test_f1", "test_loss"),
        *("training_seconds", "total_seconds", "best_epoch", "epochs", "num_parameters"),
    )
    ignored = ("tracker", "+tracker@", "save.", "plots=")
    expected = (SearchError, UserError, Diverged, CallbackFailed)

    def __init__(self) -> None:
        self._loaded: set[str] = set()  # datasets that are known to be there

    def direction(self, objective: str) -> str:
        """Losses and times are better when smaller, everything else when larger."""
        smaller = objective.endswith(("loss", "seconds", "num_parameters", "epochs", "steps"))
        return "minimize" if smaller else "maximize"

    def recorded_as(self, override: str) -> str:
        key, _, value = override.partition("=")
        former = {new: old for old, new in RENAMED.items()}
        return f"{renamed(key, former)}={value}" if value else override

    def renamed(self, key: str) -> str:
        return renamed(key)

    def prepare(self, config: DictConfig, definition: Definition, directory: Path) -> None:
        """Refuse what would silently replace the values that trials draw, or the model of another trial."""
        varied = {parameter.key for parameter in definition.space.parameters}
        if "activation" in varied and config.model.activations is not None:
            raise SearchError(
                "activation is searched, and model.activations would replace what its trials draw: give one of them"
            )
        for key in sorted({*varied, *definition.space.given}):
            name = key.removeprefix("optimizer_options.")
            if name != key and f"optimizer.{name}" in varied:
                raise SearchError(
                    f"optimizer.{name} is searched, and {key} (--{name}) would replace what its trials draw: "
                    f"give one of them"
                )
        saved: Any = OmegaConf.to_container(config.save, resolve=False)
        for key in (f"save.{name}" for name, path in saved.items() if path is not None and "${" not in str(path)):
            if key not in varied and definition.planned() * definition.seeds > 1:
                raise SearchError(
                    f"{key}: each trial would replace the model of the one before it, and the last would stay, not "
                    f"the best. Leave it out, and copy the best one at the end: "
                    + paths.command("search", "best", str(shown(directory)), "--install", "--to", "FOLDER")
                )
        if os.environ.pop("WANDB_RUN_ID", None):
            print("Note: WANDB_RUN_ID is ignored in a search: each trial is a run of its own.", file=sys.stderr)

    def replaced(self, fixed: Iterable[str]) -> set[str]:
        keys = {key.replace("_options.", ".") for key in fixed if key.startswith("optimizer_options.")}
        return keys | ({"activation"} if "model.activations" in fixed else set())

    def max_resource(self, space: Space, config: DictConfig) -> int:
        """The longest that a trial may run."""
        values = [v for p in space.parameters if p.key == "training.epochs" for v in extremes(p.distribution)]
        epochs = max((value for value in values if isinstance(value, int)), default=config.training.epochs)
        return max(2, epochs) if isinstance(epochs, int) else 2  # others are refused later

    def check(self, config: DictConfig, definition: Definition) -> None:
        if config.resume is not None:
            raise UserError("resume continues a single run; leave out -m / --multirun")
        parts = Components.build(resolve(config))
        if (dataset := str(config.dataset)) not in self._loaded:
            for part in ("train", "test"):
                parts.dataset.load(part)
            self._loaded.add(dataset)
        validated = [name for name in definition.objectives if name.startswith("val_")]
        if validated and getattr(parts.dataset, "validation_fraction", None) == 0:
            raise UserError(
                f"search.objectives: there is no {validated[0]} without validation data. Choose a number of another "
                f"part, as in search.objectives=[train_{validated[0].removeprefix('val_')}], or give "
                f"dataset.validation_fraction > 0"
            )

    def task(self, task_function: TaskFunction, definition: Definition) -> TaskFunction:
        return partial(run_trial, objective=definition.objectives[0], modules=allowed())

    def read_result(self, directory: Path) -> Mapping[str, Any] | None:
        summary = results.read_summary(directory)
        return summary if summary.get("status") == "completed" else None

    def estimate(self, compose: Callable[[Sequence[str]], DictConfig], definition: Definition) -> float:
        """The training of some points, begun for a moment each, and what a run takes beside its training."""
        times, plots = [], False
        for overrides in definition.space.sample(TIMED_POINTS):
            config = compose(overrides)
            with open_dict(config):
                del config["hydra"]
            times.append(_training_seconds(resolve(config)))
            plots = bool(config.plots)
        around = SECONDS_BESIDE_TRAINING + (SECONDS_OF_PLOTS if plots else 0)
        return (statistics.fmean(times) + around) * definition.seeds

    def write(self, search: Search, config: DictConfig, complete: bool) -> None:
        """leaderboard.csv, search.html, and at the end the plots of the best trial. A failed page is only logged."""
        from mlp.searches.page import write_page

        results.write_leaderboard(search)
        if complete and config.get("plots") is not False:
            results.draw_best(search)  # before the page, which links to them
        try:
            write_page(search)
        except Exception as error:  # `python -m mlp.search report` draws it again
            log.error("search.html could not be written: %s: %s", type(error).__name__, error)

    def summary(self, search: Search) -> str:
        return escaped(results.show(search))


class _StepTimer(Callback):
    """Measures steps after the first, which allocates, and then ends the run."""

    def __init__(self) -> None:
        self.started = self.seconds_per_step = 0.0

    def on_batch_end(self, run: Run) -> None:
        if run.step == 1:
            self.started = time.perf_counter()
        else:
            self.seconds_per_step = (time.perf_counter() - self.started) / (run.step - 1)
        if run.step > TIMED_STEPS:
            raise _Timed

    def on_epoch_end(self, run: Run) -> None:
        raise _Timed


class _Timed(Exception):
    """Enough steps are measured."""


def _training_seconds(config: dict[str, Any]) -> float:
    """How long the training of a configuration takes, from its first steps."""
    parts = Components.build(config)
    random = random_streams(parts.seed)
    timer = _StepTimer()
    run = Run(Path(), config, parts.network, parts.optimizer, parts.schedule, random, callbacks=[timer])
    train, validation = parts.dataset.split(random["split"])
    with suppress(_Timed, Diverged):
        parts.trainer.fit(run, train, validation, parts.augment, parts.dataset.image_shape)
    return timer.seconds_per_step * run.steps_per_epoch * parts.trainer.epochs
