"""`run(config, directory)`: train, measure the best weights on the test set, once, and write down how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from hydra_trials.files import shown, to_file
from hydra_trials.passwords import hidden_in_message
from hydra_trials.signals import Terminated, deferred, sigterm_interrupts
from mlp.base import environment, paths
from mlp.base.errors import CallbackFailed, Diverged, UserError
from mlp.base.files import write_json
from mlp.base.streams import message_of
from mlp.config.build import check_type
from mlp.config.resolve import left_out, trackers_outside, wandb_nodes
from mlp.config.user_classes import allow_flags, foreign
from mlp.config.values import recorded, without_environment
from mlp.data import Samples
from mlp.data.published import downloads
from mlp.experiment.best_model import copy_model, make_room, save_model
from mlp.experiment.components import Components
from mlp.experiment.directory import lock, write_config
from mlp.model_file import Pretrained
from mlp.nn.metrics import temperature, wilson_interval
from mlp.training import Callback, Run, evaluate, random_streams
from mlp.training.callback_wrappers import TrackerCallback, UserCallback
from mlp.training.callbacks import EarlyStopping, GradientNorms, MetricsFile, ModelCheckpoint
from mlp.training.checkpoint import Checkpoint, resume
from mlp.training.predictions import prediction_arrays, save_predictions
from mlp.training.progress import ProgressBar

log = logging.getLogger(__name__)

GUIDELINE_LAYERS, GUIDELINE_NEURONS = 6, 128


def run(
    config: dict[str, Any],
    directory: Path,
    callbacks: Sequence[Callback] = (),
    overrides: Sequence[str] = (),
    progress_bar: bool = False,
) -> Run:
    """Run the experiment of a resolved configuration in `directory`, and return what it did.

    `callbacks` come before the run's own: what they decide at the end of an epoch, the others write down.
    `overrides` are kept in overrides.yaml. `progress_bar`: on a terminal, within each epoch.

    Raises UserError for a mistake in the configuration, Diverged when the loss becomes NaN or infinite, OSError
    when a file cannot be written. What was finished before stays in the run directory.
    """
    parts = Components.build(config)
    are_named = config["resume"] is None or any(word.startswith("dataset=") for word in overrides)
    with downloads(are_named), sigterm_interrupts(), lock(directory, recorded(config), overrides):
        try:
            return _run(directory, config, parts, callbacks, overrides, progress_bar)
        except Exception as error:
            reason = _reason(error, config, overrides)
            to_file(log, f"The run has failed: {reason}")
            if config["resume"] is None and not (directory / "summary.json").exists():  # before its training began
                with suppress(OSError):
                    write_json(directory / "summary.json", {"status": "failed", "reason": reason})
            raise


def _reason(error: BaseException, config: Any, overrides: Sequence[str]) -> str:
    """What ended a run, as it may be written down."""
    return hidden_in_message(without_environment(message_of(error) or type(error).__name__, config), overrides)


class PlotCallback(Callback):
    """Draws the plots at the end of a run, before the trackers copy them: `draw(directory)`."""

    def __init__(self, draw: Callable[[Path], None]) -> None:
        self.draw = draw

    def on_run_end(self, run: Run) -> None:
        if not run.history or run.status not in ("completed", "pruned", "diverged"):
            return
        try:
            self.draw(run.directory)
        except OSError as error:
            log.error("The plots could not be drawn: %s", error)
        except Exception:  # a picture is no reason to lose a run; `python -m mlp.report run DIR` draws it again
            log.exception("The plots could not be drawn.")


def plot_callbacks(config: Mapping[str, Any], draw: Callable[[Path], None], default: bool) -> list[Callback]:
    """What draws the plots of a run, if its configuration wants them; `default` where it leaves that open."""
    check_type("plots", config["plots"], bool | None)
    return [PlotCallback(draw)] if (default if config["plots"] is None else config["plots"]) else []


def _run(
    directory: Path,
    config: dict[str, Any],
    parts: Components,
    callbacks: Sequence[Callback],
    overrides: Sequence[str],
    progress_bar: bool,
) -> Run:
    started, started_at = time.perf_counter(), datetime.now(UTC)
    network, trainer, random = parts.network, parts.trainer, random_streams(parts.seed)
    state = Run(directory, recorded(config), network, parts.optimizer, parts.schedule, random)
    with state.timed("data"):
        train, validation = parts.dataset.split(random["split"])
        state.data_sha256 = parts.dataset.sha256
    # A share may be too small for a sample.
    trainer.check_monitor(len(validation) > 0, config["resume"] is not None, parts.callback_options.patience)
    state.callbacks = [*callbacks, *own_callbacks(parts, progress_bar)]
    if config["resume"]:
        resume(state)
        if trainer.epochs < state.epoch:
            raise UserError(
                f"training.epochs must be >= {state.epoch}, which are trained already. Got {trainer.epochs}"
            )
        for note in left_out(directory, config):
            log.warning("Note: %s.", note)
        write_config(directory, state.config)  # the number of epochs may have changed
    _introduce(parts, len(train), len(validation))
    make_room(config["save"])
    failure: BaseException | None = None
    try:
        trainer.fit(state, train, validation, parts.augment, parts.dataset.image_shape)
        with state.timed("evaluation"):
            _evaluate_best(state, parts, train, validation)
            copy_model(directory, config["save"])
        state.status = "pruned" if state.pruned else "completed"
    except BaseException as error:
        failure = error
        state.status, state.exit_code = _outcome(error)
        state.stop_reason = _reason(error, config, overrides)
    unwritten = _conclude(state, parts, started_at, time.perf_counter() - started)
    if failure is not None:
        _explain(failure, state, overrides)
    if unwritten is not None:
        raise unwritten
    scores = [100 * state.summary[f"test_{name}"] for name in ("accuracy", "precision", "recall", "f1")]
    low, high = wilson_interval(scores[0] / 100, state.summary["test_samples"])
    log.info(
        "Test accuracy %.2f %% (95 %% interval %.2f to %.2f %%), precision %.2f %%, recall %.2f %%, F1 %.2f %% "
        "(macro), loss %.4f, with the weights of epoch %d.",
        scores[0], 100 * low, 100 * high, *scores[1:], state.summary["test_loss"], state.best_epoch,
    )  # fmt: skip
    log.info("Run directory: %s", shown(directory))
    return state


def _outcome(error: BaseException) -> tuple[str, int]:
    """Status and exit code of a run that `error` ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 143 if isinstance(error, Terminated) else 130
    return ("diverged", Diverged.exit_code) if isinstance(error, Diverged) else ("failed", 1)


