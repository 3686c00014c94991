"""A wrong constructor argument is refused at once, with its name, what is allowed and what was given."""

import inspect
from typing import Any

import pytest

from mlp.base.naming import subclasses
from mlp.data import Digits
from mlp.nn import (
    ELU,
    MLP,
    NAG,
    SGD,
    Activation,
    Adam,
    Constant,
    Cosine,
    He,
    Initializer,
    LeakyReLU,
    Loss,
    Momentum,
    Nadam,
    Optimizer,
    Random,
    RMSprop,
    Schedule,
    Xavier,
    checks,
)

NAN, INF = float("nan"), float("inf")


def network(**kwargs: Any) -> MLP:
    return MLP(**{"input_size": 4, "output_size": 3, **kwargs})


@pytest.mark.parametrize(
    ("part", "argument", "given", "message"),
    [
        (SGD, "learning_rate", 0, "learning_rate must be > 0. Got 0"),
        (SGD, "learning_rate", -0.1, "learning_rate must be > 0. Got -0.1"),
        (SGD, "weight_decay", -1e-4, "weight_decay must be >= 0. Got -0.0001"),
        (Momentum, "momentum", 1.0, "momentum must be >= 0 and < 1. Got 1.0"),
        (NAG, "momentum", -0.5, "momentum must be >= 0 and < 1. Got -0.5"),
        (RMSprop, "beta", 1, "beta must be >= 0 and < 1. Got 1"),
        (RMSprop, "epsilon", -1e-8, "epsilon must be > 0. Got -1e-08"),
        (Adam, "beta1", 1.0, "beta1 must be >= 0 and < 1. Got 1.0"),
        (Adam, "beta2", 1.5, "beta2 must be >= 0 and < 1. Got 1.5"),
        (Adam, "epsilon", -1, "epsilon must be > 0. Got -1"),
        (Nadam, "momentum_decay", -0.004, "momentum_decay must be >= 0. Got -0.004"),
        (LeakyReLU, "negative_slope", 1.0, "negative_slope must be >= 0 and < 1. Got 1.0"),
        (ELU, "alpha", 0, "alpha must be > 0. Got 0"),
        (Random, "std", 0.0, "std must be > 0. Got 0.0"),
        (Xavier, "distribution", "gauss", "distribution must be one of normal, uniform. Got 'gauss'"),
        (He, "distribution", None, "distribution must be one of normal, uniform. Got None"),
        (Constant, "warmup", 1.0, "warmup must be >= 0 and < 1. Got 1.0"),
        (Cosine, "final", 1.1, "final must be >= 0 and <= 1. Got 1.1"),
        (network, "input_size", 0, "input_size must be an integer >= 1. Got 0"),
        (network, "output_size", 2.0, "output_size must be an integer >= 1. Got 2.0"),
        (network, "hidden_sizes", [8, 0], "hidden_sizes must be an integer >= 1. Got 0"),
        (network, "num_layers", -1, "num_layers must be an integer >= 0. Got -1"),
        (network, "dtype", "float16", "dtype must be one of float32, float64. Got 'float16'"),
        (network, "activations", ["relu"], "activations has 1 entries (relu), but the network has 3 hidden layers"),
        (network, "activations", ["relu", "tnah", "elu"], "activation 'tnah' is unknown; did you mean 'tanh'? "),
        (Digits, "validation_fraction", 1.0, "validation_fraction must be in [0, 1). Got 1.0"),
        (Digits, "validation_fraction", -0.1, "validation_fraction must be in [0, 1). Got -0.1"),
        (Digits, "validation_fraction", NAN, "validation_fraction must be in [0, 1). Got nan"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_value_out_of_range_is_refused(part: Any, argument: str, given: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        part(**{argument: given})
    assert str(error.value).startswith(message)


FLOATS = [
    (part, name)
    for base in (Activation, Initializer, Loss, Optimizer, Schedule)
    for part in subclasses(base)
    for name, parameter in inspect.signature(part).parameters.items()
    if parameter.annotation is float
]


@pytest.mark.parametrize(("part", "argument"), FLOATS, ids=lambda value: getattr(value, "name", value))
def test_no_number_of_any_part_may_be_anything_but_a_finite_number(part: Any, argument: str) -> None:
    for given in (NAN, INF, -INF, "0.1", None, True, [0.1]):
        with pytest.raises(ValueError) as error:
            part(**{argument: given})
        assert str(error.value).startswith(f"{argument} must be ")
        assert str(error.value).endswith(f". Got {given!r}")
    with pytest.raises(ValueError, match=rf"^{argument} must be finite and .* Got 1{'0' * 59}$"):
        part(**{argument: 10**400})  # which no float can hold


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({}, "a finite number"),
        ({"gt": 0}, "> 0"),
        ({"ge": 0.5}, ">= 0.5"),
        ({"ge": 0, "lt": 1}, ">= 0 and < 1"),
        ({"gt": -1, "le": 1e-3}, "> -1 and <= 0.001"),
    ],
)
def test_the_message_of_a_number_says_its_bounds(bounds: dict[str, float], allowed: str) -> None:
    with pytest.raises(ValueError) as error:
        checks.number("x", "y", **bounds)
    assert str(error.value) == f"x must be {allowed}. Got 'y'"


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"gt": 0}, [1e-300, 5], [0, -1]),
        ({"ge": 0}, [0, 0.0, 5], [-1e-300]),
        ({"lt": 1}, [-5, 1 - 1e-16], [1, 1.5]),
        ({"le": 1}, [1, 0.5], [1 + 1e-15]),
    ],
)
def test_bounds_hold_to_the_last_bit(bounds: dict[str, float], inside: list[float], outside: list[float]) -> None:
    for value in inside:
        returned = checks.number("x", value, **bounds)
        assert returned == value
        assert type(returned) is float
    for value in outside:
        with pytest.raises(ValueError, match="x must be"):
            checks.number("x", value, **bounds)
