"""Activations and their derivatives are PyTorch's, in both precisions, and leave their inputs alone."""

from typing import Any

import numpy as np
import pytest
from recorded import arrays, assert_close, cases

from mlp.base.naming import by_name, subclasses
from mlp.nn import Activation
from mlp.nn.types import Array

every_activation = pytest.mark.parametrize("kind", subclasses(Activation), ids=lambda kind: kind.name)


def value_and_derivative(activation: Activation, x: Array, upstream: Array) -> tuple[Array, Array]:
    """f(x), and upstream * f'(x), as a network would compute them."""
    Z = x.reshape(1, -1).copy()
    A = activation.forward(Z)
    before = Z.copy(), A.copy()
    D = activation.backward(upstream.reshape(1, -1).copy())
    np.testing.assert_array_equal((Z, A), before)
    return A[0], D[0]


@every_activation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_the_buffers_held_before_does_not_matter(kind: type[Activation], dtype: str) -> None:
    Z = np.linspace(-2, 2, 8, dtype=dtype).reshape(2, 4)
    nan = [np.full_like(Z, np.nan) for _ in range(4)]
    A = nan[0] if kind.keeps_input else Z.copy()
    activation = kind()
    activation.function(Z if kind.keeps_input else A, A, nan[1])
    activation.derivative(Z if kind.keeps_input else A, A, nan[2], nan[3])
    f, slope = value_and_derivative(kind(), Z.reshape(-1), np.ones(8, dtype))
    np.testing.assert_array_equal((A.reshape(-1), nan[2].reshape(-1)), (f, slope))


@pytest.mark.parametrize("case", cases("activations"))
@pytest.mark.parametrize(("dtype", "close"), [("float64", {}), ("float32", {"rtol": 2e-6, "atol": 4e-6})])
def test_values_and_derivatives_are_the_recorded_ones(
    case: dict[str, Any], dtype: str, close: dict[str, float]
) -> None:
    x, value, derivative = (arrays("activations")[f"{case['key']}/{of}"] for of in ("x", "value", "derivative"))
    upstream = np.linspace(-2, 3, x.size)
    f, slope = value_and_derivative(by_name(Activation, case["activation"])(), x.astype(dtype),
                                    upstream.astype(dtype))  # fmt: skip
    assert f.dtype == slope.dtype == np.dtype(dtype)
    assert_close(f, value, **close)
    assert_close(slope, upstream * derivative, **close)


def test_every_activation_of_the_project_was_recorded() -> None:
    recorded = {case.values[0]["activation"] for case in cases("activations")}
    assert recorded == {"identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish"}
    assert recorded <= {kind.name for kind in subclasses(Activation)}


@every_activation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_of_any_size_give_finite_values_and_derivatives(kind: type[Activation], dtype: str) -> None:
    x = np.array([-1e4, -745.2, -103.3, -88.8, -1e-40, 0.0, 1e-40, 88.8, 103.3, 710.0, 1e4], dtype)
    f, slope = value_and_derivative(kind(), x, np.ones_like(x))
    assert np.isfinite(f).all()
    assert np.isfinite(slope).all()


@every_activation
def test_zero_is_no_special_case_of_the_derivative(kind: type[Activation]) -> None:
    """At 0 the derivative is one of those beside it: a kink may take either."""
    beside, at = np.array([-1e-9, 1e-9]), np.array([0.0])
    slopes = value_and_derivative(kind(), beside, np.ones(2))[1]
    assert np.isclose(value_and_derivative(kind(), at, np.ones(1))[1], slopes, rtol=0, atol=1e-8).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_keeps_the_largest_numbers_infinities_and_nan(dtype: str) -> None:
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, 0, largest, np.inf], dtype)
    value, slope = value_and_derivative(by_name(Activation, "relu")(), x, np.ones_like(x))
    np.testing.assert_array_equal(value, [0, 0, 0, largest, np.inf])
    np.testing.assert_array_equal(slope, [0, 0, 0, 1, 1])
    value, _ = value_and_derivative(by_name(Activation, "relu")(), np.array([np.nan], dtype), np.ones(1, dtype))
    assert np.isnan(value).all()
