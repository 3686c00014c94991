"""The training loop."""

import math
import time

import numpy as np

from mlp.base.errors import Diverged, UserError
from mlp.data import Augmentation, Samples
from mlp.data.batches import Batches
from mlp.nn import checks
from mlp.nn.metrics import confusion_matrix, scores
from mlp.nn.types import Array
from mlp.training.average import WeightAverage
from mlp.training.class_weight import ClassWeight, checked_class_weight, of_classes, weigh
from mlp.training.evaluate import evaluate
from mlp.training.run import Callback, Run

MONITORS = ("val_f1", "val_accuracy", "val_loss", "train_f1", "train_accuracy", "train_loss")


class Trainer:
    """Trains a run's network for `epochs` epochs, or fewer if a callback says stop.

    Args:
        epochs: passes over the training data.
        batch_size: samples per step.
        monitor: the metric whose best epoch gives the model to keep: one of MONITORS. Of equal scores the one with
            the lower loss on the same data is better, of equal losses too the first. None: val_f1, or without
            validation data the last epoch, see `check_monitor`.
        max_grad_norm: longest gradient of all parameters together that a step uses; longer ones are scaled down to it
            (Pascanu, Mikolov & Bengio 2013). None: as they are.
        ema_decay: decay of the average of the weights that is validated and kept, see `WeightAverage`; None: the
            weights themselves.
        initial_share: of the initial weights in that average, see `WeightAverage`; for fine-tuning.
        class_weight: how much the samples of a class count in the training loss, which is then a weighted mean over
            each batch (see `Loss`): a weight > 0 for every class, or a mapping from class numbers to weights, 1 where
            a class is missing; "balanced": n / (c n_k) for a class with n_k of the n training samples of c classes.
            None: all the same. What is measured (accuracy, validation and test loss) goes on counting samples.
    """

    def __init__(
        self,
        epochs: int = 10,
        batch_size: int = 64,
        monitor: str | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        initial_share: float = 0.0,
        class_weight: ClassWeight = None,
    ) -> None:
        self.epochs = checks.integer("epochs", epochs, ge=1)
        self.batch_size = checks.integer("batch_size", batch_size, ge=1)
        self.monitor = checks.choice("monitor", MONITORS[0] if monitor is None else monitor, MONITORS)
        self._monitor_given = monitor is not None
        self.max_grad_norm = None if max_grad_norm is None else checks.number("max_grad_norm", max_grad_norm, gt=0)
        self.ema_decay = None if ema_decay is None else checks.number("ema_decay", ema_decay, gt=0, lt=1)
        self.initial_share = checks.number("initial_share", initial_share, ge=0, lt=1)
        if self.initial_share and ema_decay is None:
            raise ValueError(f"initial_share={initial_share:g} needs ema_decay, the average that it is a share of")
        self.class_weight = checked_class_weight(class_weight)

    def check_class_weight(self, num_classes: int, augmentation: Augmentation | None) -> None:
        """Raise UserError if `class_weight` does not fit the classes, or the samples have no class of their own."""
        if self.class_weight is None:
            return
        of_classes(self.class_weight, np.ones(num_classes))
        if augmentation is not None and augmentation.mixup:
            raise UserError(
                f"training.class_weight={self.class_weight} needs samples of one class each, and "
                f"augment.mixup={augmentation.mixup:g} blends samples of two: choose one of them"
            )

    def check_monitor(self, validation: bool, resumed: bool, patience: int | None = None) -> None:
        """Raise UserError if `monitor` or `patience` wants a score that needs validation data, and there are none.

        The `monitor` of a resumed run passes: earlier releases wrote val_f1 where none was given.
        """
        if validation or not self.monitor.startswith("val_"):
            return
        if patience is not None:
            asked = f"training.patience={patience} watches {self.monitor}, which needs validation data"
        elif self._monitor_given and not resumed:
            asked = f"training.monitor={self.monitor} needs validation data"
        else:
            return
        raise UserError(
            f"{asked}, and there are none: hold some out with dataset.validation_fraction=0.1, or choose "
            f"training.monitor=train_loss, train_accuracy or train_f1"
        )

    def fit(
        self,
        run: Run,
        train: Samples,
        validation: Samples,
        augmentation: Augmentation | None = None,
        image_shape: tuple[int, ...] = (),
    ) -> None:
        """Train from `run.epoch` (0, or where a checkpoint left off) to the end.

        Raises Diverged when the loss of a batch is NaN or infinite.
        """
        network, run.train = run.network, train
        self.check_class_weight(network.sizes[-1], augmentation)
        train = weigh(train, self.class_weight, network.sizes[-1])
        batches = Batches(
            train, network.sizes[-1], self.batch_size, run.random["shuffle"], network.dtype,
            augmentation, run.random["augment"], image_shape,
        )  # fmt: skip
        network.dropout_rng = run.random["dropout"]
        if self.ema_decay is not None and run.average is None:
            run.average = WeightAverage(network, self.ema_decay, self.initial_share)
        run.epochs, run.steps_per_epoch = self.epochs, len(batches)
        with run.timed("start"):
            run.emit("on_run_start")
        # A diverging network overflows before its loss shows it; the loss is what we report.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while run.epoch < self.epochs and not run.stop:
                started = time.perf_counter()
                with run.timed("training"):
                    run.metrics = {"epoch": run.epoch + 1, **self._train_epoch(run, batches)}
                trained = time.perf_counter()
                with run.timed("validation"), network.swap_state(run.average.kept if run.average else network.state):
                    if len(validation):
                        measured = evaluate(network, validation).scores("val_")
                        run.metrics |= {name: measured[name] for name in ("val_loss", "val_accuracy", "val_f1")}
                run.metrics["seconds"] = time.perf_counter() - started
                run.metrics["samples_per_second"] = len(train) / (trained - started)
                run.epoch += 1
                with run.timed("callbacks"):
                    self._keep_best(run)
                    run.history.append(run.metrics)  # to which callbacks may add
                    run.emit("on_epoch_end")

    def _train_epoch(self, run: Run, batches: Batches) -> dict[str, float]:
        """One pass over the data. The training metrics are those seen on the way, before each update."""
        network, optimizer = run.network, run.optimizer
        base_rate, total_steps = optimizer.learning_rate, self.epochs * len(batches)
        methods = [callback.on_batch_end for callback in run.callbacks]
        each_batch = [each for each in methods if getattr(each, "__func__", None) is not Callback.on_batch_end]
        run.confusion = counts = np.zeros((network.sizes[-1],) * 2, np.int64)
        total_loss, seen = 0.0, 0.0
        for X, targets, labels, weights in batches.epoch():
            loss, logits = network.loss_and_gradients(X, targets, weights)
            if not math.isfinite(loss):
                raise Diverged(
                    f"the training loss became {loss} in epoch {run.epoch + 1}, step {run.step + 1} (learning rate "
                    f"{optimizer.learning_rate:g}). A smaller optimizer.learning_rate usually helps."
                )
            counts += confusion_matrix(labels, logits.argmax(axis=1), len(counts))
            if self.max_grad_norm is not None:
                clip(network.grad, self.max_grad_norm)
            optimizer.learning_rate = base_rate * run.schedule.factor(run.step, total_steps)
            optimizer.step(network.theta, network.grad, network.num_weights)
            if run.average is not None:
                run.average.update(network)
            run.step += 1
            run.batch_loss = loss
            counted = len(X) if weights is None else float(weights.sum())
            total_loss += loss * counted
            seen += counted
            for on_batch_end in each_batch:
                on_batch_end(run)
        last_rate, optimizer.learning_rate = optimizer.learning_rate, base_rate
        measured = scores(counts)
        return {
            "step": run.step,
            "learning_rate": last_rate,
            "train_loss": total_loss / seen,
            "train_accuracy": measured["accuracy"],
            "train_f1": measured["f1"],
        }

    def _keep_best(self, run: Run) -> None:
        """Remember the weights if this epoch is the best so far, or if there is nothing to tell it by."""
        value = run.metrics.get(self.monitor)
        loss = run.metrics.get(f"{self.monitor.partition('_')[0]}_loss")
        if value is None or self._rank(value, loss) > self._rank(run.best_value, run.best_loss):
            run.best_epoch, run.best_value, run.best_loss = run.epoch, value, loss
            run.best_state = (run.average.kept if run.average else run.network.state).copy()

    def _rank(self, value: float | None, loss: float | None) -> tuple[float, float]:
        """The larger, the better. A value that is no number is never better than anything."""
        if value is None or not math.isfinite(value):
            return -math.inf, -math.inf
        if loss is None:  # in a checkpoint of an earlier release, where of equal values the first was kept
            loss = -math.inf
        return -value if self.monitor.endswith("loss") else value, -math.inf if math.isnan(loss) else -loss


def clip(grad: Array, most: float) -> None:
    """Scale `grad` down to the Euclidean norm `most` if it is longer."""
    norm = math.sqrt(float(np.vdot(grad, grad)))
    if norm == math.inf:  # the squares of large numbers may be infinite where the numbers are not
        largest = float(np.max(np.abs(grad)))
        norm = largest * float(np.linalg.norm(grad / largest))
    if norm > most:
        grad *= most / norm
