"""What happens around the training loop, which knows only the four events of `Callback`."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlp.base.files import write_text
from mlp.nn import checks
from mlp.training.run import Callback, Run

log = logging.getLogger(__name__)


class CallbackOptions:
    """The options of `training` that are no business of the trainer: which callbacks a run has.

    Args:
        patience: stop after this many epochs without improvement; None: never.
        checkpoint_every: epochs between two checkpoints; the last epoch always leaves one.
        gradient_norm_every: steps between two measurements of the gradient norms; 0: none.
        callbacks: further callbacks, by a name of the user's choice.
    """

    def __init__(
        self,
        patience: int | None = None,
        checkpoint_every: int = 1,
        gradient_norm_every: int = 20,
        callbacks: Mapping[str, Callback] | None = None,
    ) -> None:
        self.patience = None if patience is None else checks.integer("patience", patience, ge=1)
        self.checkpoint_every = checks.integer("checkpoint_every", checkpoint_every, ge=1)
        self.gradient_norm_every = checks.integer("gradient_norm_every", gradient_norm_every, ge=0)
        self.callbacks = dict(callbacks or {})


class GradientNorms(Callback):
    """Adds grad_norm and grad_norm_1 ... grad_norm_L, the mean L2 norms of the gradient of each layer's weights.

    Layer 1 is the first hidden layer, L the output layer; grad_norm is that of all parameters together. Measured
    at every `every`-th step, averaged over the epoch.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._sums: np.ndarray | None = None
        self._count = 0

    def on_batch_end(self, run: Run) -> None:
        if run.step % self.every:
            return
        squares = [float(np.vdot(layer.grad_W, layer.grad_W)) for layer in run.network.layers]
        norms = np.sqrt([float(np.vdot(run.network.grad, run.network.grad)), *squares])
        self._sums = norms if self._sums is None else self._sums + norms
        self._count += 1

    def on_epoch_end(self, run: Run) -> None:
        names = ["grad_norm", *(f"grad_norm_{i + 1}" for i in range(len(run.network.layers)))]
        means = np.full(len(names), np.nan) if self._sums is None else self._sums / self._count
        run.metrics |= dict(zip(names, map(float, means), strict=True))
        self._sums, self._count = None, 0


class EarlyStopping(Callback):
    """Stops the run when the best epoch lies `patience` epochs back."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_run_start(self, run: Run) -> None:
        self.on_epoch_end(run)  # a resumed run may have been stopped already

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch - run.best_epoch >= self.patience:
            run.stop = True
            run.stop_reason = f"no improvement for {self.patience} epochs"
            log.info("Early stopping after epoch %d: %s.", run.epoch, run.stop_reason)


class MetricsFile(Callback):
    """Keeps `metrics.csv` in the run directory: a header and a row per finished epoch.

    The file is replaced as a whole, so that a crash leaves complete rows and a resumed run no row twice.
    """

    def on_epoch_end(self, run: Run) -> None:
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, fieldnames=list(run.history[-1]), restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(run.history)
        write_text(run.directory / "metrics.csv", text.getvalue())


class ModelCheckpoint(Callback):
    """Calls `save(run)` at the end of each epoch that is the best so far; of each, where nothing is monitored."""

    def __init__(self, save: Callable[[Run], Any]) -> None:
        self.save = save

    def on_epoch_end(self, run: Run) -> None:
        if run.best_epoch == run.epoch:
            self.save(run)
