"""No input of finite numbers makes the network warn or leave the numbers: warnings are errors in these tests."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from mlp.base.naming import subclasses
from mlp.nn import MLP, Activation, Adam, Initializer, Loss, Optimizer, Sigmoid, Zeros
from mlp.nn.losses import one_hot

FEATURES, CLASSES = 6, 4
LABELS = np.arange(8) % CLASSES
NORMAL = np.random.default_rng(0).normal(size=(8, FEATURES))

BATCHES = {
    "huge inputs of both signs": (np.sign(NORMAL) * 1e4, LABELS),
    "constant inputs": (np.ones((8, FEATURES)), LABELS),
    "zeros": (np.zeros((8, FEATURES)), LABELS),
    "one sample": (NORMAL[:1], LABELS[:1]),
    "classes that do not occur": (NORMAL, np.full(8, 2)),
}


named = {"ids": lambda kind: kind.name}


def assert_trains(network: MLP, optimizer: Optimizer, X: np.ndarray, labels: np.ndarray, *case: Any) -> None:
    X, T = X.astype(network.dtype), one_hot(labels, CLASSES, network.dtype)
    for _ in range(5):
        assert np.isfinite(network.loss_and_gradients(X, T)[0]), case
        assert np.isfinite(network.grad).all(), case
        optimizer.step(network.theta, network.grad, network.num_weights)
        assert np.isfinite(network.theta).all(), case
    assert np.isfinite(network.predict_proba(X)).all(), case


@pytest.mark.parametrize("activation", subclasses(Activation), **named)
@pytest.mark.parametrize("loss", subclasses(Loss), **named)
def test_five_steps_stay_finite(activation: type[Activation], loss: type[Loss]) -> None:
    for case in product([(), (5,), (5, 7, 5, 5)], ["float32", "float64"], BATCHES):
        hidden_sizes, dtype, batch = case
        network = MLP(FEATURES, CLASSES, hidden_sizes, activation=activation(), loss=loss(), dtype=dtype,
                      rng=np.random.default_rng(1))  # fmt: skip
        assert_trains(network, Adam(), *BATCHES[batch], case)


@pytest.mark.parametrize("rule", subclasses(Optimizer), **named)
def test_every_optimizer_and_initializer_stays_finite(rule: type[Optimizer]) -> None:
    for init, (batch, (X, labels)) in product(subclasses(Initializer), BATCHES.items()):
        network = MLP(FEATURES, CLASSES, [5, 5], init=init(), rng=np.random.default_rng(1))
        # Without a bound on the step, a gradient of 1e4 with the usual learning rate is divergence, not instability.
        rate = 1e-10 if batch.startswith("huge") else 1e-3
        assert_trains(network, rule(learning_rate=rate, weight_decay=0.01), X, labels, init, batch)


@pytest.mark.parametrize("loss", subclasses(Loss), **named)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand_give_finite_losses_and_gradients(loss: type[Loss], dtype: str) -> None:
    network = MLP(FEATURES, CLASSES, [], loss=loss(), dtype=dtype)
    network.layers[0].W = np.zeros((FEATURES, CLASSES))
    for sign in (1, -1):
        network.layers[0].b = sign * np.array([1e4, -1e4, 0, 1e4])
        assert_trains(network, Adam(), NORMAL, LABELS)


def test_the_symmetry_of_zeros_is_never_broken() -> None:
    """Neurons that start equal stay equal, to the last bit: the study of symmetry rests on it."""
    network, optimizer = MLP(FEATURES, CLASSES, [5, 5], activation=Sigmoid(), init=Zeros()), Adam(0.1)
    targets = one_hot(LABELS**2 % CLASSES, CLASSES, "float32")  # 0 and 1, never 2 or 3
    for _ in range(10):
        network.loss_and_gradients(NORMAL.astype("float32"), targets)
        optimizer.step(network.theta, network.grad, network.num_weights)
        for layer in network.layers[:-1]:
            for columns in (layer.W, layer.grad_W):
                assert (columns == columns[:, :1]).all()
    assert all(layer.W.any() for layer in network.layers[1:])
