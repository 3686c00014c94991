"""One experiment: a composed configuration becomes objects, they run, and a directory is left behind."""

from __future__ import annotations

import inspect
import logging
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mlp import environment
from mlp.best_model import copy_model, make_room, save_model
from mlp.config import build, check_type
from mlp.data import Augmentation, Dataset, Samples
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.errors import CallbackFailed, Diverged, UserError, unknown
from mlp.files import write_json
from mlp.nn import MLP, Activation, Initializer, Loss, Normalization, Optimizer, Schedule
from mlp.settings import claim, discard_if_empty, save_config, settle, shown
from mlp.training import Callback, Run, Trainer, evaluate, random_streams
from mlp.training.callbacks import (
    CallbackOptions,
    EarlyStopping,
    GradientNorms,
    MetricsFile,
    ModelCheckpoint,
    ProgressBar,
)
from mlp.training.checkpoint import Checkpoint, resume
from mlp.training.guards import TrackerCallback, UserCallback
from mlp.training.predictions import predictions, save_predictions

log = logging.getLogger(__name__)

GUIDELINE_LAYERS, GUIDELINE_NEURONS = 6, 128


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it: ends a run as Ctrl-C does."""


def run(cfg: DictConfig, further: Sequence[Callback] = ()) -> float | None:
    """Run the experiment that Hydra composed. Returns the best value of the monitored metric.

    `further` callbacks come before all others: what they decide at the end of an epoch, the others write down.

    Raises UserError for a mistake in the configuration, Diverged when the loss becomes NaN or infinite, OSError
    when a file cannot be written. What was finished before stays in the run directory.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        config = settle(cfg, directory)
        parts = Parts.build(config)
        with claim(directory, config):
            return _run(directory, config, parts, further)
    except (UserError, OmegaConfBaseException):
        discard_if_empty(directory)
        raise


class PlotCallback(Callback):
    """Draws the plots at the end of a run, before the tracker copies them."""

    def on_run_end(self, run: Run) -> None:
        if not run.history or run.status not in ("completed", "pruned", "diverged"):
            return
        try:
            from mlp.report.run_plots import draw_run

            draw_run(run.directory)
        except Exception:  # a picture is no reason to lose a run; `python -m mlp.report run DIR` draws it again
            log.exception("The plots could not be drawn.")


@dataclass(frozen=True)
class Parts:
    """The objects of an experiment that need no data. Building them checks the whole configuration."""

    dataset: Dataset
    augment: Augmentation
    activation: Activation
    init: Initializer
    loss: Loss
    normalization: Normalization
    network: MLP
    optimizer: Optimizer
    schedule: Schedule
    trainer: Trainer
    callback_options: CallbackOptions
    tracker: Callback
    seed: int

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Parts:
        """Raises UserError for the first thing that is wrong."""
        check_type("seed", config["seed"], int)
        if config["seed"] < 0:
            raise UserError(f"seed must be an integer >= 0. Got {config['seed']}")
        check_type("plots", config["plots"], bool | None)
        kinds = {
            "dataset": Dataset,
            "augment": Augmentation,
            "activation": Activation,
            "init": Initializer,
            "loss": Loss,
            "normalization": Normalization,
            "optimizer": Optimizer,
            "schedule": Schedule,
            "tracker": object,  # a callback by its methods: tracking does not know training
        }
        objects = {group: build(config[group], group, kind) for group, kind in kinds.items()}
        network = build(
            config["model"],
            "model",
            MLP,
            input_size=objects["dataset"].num_features,
            output_size=objects["dataset"].num_classes,
            **{group: objects[group] for group in ("activation", "init", "loss", "normalization")},
            rng=random_streams(config["seed"])["init"],
        )
        trainer, options = build_training(config["training"])
        trainer.check_monitor(
            objects["dataset"].validation_fraction > 0, config["resume"] is not None, options.patience
        )
        if trainer.batch_size < (least := objects["normalization"].least_batch):
            raise UserError(
                f"training.batch_size must be >= {least} with normalization={objects['normalization'].name}. "
                f"Got {trainer.batch_size}"
            )
        augment, shape = objects["augment"], objects["dataset"].image_shape
        if augment.needs_images and not is_picture(shape):
            raise UserError(
                f"augment changes images: samples {PICTURE_SHAPES}. Those of {objects['dataset'].name} are "
                f"{shape or (objects['dataset'].num_features,)}: choose augment=none or augment=mixup"
            )
        callbacks = {f"training.callbacks.{name}": callback for name, callback in options.callbacks.items()}
        for path, callback in {"tracker": objects["tracker"], **callbacks}.items():
            if not hasattr(callback, "on_run_end"):
                raise UserError(f"{path} must be a Callback. Got {type(callback).__name__}")
        return cls(network=network, trainer=trainer, callback_options=options, seed=config["seed"], **objects)


