"""The multi-layer perceptron: all parameters in one flat vector, all buffers allocated once."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp.nn import checks
from mlp.nn.activations import Activation, ReLU
from mlp.nn.initializers import Initializer, Xavier
from mlp.nn.layers import Dense
from mlp.nn.losses import CrossEntropy, Loss, softmax
from mlp.nn.naming import by_name
from mlp.nn.normalization import NoNormalization, Normalization
from mlp.nn.types import Array

DEFAULT_NUM_LAYERS = 3
DTYPES = ("float32", "float64")


def expand_hidden_sizes(hidden_sizes: int | Sequence[int], num_layers: int | None = None) -> list[int]:
    """The number of neurons of each hidden layer.

    A single number, or a list of one, serves for all `num_layers` layers (a bare number: 3 layers if None).
    A longer list says it all; `num_layers` may repeat its length. Raises ValueError where they disagree.

    >>> expand_hidden_sizes(128, 2), expand_hidden_sizes([64, 32])
    ([128, 128], [64, 32])
    """
    if num_layers is not None:
        checks.integer("num_layers", num_layers, least=0)
    if isinstance(hidden_sizes, int | np.integer):
        num_layers = DEFAULT_NUM_LAYERS if num_layers is None else num_layers
        hidden_sizes = [hidden_sizes]
    if not isinstance(hidden_sizes, list | tuple):
        raise ValueError(f"hidden_sizes must be an integer >= 1 or a list of them. Got {hidden_sizes!r}")
    sizes = [checks.integer("hidden_sizes", size, least=1) for size in hidden_sizes]
    if num_layers is None or num_layers == len(sizes):
        return sizes
    if num_layers == 0:
        return []
    if len(sizes) == 1:
        return sizes * num_layers
    raise ValueError(
        f"hidden_sizes has {len(sizes)} entries {sizes}, but num_layers is {num_layers}: "
        f"give {num_layers} sizes, or one size for all layers"
    )


@dataclass(frozen=True)
class Buffers:
    """Views of the network's buffers for a batch of exactly n rows, one entry per layer."""

    Z: list[Array]  # pre-activations (n, width)
    A: list[Array]  # outputs (n, width); the same array as Z where the activation allows it
    D: list[Array]  # gradients of the loss with respect to Z (n, width)
    H: list[Array | None]  # normalised pre-activations (n, width), where there are any
    P: list[Array]  # outputs after dropout (n, width); the same array as A without it
    masks: list[Array | None]  # of dropout (n, width): 0, or 1 / the share that is kept
    scratch: list[tuple[Array, Array]]
    ones: Array  # (n,)


