"""Activation functions of the hidden layers: the function, and its derivative for the backward pass.

Add one: a class here (or in any module imported by `mlp.nn`) and a file in `conf/activation/`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mlp.nn import checks
from mlp.nn.layers import Layer
from mlp.nn.types import Array


class Activation(Layer):
    """A layer that applies a function to every number:  A = f(Z),  dL/dZ = dL/dA * f'(Z).

    A subclass says f and f'. All arrays have one shape (n, d) and are written in place; `scratch` has undefined
    content.
    """

    #: True: the derivative is computed from Z, so that Z is kept beside A.
    #: False: it is computed from A alone, and one array is both Z and A.
    keeps_input: ClassVar[bool] = False

    @abstractmethod
    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        """A <- f(Z)."""

    @abstractmethod
    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        """slope <- f'(Z); Z and A stay as they are."""

    def _allocate(self, X: Array) -> Sequence[Array]:
        return [np.empty_like(X) for _ in range(3 if self.keeps_input else 2)]

    def forward(self, X: Array, training: bool = False) -> Array:
        if len(X) != self.rows:
            self._resize(X)
        self._Z, self._A = X, self._buffers[2] if self.keeps_input else X
        self.function(X, self._A, self._buffers[1])
        return self._A

    def backward(self, D: Array) -> Array:
        slope = self._buffers[0]
        self.derivative(self._Z, self._A, slope, self._buffers[1])
        D *= slope
        return D


class Identity(Activation):
    """f(z) = z: a linear layer, for comparison."""

    aliases = ("linear", "none")

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        pass  # A is Z

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        slope.fill(1)

    def backward(self, D: Array) -> Array:
        return D


class Sigmoid(Activation):
    """f(z) = 1 / (1 + exp(-z)),  f' = f (1 - f).

    Computed as (1 + tanh(z / 2)) / 2, which is the same function and cannot overflow.
    """

    aliases = ("logistic",)

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        sigmoid(Z, out=A)

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        np.subtract(1, A, out=slope)
        slope *= A


class Tanh(Activation):
    """f(z) = tanh(z),  f' = 1 - f²."""

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        np.tanh(Z, out=A)

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        np.multiply(A, A, out=slope)
        np.subtract(1, slope, out=slope)


class ReLU(Activation):
    """f(z) = max(z, 0),  f' = 1 where z > 0, else 0 (Nair & Hinton 2010)."""

    name = "relu"

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        np.maximum(Z, 0, out=A)

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        np.greater(A, 0, out=slope)  # a mask of floats: to multiply by a boolean one takes longer


class LeakyReLU(Activation):
    """f(z) = z where z > 0, else negative_slope * z (Maas, Hannun & Ng 2013)."""

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = checks.number("negative_slope", negative_slope, ge=0, lt=1)

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        np.multiply(Z, self.negative_slope, out=scratch)
        np.maximum(Z, scratch, out=A)

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        np.sign(A, out=slope)
        np.maximum(slope, self.negative_slope, out=slope)


class ELU(Activation):
    """f(z) = z where z > 0, else alpha (exp(z) - 1) (Clevert, Unterthiner & Hochreiter 2016)."""

    keeps_input = True

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.number("alpha", alpha, gt=0)

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        np.minimum(Z, 0, out=A)
        np.expm1(A, out=A)
        A *= self.alpha
        np.maximum(Z, 0, out=scratch)
        A += scratch

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        # f' = exp(min(z, 0)) scaled by alpha where z <= 0, and by 1 where z > 0.
        np.minimum(Z, 0, out=slope)
        np.exp(slope, out=slope)
        np.sign(Z, out=scratch)
        np.maximum(scratch, 0, out=scratch)
        scratch *= 1 - self.alpha
        scratch += self.alpha
        slope *= scratch


class GELU(Activation):
    """f(z) = z Φ(z) in its tanh form (Hendrycks & Gimpel 2016):

    u = √(2/π) (z + 0.044715 z³),  f = z (1 + tanh u) / 2,
    f' = (1 + tanh u) / 2 + z (1 - tanh² u) u' / 2,  u' = √(2/π) (1 + 3 * 0.044715 z²).
    """

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

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        self._half_one_plus_tanh(Z, A)
        A *= Z

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        # With h = (1 + tanh u) / 2 and s = 2 A u':  f' = h + s (1 - h) = 1 - (1 - h) (1 - s).
        h = scratch
        self._half_one_plus_tanh(Z, h)
        np.multiply(Z, Z, out=slope)
        slope *= 3 * self._CUBIC
        slope += 1
        slope *= 2 * self._ROOT
        slope *= A
        np.subtract(1, h, out=h)
        np.subtract(1, slope, out=slope)
        slope *= h
        np.subtract(1, slope, out=slope)


class Swish(Activation):
    """f(z) = z σ(z), also called SiLU (Ramachandran, Zoph & Le 2017);  f' = f + σ (1 - f)."""

    aliases = ("silu",)
    keeps_input = True

    def function(self, Z: Array, A: Array, scratch: Array) -> None:
        sigmoid(Z, out=A)
        A *= Z

    def derivative(self, Z: Array, A: Array, slope: Array, scratch: Array) -> None:
        sigmoid(Z, out=slope)
        np.subtract(1, A, out=scratch)
        slope *= scratch
        slope += A


def sigmoid(Z: Array, out: Array) -> None:
    """out <- 1 / (1 + exp(-Z)), without overflow."""
    np.multiply(Z, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5
