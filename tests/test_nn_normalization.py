"""Batch normalisation, dropout and smoothed labels are exact in training, and plain weights at inference."""

import copy
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from recorded import arrays, assert_close

from mlp.base.naming import by_name, subclasses
from mlp.nn import MLP, SGD, Activation, BatchNorm, CrossEntropy, Loss, MeanSquaredError, Normalization
from mlp.nn.losses import one_hot
from mlp.nn.types import Array

SMOOTH: list[Loss] = [CrossEntropy(), CrossEntropy(label_smoothing=0.1), MeanSquaredError()]


def network(activation: str = "tanh", loss: Loss | None = None, dropout: float = 0.0, depth: int = 2) -> MLP:
    """A small normalised network in float64 whose parameters are all random."""
    rng = np.random.default_rng(11)
    result = MLP(7, 4, [6, 5, 6, 5][:depth], activation=by_name(Activation, activation)(), loss=loss,
                 normalization=BatchNorm(), dropout=dropout, dtype="float64", rng=rng)  # fmt: skip
    result.theta += rng.normal(0, 0.3, result.theta.size)
    return result


def normalizations(network: MLP) -> list[Normalization]:
    return [module for module in network.modules if isinstance(module, Normalization)]


def batch(n: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(n)
    return rng.normal(1, 2, (n, 7)), one_hot(rng.integers(0, 4, n), 4)


def central_differences(f: Callable[[], float], theta: Array) -> Array:
    found, h = np.empty_like(theta), 1e-5
    for i, value in enumerate(theta):
        theta[i] = value + h
        above = f()
        theta[i] = value - h
        found[i] = (above - f()) / (2 * h)
        theta[i] = value
    return found


#: Every activation with every loss, and one of them in networks of other depths; the rest is for the slow tests.
COMBINATIONS = [
    pytest.param(*case, marks=[] if case[2:] == (0.3, 2) or case[0] == "tanh" else pytest.mark.slow)
    for case in product([kind.name for kind in subclasses(Activation)], SMOOTH, [0.0, 0.3], [1, 2, 4])
]


@pytest.mark.parametrize(("activation", "loss", "dropout", "depth"), COMBINATIONS)
def test_gradients_agree_with_differences(activation: str, loss: Loss, dropout: float, depth: int) -> None:
    net, (X, T) = network(activation, loss, dropout, depth), batch(9)

    def value() -> float:
        net.dropout_rng = np.random.default_rng(3)  # the same outputs are dropped each time
        return net.loss_and_gradients(X, T)[0]

    value()
    analytic = net.grad.copy()
    np.testing.assert_allclose(analytic, central_differences(value, net.theta), rtol=0, atol=1e-7)


def test_training_takes_the_steps_of_pytorch_and_ends_with_its_statistics() -> None:
    saved = arrays("normalization")
    net = MLP(8, 3, [6, 5], activation=by_name(Activation, "tanh")(), loss=CrossEntropy(label_smoothing=0.1),
              normalization=BatchNorm(), dtype="float64")  # fmt: skip
    for i, layer in enumerate(net.layers):
        layer.W, layer.b = saved[f"W{i}"], saved[f"b{i}"]
    optimizer, losses = SGD(learning_rate=0.1), []
    for step, (x, labels) in enumerate(zip(saved["x"], saved["labels"], strict=True)):
        n = 16 if step % 3 else 7
        losses.append(net.loss_and_gradients(x[:n], one_hot(labels[:n], 3))[0])
        optimizer.step(net.theta, net.grad, net.num_weights)
    assert_close(losses, saved["losses"], rtol=1e-11)
    for i, norm in enumerate(normalizations(net)):
        assert_close(norm.mean, saved[f"mean{i}"], rtol=1e-11)
        assert_close(norm.variance, saved[f"variance{i}"], rtol=1e-11)
        assert_close(norm.gamma, saved[f"gamma{i}"], rtol=1e-11)
    assert_close(net.forward(saved["x"][0]), saved["logits"], rtol=1e-10)


def test_a_batch_of_one_row_at_the_end_of_each_epoch_leaves_the_running_statistics_true() -> None:
    net, rng = network(depth=1), np.random.default_rng(0)
    for n in [16, 16, 16, 1] * 200:
        net.loss_and_gradients(rng.normal(0, 2, (n, 7)), one_hot(rng.integers(0, 4, n), 4))
    (norm,) = normalizations(net)
    # Of 7 inputs with variance 4. A running statistic is a mean over some 19 batches of 16: 10 % of error or less.
    np.testing.assert_allclose(norm.variance, 4 * (net.layers[0].W ** 2).sum(axis=0), rtol=0.25)
    before = norm.mean.copy(), norm.variance.copy()
    net.loss_and_gradients(*batch(1))
    np.testing.assert_array_equal([norm.mean, norm.variance], before)


@pytest.mark.parametrize("activation", [kind.name for kind in subclasses(Activation)])
def test_exported_weights_are_a_plain_network_with_the_same_logits(activation: str) -> None:
    net, (X, T) = network(activation, dropout=0.2), batch(16)
    for _ in range(10):
        net.loss_and_gradients(X, T)
        net.theta -= 0.1 * net.grad
    exported = net.get_weights()
    assert list(exported) == ["W0", "b0", "W1", "b1", "W2", "b2"]
    plain = MLP(7, 4, [6, 5], activation=by_name(Activation, activation)(), dtype="float64")
    for i, layer in enumerate(plain.layers):
        layer.W, layer.b = exported[f"W{i}"], exported[f"b{i}"]
    np.testing.assert_allclose(plain.forward(X), net.forward(X), rtol=0, atol=1e-12)


def test_inference_neither_drops_nor_learns_statistics() -> None:
    net, (X, _) = network(dropout=0.5), batch(16)
    before = net.state.copy()
    np.testing.assert_array_equal(net.forward(X).copy(), net.forward(X))
    np.testing.assert_array_equal(net.state, before)


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    net = MLP(3, 2, [4000], activation=by_name(Activation, "identity")(), dropout=0.25, dtype="float64",
              dropout_rng=np.random.default_rng(0))  # fmt: skip
    net.layers[0].b = np.ones(4000)
    net.loss_and_gradients(np.zeros((50, 3)), one_hot(np.zeros(50, np.int64), 2))
    outputs = net.modules[2].forward(np.ones((50, 4000)), training=True)  # of the dropout
    assert set(np.unique(outputs)) == {0, 1 / 0.75}
    assert (outputs == 0).mean() == pytest.approx(0.25, abs=0.005)  # 200,000 draws: five standard deviations
    assert outputs.mean() == pytest.approx(1, abs=0.007)


def test_a_copy_shares_nothing_and_computes_the_same() -> None:
    net, (X, T) = network(dropout=0.2), batch(8)
    net.loss_and_gradients(X, T)
    twin = copy.deepcopy(net)
    np.testing.assert_array_equal(twin.forward(X), net.forward(X))
    twin.loss_and_gradients(X, T)
    twin.theta += 1
    assert not np.allclose(twin.state, net.state)
    before = net.forward(X).copy()
    twin.state.fill(0)
    np.testing.assert_array_equal(net.forward(X), before)


def test_a_state_is_put_in_for_a_while() -> None:
    net, (X, _) = network(), batch(4)
    before, other = net.forward(X).copy(), net.state * 0.5
    with net.swap_state(other):
        assert not np.allclose(net.forward(X), before)
    np.testing.assert_array_equal(net.forward(X), before)
