"""Normalisation of the pre-activations of hidden layers.

Add one: a class here and a file in `conf/normalization/`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mlp.nn import checks
from mlp.nn.layers import Layer, View
from mlp.nn.types import Array


class Normalization(Layer):
    """A layer between the product X @ W and the activation; it adds the bias b in the place of the linear layer."""

    least_batch: ClassVar[int] = 1  #: rows that it needs to learn anything

    gamma, mean, variance = View(), View(), View()

    def bind(self, gamma: Array, b: Array, grad_gamma: Array, grad_b: Array, mean: Array, variance: Array) -> None:
        """Take the scale γ, the bias b, their gradients, and the running statistics: views (d,) of the network's."""
        self._gamma, self._b, self._grad_gamma, self._grad_b = gamma, b, grad_gamma, grad_b
        self._mean, self._variance = mean, variance
        gamma.fill(1)
        variance.fill(1)

    @abstractmethod
    def folded(self) -> tuple[Array, Array]:
        """(scale, shift), (d,) each, so that Y = X * scale + shift at inference."""


class NoNormalization(Normalization):
    """Pre-activations as they are; a network leaves this layer out."""

    name = "none"

    def forward(self, X: Array, training: bool = False) -> Array:
        return X

    def backward(self, D: Array) -> Array:
        return D

    def folded(self) -> tuple[Array, Array]:
        return np.ones(1), np.zeros(1)


class BatchNorm(Normalization):
    """Batch normalisation (Ioffe & Szegedy 2015), before the activation, with biased batch variances.

    With X (n, d) of a batch of n rows, μ and v its mean and variance by column:
        H = (X - μ) / √(v + ε),   Y = γ H + b
    At inference μ and v are the running statistics
        μ̂ <- (1 - m) μ̂ + m μ,   v̂ <- (1 - m) v̂ + m v n / (n - 1)
    so that the layer is linear then, and can be folded into W and b. Momentum m, ε as in `torch.nn.BatchNorm1d`.
    A batch of one row, which may be the last of an epoch, has no variance and leaves the running statistics alone.

    Backward, with D = dL/dY (n, d):  dL/dγ = Σ_rows D H,  dL/db = Σ_rows D,
    dL/dX = γ / √(v + ε) (D - dL/db / n - H dL/dγ / n).
    """

    aliases = ("bn", "batchnorm")
    least_batch = 2

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.momentum = checks.number("momentum", momentum, gt=0, le=1)
        self.epsilon = checks.number("epsilon", epsilon, gt=0)

    def _allocate(self, X: Array) -> Sequence[Array]:
        self._inverse, self._scratch = np.empty_like(X[0]), np.empty_like(X[0])  # 1 / √(v + ε) of the batch
        return np.empty_like(X), np.ones(len(X), X.dtype)

    def forward(self, X: Array, training: bool = False) -> Array:
        if not training:
            scale, shift = self.folded()
            X *= scale
            X += shift
            return X
        if len(X) != self.rows:
            self._resize(X)
        n, m, (H, ones) = len(X), self.momentum, self._buffers
        inverse, scratch = self._inverse, self._scratch
        np.matmul(ones, X, out=scratch)
        scratch /= n
        X -= scratch
        np.einsum("ij,ij->j", X, X, out=inverse)
        if n > 1:
            scratch *= m
            self._mean *= 1 - m
            self._mean += scratch
            np.multiply(inverse, m / (n - 1), out=scratch)
            self._variance *= 1 - m
            self._variance += scratch
        inverse /= n
        inverse += self.epsilon
        np.sqrt(inverse, out=inverse)
        np.reciprocal(inverse, out=inverse)
        np.multiply(X, inverse, out=H)
        np.multiply(H, self._gamma, out=X)
        X += self._b
        return X

    def folded(self) -> tuple[Array, Array]:
        scale = self._gamma / np.sqrt(self._variance + self.epsilon)
        return scale, self._b - self._mean * scale

    def backward(self, D: Array) -> Array:
        (H, ones), n, scratch = self._buffers, len(D), self._scratch
        np.matmul(ones, D, out=self._grad_b)
        np.einsum("ij,ij->j", D, H, out=self._grad_gamma)
        np.multiply(self._grad_gamma, 1 / n, out=scratch)
        H *= scratch  # it is not needed again
        D -= H
        np.multiply(self._grad_b, 1 / n, out=scratch)
        D -= scratch
        np.multiply(self._gamma, self._inverse, out=scratch)
        D *= scratch
        return D
