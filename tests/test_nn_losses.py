"""Losses and their gradients are PyTorch's, for logits of any size; softmax and one-hot targets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import arrays, assert_close, cases

from mlp.base.naming import by_name, subclasses
from mlp.nn import CrossEntropy, Loss, MeanSquaredError, SumSquaredError, softmax
from mlp.nn.losses import one_hot

every_loss = pytest.mark.parametrize("kind", subclasses(Loss), ids=lambda kind: kind.name)


@pytest.mark.parametrize("case", cases("losses"))
@pytest.mark.parametrize(("dtype", "close"), [("float64", {}), ("float32", {"rtol": 1e-5, "atol": 1e-6})])
def test_value_and_gradient_are_the_recorded_ones(case: dict[str, Any], dtype: str, close: dict[str, float]) -> None:
    recorded = arrays("losses")
    # The references know the logits in float64; rounded, logits near 1e4 are off by 1e-3 and have other losses.
    if dtype == "float32" and case["batch"] == "extreme":
        close = {"rtol": 1e-3, "atol": 1e-3}
    logits = recorded[f"{case['batch']}/logits"].astype(dtype)
    targets = one_hot(recorded[f"{case['batch']}/labels"], 10, dtype)
    loss = by_name(Loss, case["loss"])()
    value, gradient = loss.value_and_gradient(logits, targets)
    assert_close(value, recorded[f"{case['key']}/value"], **close)
    assert_close(gradient, recorded[f"{case['key']}/gradient"], **close)
    assert loss.value(logits, targets) == value


def test_every_loss_of_the_project_was_recorded() -> None:
    recorded = {case.values[0]["loss"] for case in cases("losses")}
    assert recorded == {"cross_entropy", "mean_squared_error"}
    assert recorded <= {kind.name for kind in subclasses(Loss)}


def test_the_sum_over_the_classes_is_their_number_times_the_mean() -> None:
    """Worked by hand: equal logits give 1/4 to each of four classes, (3/4)² + 3 (1/4)² = 3/4 to a sample."""
    logits, targets = np.zeros((2, 4)), one_hot(np.array([0, 3]), 4)
    for weights in (None, np.array([1.0, 3.0])):
        value, gradient = SumSquaredError().value_and_gradient(logits, targets, weights)
        assert value == pytest.approx(0.75)
        assert_close(gradient.copy(), 4 * MeanSquaredError().value_and_gradient(logits, targets, weights)[1])


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e4, -1e4, 1e30])
@pytest.mark.parametrize("rows", [1, 5])
def test_logits_of_any_size_give_a_finite_loss_and_gradient(
    kind: type[Loss], dtype: str, scale: float, rows: int
) -> None:
    logits = scale * np.linspace(-1, 1, rows * 4).reshape(rows, 4)[:, [2, 0, 3, 1]]
    logits = logits.astype(dtype)
    value, gradient = kind().value_and_gradient(logits, one_hot(np.arange(rows) % 4, 4, dtype))
    assert np.isfinite(value)
    assert value >= 0
    assert np.isfinite(gradient).all()


@every_loss
def test_inputs_are_left_as_they_are_and_earlier_batches_leave_no_trace(kind: type[Loss]) -> None:
    rng, used = np.random.default_rng(0), kind()
    for n in (6, 3, 6, 1, 8):
        logits, targets = rng.normal(0, 2, (n, 4)), one_hot(rng.integers(0, 4, n), 4)
        given = logits.copy(), targets.copy()
        value, gradient = used.value_and_gradient(logits, targets)
        fresh_value, fresh_gradient = kind().value_and_gradient(logits, targets)
        assert value == fresh_value
        np.testing.assert_array_equal(gradient, fresh_gradient)
        np.testing.assert_array_equal(logits, given[0])
        np.testing.assert_array_equal(targets, given[1])


@every_loss
def test_a_batch_twice_over_has_the_same_loss_and_half_the_gradient_per_row(kind: type[Loss]) -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(0, 2, (5, 4)), one_hot(rng.integers(0, 4, 5), 4)
    value, once = kind().value_and_gradient(logits, targets)
    double, twice = kind().value_and_gradient(np.tile(logits, (2, 1)), np.tile(targets, (2, 1)))
    assert double == pytest.approx(value, rel=1e-14)
    assert_close(twice, np.tile(once / 2, (2, 1)))


def test_losses_worked_by_hand() -> None:
    # Probabilities 3/4 and 1/4; the truth is the second class.
    logits, targets = np.log([[3.0, 1.0]]), np.array([[0.0, 1.0]])
    assert by_name(Loss, "cross_entropy")().value(logits, targets) == pytest.approx(np.log(4), rel=1e-15)
    assert by_name(Loss, "mse")().value(logits, targets) == pytest.approx(9 / 16, rel=1e-15)


def test_label_smoothing_is_part_of_training_and_not_of_what_is_measured() -> None:
    # Probabilities 3/4 and 1/4, the truth is the second class: smoothed by 0.2, targets are 0.1 and 0.9.
    logits, targets, loss = np.log([[3.0, 1.0]]), np.array([[0.0, 1.0]]), CrossEntropy(label_smoothing=0.2)
    smoothed = -0.1 * np.log(0.75) - 0.9 * np.log(0.25)
    value, gradient = loss.value_and_gradient(logits, targets)
    assert value == pytest.approx(smoothed, rel=1e-14)
    assert_close(gradient, [[0.65, -0.65]])
    assert loss.value(logits, targets) == pytest.approx(np.log(4), rel=1e-14)


def test_weighted_losses_worked_by_hand() -> None:
    # Probabilities 3/4 and 1/4; the truth is the first class, then the second one, which weighs three times as much.
    logits, targets, weights = np.log([[3.0, 1.0], [3.0, 1.0]]), np.eye(2), np.array([0.5, 1.5])
    value = by_name(Loss, "cross_entropy")().value(logits, targets, weights)
    assert value == pytest.approx((np.log(4 / 3) + 3 * np.log(4)) / 4, rel=1e-14)
    value = by_name(Loss, "mse")().value(logits, targets, weights)
    assert value == pytest.approx((1 / 16 + 3 * 9 / 16) / 4, rel=1e-14)


def test_the_weight_of_a_sample_is_that_of_its_smoothed_target_too() -> None:
    logits, targets, loss = np.log([[3.0, 1.0], [3.0, 1.0]]), np.eye(2), CrossEntropy(label_smoothing=0.2)
    rows = [-0.9 * np.log(0.75) - 0.1 * np.log(0.25), -0.1 * np.log(0.75) - 0.9 * np.log(0.25)]
    value, gradient = loss.value_and_gradient(logits, targets, np.array([1.0, 3.0]))
    assert value == pytest.approx((rows[0] + 3 * rows[1]) / 4, rel=1e-14)
    assert_close(gradient, [[-0.15 / 4, 0.15 / 4], [3 * 0.65 / 4, -3 * 0.65 / 4]])
    assert loss.value(logits, targets, np.array([1.0, 3.0])) == pytest.approx(
        (np.log(4 / 3) + 3 * np.log(4)) / 4, rel=1e-14
    )


SMOOTHED = pytest.param(lambda: CrossEntropy(label_smoothing=0.1), id="smoothed")


@pytest.mark.parametrize("kind", [*(pytest.param(kind, id=kind.name) for kind in subclasses(Loss)), SMOOTHED])
def test_whole_weights_are_repeated_samples_and_a_common_factor_is_none(kind: Callable[[], Loss]) -> None:
    rng, repeats = np.random.default_rng(2), np.array([2, 0, 1, 3, 1])
    logits, targets = rng.normal(0, 2, (5, 4)), one_hot(rng.integers(0, 4, 5), 4)
    value, repeated = kind().value_and_gradient(logits.repeat(repeats, axis=0), targets.repeat(repeats, axis=0))
    summed = np.zeros_like(logits)
    np.add.at(summed, np.arange(5).repeat(repeats), repeated)
    for factor in (1.0, 1e-3):
        weighted, gradient = kind().value_and_gradient(logits, targets, factor * repeats)
        assert weighted == pytest.approx(value, rel=1e-14)
        assert_close(gradient, summed)
    equal, gradient = kind().value_and_gradient(logits, targets, np.full(5, 7.0))
    value, expected = kind().value_and_gradient(logits, targets)
    assert equal == pytest.approx(value, rel=1e-14)
    assert_close(gradient, expected)


def test_softmax_worked_by_hand() -> None:
    logits = np.array([[0.0, np.log(3)], [1e4, 1e4], [1e4, -1e4]])
    given = logits.copy()
    assert_close(softmax(logits), [[0.25, 0.75], [0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(logits, given)


def test_one_hot_marks_the_label() -> None:
    targets = one_hot(np.array([2, 0]), 3, np.float32)
    assert targets.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets.dtype == np.float32
