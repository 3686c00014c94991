"""The network as a grader calls it: `NeuralNetwork(argparse.Namespace(...))`."""

import argparse
import inspect
import math
import re
from typing import Any

import numpy as np

from mlp.base.naming import by_name, normalize_name, parse_sizes
from mlp.nn import checks
from mlp.nn.activations import Activation
from mlp.nn.initializers import Initializer, Zeros
from mlp.nn.layers import Linear
from mlp.nn.losses import Loss, one_hot, softmax
from mlp.nn.metrics import confusion_matrix, scores
from mlp.nn.network import MLP
from mlp.nn.optimizers import Optimizer
from mlp.nn.types import Array

#: Features and classes of the assignment's datasets; give `input_size` and `output_size` for others.
SIZES = {
    "mnist": (784, 10),
    **dict.fromkeys(("fashionmnist", "fashion", "fmnist"), (784, 10)),
    "cifar10": (3072, 10),
    "digits": (64, 10),
}

#: Weights as `get_weights` returns them, or the 0-d object array that `np.load` makes of a saved dictionary.
WeightsLike = dict[str, Array] | np.ndarray


class NeuralNetwork:
    """A network in float64 with its loss and optimizer, built from the long flags of the command line.

    Fields that are missing or None take these defaults: dataset mnist, hidden_size 128, num_layers 3, activation
    relu, weight_init xavier, loss cross_entropy, optimizer adam, learning_rate, momentum, beta, beta1, beta2 and
    epsilon those of the optimizer, weight_decay 0, epochs 10, batch_size 64, seed 0. Fields it does not know are
    ignored.

    The network itself is `network`, an `MLP`, whose methods return its own buffers; those here return arrays that
    are the caller's to keep. Raises ValueError for bad fields.

    Example:
        >>> net = NeuralNetwork(argparse.Namespace(dataset="digits", hidden_size=[32, 16], num_layers=2))
        >>> logits = net.forward(np.zeros((4, 64)))
        >>> grad_W, grad_b = net.backward(np.array([0, 1, 2, 3]), logits)  # index 0 is the last layer
        >>> logits.shape, [array.shape for array in grad_W]
        ((4, 10), [(16, 10), (32, 16), (64, 32)])
    """

    def __init__(self, cli_args: argparse.Namespace) -> None:
        def field(*names: str, default: Any) -> Any:
            given = (getattr(cli_args, name, None) for name in names)
            return next((value for value in given if value is not None), default)

        dataset = str(field("dataset", default="mnist"))
        input_size, output_size = SIZES.get(normalize_name(dataset), (None, None))
        input_size = field("input_size", "input_dim", default=input_size)
        output_size = field("output_size", "num_classes", "output_dim", default=output_size)
        if input_size is None or output_size is None:
            raise ValueError(
                f"the sizes of dataset '{dataset}' are unknown: give input_size and output_size, or one of the "
                f"datasets mnist, fashion_mnist, cifar10, digits"
            )
        self.seed = checks.integer("seed", field("seed", default=0), ge=0)
        self.epochs = checks.integer("epochs", field("epochs", default=10), ge=1)
        self.batch_size = checks.integer("batch_size", field("batch_size", default=64), ge=1)
        names = field("activation", "activations", default="relu")
        if not isinstance(names, str | list | tuple) or not names:
            raise ValueError(f"activation must be a name, or a list with one name per hidden layer. Got {names!r}")
        options = field("activation_options", default={})
        self._activations = [
            by_name(Activation, name)(**options) for name in ([names] if isinstance(names, str) else names)
        ]
        self.network = MLP(
            input_size,
            output_size,
            *_hidden_layers(
                field("hidden_size", "hidden_sizes", "hidden_layers", default=128),
                field("num_layers", "num_hidden_layers", default=None),
            ),
            activations=self._activations if len(self._activations) > 1 else None,
            activation=self._activations[0],
            init=by_name(Initializer, field("weight_init", "init", default="xavier"))(),
            loss=by_name(Loss, field("loss", default="cross_entropy"))(),
            dtype="float64",
            rng=np.random.default_rng(self.seed),
        )
        rule = by_name(Optimizer, field("optimizer", default="adam"))
        arguments = {name: getattr(cli_args, name, None) for name in inspect.signature(rule).parameters}
        self.optimizer: Optimizer = rule(**{name: v for name, v in arguments.items() if v is not None})
        self._shuffle = np.random.default_rng(self.seed)

    @property
    def sizes(self) -> list[int]:
        """Inputs, neurons of each hidden layer, outputs."""
        return self.network.sizes

    @property
    def layers(self) -> list[Linear]:
        """The layers from the input side, with W (in, out), b (out,), grad_W and grad_b."""
        return self.network.layers

    def forward(self, X: Array) -> Array:
        """Logits (b, c) of X (b, d_in), or of pictures (b, ...) with d_in numbers each. No softmax."""
        return self.network.forward(self._inputs(X)).copy()

    def backward(self, y_true: np.ndarray, y_pred: Array) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of the mean loss over the batch, without the weight-decay term.

        Args:
            y_true: labels (b,) or (b, 1), or one-hot rows (b, c).
            y_pred: what `forward` returned for this batch: logits (b, c).

        Returns:
            grad_W and grad_b, object arrays with an entry per layer; index 0 is the LAST layer. The same
            numbers are in `layers[i].grad_W` and `.grad_b`, index 0 there being the first layer. The network keeps
            the two arrays as `grad_W` and `grad_b`.
        """
        logits = np.asarray(y_pred, dtype=self.network.dtype)
        rows = self.layers[0].rows
        if logits.shape != (rows, self.sizes[-1]):
            raise ValueError(
                f"backward follows forward: y_pred must be the logits that forward returned. Got shape "
                f"{logits.shape}, last batch {None if rows < 0 else (rows, self.sizes[-1])}"
            )
        _, D = self.network.loss.value_and_gradient(logits, self._targets(y_true, len(logits)))
        self.network.backward(D)
        grad_W = np.empty(len(self.layers), dtype=object)
        grad_b = np.empty(len(self.layers), dtype=object)
        for i, layer in enumerate(reversed(self.layers)):
            grad_W[i], grad_b[i] = layer.grad_W.copy(), layer.grad_b.copy()
        self.grad_W, self.grad_b = grad_W, grad_b
        return grad_W, grad_b

    def update_weights(self) -> None:
        """One optimizer step with the gradients of the last `backward`."""
        self.optimizer.step(self.network.theta, self.network.grad, self.network.num_weights)

    def train(
        self, X_train: Array, y_train: np.ndarray, epochs: int | None = None, batch_size: int | None = None
    ) -> list[float]:
        """Train on shuffled mini-batches; returns the mean training loss of each epoch.

        Goes on where the last call stopped, in the order of the samples and in the optimizer's state too: epochs in
        several calls give the same bits as in one. `set_weights` makes a new start.
        """
        epochs = self.epochs if epochs is None else checks.integer("epochs", epochs, ge=1)
        batch_size = self.batch_size if batch_size is None else checks.integer("batch_size", batch_size, ge=1)
        X = self._inputs(X_train)
        targets = self._targets(y_train, len(X))
        history = []
        for _ in range(epochs):
            order, total = self._shuffle.permutation(len(X)), 0.0
            for rows in np.split(order, range(batch_size, len(X), batch_size)):
                loss, _ = self.network.loss_and_gradients(X[rows], targets[rows])
                total += loss * len(rows)
                self.update_weights()
            history.append(total / len(X))
        return history

    def evaluate(self, X: Array, y: np.ndarray) -> dict[str, float]:
        """Loss, accuracy, and macro precision, recall and F1 on X (n, d_in), y (n,), (n, 1) or one-hot."""
        return self.evaluate_logits(self.forward(X), y)

    def evaluate_logits(self, logits: Array, y: np.ndarray) -> dict[str, float]:
        """What `evaluate` returns, for logits (n, c) that `forward` returned."""
        targets = self._targets(y, len(logits))
        confusion = confusion_matrix(targets.argmax(axis=1), logits.argmax(axis=1), self.sizes[-1])
        return {"loss": self.network.loss.value(logits, targets), **scores(confusion)}

    def predict_proba(self, X: Array) -> Array:
        """Class probabilities (n, c) of X (n, d_in)."""
        return softmax(self.forward(X))

    def get_weights(self) -> dict[str, Array]:
        """Copies of all parameters: {"W0": (d_in, h), "b0": (h,), "W1": ...}."""
        return self.network.get_weights()

    def set_weights(self, weights: WeightsLike) -> None:
        """Take over parameters as `get_weights` or `np.load(path, allow_pickle=True)` return them.

        The network adopts their shapes: another number of layers or neurons makes it another network. What is not
        given stays, where the shapes fit. Biases may be (n,) or (1, n). Training starts anew: the optimizer forgets
        its steps, as they belong to other weights, and the samples are shuffled as in a network just built. Raises
        ValueError where the arrays do not chain into a network.
        """
        given = weights.item() if isinstance(weights, np.ndarray) and weights.size == 1 else weights
        own = self.get_weights()
        if isinstance(given, dict) and given and all(key in own and _replaces(own[key], given[key]) for key in given):
            given = {**own, **given}
        pairs = _layer_pairs(given)
        sizes = [len(pairs[0][0]), *(W.shape[1] for W, _ in pairs)]
        if sizes != self.sizes:
            several_kinds = len({type(activation) for activation in self._activations}) > 1  # one fits any depth
            self.network = MLP(
                sizes[0],
                sizes[-1],
                sizes[1:-1],
                activations=self._activations if several_kinds else None,
                activation=self._activations[0],
                init=Zeros(),
                loss=self.network.loss,
                dtype="float64",
            )
        self.optimizer.reset()
        self._shuffle = np.random.default_rng(self.seed)
        for layer, (W, b) in zip(self.layers, pairs, strict=True):
            layer.W, layer.b = W, b

    def _inputs(self, X: Array) -> Array:
        """X as a contiguous (b, d_in) array of the network's type."""
        X = np.ascontiguousarray(X, dtype=self.network.dtype)
        if X.ndim < 2 or len(X) == 0 or math.prod(X.shape[1:]) != self.sizes[0]:
            raise ValueError(f"X must have shape (b, {self.sizes[0]}). Got {X.shape}")
        return X.reshape(len(X), self.sizes[0])

    def _targets(self, y: np.ndarray, n: int) -> Array:
        """Target rows (n, c) for labels (n,), (n, 1) or one-hot (n, c)."""
        y, c = np.asarray(y), self.sizes[-1]
        if c > 1 and y.shape == (n, c):
            return np.ascontiguousarray(y, dtype=self.network.dtype)
        labels = y.reshape(-1)
        numbers = y.dtype.kind in "biuf"
        if len(labels) != n or not numbers or np.any((labels != np.floor(labels)) | (labels < 0) | (labels >= c)):
            got = f"values {labels.min()}..{labels.max()}" if numbers and labels.size else f"{y.dtype}"
            # Only with a label of every class are the numbers those that the network's outputs have.
            nameable = y.dtype.kind in "biufSU" and len(labels) == n and len(np.unique(labels)) == c
            raise ValueError(
                f"y must be labels 0..{c - 1} of shape ({n},) or ({n}, 1), or one-hot ({n}, {c}). Got shape "
                f"{y.shape}, {got}" + (f"; {checks.RENUMBER} numbers the labels 0, 1, ..." if nameable else "")
            )
        return one_hot(labels.astype(np.int64), c, self.network.dtype)


