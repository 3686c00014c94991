"""Losses on logits: the value, and the gradient with respect to the logits.

The softmax belongs to the loss. Targets are a matrix of probabilities, one row per sample: one-hot for labels.
Add a loss: a class here and a file in `conf/loss/`.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike

from mlp.base.naming import Named
from mlp.nn import checks
from mlp.nn.types import Array, Labels


class Loss(Named, ABC):
    """The mean loss of a batch: logits Z (b, c) against target probabilities T (b, c).

    Weights w (b,) of the samples make it the weighted mean  L = Σ w l / Σ w  of the losses l of the rows, over the
    batch: twice the weight is the sample twice over, and a common factor of all weights changes nothing, so that the
    learning rate means what it means without them. They are at least 0, and not all 0.
    """

    def __init__(self) -> None:
        self._gradient: Array = np.empty((0, 0))
        self._scratch: Array = np.empty((0, 0))
        self._column: Array = np.empty((0, 1))

    @abstractmethod
    def value_and_gradient(self, logits: Array, targets: Array, weights: Array | None = None) -> tuple[float, Array]:
        """The loss and dLoss/dlogits (b, c), an array that the next call overwrites."""

    def value(self, logits: Array, targets: Array, weights: Array | None = None) -> float:
        """The loss alone, as it is measured: without what only training adds to it."""
        return self.value_and_gradient(logits, targets, weights)[0]

    def _buffers(self, like: Array) -> tuple[Array, Array, Array]:
        """Two (b, c) arrays, the first of them for the gradient, and a (b, 1) array, kept from step to step."""
        rows, columns = like.shape
        if self._scratch.shape[0] < rows or self._scratch.shape[1] != columns or self._scratch.dtype != like.dtype:
            self._gradient, self._scratch = np.empty((2, rows, columns), like.dtype)
            self._column = np.empty((rows, 1), like.dtype)
        return self._gradient[:rows], self._scratch[:rows], self._column[:rows]


class CrossEntropy(Loss):
    """Softmax and negative log-likelihood, L = -(1/b) Σ T log P with P = softmax(Z).

    With S = Z - max Z, which leaves P as it is and keeps exp from overflowing, log P = S - log Σ exp S, and for
    rows of T that sum to one  dL/dZ = (P - T) / b:  d(log Σ exp S)/dZ = P, and d(Σ T S)/dZ = T.

    With label smoothing ε (Szegedy et al. 2016) T is replaced by (1 - ε) T + ε / c in training; `value` is measured
    against T itself, so that networks trained with any ε compare.
    """

    aliases = ("nll", "ce", "cce", "categorical_cross_entropy", "softmax_cross_entropy")

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = checks.number("label_smoothing", label_smoothing, ge=0, lt=1)

    def value(self, logits: Array, targets: Array, weights: Array | None = None) -> float:
        return self._value_and_gradient(logits, targets, weights, 0.0)[0]

    def value_and_gradient(self, logits: Array, targets: Array, weights: Array | None = None) -> tuple[float, Array]:
        return self._value_and_gradient(logits, targets, weights, self.label_smoothing)

    def _value_and_gradient(
        self, logits: Array, targets: Array, weights: Array | None, smoothing: float
    ) -> tuple[float, Array]:
        gradient, P, total = self._buffers(logits)
        S = gradient
        np.maximum.reduce(logits, axis=1, keepdims=True, out=total)
        np.subtract(logits, total, out=S)
        np.exp(S, out=P)
        np.add.reduce(P, axis=1, keepdims=True, out=total)
        if weights is not None:
            share = smoothing / logits.shape[1]
            part = weights / np.add.reduce(weights)
            rows = (1 - smoothing) * np.einsum("ij,ij->i", targets, S) + share * np.add.reduce(S, axis=1)
            P /= total
            np.multiply(targets, smoothing - 1, out=gradient)
            gradient += P
            gradient -= share
            gradient *= part[:, None]
            np.log(total, out=total)
            return float(np.vdot(part, total[:, 0] - rows)), gradient
        log_likelihood = float(np.vdot(targets, S))
        P /= total
        if smoothing:
            share = smoothing / logits.shape[1]
            log_likelihood = (1 - smoothing) * log_likelihood + share * float(np.add.reduce(S, axis=None))
            np.multiply(targets, smoothing - 1, out=gradient)
            gradient += P
            gradient -= share
        else:
            np.subtract(P, targets, out=gradient)
        gradient /= len(logits)
        np.log(total, out=total)
        return (float(np.add.reduce(total, axis=None)) - log_likelihood) / len(logits), gradient


class MeanSquaredError(Loss):
    """The mean over all b * c entries of (P - T)², with P = softmax(Z).

    With G = dL/dP = 2 (P - T) / (b c),  dL/dZ = P (G - Σ_c G P), the softmax's Jacobian applied to G.
    """

    aliases = ("mse", "mean_squared", "squared_error")

    def value_and_gradient(self, logits: Array, targets: Array, weights: Array | None = None) -> tuple[float, Array]:
        G, P, total = self._buffers(logits)
        softmax(logits, out=P, total=total)
        np.subtract(P, targets, out=G)
        if weights is None:
            loss = float(np.vdot(G, G)) / G.size
            G *= 2 / G.size
        else:
            part = weights / (np.add.reduce(weights) * G.shape[1])
            loss = float(np.vdot(part, np.einsum("ij,ij->i", G, G)))
            G *= 2 * part[:, None]
        np.einsum("ij,ij->i", G, P, out=total[:, 0])
        G -= total
        G *= P
        return loss, G


class SumSquaredError(MeanSquaredError):
    """The squared error summed over the c classes, L = (1/b) Σ (P - T)²: c times the mean squared error."""

    aliases = ("sse", "sum_squared", "brier_score")

    def value_and_gradient(self, logits: Array, targets: Array, weights: Array | None = None) -> tuple[float, Array]:
        loss, gradient = super().value_and_gradient(logits, targets, weights)
        gradient *= logits.shape[1]
        return loss * logits.shape[1], gradient


def softmax(logits: Array, out: Array | None = None, total: Array | None = None) -> Array:
    """Probabilities (b, c) of logits (b, c) of any size; `out` (b, c) and `total` (b, 1) save allocations."""
    total = np.max(logits, axis=1, keepdims=True, out=total)
    out = np.subtract(logits, total, out=out)
    np.exp(out, out=out)
    np.sum(out, axis=1, keepdims=True, out=total)
    out /= total
    return out


def one_hot(labels: Labels, num_classes: int, dtype: DTypeLike = np.float64) -> Array:
    """Target rows (b, num_classes) for integer labels (b,)."""
    targets = np.zeros((len(labels), num_classes), dtype)
    targets[np.arange(len(labels)), labels] = 1
    return targets
