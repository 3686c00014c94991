"""NeuralNetwork's parameters: through its layers, through get_weights and set_weights, and through files."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import graded, random_parameters
from recorded import assert_close

from mlp.base.naming import subclasses
from mlp.graded import NeuralNetwork
from mlp.nn import Optimizer

X, LABELS = np.random.default_rng(0).normal(size=(7, 6)), np.array([3, 0, 2, 1, 1, 3, 0])
SIZES = [6, 5, 7, 4]


@pytest.fixture
def network() -> NeuralNetwork:
    return graded(input_size=6, output_size=4, hidden_size=[5, 7], activation="tanh")


def two_layers(**fields: Any) -> NeuralNetwork:
    return graded(input_size=6, output_size=4, hidden_size=5, num_layers=1, **fields)


def relu_logits(weights: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """A network of two layers, written out."""
    hidden = np.maximum(X @ weights["W0"] + weights["b0"], 0)
    return np.asarray(hidden @ weights["W1"] + weights["b1"])


def test_layers_show_weights_biases_and_their_gradients(network: NeuralNetwork) -> None:
    network.backward(LABELS, network.forward(X))
    for layer, fan_in, fan_out in zip(network.layers, SIZES, SIZES[1:], strict=False):
        assert layer.W.shape == layer.grad_W.shape == (fan_in, fan_out)
        assert layer.b.shape == layer.grad_b.shape == (fan_out,)


def test_edits_and_assignments_of_a_layers_parameters_act(network: NeuralNetwork) -> None:
    before = network.forward(X)
    network.layers[-1].b[1] += 2.5  # in place
    assert_close(network.forward(X), before + np.array([0, 2.5, 0, 0]))
    network.layers[-1].b = np.zeros((1, 4))  # a row
    network.layers[-1].W = np.zeros((7, 4))
    assert not network.forward(X).any()
    network.layers[-1].W[0, 2] = 1.0
    assert network.forward(X)[:, 2].all()
    network.layers[-1].W -= 1.0
    assert network.get_weights()["W2"].tolist() == [[-1.0, -1.0, 0.0, -1.0]] + [[-1.0] * 4] * 6


def test_an_assigned_array_stays_the_callers(network: NeuralNetwork) -> None:
    W = np.ones((6, 5))
    network.layers[0].W = W
    network.backward(LABELS, network.forward(X))
    network.update_weights()
    assert (W == 1).all()
    W.fill(7)
    assert not (network.layers[0].W == 7).any()


@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
def test_assigned_gradients_are_the_ones_that_update_weights_takes(rule: type[Optimizer]) -> None:
    edited, assigned = (two_layers(optimizer=rule.name) for _ in range(2))
    for network in (edited, assigned):
        network.backward(LABELS, network.forward(X))
    gradient = np.full((6, 5), 0.25)
    edited.layers[0].grad_W[...] = gradient
    assigned.layers[0].grad_W = gradient
    for network in (edited, assigned):
        network.update_weights()
        network.backward(LABELS, network.forward(X))
    np.testing.assert_array_equal(assigned.network.theta, edited.network.theta)
    assert (gradient == 0.25).all()


@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
def test_update_weights_is_a_step_of_the_optimizer(rule: type[Optimizer]) -> None:
    network = two_layers(optimizer=rule.name, learning_rate=0.02, weight_decay=0.1)
    weights = network.get_weights()
    W, b = [weights["W0"], weights["W1"]], [weights["b0"], weights["b1"]]
    by_hand, theta = (
        rule(learning_rate=0.02, weight_decay=0.1),
        np.concatenate([a.reshape(-1) for a in W + b]),
    )
    for _ in range(12):
        grad_W, grad_b = network.backward(LABELS, network.forward(X))
        gradient = np.concatenate([a.reshape(-1) for a in [*grad_W[::-1], *grad_b[::-1]]])
        by_hand.step(theta, gradient, W[0].size + W[1].size)
        network.update_weights()
    updated = network.get_weights()
    expected = np.split(theta, np.cumsum([a.size for a in W + b]))
    for name, value in zip(("W0", "W1", "b0", "b1"), expected, strict=False):
        np.testing.assert_array_equal(updated[name].reshape(-1), value)


def test_one_step_of_sgd_worked_out() -> None:
    """θ - η (g + λ θ) for weights, θ - η g for biases."""
    network = graded(
        input_size=6,
        output_size=4,
        hidden_size=5,
        num_layers=1,
        optimizer="sgd",
        learning_rate=0.5,
        weight_decay=0.1,
    )
    network.layers[1].b = np.arange(1.0, 5.0)
    before = network.get_weights()
    grad_W, grad_b = network.backward(LABELS, network.forward(X))
    network.update_weights()
    after = network.get_weights()
    for i in range(2):
        assert_close(after[f"W{i}"], before[f"W{i}"] * 0.95 - 0.5 * grad_W[1 - i])
        assert_close(after[f"b{i}"], before[f"b{i}"] - 0.5 * grad_b[1 - i])


def test_get_weights_returns_copies_named_from_the_input_side(network: NeuralNetwork) -> None:
    weights = network.get_weights()
    assert {name: value.shape for name, value in weights.items()} == {
        "W0": (6, 5), "b0": (5,), "W1": (5, 7), "b1": (7,), "W2": (7, 4), "b2": (4,),
    }  # fmt: skip
    assert all(value.dtype == np.float64 for value in weights.values())
    before = network.network.theta.copy()
    for value in weights.values():
        value.fill(np.nan)
    np.testing.assert_array_equal(network.network.theta, before)


@pytest.mark.parametrize("item", [False, True], ids=["0-d array", "item()"])
def test_weights_come_back_from_a_file_to_the_last_bit(network: NeuralNetwork, item: bool, tmp_path: Path) -> None:
    path = tmp_path / "best_model.npy"
    np.save(path, network.get_weights())  # type: ignore[arg-type]
    loaded: Any = np.load(path, allow_pickle=True)
    other = graded(input_size=6, output_size=4, hidden_size=[5, 7], activation="tanh", seed=1)
    assert not np.array_equal(other.forward(X), network.forward(X))
    other.set_weights(loaded.item() if item else loaded)
    np.testing.assert_array_equal(other.network.theta, network.network.theta)
    np.testing.assert_array_equal(other.forward(X), network.forward(X))


def test_set_weights_copies(network: NeuralNetwork) -> None:
    weights = random_parameters(*SIZES)
    network.set_weights(weights)
    before = network.network.theta.copy()
    for value in weights.values():
        value.fill(0)
    np.testing.assert_array_equal(network.network.theta, before)


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)], ids=["(n,)", "(1, n)", "(n, 1)"])
def test_biases_may_be_rows(network: NeuralNetwork, shape: tuple[int, ...]) -> None:
    weights = random_parameters(*SIZES)
    network.set_weights({name: a.reshape(shape) if name[0] == "b" else a for name, a in weights.items()})
    for name, value in network.get_weights().items():
        np.testing.assert_array_equal(value, weights[name])


def test_lists_float32_and_further_keys_are_accepted(network: NeuralNetwork) -> None:
    weights = random_parameters(*SIZES)
    network.set_weights({name: a.tolist() for name, a in weights.items()} | {"config": {"loss": "mse"}})
    assert all(np.array_equal(a, weights[name]) for name, a in network.get_weights().items())
    network.set_weights({name: a.astype(np.float32) for name, a in weights.items()})
    assert network.forward(X).dtype == np.float64


TOY = {
    "W0": np.linspace(-1, 1, 20).reshape(2, 10), "b0": np.linspace(0, 1, 10).reshape(1, 10),
    "W1": np.linspace(1, -2, 30).reshape(10, 3), "b1": np.array([[0.1, -0.2, 0.3]]),
}  # fmt: skip


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("form", [lambda w: w, lambda w: np.array(w, dtype=object)], ids=["dictionary", "0-d array"])
def test_a_network_for_mnist_becomes_the_toy_network_it_is_given(used: bool, form: Any) -> None:
    network = graded(dataset="mnist", hidden_size=[128, 64], num_layers=2, optimizer="nadam", learning_rate=0.02)
    if used:
        network.train(np.random.default_rng(0).random((8, 784)), np.arange(8), 1, 4)
    network.set_weights(form(TOY))
    x, y = np.array([[0.5, -1.0], [2.0, 0.25], [-0.3, 0.8], [1.5, 1.5]]), np.array([2, 0, 1, 0])
    logits = network.forward(x)
    assert_close(logits, relu_logits(TOY, x))
    grad_W, grad_b = network.backward(y, logits)
    assert [g.shape for g in grad_W] == [(10, 3), (2, 10)]
    assert [g.shape for g in grad_b] == [(3,), (10,)]
    network.update_weights()
    # The optimizer starts anew: the first step of Nadam depends on nothing before it.
    fresh = graded(input_size=2, output_size=3, hidden_size=10, num_layers=1, optimizer="nadam", learning_rate=0.02)
    fresh.set_weights(TOY)
    fresh.backward(y, fresh.forward(x))
    fresh.update_weights()
    np.testing.assert_array_equal(network.network.theta, fresh.network.theta)
    history = network.train(x, y, 200, 2)
    assert history[-1] < 0.1 < history[0]
    assert network.evaluate(x, y)["accuracy"] == 1
    assert {name: a.shape for name, a in network.get_weights().items()} == {
        "W0": (2, 10), "b0": (10,), "W1": (10, 3), "b1": (3,),
    }  # fmt: skip


def test_a_deeper_network_keeps_the_activation(network: NeuralNetwork) -> None:
    network.set_weights(random_parameters(6, 3, 3, 3, 3, 4))
    assert network.sizes[1:-1] == [3, 3, 3, 3]
    assert {activation.name for activation in network.network.activations} == {"tanh"}


def test_a_network_without_hidden_layers_is_adopted(network: NeuralNetwork) -> None:
    weights = random_parameters(6, 4)
    network.set_weights(weights)
    assert_close(network.forward(X), X @ weights["W0"] + weights["b0"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W1": np.ones((6, 7))}, r"W1 must have shape \(5, neurons\)\. Got \(6, 7\)"),
        ({"W0": np.ones(5)}, r"W0 must have shape \(inputs, neurons\)\. Got \(5,\)"),
        ({"W0": np.ones((6, 5, 1))}, r"W0 must have shape \(inputs, neurons\)\. Got \(6, 5, 1\)"),
        ({"b1": np.ones(6)}, r"b1 must have shape \(7,\) or \(1, 7\)\. Got \(6,\)"),
        ({"b2": None}, r"b2"),
        ({"W0": None}, r"weights must be a dictionary with the keys W0, b0"),
        ({"W1": None}, r"W1"),
    ],
)
def test_parameters_that_do_not_chain_are_refused_and_nothing_changes(
    network: NeuralNetwork, change: dict[str, Any], message: str
) -> None:
    before, sizes = network.network.theta.copy(), network.sizes
    # What a network of the same sizes lacks would stay as it is.
    given = random_parameters(*((6, 8, 7, 4) if any(array is None for array in change.values()) else SIZES))
    weights = {name: a for name, a in (given | change).items() if a is not None}
    with pytest.raises(ValueError, match=message):
        network.set_weights(weights)
    np.testing.assert_array_equal(network.network.theta, before)
    assert network.sizes == sizes


@pytest.mark.parametrize("wrong", [[1, 2], np.array([1, 2]), np.array(3), None, {}, {"weights": 1}], ids=str)
def test_what_is_no_dictionary_of_weights_is_refused(network: NeuralNetwork, wrong: Any) -> None:
    with pytest.raises(ValueError, match="weights must be a dictionary with the keys W0, b0, W1, b1"):
        network.set_weights(wrong)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_trains_like_the_original_and_apart_from_it(copied: Callable[[NeuralNetwork], NeuralNetwork]) -> None:
    original = two_layers(optimizer="adam")
    original.train(X, LABELS, 1, 4)
    twin = copied(original)
    before = original.network.theta.copy()
    twin.backward(LABELS, twin.forward(X))
    twin.update_weights()
    np.testing.assert_array_equal(original.network.theta, before)
    assert np.shares_memory(twin.network.theta, twin.layers[0].W)
    original.backward(LABELS, original.forward(X))
    original.update_weights()
    np.testing.assert_array_equal(twin.network.theta, original.network.theta)
    assert not np.array_equal(before, original.network.theta)
    assert twin.train(X, LABELS, 3, 4) == original.train(X, LABELS, 3, 4)  # in the same order
    np.testing.assert_array_equal(twin.network.theta, original.network.theta)


@pytest.mark.parametrize("name", ["W", "grad_W", "b", "grad_b"])
def test_assignment_does_not_broadcast(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        setattr(two_layers().layers[0], name, np.ones((1, 1)))


def test_a_list_of_one_kind_of_activation_fits_any_depth() -> None:
    network = graded(input_size=6, output_size=4, hidden_size=[4, 4], activation=["tanh", "tanh"])
    network.set_weights(random_parameters(6, 5, 7))
    assert [activation.name for activation in network.network.activations] == ["tanh"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_wants_a_forward_pass_of_its_own_before_backward(
    network: NeuralNetwork, copied: Callable[[NeuralNetwork], NeuralNetwork]
) -> None:
    logits = network.forward(X)
    with pytest.raises(ValueError, match="backward follows forward"):
        copied(network).backward(LABELS, logits)
