"""A training step, once warm, allocates nothing that grows with the batch or the network."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlp.base.naming import subclasses
from mlp.nn import MLP, SGD, Activation, CrossEntropy, Loss, Optimizer, ReLU
from mlp.nn.losses import one_hot

pytestmark = pytest.mark.skipif(
    tuple(map(int, np.__version__.split(".")[:2])) < (2, 3), reason="NumPy before 2.3 allocates buffers of its own"
)
FEATURES, CLASSES = 20, 10
#: (rows, hidden_sizes): here the smallest array that grows with the batch has 16384 entries, there with the network.
SIZES = {"large batch": (16384, [8, 8]), "large network": (2, [16384, 8])}


def bytes_allowed(dtype: str) -> int:
    """NumPy's buffer for one operand of a broadcast, `Z += b`, of a fixed size; and views, which are small."""
    return int(np.getbufsize()) * np.dtype(dtype).itemsize + 4096


def peak_of_a_step(activation: Activation, loss: Loss, optimizer: Optimizer, size: str, dtype: str) -> int:
    """The most that a step on a full and on a shorter batch holds at a time beyond what is there before it."""
    (n, hidden_sizes), rng = SIZES[size], np.random.default_rng(0)
    network = MLP(FEATURES, CLASSES, hidden_sizes, activation=activation, loss=loss, dtype=dtype, rng=rng)
    X, T = rng.normal(size=(n, FEATURES)).astype(dtype), one_hot(rng.integers(0, CLASSES, n), CLASSES, dtype)

    def step() -> None:
        for rows in (n, n // 2):
            network.loss_and_gradients(X[:rows], T[:rows])
            optimizer.step(network.theta, network.grad, network.num_weights)

    step()
    tracemalloc.start()
    try:
        step()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


every_size = pytest.mark.parametrize("size", SIZES)
both_precisions = pytest.mark.parametrize("dtype", ["float32", "float64"])


@every_size
@both_precisions
@pytest.mark.parametrize("kind", subclasses(Activation), ids=lambda kind: kind.name)
def test_no_activation_allocates(kind: type[Activation], dtype: str, size: str) -> None:
    assert peak_of_a_step(kind(), CrossEntropy(), SGD(), size, dtype) < bytes_allowed(dtype)


@every_size
@both_precisions
@pytest.mark.parametrize("kind", subclasses(Loss), ids=lambda kind: kind.name)
def test_no_loss_allocates(kind: type[Loss], dtype: str, size: str) -> None:
    assert peak_of_a_step(ReLU(), kind(), SGD(), size, dtype) < bytes_allowed(dtype)


@every_size
@both_precisions
@pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])
@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
def test_no_optimizer_allocates(rule: Callable[..., Optimizer], decoupled: bool, dtype: str, size: str) -> None:
    optimizer = rule(weight_decay=0.01, decoupled_weight_decay=decoupled)
    assert peak_of_a_step(ReLU(), CrossEntropy(), optimizer, size, dtype) < bytes_allowed(dtype)


@every_size
@both_precisions
def test_a_single_temporary_column_of_the_batch_is_noticed(
    dtype: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    derivative = ReLU.derivative

    def wasteful(*args: Any) -> None:
        np.empty(16384, dtype)
        derivative(*args)

    monkeypatch.setattr(ReLU, "derivative", wasteful)
    assert peak_of_a_step(ReLU(), CrossEntropy(), SGD(), size, dtype) > bytes_allowed(dtype)
