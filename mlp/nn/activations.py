"""Activation functions of the hidden layers: the function, and its derivative for the backward pass.

Add one: a class here (or in any module imported by `mlp.nn`) and a file in `conf/activation/`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from mlp.nn import checks
from mlp.nn.types import Array


class Activation(ABC):
    """An elementwise function A = f(Z) of a layer's pre-activations, shape (b, n).

    Arrays belong to the network and are written in place; nothing is allocated here. `scratch` is a pair of
    arrays of Z's shape with undefined content.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()

    #: True: the derivative is computed from Z, so the network keeps Z beside A.
    #: False: it is computed from A alone, and the network passes one array as both Z and A.
    keeps_input: ClassVar[bool] = False

    @abstractmethod
    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        """A <- f(Z)."""

    @abstractmethod
    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        """D <- D * f'(Z): turns dL/dA into dL/dZ. Z and A stay as they are."""


class Identity(Activation):
    """f(z) = z: a linear layer, for comparison."""

    name = "identity"
    aliases = ("linear", "none")

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        pass  # A is Z

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        pass  # f' = 1


class Sigmoid(Activation):
    """f(z) = 1 / (1 + exp(-z)),  f' = f (1 - f).

    Computed as (1 + tanh(z / 2)) / 2, which is the same function and cannot overflow.
    """

    name = "sigmoid"
    aliases = ("logistic",)

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        sigmoid(Z, out=A)

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        slope, _ = scratch
        np.subtract(1, A, out=slope)
        slope *= A
        D *= slope


class Tanh(Activation):
    """f(z) = tanh(z),  f' = 1 - f²."""

    name = "tanh"

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        np.tanh(Z, out=A)

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        slope, _ = scratch
        np.multiply(A, A, out=slope)
        np.subtract(1, slope, out=slope)
        D *= slope


class ReLU(Activation):
    """f(z) = max(z, 0),  f' = 1 where z > 0, else 0 (Nair & Hinton 2010)."""

    name = "relu"

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        np.maximum(Z, 0, out=A)

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        slope, _ = scratch
        np.greater(A, 0, out=slope)  # a mask of floats: to multiply by a boolean one takes longer
        D *= slope


class LeakyReLU(Activation):
    """f(z) = z where z > 0, else negative_slope * z (Maas, Hannun & Ng 2013)."""

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = checks.number("negative_slope", negative_slope, least=0, below=1)

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        leak, _ = scratch
        np.multiply(Z, self.negative_slope, out=leak)
        np.maximum(Z, leak, out=A)

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        slope, _ = scratch
        np.sign(A, out=slope)
        np.maximum(slope, self.negative_slope, out=slope)
        D *= slope


class ELU(Activation):
    """f(z) = z where z > 0, else alpha (exp(z) - 1) (Clevert, Unterthiner & Hochreiter 2016)."""

    name = "elu"
    keeps_input = True

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.number("alpha", alpha, above=0)

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        positive, _ = scratch
        np.minimum(Z, 0, out=A)
        np.expm1(A, out=A)
        A *= self.alpha
        np.maximum(Z, 0, out=positive)
        A += positive

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        # f' = exp(min(z, 0)) scaled by alpha where z <= 0, and by 1 where z > 0.
        slope, scale = scratch
        np.minimum(Z, 0, out=slope)
        np.exp(slope, out=slope)
        np.sign(Z, out=scale)
        np.maximum(scale, 0, out=scale)
        scale *= 1 - self.alpha
        scale += self.alpha
        slope *= scale
        D *= slope


class GELU(Activation):
    """f(z) = z Φ(z) in its tanh form (Hendrycks & Gimpel 2016):

    u = √(2/π) (z + 0.044715 z³),  f = z (1 + tanh u) / 2,
    f' = (1 + tanh u) / 2 + z (1 - tanh² u) u' / 2,  u' = √(2/π) (1 + 3 * 0.044715 z²).
    """

    name = "gelu"
    keeps_input = True

    _ROOT = float(np.sqrt(2 / np.pi))
    _CUBIC = 0.044715

    def _half_one_plus_tanh(self, Z: Array, out: Array) -> None:
        """out <- (1 + tanh u) / 2."""
        np.multiply(Z, Z, out=out)
        out *= self._CUBIC
        out += 1
        out *= Z
        out *= self._ROOT
        np.tanh(out, out=out)
        out += 1
        out *= 0.5

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        self._half_one_plus_tanh(Z, A)
        A *= Z

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        h, slope = scratch
        self._half_one_plus_tanh(Z, h)
        # With h = (1 + tanh u) / 2 and s = 2 A u':  f' = h + s (1 - h) = 1 - (1 - h) (1 - s).
        np.multiply(Z, Z, out=slope)
        slope *= 3 * self._CUBIC
        slope += 1
        slope *= 2 * self._ROOT
        slope *= A
        np.subtract(1, h, out=h)
        np.subtract(1, slope, out=slope)
        slope *= h
        np.subtract(1, slope, out=slope)
        D *= slope


class Swish(Activation):
    """f(z) = z σ(z), also called SiLU (Ramachandran, Zoph & Le 2017);  f' = f + σ (1 - f)."""

    name = "swish"
    aliases = ("silu",)
    keeps_input = True

    def forward(self, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        sigmoid(Z, out=A)
        A *= Z

    def backward(self, D: Array, Z: Array, A: Array, scratch: tuple[Array, Array]) -> None:
        slope, rest = scratch
        sigmoid(Z, out=slope)
        np.subtract(1, A, out=rest)
        slope *= rest
        slope += A
        D *= slope


def sigmoid(Z: Array, out: Array) -> None:
    """out <- 1 / (1 + exp(-Z)), without overflow."""
    np.multiply(Z, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5
