"""Every optimizer takes the steps that PyTorch takes, and can be interrupted, reset and computed in float32."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from recorded import arrays, assert_close, cases

from mlp.base.naming import by_name, subclasses
from mlp.nn import Optimizer, optimizers
from mlp.nn.types import Array

every_optimizer = pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
both_decays = pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])

THETA, GRADIENTS = arrays("optimizers")["theta0"], arrays("optimizers")["gradients"]
NUM_WEIGHTS = int(arrays("optimizers")["n_weights"])


def walk(optimizer: Optimizer, theta: Array, gradients: Iterable[Array]) -> Array:
    """The parameters after each step from `theta`, which moves along."""
    path = []
    for gradient in gradients:
        optimizer.step(theta, gradient, NUM_WEIGHTS)
        path.append(theta.copy())
    return np.array(path)


@pytest.mark.parametrize("case", cases("optimizers"))
def test_trajectory_is_the_recorded_one(case: dict[str, Any]) -> None:
    optimizer = by_name(Optimizer, case["optimizer"])(**case["kwargs"])
    theta, path = THETA.copy(), []
    for rate, gradient in zip(arrays("optimizers")[f"{case['key']}/learning_rates"], GRADIENTS, strict=True):
        optimizer.learning_rate = float(rate)
        path.append(walk(optimizer, theta, [gradient])[0])
    assert_close(path, arrays("optimizers")[f"{case['key']}/trajectory"])


@pytest.mark.parametrize("case", cases("optimizers"))
def test_trajectory_in_float32_stays_near_the_recorded_one(case: dict[str, Any]) -> None:
    optimizer = by_name(Optimizer, case["optimizer"])(**case["kwargs"])
    theta, rates = THETA.astype(np.float32), arrays("optimizers")[f"{case['key']}/learning_rates"]
    for rate, gradient in zip(rates, GRADIENTS.astype(np.float32), strict=True):
        optimizer.learning_rate = float(rate)
        optimizer.step(theta, gradient, NUM_WEIGHTS)
    assert theta.dtype == np.float32
    assert {optimizer.state()[name].dtype for name in optimizer.slots} <= {np.dtype(np.float32)}
    expected = arrays("optimizers")[f"{case['key']}/trajectory"][-1]
    np.testing.assert_allclose(theta, expected, rtol=2e-5, atol=2e-5)


def test_every_optimizer_of_the_project_was_recorded() -> None:
    recorded = {case.values[0]["optimizer"] for case in cases("optimizers")}
    assert recorded == {"sgd", "momentum", "nag", "rmsprop", "adam", "nadam"}
    assert recorded <= {rule.name for rule in subclasses(Optimizer)}


@every_optimizer
@both_decays
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_after_seven_steps_continues_identically(
    rule: Callable[..., Optimizer], decoupled: bool, dtype: str
) -> None:
    theta, gradients = THETA.astype(dtype), GRADIENTS.astype(dtype)
    optimizer = rule(weight_decay=0.01, decoupled_weight_decay=decoupled)
    walk(optimizer, theta, gradients[:7])
    state, start = optimizer.state(), theta.copy()
    expected = walk(optimizer, theta, gradients[7:])
    for used in (
        rule(weight_decay=0.01, decoupled_weight_decay=decoupled),
        optimizer,
    ):  # a new one, and one that went on
        used.load_state(state)
        np.testing.assert_array_equal(walk(used, start.copy(), gradients[7:]), expected)


@every_optimizer
def test_loading_the_state_before_the_first_step_forgets_all_steps(rule: Callable[..., Optimizer]) -> None:
    optimizer = rule()
    state = optimizer.state()
    expected = walk(optimizer, THETA.copy(), GRADIENTS)
    optimizer.load_state(state)
    np.testing.assert_array_equal(walk(optimizer, THETA.copy(), GRADIENTS), expected)


@every_optimizer
def test_an_incomplete_state_is_refused(rule: Callable[..., Optimizer]) -> None:
    optimizer = rule()
    walk(optimizer, THETA.copy(), GRADIENTS[:1])
    for name, state in ((name, optimizer.state()) for name in optimizer.state()):
        del state[name]
        with pytest.raises(KeyError, match=name):
            rule().load_state(state)


@every_optimizer
def test_reset_forgets_all_steps(rule: Callable[..., Optimizer]) -> None:
    optimizer = rule()
    expected = walk(optimizer, THETA.copy(), GRADIENTS)
    optimizer.reset()
    np.testing.assert_array_equal(walk(optimizer, THETA.copy(), GRADIENTS), expected)


@every_optimizer
@both_decays
def test_the_gradient_given_is_left_as_it_is(rule: Callable[..., Optimizer], decoupled: bool) -> None:
    optimizer, theta, gradient = (
        rule(weight_decay=0.1, decoupled_weight_decay=decoupled),
        THETA.copy(),
        GRADIENTS[0].copy(),
    )
    for _ in range(3):
        optimizer.step(theta, gradient, NUM_WEIGHTS)
        np.testing.assert_array_equal(gradient, GRADIENTS[0])


@every_optimizer
@both_decays
def test_weight_decay_changes_the_weights_and_never_the_biases(
    rule: Callable[..., Optimizer], decoupled: bool
) -> None:
    plain = walk(rule(), THETA.copy(), GRADIENTS)
    decayed = walk(rule(weight_decay=0.1, decoupled_weight_decay=decoupled), THETA.copy(), GRADIENTS)
    np.testing.assert_array_equal(decayed[:, NUM_WEIGHTS:], plain[:, NUM_WEIGHTS:])
    assert (decayed[-1, :NUM_WEIGHTS] != plain[-1, :NUM_WEIGHTS]).all()


@every_optimizer
@both_decays
def test_weight_decay_alone_shrinks_every_weight(rule: Callable[..., Optimizer], decoupled: bool) -> None:
    optimizer = rule(learning_rate=0.001, weight_decay=0.1, decoupled_weight_decay=decoupled)
    end = walk(optimizer, THETA.copy(), np.zeros((10, THETA.size)))[-1]
    assert (np.abs(end) < np.abs(THETA))[:NUM_WEIGHTS].all()
    np.testing.assert_array_equal(end[NUM_WEIGHTS:], THETA[NUM_WEIGHTS:])


@every_optimizer
def test_steps_lead_downhill_on_a_bowl(rule: Callable[..., Optimizer]) -> None:
    theta, curvature = THETA.copy(), np.linspace(0.5, 2, THETA.size)
    start = float(curvature @ theta**2)
    optimizer = rule(learning_rate=0.01)
    for _ in range(300):
        optimizer.step(theta, 2 * curvature * theta, NUM_WEIGHTS)
    assert float(curvature @ theta**2) < 0.05 * start


def train_with_rare_gradients(optimizer: Optimizer, steps: int) -> np.ndarray:
    """Parameters after `steps` float32 steps; the gradient of each half falls silent for good after a few."""
    rng = np.random.default_rng(5)
    theta, grad = rng.normal(size=200).astype(np.float32), np.zeros(200, np.float32)
    for t in range(steps):
        grad[:100] = rng.normal(size=100) if t < 3 else 0
        grad[100:] = rng.normal(size=100) * 1e-6 if 200 < t < 205 else 0
        optimizer.step(theta, grad, 150)
    return theta


def subnormal(a: np.ndarray) -> np.ndarray:
    return (a != 0) & (np.abs(a) < np.finfo(a.dtype).tiny)


@pytest.mark.parametrize("kind", [kind for kind in subclasses(Optimizer) if kind.decays], ids=lambda kind: kind.name)
def test_running_means_do_not_decay_into_subnormal_numbers(
    kind: type[Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = {name: 0.85 for name in ("beta", "beta2") if name in inspect.signature(kind).parameters}
    optimizer = kind(**fast)  # type: ignore[arg-type]
    swept = train_with_rare_gradients(optimizer, 1400)
    assert not any(subnormal(getattr(optimizer, name)).any() for name in kind.slots)

    monkeypatch.setattr(optimizers, "SWEEP_EVERY", 10**9)
    unswept = kind(**fast)  # type: ignore[arg-type]
    expected = train_with_rare_gradients(unswept, 1400)
    assert any(subnormal(getattr(unswept, name)).any() for name in kind.slots), "the case does not show it"
    np.testing.assert_array_equal(swept, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [kind for kind in subclasses(Optimizer) if kind.decays], ids=lambda kind: kind.name)
def test_a_tiny_gradient_that_stays_counts_as_without_sweeps(
    kind: type[Optimizer], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"epsilon": 1e-20} if "epsilon" in inspect.signature(kind).parameters else {}
    gradients = np.array([1e-14, -1e-16, 1e-12, 1.0], dtype)

    def end() -> np.ndarray:
        optimizer, theta = kind(**small), np.zeros(4, dtype)  # type: ignore[arg-type]
        for _ in range(300):
            optimizer.step(theta, gradients, 4)
        return theta

    swept = end()
    monkeypatch.setattr(optimizers, "SWEEP_EVERY", 10**9)
    np.testing.assert_array_equal(swept, end())