def build_training(node: Mapping[str, Any]) -> tuple[Trainer, CallbackOptions]:
    """What `training` says to the trainer, and what it says of the callbacks around it."""
    trainer, around = (list(inspect.signature(kind).parameters) for kind in (Trainer, CallbackOptions))
    for key in node:
        if key not in ("_target_", *trainer, *around):
            raise UserError(unknown("key", f"training.{key}", [f"training.{name}" for name in (*trainer, *around)]))
    of_callbacks = {key: value for key, value in node.items() if key in around}
    target = f"{CallbackOptions.__module__}.{CallbackOptions.__name__}"
    return (
        build({key: value for key, value in node.items() if key not in around}, "training", Trainer),
        build({"_target_": target, **of_callbacks}, "training", CallbackOptions),
    )


def _run(directory: Path, config: dict[str, Any], parts: Parts, further: Sequence[Callback]) -> float | None:
    started, started_at = time.perf_counter(), datetime.now(UTC)
    network, trainer, random = parts.network, parts.trainer, random_streams(parts.seed)
    state = Run(directory, config, network, parts.optimizer, parts.schedule, random)
    with state.timed("data"):
        train, validation = parts.dataset.split(random["split"])
        state.data_sha256 = parts.dataset.sha256
    # A share may be too small for a sample.
    trainer.check_monitor(len(validation) > 0, config["resume"] is not None, parts.callback_options.patience)
    single = HydraConfig.get().mode == RunMode.RUN
    plots = single if config["plots"] is None else config["plots"]
    state.callbacks = [*further, *callbacks(parts, plots, single)]
    if config["resume"]:
        resume(state)
        if trainer.epochs < state.epoch:
            raise UserError(
                f"training.epochs must be >= {state.epoch}, which are trained already. Got {trainer.epochs}"
            )
        save_config(directory, config)  # the number of epochs may have changed
    _introduce(parts, len(train), len(validation))
    make_room(config["save"])
    failure: BaseException | None = None
    try:
        with _sigterm_interrupts():
            trainer.fit(state, train, validation, parts.augment, parts.dataset.image_shape)
            with state.timed("evaluation"):
                _evaluate_best(state, parts, train, validation)
        state.status = "pruned" if state.pruned else "completed"
    except BaseException as error:
        failure = error
        state.status, state.exit_code = _outcome(error)
        state.stop_reason = str(error) or type(error).__name__
    _conclude(state, parts, started_at, time.perf_counter() - started)
    if failure is not None:
        _explain(failure, state)
    scores = (100 * state.summary[f"test_{name}"] for name in ("accuracy", "precision", "recall", "f1"))
    log.info(
        "Test accuracy %.2f%%, precision %.2f%%, recall %.2f%%, F1 %.2f%% (macro), loss %.4f, with the weights of "
        "epoch %d.",
        *scores,
        state.summary["test_loss"],
        state.best_epoch,
    )
    log.info("Run directory: %s", shown(directory))
    return state.best_value


