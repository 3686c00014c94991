"""A dense layer: its parameters, its gradients and its two passes."""

import numpy as np

from mlp.nn.activations import Activation
from mlp.nn.normalization import Normalized
from mlp.nn.types import Array


class Dense:
    """Z = X @ W + b,  A = f(Z); for the output layer f is absent and A = Z (logits).

    Shapes: X (n, d_in), W (d_in, d_out), b (d_out,), Z and A (n, d_out).
    Backward, with D = dL/dZ (n, d_out):  dL/dW = Xᵀ @ D,  dL/db = Σ_rows D,  dL/dX = D @ Wᵀ.
    With normalisation `norm` stands between X @ W and + b; H (n, d_out) is what it keeps for the way back.

    All four arrays are views into the network's flat vectors; assigning to one writes into it.
    """

    def __init__(self, W: Array, b: Array, grad_W: Array, grad_b: Array, activation: Activation | None) -> None:
        self._W, self._b = W, b
        self._grad_W, self._grad_b = grad_W, grad_b
        self.activation = activation
        self.norm: Normalized | None = None

    @property
    def W(self) -> Array:
        """Weights (d_in, d_out)."""
        return self._W

    @W.setter
    def W(self, value: Array) -> None:
        self._W[...] = _of_shape(value, self._W, "W")

    @property
    def b(self) -> Array:
        """Biases (d_out,)."""
        return self._b

    @b.setter
    def b(self, value: Array) -> None:
        self._b[...] = _of_shape(np.ravel(value), self._b, "b")

    @property
    def grad_W(self) -> Array:
        """dL/dW (d_in, d_out) of the last backward pass."""
        return self._grad_W

    @grad_W.setter
    def grad_W(self, value: Array) -> None:
        self._grad_W[...] = _of_shape(value, self._grad_W, "grad_W")

    @property
    def grad_b(self) -> Array:
        """dL/db (d_out,) of the last backward pass."""
        return self._grad_b

    @grad_b.setter
    def grad_b(self, value: Array) -> None:
        self._grad_b[...] = _of_shape(np.ravel(value), self._grad_b, "grad_b")

    def forward(
        self,
        X: Array,
        Z: Array,
        A: Array,
        scratch: tuple[Array, Array],
        H: Array | None = None,
        ones: Array | None = None,
    ) -> None:
        """Z <- X @ W + b, A <- f(Z); Z and A may be one array. H and `ones` (n,) make it a pass of training."""
        np.matmul(X, self._W, out=Z)
        if self.norm is None:
            Z += self._b
        elif H is None or ones is None:
            self.norm.infer(Z, self._b)
        else:
            self.norm.forward(Z, self._b, H, ones)
        if self.activation is not None:
            self.activation.forward(Z, A, scratch)

    def backward(self, D: Array, X: Array, D_in: Array | None, ones: Array, H: Array | None = None) -> None:
        """grad_W, grad_b <- gradients for D = dL/dZ and the input X; D_in <- dL/dX unless None.

        `ones` (n,) turns the sum over the rows into a product, which BLAS does faster than NumPy's sum.
        """
        np.matmul(ones, D, out=self._grad_b)
        if self.norm is not None and H is not None:
            self.norm.backward(D, H, self._grad_b)
        np.matmul(X.T, D, out=self._grad_W)
        if D_in is not None:
            np.matmul(D, self._W.T, out=D_in)


def _of_shape(value: Array, like: Array, name: str) -> Array:
    """`value`, which must have the shape of `like`: assignment does not broadcast."""
    if np.shape(value) != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}. Got {np.shape(value)}")
    return value