def _explain(failure: BaseException, state: Run, overrides: Sequence[str]) -> NoReturn:
    """Say how to go on after `failure`, and pass it on."""
    trackers = state.config["tracker"]
    again = ("save.", "tracker") if trackers_outside(trackers) or any(wandb_nodes(trackers)) else ("save.",)
    outside = [word for word in overrides if "${" in word or word.lstrip("+").startswith(again)]
    words = [*allow_flags(foreign(state.config)), f"resume={shown(state.directory)}", *outside]
    go_on = f"Continue with: {paths.command('train', *words)}"
    if isinstance(failure, KeyboardInterrupt):
        log.warning("Interrupted in epoch %d. %s", state.epoch + 1, go_on)
        raise SystemExit(state.exit_code) from failure
    if isinstance(failure, Diverged):
        log.warning("Partial results are in %s.", shown(state.directory))
    else:
        log.warning("Partial results are kept. %s", go_on)
    raise failure


def own_callbacks(parts: Components, progress_bar: bool = False) -> list[Callback]:
    """The callbacks of every run in their order: measure, decide, keep, then show."""
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
        *(TrackerCallback(tracker, f"The tracker {type(tracker).__name__}") for tracker in parts.trackers.values()),
        ProgressBar(progress_bar),
    ]


def _introduce(parts: Components, num_train: int, num_validation: int) -> None:
    network = parts.network
    log.info(
        "%s: %s training and %s validation samples. Network %s, %s parameters, %s.",
        parts.dataset.name, f"{num_train:,}", f"{num_validation:,}", "-".join(map(str, network.sizes)),
        f"{network.theta.size:,}", network.dtype,
    )  # fmt: skip
    activations = list(dict.fromkeys(activation.name for activation in network.activations)) or ["no activation"]
    beside = [
        parts.normalization.name if parts.normalization.name != "none" else "",
        f"dropout {network.dropout:g}" if network.dropout else "",
        "augmented" if parts.augment.active else "",
    ]
    log.info(
        "%s, learning rate %g, schedule %s, %s, loss %s, batch size %d, %d epoch%s.",
        parts.optimizer.name, parts.optimizer.learning_rate, parts.schedule.name,
        ", ".join([*activations, *filter(None, beside)]), network.loss.name, parts.trainer.batch_size,
        parts.trainer.epochs, "s" if parts.trainer.epochs > 1 else "",
    )  # fmt: skip
    if not num_validation and parts.trainer.monitor.startswith("val_"):
        log.info("Note: without validation data there is no best epoch; the last one is kept.")
    if num_validation and isinstance(parts.init, Pretrained):
        log.info("Note: validation scores mean little if %s was trained on these images.", parts.init.path)
    for note in parts.dataset.notes():
        log.warning("Note: %s.", note)
    hidden = network.hidden_sizes
    if len(hidden) > GUIDELINE_LAYERS or max(hidden, default=0) > GUIDELINE_NEURONS:
        log.warning(
            "Note: the assignment's guideline is at most %d hidden layers of at most %d neurons.",
            GUIDELINE_LAYERS, GUIDELINE_NEURONS,
        )  # fmt: skip


def _evaluate_best(state: Run, parts: Components, train: Samples, validation: Samples) -> None:
    """Measure the best weights on all three parts, and write everything that follows from that.

    This is the only place where the test set is used.
    """
    network, dataset = parts.network, parts.dataset
    if state.best_state is not None:
        network.state[...] = state.best_state
    test_samples = dataset.test()
    test = evaluate(network, test_samples)
    state.summary |= test.scores("test_") | evaluate(network, train).scores("train_")
    state.summary["test_samples"] = len(test_samples)
    state.summary["test_calibration_error"] = test.calibration_error
    if len(validation):
        validated = evaluate(network, validation)
        state.summary |= validated.scores("val_")
        state.summary["temperature"] = temperature(validated.logits, validated.y_true)
    save_predictions(state.directory, prediction_arrays(test, test_samples, dataset.class_names, dataset.image_shape))
    save_model(state, parts)


def _conclude(state: Run, parts: Components, started_at: datetime, seconds: float) -> OSError | None:
    """Write summary.json, and tell the callbacks. Nothing here may hide how the run ended: that the file could not be
    written is returned."""
    unwritten = None
    with deferred():  # a signal in the last moments of a run takes nothing away from its record
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
            unwritten = error
    with ExitStack() as stack:  # all of them are told, also after Ctrl-C in the middle of a picture
        for callback in reversed(state.callbacks):
            stack.callback(_tell_end, callback, state)
    return unwritten


def _tell_end(callback: Callback, state: Run) -> None:
    try:
        callback.on_run_end(state)
    except (CallbackFailed, OSError) as error:
        log.error("%s", error)
    except Exception:
        log.exception("%s failed at the end of the run.", type(callback).__name__)