def _outcome(error: BaseException) -> tuple[str, int]:
    """Status and exit code of a run that `error` ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 143 if isinstance(error, Terminated) else 130
    return ("diverged", Diverged.exit_code) if isinstance(error, Diverged) else ("failed", 1)


def _explain(failure: BaseException, state: Run) -> NoReturn:
    """Say how to go on after `failure`, and pass it on."""
    go_on = f"Continue with: python train.py {shlex.quote(f'resume={shown(state.directory)}')}"
    if isinstance(failure, KeyboardInterrupt):
        log.warning("Interrupted in epoch %d. %s", state.epoch + 1, go_on)
        raise SystemExit(state.exit_code) from failure
    if isinstance(failure, Diverged):
        log.warning("What was finished is kept in %s.", shown(state.directory))
    else:
        log.warning("What was finished is kept. %s", go_on)
    raise failure


def callbacks(parts: Parts, plots: bool = False, bar: bool = True) -> list[Callback]:
    """The run's callbacks in their order: measure, decide, keep, draw, then tell."""
    options = parts.callback_options
    chosen: list[Callback] = [
        UserCallback(callback, f"training.callbacks.{name} ({type(callback).__name__})")
        for name, callback in options.callbacks.items()
    ]
    if options.gradient_norm_every:
        chosen.append(GradientNorms(options.gradient_norm_every))
    if options.patience is not None:
        chosen.append(EarlyStopping(options.patience))
    return [
        *chosen,
        MetricsFile(),
        ModelCheckpoint(lambda run: save_model(run, parts)),
        Checkpoint(options.checkpoint_every),
        *([PlotCallback()] if plots else []),
        TrackerCallback(parts.tracker, f"The tracker {type(parts.tracker).__name__}"),
        ProgressBar(bar),
    ]


def _introduce(parts: Parts, num_train: int, num_validation: int) -> None:
    network = parts.network
    log.info(
        "%s: %s training and %s validation samples. Network %s, %s parameters, %s.",
        parts.dataset.name, f"{num_train:,}", f"{num_validation:,}", "-".join(map(str, network.sizes)),
        f"{network.theta.size:,}", network.dtype,
    )  # fmt: skip
    if not num_validation and parts.trainer.monitor.startswith("val_"):
        log.info("Note: without validation data no epoch can be called the best; the last one is kept.")
    for note in parts.dataset.notes():
        log.warning("Note: %s.", note)
    hidden = network.hidden_sizes
    if len(hidden) > GUIDELINE_LAYERS or max(hidden, default=0) > GUIDELINE_NEURONS:
        log.warning(
            "Note: the assignment's guideline is at most %d hidden layers of at most %d neurons.",
            GUIDELINE_LAYERS,
            GUIDELINE_NEURONS,
        )


def _evaluate_best(state: Run, parts: Parts, train: Samples, validation: Samples) -> None:
    """Measure the best weights on all three parts, and write everything that follows from that.

    This is the only place where the test set is read.
    """
    network, dataset = parts.network, parts.dataset
    if state.best_state is not None:
        network.state[...] = state.best_state
    test_samples = dataset.test()
    test = evaluate(network, test_samples)
    state.summary |= test.scores("test_") | evaluate(network, train).scores("train_")
    if len(validation):
        state.summary |= evaluate(network, validation).scores("val_")
    save_predictions(state.directory, predictions(test, test_samples, dataset.class_names, dataset.image_shape))
    save_model(state, parts)
    copy_model(state.directory, state.config["save"])


def _conclude(state: Run, parts: Parts, started_at: datetime, seconds: float) -> None:
    """Write summary.json, and tell the callbacks. Nothing here may hide how the run ended."""
    training_seconds = sum(row["seconds"] for row in state.history)
    state.summary |= {
        "status": state.status,
        "reason": state.stop_reason,
        "dataset": parts.dataset.name,
        "data_sha256": state.data_sha256,
        "epochs": state.epoch,
        "steps": state.step,
        "best_epoch": state.best_epoch,
        "monitor": parts.trainer.monitor if state.best_value is not None else None,
        "best_value": state.best_value,
        "num_parameters": int(state.network.theta.size),
        "started": started_at.isoformat(timespec="seconds"),
        "total_seconds": round(seconds, 3),
        "training_seconds": round(training_seconds, 3),
        "timing": {part: round(seconds, 3) for part, seconds in state.timing.items()},
        "environment": environment.describe(),
    }
    try:
        write_json(state.directory / "summary.json", state.summary)
    except OSError as error:
        log.error("summary.json could not be written: %s", error)
    with ExitStack() as stack:  # all of them are told, also after Ctrl-C in the middle of a picture
        for callback in reversed(state.callbacks):
            stack.callback(_tell_end, callback, state)


def _tell_end(callback: Callback, state: Run) -> None:
    try:
        callback.on_run_end(state)
    except CallbackFailed as error:
        log.error("%s", error)
    except Exception:
        log.exception("%s failed at the end of the run.", type(callback).__name__)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: signals are the main thread's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
