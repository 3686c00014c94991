"""Measuring a network on a set of samples."""

import math
from dataclasses import dataclass

import numpy as np

from mlp.base.errors import Diverged
from mlp.data import Samples
from mlp.nn.losses import one_hot, softmax
from mlp.nn.metrics import calibration_error, confusion_matrix, scores
from mlp.nn.network import MLP
from mlp.nn.types import Array, Labels

ROWS_AT_ONCE = 1000  # enough to keep the matrix products efficient, few enough to stay in the cache


@dataclass(frozen=True)
class Evaluation:
    """What a network says about n samples of c classes."""

    loss: float
    y_true: Labels  # (n,)
    logits: Array  # (n, c)
    weights: Array | None = None  # (n,) of the samples, where they have some

    @property
    def y_pred(self) -> Labels:
        """The class with the largest logit, (n,)."""
        return np.asarray(np.argmax(self.logits, axis=1))

    @property
    def confidence(self) -> Array:
        """Probability of the predicted class, (n,)."""
        return np.asarray(np.max(softmax(self.logits), axis=1))

    @property
    def true_confidence(self) -> Array:
        """Probability of the true class, (n,)."""
        return np.asarray(softmax(self.logits)[np.arange(len(self.y_true)), self.y_true])

    @property
    def runner_up(self) -> Labels:
        """The class with the second largest logit, (n,)."""
        others = self.logits.copy()
        others[np.arange(len(others)), self.y_pred] = -np.inf
        return np.asarray(np.argmax(others, axis=1))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, see `mlp.nn.metrics`."""
        return calibration_error(self.confidence, self.y_pred == self.y_true)

    @property
    def confusion(self) -> Labels:
        """Counts (c, c), or sums of the samples' weights; rows are the truth."""
        return confusion_matrix(self.y_true, self.y_pred, self.logits.shape[1], self.weights)

    def scores(self, prefix: str = "") -> dict[str, float]:
        """Loss, accuracy, and macro precision, recall and F1, each name preceded by `prefix`."""
        return {prefix + name: value for name, value in {"loss": self.loss, **scores(self.confusion)}.items()}


def evaluate(network: MLP, samples: Samples) -> Evaluation:
    """Run the network over all `samples`; the loss is the mean over them, weighted where they have weights.

    Raises Diverged if it is not finite.
    """
    labels, total = samples.labels, 0.0
    weights = None if samples.weights is None else samples.weights[samples.rows]
    whole = max(1, len(samples)) if weights is None else float(weights.sum())
    logits = np.empty((len(samples), network.sizes[-1]), network.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # the loss shows it
        for start in range(0, len(samples), ROWS_AT_ONCE):
            part = logits[start : start + ROWS_AT_ONCE]
            part[...] = network.forward(samples.inputs(start, start + ROWS_AT_ONCE, network.dtype))
            targets = one_hot(labels[start : start + ROWS_AT_ONCE], network.sizes[-1], network.dtype)
            if weights is None:
                total += network.loss.value(part, targets) * len(part)
            else:
                of_part = weights[start : start + ROWS_AT_ONCE]
                loss = network.loss.value(part, targets, of_part.astype(network.dtype))
                total += loss * float(of_part.sum())
    if not math.isfinite(total):
        raise Diverged(f"the loss after training became {total}. A smaller optimizer.learning_rate usually helps.")
    return Evaluation(total / whole, labels, logits, weights)