class MLP:
    """Dense layers with hidden activations and a linear output: `forward` returns logits.

    `theta` (p,) holds all parameters, `grad` (p,) all gradients: first the weights of every layer
    (`num_weights` numbers), then the biases, then the scales of normalised layers. `layers[i].W, .b, .grad_W,
    .grad_b` are views into them. `state` is all that makes up the trained network: theta, and behind it the running
    statistics of normalised layers.

    Args:
        input_size: features of a sample, d_in.
        output_size: classes, c.
        hidden_sizes, num_layers: see `expand_hidden_sizes`.
        activations: name or object for each hidden layer; None: `activation` for all of them.
        activation: the hidden activation where `activations` is None.
        init: initial weights.
        loss: what `loss_and_gradients` minimises.
        normalization: of the hidden layers' pre-activations.
        dropout: share of each hidden layer's outputs that a training step sets to zero (Srivastava et al. 2014).
        dtype: float32 or float64, for parameters and all arithmetic.
        rng: source of the initial weights.
        dropout_rng: source of the dropped outputs; may be set later.

    Raises ValueError for arguments out of range.
    """

    _NOT_COPIED = frozenset(
        {
            "layers",
            "theta",
            "statistics",
            "_capacity",
            "_views",
            "_X",
            "_A",
            "_D",
            "_Z",
            "_H",
            "_P",
            "_masks",
            "_scratch",
            "_ones",
        }
    )

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_sizes: int | Sequence[int] = 128,
        num_layers: int | None = None,
        activations: Sequence[str | Activation] | None = None,
        activation: Activation | None = None,
        init: Initializer | None = None,
        loss: Loss | None = None,
        normalization: Normalization | None = None,
        dropout: float = 0.0,
        dtype: str = "float32",
        rng: np.random.Generator | None = None,
        dropout_rng: np.random.Generator | None = None,
    ) -> None:
        checks.integer("input_size", input_size, least=1)
        checks.integer("output_size", output_size, least=1)
        hidden = expand_hidden_sizes(hidden_sizes, num_layers)
        self.dtype = np.dtype(checks.choice("dtype", dtype, DTYPES))
        self.loss = loss or CrossEntropy()
        self.normalization = normalization or NoNormalization()
        self.dropout = checks.number("dropout", dropout, least=0, below=1)
        self.dropout_rng = dropout_rng or np.random.default_rng()
        self._activations, self._activation = activations, activation or ReLU()
        self._build([input_size, *hidden, output_size], per_layer(activations, self._activation, len(hidden)))
        init, rng = init or Xavier(), rng or np.random.default_rng()
        for layer in self.layers:
            init.fill(layer.W, rng)

    def _build(self, sizes: list[int], activations: list[Activation]) -> None:
        """Lay out the flat vectors and the layers' views for `sizes` = [d_in, hidden ..., c]; all zero."""
        self.sizes = sizes
        shapes = list(itertools.pairwise(sizes))
        self.num_weights = sum(fan_in * fan_out for fan_in, fan_out in shapes)
        normalized = not isinstance(self.normalization, NoNormalization)
        self._num_scales = sum(self.hidden_sizes) if normalized else 0
        self._num_parameters = self.num_weights + sum(sizes[1:]) + self._num_scales
        self.state = np.zeros(self._num_parameters + 2 * self._num_scales, self.dtype)
        self.grad = np.zeros(self._num_parameters, self.dtype)
        self._lay_views(activations)
        for layer in self.layers:
            if layer.norm is not None:
                layer.norm.gamma.fill(1)
                layer.norm.variance.fill(1)

    def _lay_views(self, activations: list[Activation]) -> None:
        """Give every layer its views of `theta` and `grad`; buffers are allocated when they are needed."""
        self.theta, self.statistics = np.split(self.state, [self._num_parameters])
        shapes = itertools.pairwise(self.sizes)
        self.layers: list[Dense] = []
        w, b, s = 0, self.num_weights, self._num_parameters - self._num_scales
        means, variances = np.split(self.statistics, 2)
        for (fan_in, fan_out), activation in zip(shapes, [*activations, None], strict=True):
            W, grad_W = (v[w : w + fan_in * fan_out].reshape(fan_in, fan_out) for v in (self.theta, self.grad))
            bias, grad_b = (v[b : b + fan_out] for v in (self.theta, self.grad))
            layer = Dense(W, bias, grad_W, grad_b, activation)
            if activation is not None and self._num_scales:
                of_scales = slice(s, s + fan_out)
                first = s - (self._num_parameters - self._num_scales)
                of_statistics = slice(first, first + fan_out)
                layer.norm = self.normalization.layer(
                    self.theta[of_scales], self.grad[of_scales], means[of_statistics], variances[of_statistics]
                )
                s += fan_out
            self.layers.append(layer)
            w, b = w + fan_in * fan_out, b + fan_out
        self._capacity = 0
        self._views: dict[int, Buffers] = {}
        self._X: Array | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copy.deepcopy and pickle: what a copy needs, without views and buffers, whose sharing would be lost."""
        kept = {name: value for name, value in vars(self).items() if name not in self._NOT_COPIED}
        return {**kept, "hidden_activations": [layer.activation for layer in self.layers[:-1]]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        activations = state.pop("hidden_activations")
        vars(self).update(state)
        self._lay_views(activations)

    @property
    def hidden_sizes(self) -> list[int]:
        """Neurons of each hidden layer."""
        return self.sizes[1:-1]

    def buffers(self, n: int) -> Buffers:
        """The buffers for a batch of n rows; storage is allocated for the largest n seen so far."""
        if n not in self._views:
            if n > self._capacity:
                self._allocate(n)
            self._views[n] = self._slice(n)
        return self._views[n]

    def _allocate(self, capacity: int) -> None:
        def flat(width: int) -> Array:
            return np.empty(capacity * width, self.dtype)

        self._capacity = capacity
        self._views = {}
        self._A = [flat(width) for width in self.sizes[1:]]
        self._D = [flat(width) for width in self.sizes[1:]]
        self._Z = [
            flat(width) if layer.activation is not None and layer.activation.keeps_input else A
            for width, layer, A in zip(self.sizes[1:], self.layers, self._A, strict=True)
        ]
        self._H = [
            flat(width) if layer.norm else None for width, layer in zip(self.sizes[1:], self.layers, strict=True)
        ]
        self._masks = [flat(width) if self.dropout else None for width in self.hidden_sizes]
        self._P = [flat(width) for width in self.hidden_sizes] if self.dropout else self._A[:-1]
        self._scratch = flat(max(self.sizes[1:])), flat(max(self.sizes[1:]))
        self._ones = np.ones(capacity, self.dtype)

    def _slice(self, n: int) -> Buffers:
        def view(flat: Array, width: int) -> Array:
            return flat[: n * width].reshape(n, width)

        widths = self.sizes[1:]
        first, second = self._scratch
        return Buffers(
            Z=[view(flat, width) for flat, width in zip(self._Z, widths, strict=True)],
            A=[view(flat, width) for flat, width in zip(self._A, widths, strict=True)],
            D=[view(flat, width) for flat, width in zip(self._D, widths, strict=True)],
            H=[None if flat is None else view(flat, width) for flat, width in zip(self._H, widths, strict=True)],
            P=[view(flat, width) for flat, width in zip(self._P, widths, strict=False)],
            masks=[None if flat is None else view(flat, w) for flat, w in zip(self._masks, widths, strict=False)],
            scratch=[(view(first, width), view(second, width)) for width in widths],
            ones=self._ones[:n],
        )

    def forward(self, X: Array) -> Array:
        """Logits (n, c) of X (n, d_in). The array is the network's own: the next call overwrites it."""
        return self._forward(X)

    def _forward(self, X: Array) -> Array:
        buffers = self.buffers(len(X))
        self._X = X
        for layer, Z, A, scratch in zip(self.layers, buffers.Z, buffers.A, buffers.scratch, strict=True):
            layer.forward(X, Z, A, scratch)
            X = A
        return X

    def _forward_in_training(self, X: Array) -> Array:
        """As `_forward`, with batch statistics and dropout."""
        if not self._num_scales and not self.dropout:
            return self._forward(X)
        buffers = self.buffers(len(X))
        self._X = X
        for i, layer in enumerate(self.layers):
            Z, A, scratch = buffers.Z[i], buffers.A[i], buffers.scratch[i]
            layer.forward(X, Z, A, scratch, buffers.H[i], buffers.ones)
            X = A
            if self.dropout and i < len(self.layers) - 1:
                mask = buffers.masks[i]
                assert mask is not None
                keep_some(mask, self.dropout, self.dropout_rng)
                X = np.multiply(A, mask, out=buffers.P[i])
        return X

    def backpropagate(self, n: int) -> None:
        """Fill `grad` from D[-1] = dL/dlogits (n, c), after a forward pass on the same n rows."""
        buffers = self.buffers(n)
        for i in range(len(self.layers) - 1, 0, -1):
            below = self.layers[i - 1].activation
            assert below is not None  # only the output layer has none
            D = buffers.D[i - 1]
            self.layers[i].backward(buffers.D[i], buffers.P[i - 1], D, buffers.ones, buffers.H[i])
            if (mask := buffers.masks[i - 1]) is not None:
                D *= mask
            below.backward(D, buffers.Z[i - 1], buffers.A[i - 1], buffers.scratch[i - 1])
        assert self._X is not None
        self.layers[0].backward(buffers.D[0], self._X, None, buffers.ones, buffers.H[0])

    def loss_and_gradients(self, X: Array, targets: Array) -> float:
        """Mean loss over the batch X (n, d_in), targets (n, c); `grad` <- its gradient (no weight decay).

        The loss is that of training: with the batch's own statistics and with dropout, where the network has them.
        """
        logits = self._forward_in_training(X)
        loss = self.loss.value_and_gradient(logits, targets, self.buffers(len(X)).D[-1])
        self.backpropagate(len(X))
        return loss

    @contextmanager
    def having(self, state: Array) -> Iterator[None]:
        """Within the block the network's state is `state`; afterwards it is what it was."""
        if state is self.state:
            yield
            return
        before = self.state.copy()
        self.state[...] = state
        try:
            yield
        finally:
            self.state[...] = before

    def predict_proba(self, X: Array) -> Array:
        """Class probabilities (n, c) of X (n, d_in), in an array of the caller's own."""
        return softmax(self._forward(X))

    def get_weights(self) -> dict[str, Array]:
        """Copies of all parameters: {"W0": (d_in, h), "b0": (h,), "W1": ...}; normalisation is folded into them."""
        weights = {}
        for i, layer in enumerate(self.layers):
            scale, shift = (1, layer.b) if layer.norm is None else layer.norm.folded(layer.b)
            weights[f"W{i}"] = layer.W * scale
            weights[f"b{i}"] = shift.copy()
        return weights


def keep_some(mask: Array, dropout: float, rng: np.random.Generator) -> None:
    """mask <- 0 with probability `dropout`, else 1 / (1 - dropout), so that the mean stays 1."""
    rng.random(out=mask, dtype=mask.dtype)
    np.greater_equal(mask, dropout, out=mask)
    mask *= 1 / (1 - dropout)


def per_layer(activations: Sequence[str | Activation] | None, activation: Activation, depth: int) -> list[Activation]:
    """One activation for each of `depth` hidden layers: `activations` one by one, else `activation` for all."""
    if activations is None:
        return [activation] * depth
    if len(activations) != depth:
        names = ", ".join(a if isinstance(a, str) else a.name for a in activations)
        raise ValueError(
            f"activations has {len(activations)} entries ({names}), but the network has {depth} hidden "
            f"layers: give {depth} names, or one for all layers"
        )
    return [by_name(Activation, a)() if isinstance(a, str) else a for a in activations]
