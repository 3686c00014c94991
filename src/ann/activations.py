"""Activation functions: `forward(Z)` gives f(Z), `backward(D)` gives D * f'(Z) of the last Z, (n, d) or (d,) each."""

import numpy as np

from mlp import nn

__all__ = ["ELU", "GELU", "Identity", "LeakyReLU", "ReLU", "Sigmoid", "Softmax", "Swish", "Tanh"]


class _Function:
    """A layer of `mlp.nn` that leaves its arguments alone and returns arrays of the caller's own."""

    layer: type[nn.Activation]

    def __init__(self, **options: float) -> None:
        self._layer = self.layer(**options)

    def forward(self, Z: np.ndarray) -> np.ndarray:
        Z = np.array(Z, dtype=float)
        return self._layer.forward(np.atleast_2d(Z)).reshape(Z.shape).copy()

    def backward(self, D: np.ndarray) -> np.ndarray:
        D = np.array(D, dtype=float)
        return self._layer.backward(np.atleast_2d(D)).reshape(D.shape).copy()

    __call__ = forward


def _function(layer: type[nn.Activation]) -> type[_Function]:
    return type(layer.__name__, (_Function,), {"layer": layer, "__doc__": layer.__doc__})


ReLU = _function(nn.ReLU)
Sigmoid = _function(nn.Sigmoid)
Tanh = _function(nn.Tanh)
Identity = _function(nn.Identity)
LeakyReLU = _function(nn.LeakyReLU)
ELU = _function(nn.ELU)
GELU = _function(nn.GELU)
Swish = _function(nn.Swish)


class Softmax:
    """Probabilities P of logits Z; `backward(D)` gives P * (D - sum(D * P)), the product with its Jacobian."""

    def forward(self, Z: np.ndarray) -> np.ndarray:
        Z = np.array(Z, dtype=float)
        self._P = nn.softmax(np.atleast_2d(Z)).reshape(Z.shape)
        return self._P.copy()

    def backward(self, D: np.ndarray) -> np.ndarray:
        return self._P * (D - (D * self._P).sum(axis=-1, keepdims=True))

    __call__ = forward