def _hidden_layers(sizes: Any, depth: Any) -> tuple[int | list[int], int | None]:
    """Sizes and depth as `MLP` takes them. A list of one size, as argparse makes it of `-sz 128`, is that size."""
    parsed = parse_sizes("hidden_size", sizes)
    if isinstance(depth, str) and depth.isdecimal():
        depth = int(depth)
    depth = None if depth is None else checks.integer("num_layers", depth, ge=0)
    return parsed[0] if len(parsed) == 1 else parsed, depth


def _replaces(own: Array, given: Any) -> bool:
    """Whether an array can take the place of `own`; a bias may be (1, n)."""
    shape = np.shape(given)
    return shape == own.shape or (own.ndim == 1 and shape == (1, *own.shape))


def _layer_pairs(weights: Any) -> list[tuple[Array, Array]]:
    """[(W0, b0), (W1, b1), ...], checked to chain."""
    if not isinstance(weights, dict) or "W0" not in weights:
        found = sorted(map(str, weights)) if isinstance(weights, dict) else type(weights).__name__
        raise ValueError(f"weights must be a dictionary with the keys W0, b0, W1, b1, ... Got {found}")
    pairs: list[tuple[Array, Array]] = []
    while f"W{len(pairs)}" in weights:
        i = len(pairs)
        W = np.asarray(weights[f"W{i}"], dtype=float)
        if W.ndim != 2 or (pairs and len(W) != pairs[-1][0].shape[1]):
            expected = pairs[-1][0].shape[1] if pairs else "inputs"
            raise ValueError(f"W{i} must have shape ({expected}, neurons). Got {W.shape}")
        b = np.asarray(weights.get(f"b{i}", ()), dtype=float)
        if b.size != W.shape[1]:
            raise ValueError(f"b{i} must have shape ({W.shape[1]},) or (1, {W.shape[1]}). Got {b.shape}")
        pairs.append((W, b.reshape(-1)))
    if any(re.fullmatch(r"[Wb]\d+", str(key)) and int(key[1:]) >= len(pairs) for key in weights):
        raise ValueError(f"W{len(pairs)} is missing. Got {sorted(map(str, weights))}")
    return pairs
