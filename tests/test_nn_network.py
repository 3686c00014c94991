"""The network computes what PyTorch computes: logits, loss, every gradient, and 25 steps of training."""

import itertools
from typing import Any

import numpy as np
import pytest
from networks import lively
from recorded import arrays, assert_close, cases

from mlp.base.naming import by_name
from mlp.nn import MLP, Activation, CrossEntropy, Linear, Loss, Optimizer, ReLU
from mlp.nn.losses import one_hot


def recorded_network(subject: str, case: dict[str, Any], prefix: str, dtype: str) -> tuple[MLP, Any, Any]:
    """The network of a case with its recorded weights, and the batch."""
    recorded = arrays(subject)
    x, labels = recorded["x"].astype(dtype), recorded["labels"]
    classes = recorded[f"{prefix}b{len(case['hidden_sizes'])}"].size
    network = MLP(x.shape[1], classes, case["hidden_sizes"], dtype=dtype, loss=by_name(Loss, case["loss"])(),
                  activation=by_name(Activation, case["activation"])())  # fmt: skip
    for i, layer in enumerate(network.layers):
        layer.W, layer.b = recorded[f"{prefix}W{i}"], recorded[f"{prefix}b{i}"]
    return network, x, one_hot(labels, classes, dtype)


@pytest.mark.parametrize("case", cases("network"))
@pytest.mark.parametrize(("dtype", "close"), [("float64", {}), ("float32", {"rtol": 2e-5, "atol": 2e-6})])
def test_logits_loss_and_gradients_are_the_recorded_ones(
    case: dict[str, Any], dtype: str, close: dict[str, float]
) -> None:
    recorded, key = arrays("network"), case["key"]
    network, x, targets = recorded_network("network", case, f"{case['architecture']}/", dtype)
    logits = network.forward(x)
    assert_close(logits, recorded[f"{key.rpartition('/')[0]}/logits"], **close)
    loss, trained = network.loss_and_gradients(x, targets)
    np.testing.assert_array_equal(trained, network.forward(x))
    assert_close(loss, recorded[f"{key}/value"], **close)
    for i, layer in enumerate(network.layers):
        assert_close(layer.grad_W, recorded[f"{key}/grad_W{i}"], **close)
        assert_close(layer.grad_b, recorded[f"{key}/grad_b{i}"], **close)
        assert layer.grad_W.dtype == layer.grad_b.dtype == logits.dtype == np.dtype(dtype)


@pytest.mark.parametrize("case", cases("training"))
@pytest.mark.parametrize(("dtype", "close"), [("float64", {}), ("float32", {"rtol": 1e-4, "atol": 2e-5})])
def test_training_follows_the_recorded_course(case: dict[str, Any], dtype: str, close: dict[str, float]) -> None:
    recorded = arrays("training")
    network, x, targets = recorded_network("training", case, "", dtype)
    optimizer = by_name(Optimizer, case["optimizer"])(**case["kwargs"])
    losses = []
    for _ in recorded[f"{case['key']}/losses"]:
        losses.append(network.loss_and_gradients(x, targets)[0])
        optimizer.step(network.theta, network.grad, network.num_weights)
    assert_close(losses, recorded[f"{case['key']}/losses"], **close)
    for name, value in network.get_weights().items():
        assert value.dtype == np.dtype(dtype)
        assert_close(value, recorded[f"{case['key']}/{name}"], **close)


def test_parameters_and_gradients_are_views_into_flat_vectors_weights_first() -> None:
    network = lively(3, 2, [4, 5], rng=np.random.default_rng(0))
    assert network.num_weights == 3 * 4 + 4 * 5 + 5 * 2
    for flat, W, b in ((network.theta, "W", "b"), (network.grad, "grad_W", "grad_b")):
        flat[...] = np.arange(flat.size)
        views = [getattr(layer, name) for name in (W, b) for layer in network.layers]
        assert [view.shape for view in views] == [(3, 4), (4, 5), (5, 2), (4,), (5,), (2,)]
        np.testing.assert_array_equal(np.concatenate([view.reshape(-1) for view in views]), flat)
        assert all(np.shares_memory(view, flat) for view in views)


def test_logits_of_a_row_do_not_depend_on_the_batch_it_is_in() -> None:
    rng = np.random.default_rng(0)
    network, X = lively(4, 3, [6, 5], activations=["gelu", "relu"], rng=rng), rng.normal(size=(9, 4))
    expected = network.forward(X).copy()
    for n in (4, 1, 9, 12, 3):  # shorter, one, the same, longer than ever, shorter again
        X_n = np.resize(X, (n, 4))
        assert_close(network.forward(X_n), np.resize(expected, (n, 3)))


def test_gradients_of_a_shorter_last_batch_are_those_of_a_fresh_network() -> None:
    rng = np.random.default_rng(0)
    used = lively(4, 3, [6, 5], activations=["elu", "swish"], rng=np.random.default_rng(1))
    for n in (8, 3, 8, 5):
        X, T = rng.normal(size=(n, 4)), one_hot(rng.integers(0, 3, n), 3)
        fresh = lively(4, 3, [6, 5], activations=["elu", "swish"], rng=np.random.default_rng(1))
        assert used.loss_and_gradients(X, T)[0] == fresh.loss_and_gradients(X, T)[0]
        np.testing.assert_array_equal(used.grad, fresh.grad)


def test_probabilities_and_weights_are_copies() -> None:
    rng = np.random.default_rng(0)
    network, X = lively(4, 3, [5], rng=rng), rng.normal(size=(6, 4))
    probabilities, weights = network.predict_proba(X), network.get_weights()
    kept, saved = probabilities.copy(), {name: value.copy() for name, value in weights.items()}
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), network.forward(X).argmax(axis=1))
    network.predict_proba(X[::-1])
    network.theta += 1
    np.testing.assert_array_equal(probabilities, kept)
    assert list(weights) == ["W0", "b0", "W1", "b1"]
    assert all(np.array_equal(weights[name], saved[name]) for name in weights)


@pytest.mark.parametrize("hidden_sizes", [[], [3]])
def test_the_output_layer_is_linear(hidden_sizes: list[int]) -> None:
    network = lively(2, 2, hidden_sizes, activation=ReLU(), rng=np.random.default_rng(0))
    network.layers[-1].b = np.array([-100.0, 100.0])
    logits = network.forward(np.ones((1, 2)))
    assert logits[0, 0] < -50
    assert logits[0, 1] > 50
    assert isinstance(network.modules[-1], Linear)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_the_same_generator_gives_the_same_network(seeds: tuple[int, int]) -> None:
    first, second = (MLP(5, 3, 4, 2, rng=np.random.default_rng(seed)).theta for seed in seeds)
    assert np.array_equal(first, second) == (seeds[0] == seeds[1])


def test_every_layer_has_its_own_activation() -> None:
    names = ["tanh", "relu", "sigmoid"]
    network = MLP(5, 3, 4, 3, activations=[*names[:2], by_name(Activation, names[2])()])
    assert [activation.name for activation in network.activations] == names
    assert isinstance(network.loss, CrossEntropy)
    assert [a.size for a in itertools.chain.from_iterable((x.W, x.b) for x in network.layers)] == [
        20, 4, 16, 4, 16, 4, 12, 3,
    ]  # fmt: skip
