"""Checkpoints: all that a run needs to go on to the same final bits."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlp.base.arrays import AnyArray, read_npz
from mlp.base.errors import UserError
from mlp.base.files import atomic_write
from mlp.training.average import WeightAverage
from mlp.training.run import Callback, Run

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.npz"
OF_OPTIMIZER = "optimizer."  # the beginning of the names of its arrays
REST = 2**27  # bytes, at most, beside the numbers of the network: the history, the states of the generators
HISTORY_COLUMNS = {
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "train_f1",
}  # of history, at least


def save_checkpoint(run: Run) -> None:
    """Write `checkpoint.npz` into the run directory: parameters, optimizer, random states, best model, history."""
    progress = {
        "epoch": run.epoch,
        "step": run.step,
        "best_epoch": run.best_epoch,
        "best_value": run.best_value,
        "best_loss": run.best_loss,
        "history": run.history,
        "data_sha256": run.data_sha256,
        "random": {name: generator.bit_generator.state for name, generator in run.random.items()},
    }
    arrays = {"state": run.network.state, "progress": np.array(json.dumps(progress))}
    if run.best_state is not None:
        arrays["best_state"] = run.best_state
    if run.average is not None:
        arrays |= {"average": run.average.state, "average.t": np.array(run.average.t)}
        if run.average.initial_share:
            arrays["average.initial"] = run.average.initial
    arrays |= {f"optimizer.{name}": value for name, value in run.optimizer.state().items()}
    with atomic_write(run.directory / CHECKPOINT) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def resume(run: Run) -> None:
    """Continue where the directory's checkpoint left off; without one, from the beginning.

    A run that was killed before its first checkpoint has none. Raises UserError for a damaged checkpoint.
    """
    if (run.directory / CHECKPOINT).exists():
        load_checkpoint(run)
        log.info("Resuming %s after epoch %d.", run.directory, run.epoch)
    else:
        log.info("Resuming %s from the beginning: it was ended before its first checkpoint.", run.directory)


def load_checkpoint(run: Run) -> None:
    """Put `run` back into the state of its directory's checkpoint, once all of that is checked.

    Raises UserError if that cannot be done, and leaves the run as it is.
    """
    path = run.directory / CHECKPOINT
    slots = {*run.optimizer.slots, "state", "best_state", "average", "average.initial"}
    arrays = _read_arrays(path, (2 + len(slots)) * run.network.state.nbytes + REST)
    try:
        progress = json.loads(arrays["progress"].item())
        _check_data(path, _checked_progress(progress, run), run.data_sha256)
        _check_arrays(path, arrays, progress, run)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else repr(error)
        raise UserError(f"{path} is not a checkpoint of this program ({reason})") from error
    run.network.state[...] = arrays["state"]
    run.best_state = arrays["best_state"].copy() if "best_state" in arrays else None
    if "average" in arrays:
        training = run.config["training"]  # of an earlier release without initial_share
        run.average = WeightAverage(run.network, training["ema_decay"], training.get("initial_share", 0.0))
        run.average.state[...], run.average.t = arrays["average"], arrays["average.t"].item()
        if run.average.initial_share:
            run.average.initial[...] = arrays["average.initial"]
    run.optimizer.load_state({name.removeprefix(OF_OPTIMIZER): arrays[name] for name in _of_optimizer(arrays)})
    for name, generator in run.random.items():
        generator.bit_generator.state = progress["random"][name]
    run.epoch, run.step, run.history = progress["epoch"], progress["step"], progress["history"]
    run.best_epoch, run.best_value = progress["best_epoch"], progress["best_value"]
    run.best_loss = progress.get("best_loss")  # earlier releases did not keep it
    run.metrics = dict(run.history[-1]) if run.history else {}


def _of_optimizer(arrays: Mapping[str, Any]) -> list[str]:
    return [name for name in arrays if name.startswith(OF_OPTIMIZER)]


def _checked_progress(progress: Any, run: Run) -> dict[str, str]:
    """The checksums of the data in `progress`. Raises ValueError where something in it cannot be."""
    _require(isinstance(progress, dict), "progress is no mapping")
    epoch, step, history = progress["epoch"], progress["step"], progress["history"]
    _require(_is_count(epoch) and _is_count(step), f"epoch {epoch!r:.40}, step {step!r:.40}: no counts")
    _require(isinstance(history, list) and len(history) == epoch, f"history has no row for each of {epoch} epochs")
    for number, row in enumerate(history, 1):
        fits = isinstance(row, dict) and all(_is_score(value) for value in row.values())
        _require(fits and row.keys() >= HISTORY_COLUMNS and row["epoch"] == number, f"row {number} of history")
    _require(step == (history[-1]["step"] if history else 0), f"step {step} is not that of history")
    best = progress["best_epoch"]
    _require(_is_count(best) and best <= epoch, f"best_epoch {best!r:.40}")
    for name in ("best_value", "best_loss"):
        _require((value := progress.get(name)) is None or _is_score(value), f"{name} {value!r:.40}")
    random = progress["random"]
    _require(isinstance(random, dict) and random.keys() == run.random.keys(), "random has other generators")
    for name, generator in run.random.items():
        _require(_is_state(random[name], generator.bit_generator.state), f"random.{name} cannot be")
    sums = progress.get("data_sha256", {})  # earlier releases did not keep it
    _require(isinstance(sums, dict) and all(isinstance(text, str) for text in sums.values()), "data_sha256")
    return dict(sums)


def _check_arrays(path: Path, arrays: Mapping[str, AnyArray], progress: Mapping[str, Any], run: Run) -> None:
    """Raise UserError for the numbers of another network, ValueError where something cannot be."""
    network, state = run.network, arrays["state"]
    if (state.shape, state.dtype) != (network.state.shape, network.dtype):
        raise UserError(
            f"{path} belongs to another network: {state.size} numbers of {state.dtype}, "
            f"not {network.state.size} of {network.dtype}"
        )
    training = run.config.get("training", {})
    averaged = training.get("ema_decay") is not None
    counters = {f"{OF_OPTIMIZER}{name}": getattr(run.optimizer, name) for name in run.optimizer.counters}
    counters |= {"average.t": 0} if averaged else {}
    for name, now in counters.items():
        value = arrays[name].item()
        fits = _is_count(value) if isinstance(now, int) else _is_score(value) and math.isfinite(value)
        _require(arrays[name].ndim == 0 and fits, f"{name} {value!r:.40}")
    stepped = arrays[f"{OF_OPTIMIZER}t"].item() if "t" in run.optimizer.counters else progress["step"]
    _require(stepped <= progress["step"], f"{OF_OPTIMIZER}t {stepped}, after {progress['step']} steps")
    kept = ["best_state"] * bool(progress["best_epoch"]) + ["average"] * averaged
    kept += ["average.initial"] * (averaged and bool(training.get("initial_share")))
    likes = dict.fromkeys(kept, network.state)
    likes |= dict.fromkeys((f"{OF_OPTIMIZER}{name}" for name in run.optimizer.slots if stepped), network.theta)
    for name, like in likes.items():
        fits = (arrays[name].shape, arrays[name].dtype) == (like.shape, like.dtype)
        _require(fits, f"{name} {arrays[name].dtype} {arrays[name].shape}")
    unknown = arrays.keys() - {"state", "progress", *counters, *likes}
    _require(not unknown, f"{', '.join(sorted(unknown))} {'is' if len(unknown) == 1 else 'are'} unknown")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_score(value: Any) -> bool:
    return type(value) is float or (type(value) is int and value.bit_length() < 1000)


def _is_state(value: Any, like: Mapping[str, Any]) -> bool:
    """Whether `value` can be the state of a generator whose present one is `like`: NumPy's PCG64."""
    if not isinstance(value, dict) or value.keys() != like.keys() or value["bit_generator"] != like["bit_generator"]:
        return False
    inner = value["state"]
    numbers = (inner, ("state", "inc"), 128), (value, ("uinteger",), 32), (value, ("has_uint32",), 1)
    return (
        isinstance(inner, dict)
        and inner.keys() == like["state"].keys()
        and all(type(of[k]) is int and 0 <= of[k] < 2**bits for of, names, bits in numbers for k in names)
        and inner["inc"] % 2 == 1
    )


def _check_data(path: Path, then: dict[str, str], now: dict[str, str]) -> None:
    """Raise UserError if a part of the data has another content than when the run was interrupted."""
    if changed := [part for part in then if then[part] != now.get(part, then[part])]:
        sums = ", ".join(f"{part} {then[part][:12]}... then, {now[part][:12]}... now" for part in changed)
        raise UserError(
            f"the data changed since {path} was written (SHA-256 of {sums}). Restore the file, or say where it is "
            f"with dataset.path=, dataset.test_path= or dataset.data_dir=; with other data, start a new run without "
            f"resume"
        )


def _read_arrays(path: Path, most: int) -> dict[str, AnyArray]:
    try:
        return read_npz(path, most)
    except UserError as error:
        raise UserError(str(error).replace("cannot be read", "cannot be read as a checkpoint", 1)) from error


class Checkpoint(Callback):
    """Writes a checkpoint at the start, every `every` epochs, and after the last epoch."""

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def on_run_start(self, run: Run) -> None:
        if run.epoch == 0:
            save_checkpoint(run)

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.every == 0 or run.epoch == run.epochs or run.stop:
            save_checkpoint(run)
