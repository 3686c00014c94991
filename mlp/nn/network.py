"""The multi-layer perceptron: a list of layers, all parameters in one flat vector."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlp.base.naming import by_name
from mlp.nn import checks
from mlp.nn.activations import Activation, ReLU
from mlp.nn.initializers import Initializer, Xavier, Zeros
from mlp.nn.layers import Dropout, Layer, Linear
from mlp.nn.losses import CrossEntropy, Loss, softmax
from mlp.nn.normalization import NoNormalization, Normalization
from mlp.nn.sizes import expand_hidden_sizes
from mlp.nn.types import Array

DTYPES = ("float32", "float64")


class MLP:
    """Linear layers with hidden activations and a linear output: `forward` returns logits.

    `modules` are all layers in their order: for each hidden layer a linear one, the normalisation, the activation
    and dropout, as far as they are wanted; then the linear output. `layers` are the linear ones among them, and
    `activations` those of the hidden layers.

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

    Objects that are given are templates: each hidden layer gets its own copy. Raises ValueError for arguments out of
    range.
    """

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
        checks.integer("input_size", input_size, ge=1)
        checks.integer("output_size", output_size, ge=1)
        self.sizes = [input_size, *expand_hidden_sizes(hidden_sizes, num_layers), output_size]
        self.dtype = np.dtype(checks.choice("dtype", dtype, DTYPES))
        self.loss = loss or CrossEntropy()
        self.dropout = checks.number("dropout", dropout, ge=0, lt=1)
        self.normalization = normalization or NoNormalization()
        self._templates = per_layer(activations, activation or ReLU(), len(self.hidden_sizes))
        self._build()
        self.dropout_rng = dropout_rng or np.random.default_rng()
        (init or Xavier()).initialize(self.layers, rng or np.random.default_rng())

    def _build(self) -> None:
        """Lay out the flat vectors, and the layers with their views of them."""
        shapes, widths = list(itertools.pairwise(self.sizes)), self.sizes[1:]
        normalized = [] if isinstance(self.normalization, NoNormalization) else self.hidden_sizes
        weights = [fan_in * fan_out for fan_in, fan_out in shapes]
        self.num_weights = sum(weights)
        parameters = [*weights, *widths, *normalized]
        self.grad = np.zeros(sum(parameters), self.dtype)
        self.state = np.zeros(len(self.grad) + 2 * sum(normalized), self.dtype)
        self.theta, statistics = np.split(self.state, [len(self.grad)])
        W, b, gamma = _views(self.theta, weights, widths, normalized)
        grad_W, grad_b, grad_gamma = _views(self.grad, weights, widths, normalized)
        mean, variance = _views(statistics, normalized, normalized)
        self.modules: list[Layer] = []
        self.layers: list[Linear] = []
        self.activations = [copy.deepcopy(template) for template in self._templates]
        for i, shape in enumerate(shapes):
            is_normalized = i < len(normalized)
            layer = Linear(
                W[i].reshape(shape), b[i], grad_W[i].reshape(shape), grad_b[i], i == 0, adds_bias=not is_normalized
            )
            self.layers.append(layer)
            self.modules.append(layer)
            if is_normalized:
                norm = copy.deepcopy(self.normalization)
                norm.bind(gamma[i], b[i], grad_gamma[i], grad_b[i], mean[i], variance[i])
                self.modules.append(norm)
            if i < len(self.activations):
                self.modules.append(self.activations[i])
                if self.dropout:
                    self.modules.append(Dropout(self.dropout))

    def __reduce__(self) -> tuple[Any, ...]:
        """For copy.deepcopy and pickle: the arguments, and the numbers. A copy lays its own views of them."""
        arguments = {
            "input_size": self.sizes[0],
            "output_size": self.sizes[-1],
            "hidden_sizes": self.hidden_sizes,
            "activations": self._templates,
            "init": Zeros(),
            "loss": self.loss,
            "normalization": self.normalization,
            "dropout": self.dropout,
            "dtype": self.dtype.name,
            "dropout_rng": self.dropout_rng,
        }
        return _rebuild, (arguments, self.state, self.grad)

    @property
    def hidden_sizes(self) -> list[int]:
        """Neurons of each hidden layer."""
        return self.sizes[1:-1]

    @property
    def dropout_rng(self) -> np.random.Generator:
        """Source of the outputs that dropout drops, for all layers together."""
        return self._dropout_rng

    @dropout_rng.setter
    def dropout_rng(self, rng: np.random.Generator) -> None:
        self._dropout_rng = rng
        for module in self.modules:
            if isinstance(module, Dropout):
                module.rng = rng

    def forward(self, X: Array, training: bool = False) -> Array:
        """Logits (n, c) of X (n, d_in). The array is the network's own: the next call overwrites it.

        In training with the batch's own statistics and with dropout, where the network has them.
        """
        for module in self.modules:
            X = module.forward(X, training)
        return X

    def backward(self, D: Array) -> None:
        """Fill `grad` from D = dL/dlogits (n, c), after `forward` in training on the same n rows."""
        for module in reversed(self.modules):
            D = module.backward(D)

    def loss_and_gradients(self, X: Array, targets: Array, weights: Array | None = None) -> tuple[float, Array]:
        """Mean loss of training over the batch X (n, d_in), targets (n, c), and the logits (n, c) of `forward`.

        `weights` (n,) of the samples make it a weighted mean, see `Loss`. `grad` <- the gradient of that loss
        (without weight decay).
        """
        logits = self.forward(X, training=True)
        loss, D = self.loss.value_and_gradient(logits, targets, weights)
        self.backward(D)
        return loss, logits

    @contextmanager
    def swap_state(self, state: Array) -> Iterator[None]:
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
        return softmax(self.forward(X))

    def get_weights(self) -> dict[str, Array]:
        """Copies of all parameters: {"W0": (d_in, h), "b0": (h,), "W1": ...}; normalisation is folded into them."""
        weights: dict[str, Array] = {}
        for module in self.modules:
            if isinstance(module, Linear):
                i = len(weights) // 2
                weights |= {f"W{i}": module.W.copy(), f"b{i}": module.b.copy()}
            elif isinstance(module, Normalization):
                scale, shift = module.folded()
                weights |= {f"W{i}": weights[f"W{i}"] * scale, f"b{i}": shift}
        return weights


def _rebuild(arguments: dict[str, Any], state: Array, grad: Array) -> MLP:
    network = MLP(**arguments)
    network.state[...], network.grad[...] = state, grad
    return network


def _views(flat: Array, *lengths: Sequence[int]) -> list[list[Array]]:
    """Views of `flat`, of these lengths, one after the other."""
    ends = itertools.accumulate(itertools.chain(*lengths))
    views = iter(np.split(flat, list(ends)))
    return [list(itertools.islice(views, len(group))) for group in lengths]


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
