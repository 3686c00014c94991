"""The gradient of every parameter agrees with central differences, for every activation, loss and depth."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from networks import lively

from mlp.base.naming import by_name, subclasses
from mlp.nn import ELU, MLP, Activation, CrossEntropy, LeakyReLU, Linear, Loss
from mlp.nn.losses import one_hot
from mlp.nn.types import Array

ACTIVATIONS = [activation.name for activation in subclasses(Activation)]
LOSSES = [loss.name for loss in subclasses(Loss)]
SIZES = [4, 6, 5, 4, 5]  # of the hidden layers, as many as the depth says
FEATURES, CLASSES = 5, 3

#: The project's promise is 1e-7. Small gradients are held to their own size as well: sigmoids shrink them.
PROMISE, RELATIVE, ROUNDING = 1e-7, 1e-6, 2e-11

#: A fourth-order difference with this step errs by less than ROUNDING: h⁴ is 1e-19, and 1e-16 / h rounding.
H = 2e-5
#: No pre-activation this near to 0, where some activations have a kink: 50 times the largest step.
KINK = 50 * 2 * H


def central_differences(f: Callable[[], float], x: Array) -> Array:
    """The gradient of f with respect to x, which f reads: (8 (f₁ - f₋₁) - (f₂ - f₋₂)) / 12h."""
    gradient = np.empty_like(x)
    for i, at in enumerate(x):

        def moved(steps: int, i: int = i, at: float = at) -> float:
            x[i] = at + steps * H
            return f()

        gradient[i] = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * H)
        x[i] = at
    return gradient


def agrees(analytic: Array, numeric: Array) -> bool:
    error = np.abs(analytic - numeric)
    return bool(np.all(error <= PROMISE) and np.all(error <= ROUNDING + RELATIVE * np.abs(numeric)))


def first_clear_of_kinks(activations: Sequence[str | Activation], loss: str, n: int) -> tuple[MLP, Array, Array]:
    """A network with random weights and a batch of n rows, always the same, no pre-activation near a kink."""
    for seed in range(1000):
        rng = np.random.default_rng([seed, n])
        network = lively(FEATURES, CLASSES, SIZES[: len(activations)], loss=by_name(Loss, loss)(),
                         activations=activations, rng=rng)  # fmt: skip
        X, T = rng.normal(size=(n, FEATURES)), one_hot(rng.integers(0, CLASSES, n), CLASSES)
        A, nearest = X, math.inf
        for module in network.modules[:-1]:
            A = module.forward(A)
            if isinstance(module, Linear):
                nearest = min(nearest, np.abs(A).min())
        if nearest > KINK:
            return network, X, T
    raise AssertionError("every network is near a kink")


@cache
def gradients(activations: tuple[str | Activation, ...], loss: str, n: int) -> tuple[MLP, Array, Array]:
    """A network, its gradient and the differences of its loss, all parameters in one vector."""
    network, X, T = first_clear_of_kinks(activations, loss, n)
    network.loss_and_gradients(X, T)
    analytic = network.grad.copy()
    numeric = central_differences(lambda: network.loss.value(network.forward(X), T), network.theta)
    return network, analytic, numeric


every_network = pytest.mark.parametrize(
    ("activation", "loss", "depth"),
    [
        *itertools.product(ACTIVATIONS, LOSSES, range(1, len(SIZES))),
        *itertools.product(ACTIVATIONS[:1], LOSSES, [0]),  # without a hidden layer there is nothing to activate
    ],
)


@every_network
def test_gradients_are_those_of_the_loss_and_one_wrong_by_a_thousandth_is_noticed(
    activation: str, loss: str, depth: int
) -> None:
    for n in (1, 7):
        network, exact, numeric = gradients((activation,) * depth, loss, n)
        np.testing.assert_allclose(exact, numeric, rtol=0, atol=PROMISE)
        assert agrees(exact, numeric)
    for layer, part in itertools.product(network.layers, ("grad_W", "grad_b")):
        getattr(layer, part)[...] *= 1.001
        assert not agrees(network.grad, numeric), part
        network.grad[...] = exact


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("first", range(len(ACTIVATIONS)))
def test_gradients_of_a_network_with_another_activation_in_each_layer(first: int, loss: str) -> None:
    mixed = tuple(ACTIVATIONS[(first + 3 * i) % len(ACTIVATIONS)] for i in range(len(SIZES)))
    _, analytic, numeric = gradients(mixed, loss, 7)
    assert agrees(analytic, numeric)


@pytest.mark.parametrize(
    "activation", [LeakyReLU(0.3), LeakyReLU(0.0), ELU(0.4), ELU(2.5)], ids=lambda a: str(vars(a))
)
def test_gradients_follow_the_coefficients_of_an_activation(activation: Activation) -> None:
    _, analytic, numeric = gradients((activation,) * 2, LOSSES[0], 7)
    assert agrees(analytic, numeric)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_holds_for_soft_targets_too(name: str) -> None:
    rng = np.random.default_rng(0)
    logits, T = rng.normal(0, 2, (4, 5)), rng.dirichlet(np.ones(5), 4)
    loss = by_name(Loss, name)()
    analytic = loss.value_and_gradient(logits, T)[1].copy()
    numeric = central_differences(lambda: loss.value(logits, T), logits.reshape(-1))
    assert agrees(analytic.reshape(-1), numeric)


@pytest.mark.parametrize("loss", [*(by_name(Loss, name)() for name in LOSSES), CrossEntropy(label_smoothing=0.2)],
                         ids=lambda loss: f"{loss.name}-{getattr(loss, 'label_smoothing', 0)}")  # fmt: skip
@pytest.mark.parametrize("n", [1, 7])
def test_gradients_of_weighted_samples_are_those_of_the_weighted_loss(loss: Loss, n: int) -> None:
    network, X, T = first_clear_of_kinks(("relu", "tanh"), loss.name, n)
    network.loss, weights = loss, np.random.default_rng(n).gamma(1, size=n)

    def value() -> float:
        return loss.value_and_gradient(network.forward(X), T, weights)[0]

    network.loss_and_gradients(X, T, weights)
    analytic = network.grad.copy()
    numeric = central_differences(value, network.theta)
    assert agrees(analytic, numeric)
    if n > 1:  # of a single sample every weight is the same
        weights[np.argmax(weights)] *= 1.001
        network.loss_and_gradients(X, T, weights)
        assert not agrees(network.grad, numeric)


def test_central_differences_are_those_of_a_function_worked_by_hand() -> None:
    x = np.array([0.5, -2.0, 3.0])
    numeric = central_differences(lambda: float(x[0] ** 3 * x[1] + np.exp(x[2])), x)
    np.testing.assert_allclose(numeric, [-1.5, 0.125, np.exp(3.0)], rtol=0, atol=1e-9)
    assert x.tolist() == [0.5, -2.0, 3.0]
