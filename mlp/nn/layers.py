"""The layers of a network, each with the arrays that it writes: linear, dropout, and what all layers share.

Activations and normalisation, which a configuration chooses, are layers too; see their modules.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlp.base.naming import Named
from mlp.nn.types import Array


class Layer(Named, ABC):
    """A step of the network: `forward` makes Y (n, d_out) of X (n, d_in), `backward` makes dL/dX of D = dL/dY.

    What they return is an array of the layer, or the one that they were given: the next call overwrites it. A layer
    may overwrite the arrays that it is given. Buffers are kept from batch to batch, so that a step allocates nothing
    that grows; their storage is that of the longest batch so far.
    """

    rows = -1  #: of the last batch
    _capacity = -1
    _buffers: Sequence[Array] = ()

    @abstractmethod
    def forward(self, X: Array, training: bool = False) -> Array:
        """Y of X, for a batch of any length."""

    @abstractmethod
    def backward(self, D: Array) -> Array:
        """dL/dX of D = dL/dY, for the batch of the last `forward`; gradients of the parameters on the way."""

    def _allocate(self, X: Array) -> Sequence[Array]:
        """The arrays that a batch of the size of X needs; their first axis is that of the batch."""
        raise NotImplementedError

    def _resize(self, X: Array) -> None:
        """`_buffers` <- what `_allocate` made, for as many rows as X has."""
        if len(X) > self._capacity:
            self._capacity, self._storage = len(X), self._allocate(X)
        self.rows, self._buffers = len(X), [array[: len(X)] for array in self._storage]


class View:
    """An attribute of a layer that lies in the network's flat vectors: what is assigned to it is written there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Array:
        view: Array = getattr(layer, f"_{self.name}")
        return view

    def __set__(self, layer: Any, value: Array) -> None:
        view = self.__get__(layer)
        value = np.ravel(value) if view.ndim == 1 else value
        if np.shape(value) != view.shape:  # assignment does not broadcast
            raise ValueError(f"{self.name} must have shape {view.shape}. Got {np.shape(value)}")
        view[...] = value


class Linear(Layer):
    """Y = X @ W + b.

    Shapes: X (n, d_in), W (d_in, d_out), b (d_out,), Y (n, d_out).
    Backward, with D = dL/dY (n, d_out):  dL/dW = Xᵀ @ D,  dL/db = Σ_rows D,  dL/dX = D @ Wᵀ.

    Args:
        W, b, grad_W, grad_b: views into the network's flat vectors.
        first: nothing comes before this layer, so that nobody asks for dL/dX.
        adds_bias: False where the normalisation that follows adds b, and computes its gradient.
    """

    W, b = View(), View()
    grad_W, grad_b = View(), View()

    def __init__(
        self, W: Array, b: Array, grad_W: Array, grad_b: Array, first: bool = False, adds_bias: bool = True
    ) -> None:
        self._W, self._b, self._grad_W, self._grad_b = W, b, grad_W, grad_b
        self.first, self.adds_bias = first, adds_bias

    def _allocate(self, X: Array) -> Sequence[Array]:
        (n, (d_in, d_out)), dtype = (len(X), self._W.shape), self._W.dtype
        return np.empty((n, d_out), dtype), np.empty((n, 0 if self.first else d_in), dtype), np.ones(n, dtype)

    def forward(self, X: Array, training: bool = False) -> Array:
        if len(X) != self.rows:
            self._resize(X)
        Y = self._buffers[0]
        self._X = X
        np.matmul(X, self._W, out=Y)
        if self.adds_bias:
            Y += self._b
        return Y

    def backward(self, D: Array) -> Array:
        _, D_in, ones = self._buffers
        np.matmul(self._X.T, D, out=self._grad_W)
        if not self.first:
            np.matmul(D, self._W.T, out=D_in)
        if self.adds_bias:
            np.matmul(ones, D, out=self._grad_b)  # a sum over the rows, which BLAS does faster than NumPy
        return D_in


class Dropout(Layer):
    """In training Y = X * mask, which drops a share of the outputs at random (Srivastava et al. 2014); else Y = X.

    The mask is 0 with probability `rate`, else 1 / (1 - rate), so that the mean stays. Backward:  dL/dX = D * mask.
    """

    def __init__(self, rate: float, rng: np.random.Generator | None = None) -> None:
        self.rate, self.rng = rate, rng or np.random.default_rng()

    def _allocate(self, X: Array) -> Sequence[Array]:
        return np.empty_like(X), np.empty_like(X)

    def forward(self, X: Array, training: bool = False) -> Array:
        if not training:
            return X
        if len(X) != self.rows:
            self._resize(X)
        Y, mask = self._buffers
        dropout_mask(mask, self.rate, self.rng)
        return np.multiply(X, mask, out=Y)

    def backward(self, D: Array) -> Array:
        D *= self._buffers[1]
        return D


def dropout_mask(mask: Array, rate: float, rng: np.random.Generator) -> None:
    """mask <- 0 with probability `rate`, else 1 / (1 - rate)."""
    rng.random(out=mask, dtype=mask.dtype)
    np.greater_equal(mask, rate, out=mask)
    mask *= 1 / (1 - rate)
