"""The network as a textbook prints it: a line for each equation, and no thought of speed.

The fast one is in `network.py` and `layers.py`; the tests hold it to this one. Shapes, for a batch of n samples:
X (n, d_in), W (d_in, d_out), b (d_out,), Z = X W + b (n, d_out), targets T (n, c) with a 1 at the true class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: f(Z) and f'(Z) of the hidden layers.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda Z: Z, lambda Z: np.ones_like(Z)),
    "sigmoid": (lambda Z: 1 / (1 + np.exp(-Z)), lambda Z: np.exp(-Z) / (1 + np.exp(-Z)) ** 2),
    "tanh": (np.tanh, lambda Z: 1 - np.tanh(Z) ** 2),
    "relu": (lambda Z: np.maximum(Z, 0), lambda Z: 1.0 * (Z > 0)),
}


def softmax(Z: Array) -> Array:
    """Probabilities P (n, c) of logits Z (n, c):  P = exp(Z) / Σ_c exp(Z)."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))  # the same P, and exp cannot overflow
    return np.asarray(E / E.sum(axis=1, keepdims=True))


def cross_entropy(Z: Array, T: Array) -> tuple[float, Array]:
    """L = -(1/n) Σ T log P with P = softmax(Z), and dL/dZ = (P - T) / n."""
    P = softmax(Z)
    return -float(np.sum(T * np.log(P))) / len(Z), (P - T) / len(Z)


def mean_squared_error(Z: Array, T: Array) -> tuple[float, Array]:
    """L = mean (P - T)² with P = softmax(Z), and dL/dZ = P (G - Σ_c G P) with G = dL/dP = 2 (P - T) / (n c)."""
    P = softmax(Z)
    G = 2 * (P - T) / T.size
    return float(np.mean((P - T) ** 2)), P * (G - np.sum(G * P, axis=1, keepdims=True))


LOSSES = {"cross_entropy": cross_entropy, "mean_squared_error": mean_squared_error}


@dataclass
class Network:
    """Weights and biases of every layer from the input side, one hidden activation, and a linear output."""

    W: list[Array]
    b: list[Array]
    activation: str = "relu"
    loss: str = "cross_entropy"

    def forward(self, X: Array) -> tuple[list[Array], list[Array]]:
        """Aₗ = f(Zₗ), Zₗ₊₁ = Aₗ Wₗ + bₗ with A₀ = X. Returns all A, and all Z; the last Z are the logits."""
        f, _ = ACTIVATIONS[self.activation]
        A, Z = [X], [X @ self.W[0] + self.b[0]]
        for W, b in zip(self.W[1:], self.b[1:], strict=True):
            A.append(f(Z[-1]))
            Z.append(A[-1] @ W + b)
        return A, Z

    def loss_and_gradients(self, X: Array, T: Array) -> tuple[float, list[Array], list[Array]]:
        """L, all dL/dW and all dL/db:  dL/dW = Aᵀ D,  dL/db = Σ_rows D,  with D = dL/dZ, and one layer down
        D <- (D Wᵀ) * f'(Z)."""
        _, derivative = ACTIVATIONS[self.activation]
        A, Z = self.forward(X)
        L, D = LOSSES[self.loss](Z[-1], T)
        grad_W, grad_b = [A[-1].T @ D], [D.sum(axis=0)]
        for i in range(len(self.W) - 1, 0, -1):
            D = (D @ self.W[i].T) * derivative(Z[i - 1])
            grad_W.insert(0, A[i - 1].T @ D)
            grad_b.insert(0, D.sum(axis=0))
        return L, grad_W, grad_b
