"""What happens around the training loop, which knows only the four events of `Callback`."""

from __future__ import annotations

import csv
import io
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp.files import atomic_write
from mlp.nn import checks
from mlp.training.run import Callback, Run

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

log = logging.getLogger(__name__)


class CallbackOptions:
    """The options of `training` that are no business of the trainer: which callbacks a run has.

    Args:
        patience: stop after so many epochs without improvement; None: never.
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
        with atomic_write(run.directory / "metrics.csv", "w") as file:
            file.write(text.getvalue())


class ModelCheckpoint(Callback):
    """Calls `save(run)` at the end of each epoch that is the best so far; of each, where nothing is monitored."""

    def __init__(self, save: Callable[[Run], Any]) -> None:
        self.save = save

    def on_epoch_end(self, run: Run) -> None:
        if run.best_epoch == run.epoch:
            self.save(run)


class ProgressBar(Callback):
    """A line per epoch, and on a terminal a live bar within the epoch, unless others write there too."""

    REFRESH = 0.1  # seconds

    def __init__(self, bar: bool = True) -> None:
        self._wanted = bar
        self._bar: Bar | None = None
        self._live = False
        self._due = self._started = 0.0
        self._first_step = 0
        self._loss = 0.0
        self._batches = 0

    def on_run_start(self, run: Run) -> None:
        self._live = self._wanted and sys.stdout.isatty()
        self._started = time.perf_counter()
        self._first_step = run.step

    def on_batch_end(self, run: Run) -> None:
        if not self._live:
            return
        self._loss += run.batch_loss
        self._batches += 1
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + self.REFRESH
            self._show(run, now)

    def _show(self, run: Run, now: float) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        if self._bar is None:
            columns = TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("{task.fields[text]}")
            self._bar = Bar(*columns, transient=True)
            self._bar.add_task("", total=run.steps_per_epoch, epoch=f"{run.epoch + 1}/{run.epochs}", text="")
            self._bar.start()
        per_second = (run.step - self._first_step) / (now - self._started)
        left = (run.epochs * run.steps_per_epoch - run.step) / per_second
        accuracy = f"  val acc {run.metrics['val_accuracy']:.2%}" if "val_accuracy" in run.metrics else ""
        batch_size = run.config.get("training", {}).get("batch_size", 1)
        self._bar.update(
            self._bar.task_ids[0],
            completed=run.step - run.epoch * run.steps_per_epoch,
            text=f"loss {self._loss / self._batches:.4f}{accuracy}  {per_second * batch_size:,.0f} samples/s"
            f"  {int(left) // 60}:{int(left) % 60:02d} left",
        )

    def on_epoch_end(self, run: Run) -> None:
        self._close()
        m = run.metrics
        validation = (
            f"val loss {m['val_loss']:.4f} acc {m['val_accuracy']:.2%} F1 {m['val_f1']:.2%} | "
            if "val_f1" in m
            else ""
        )
        log.info(
            "epoch %*d/%d | train loss %.4f acc %.2f%% | %s%.1f s, %s samples/s%s",
            len(str(run.epochs)), run.epoch, run.epochs, m["train_loss"], 100 * m["train_accuracy"], validation,
            m["seconds"], f"{m['samples_per_second']:,.0f}",
            " | best" if run.best_epoch == run.epoch and run.best_value is not None else "",
        )  # fmt: skip

    def on_run_end(self, run: Run) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._loss, self._batches = 0.0, 0
