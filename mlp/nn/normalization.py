"""Normalisation of the pre-activations of hidden layers.

Add one: a class here and a file in `conf/normalization/`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from mlp.nn import checks
from mlp.nn.types import Array


class Normalization(ABC):
    """A way to normalise; `BatchNorm` holds its coefficients, and `Normalized` the numbers of one layer."""

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    least_batch: ClassVar[int] = 1  #: rows that it needs to learn anything

    @abstractmethod
    def layer(self, gamma: Array, grad_gamma: Array, mean: Array, variance: Array) -> "Normalized | None":
        """What a hidden layer of d neurons needs; all four are views (d,) of the network's. None: nothing."""


class NoNormalization(Normalization):
    """Pre-activations as they are."""

    name = "none"

    def layer(self, gamma: Array, grad_gamma: Array, mean: Array, variance: Array) -> None:
        return None


class BatchNorm(Normalization):
    """Batch normalisation (Ioffe & Szegedy 2015), before the activation, with biased batch variances.

    With Z = X W of a batch of n rows, μ and v its mean and variance by column:
        H = (Z - μ) / √(v + ε),   N = γ H + b
    where b is the layer's bias. At inference μ and v are the running statistics
        μ̂ <- (1 - m) μ̂ + m μ,   v̂ <- (1 - m) v̂ + m v n / (n - 1)
    so that the layer is linear then, and can be folded into W and b. Momentum m, ε as in `torch.nn.BatchNorm1d`.
    A batch of one row, which may be the last of an epoch, has no variance and leaves the running statistics alone.
    """

    name = "batch_norm"
    aliases = ("bn", "batchnorm")
    least_batch = 2

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.momentum = checks.number("momentum", momentum, above=0, most=1)
        self.epsilon = checks.number("epsilon", epsilon, above=0)

    def layer(self, gamma: Array, grad_gamma: Array, mean: Array, variance: Array) -> "Normalized":
        return Normalized(self, gamma, grad_gamma, mean, variance)


class Normalized:
    """Batch normalisation of one layer: its scale γ (d,), running mean and variance (d,), and the three passes.

    Backward, with D = dL/dN (n, d):  dL/dγ = Σ_rows D H,  dL/db = Σ_rows D,
    dL/dZ = γ / √(v + ε) (D - dL/db / n - H dL/dγ / n).
    """

    def __init__(self, kind: BatchNorm, gamma: Array, grad_gamma: Array, mean: Array, variance: Array) -> None:
        self.kind = kind
        self.gamma, self.grad_gamma = gamma, grad_gamma
        self.mean, self.variance = mean, variance
        self._inverse = np.empty_like(gamma)  # 1 / √(v + ε) of the batch
        self._spare = np.empty_like(gamma)

    def forward(self, Z: Array, b: Array, H: Array, ones: Array) -> None:
        """Z <- N of the batch, H <- normalised Z; the running statistics move on."""
        n, m = len(Z), self.kind.momentum
        inverse, spare = self._inverse, self._spare
        np.matmul(ones, Z, out=spare)
        spare /= n
        Z -= spare
        np.einsum("ij,ij->j", Z, Z, out=inverse)
        if n > 1:
            spare *= m
            self.mean *= 1 - m
            self.mean += spare
            np.multiply(inverse, m / (n - 1), out=spare)
            self.variance *= 1 - m
            self.variance += spare
        inverse /= n
        inverse += self.kind.epsilon
        np.sqrt(inverse, out=inverse)
        np.reciprocal(inverse, out=inverse)
        np.multiply(Z, inverse, out=H)
        np.multiply(H, self.gamma, out=Z)
        Z += b

    def infer(self, Z: Array, b: Array) -> None:
        """Z <- N with the running statistics."""
        scale, shift = self.folded(b)
        Z *= scale
        Z += shift

    def folded(self, b: Array) -> tuple[Array, Array]:
        """(scale, shift), (d,) each, so that N = Z * scale + shift at inference."""
        scale = self.gamma / np.sqrt(self.variance + self.kind.epsilon)
        return scale, b - self.mean * scale

    def backward(self, D: Array, H: Array, grad_b: Array) -> None:
        """D <- dL/dZ from D = dL/dN, whose sum over the rows is grad_b; grad_gamma <- dL/dγ. H is used up."""
        n, spare = len(D), self._spare
        np.einsum("ij,ij->j", D, H, out=self.grad_gamma)
        np.multiply(self.grad_gamma, 1 / n, out=spare)
        H *= spare
        D -= H
        np.multiply(grad_b, 1 / n, out=spare)
        D -= spare
        np.multiply(self.gamma, self._inverse, out=spare)
        D *= spare
