"""Checkpoints: all that a run needs to go on to the same final bits."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from mlp.errors import UserError
from mlp.files import atomic_write
from mlp.training.average import WeightAverage
from mlp.training.run import Callback, Run

log = logging.getLogger(__name__)

FILE = "checkpoint.npz"


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
    with atomic_write(run.directory / FILE) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def resume(run: Run) -> None:
    """Continue where the directory's checkpoint left off; without one, from the beginning.

    A run that was killed before its first checkpoint has none. Raises UserError for a damaged checkpoint.
    """
    if (run.directory / FILE).exists():
        load_checkpoint(run)
        log.info("Resuming %s after epoch %d.", run.directory, run.epoch)
    else:
        log.info("Resuming %s from the beginning: it was ended before its first checkpoint.", run.directory)


def load_checkpoint(run: Run) -> None:
    """Put `run` back into the state of its directory's checkpoint. Raises UserError if that cannot be done."""
    path = run.directory / FILE
    arrays = _read(path)
    try:
        progress: dict[str, Any] = json.loads(arrays["progress"].item())
        _check_data(path, progress.get("data_sha256", {}), run.data_sha256)
        state, network = arrays["state"], run.network
        if (state.shape, state.dtype) != (network.state.shape, network.dtype):
            raise UserError(
                f"{path} belongs to another network: {state.size} numbers of {state.dtype}, "
                f"not {network.state.size} of {network.dtype}"
            )
        network.state[...] = state
        run.best_state = arrays.get("best_state")
        if "average" in arrays:
            training = run.config["training"]  # of an earlier release without initial_share
            run.average = WeightAverage(network, training["ema_decay"], training.get("initial_share", 0.0))
            run.average.state[...], run.average.t = arrays["average"], arrays["average.t"].item()
            if run.average.initial_share:
                run.average.initial[...] = arrays["average.initial"]
        prefix = "optimizer."
        run.optimizer.load_state({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
        for name, generator in run.random.items():
            generator.bit_generator.state = progress["random"][name]
        run.epoch, run.step, run.history = progress["epoch"], progress["step"], progress["history"]
        run.best_epoch, run.best_value = progress["best_epoch"], progress["best_value"]
        run.best_loss = progress.get("best_loss")  # earlier releases did not keep it
        run.metrics = dict(run.history[-1]) if run.history else {}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a checkpoint of this program ({error!r})") from error


def _check_data(path: Path, then: dict[str, str], now: dict[str, str]) -> None:
    """Raise UserError if a part of the data has another content than when the run was interrupted."""
    if changed := [part for part in then if then[part] != now.get(part, then[part])]:
        sums = ", ".join(f"{part} {then[part][:12]}... then, {now[part][:12]}... now" for part in changed)
        raise UserError(
            f"the data changed since {path} was written (SHA-256 of {sums}). Restore the file, or say where it is "
            f"with dataset.path=, dataset.test_path= or dataset.data_dir=; with other data, start a new run without "
            f"resume"
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except Exception as error:  # a damaged file can fail anywhere in NumPy's parser
        raise UserError(f"{path} cannot be read as a checkpoint: {error}") from error


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
