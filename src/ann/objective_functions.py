"""Losses of logits Z (n, c) against labels (n,) or one-hot rows (n, c): `forward` gives the mean loss, `backward` its
gradient dL/dZ. Softmax is part of them."""

import numpy as np

from mlp import nn

__all__ = ["CrossEntropy", "MeanSquaredError"]


class _Objective:
    loss: type[nn.Loss]

    def forward(self, y_true: np.ndarray, Z: np.ndarray) -> float:
        value, gradient = self.loss().value_and_gradient(np.array(Z, dtype=float), _one_hot(y_true, np.shape(Z)[1]))
        self._gradient = gradient.copy()
        return float(value)

    def backward(self) -> np.ndarray:
        return self._gradient

    __call__ = forward


class CrossEntropy(_Objective):
    loss = nn.CrossEntropy


class MeanSquaredError(_Objective):
    loss = nn.MeanSquaredError


def _one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    y = np.asarray(y)
    return y.astype(float) if y.ndim == 2 and y.shape[1] == classes else np.eye(classes)[y.reshape(-1).astype(int)]
