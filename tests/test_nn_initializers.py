"""Initial weights have the stated mean, variance, shape and bounds, and come from the given generator."""

import numpy as np
import pytest

from mlp.base.naming import subclasses
from mlp.nn import MLP, He, Initializer, Random, Xavier, Zeros

every_initializer = pytest.mark.parametrize(
    "init", [kind() for kind in subclasses(Initializer)], ids=lambda i: i.name
)

FAN_IN, FAN_OUT = 400, 100
N = FAN_IN * FAN_OUT


def filled(init: Initializer, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    W = np.full((FAN_IN, FAN_OUT), np.nan, dtype)
    init.fill(W, np.random.default_rng(seed))
    return W


@pytest.mark.parametrize(
    ("init", "std", "uniform"),
    [
        (Random(), 0.01, False),
        (Random(std=0.3), 0.3, False),
        (Xavier(), np.sqrt(2 / 500), False),
        (Xavier("uniform"), np.sqrt(2 / 500), True),
        (He(), np.sqrt(2 / 400), False),
        (He("uniform"), np.sqrt(2 / 400), True),
    ],
    ids=lambda value: f"{value.name} {vars(value)}" if isinstance(value, Initializer) else "",
)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_have_the_stated_distribution(init: Initializer, std: float, uniform: bool, seed: int) -> None:
    W = filled(init, seed)
    # Five standard errors of each estimate from N draws.
    assert abs(W.mean()) < 5 * std / np.sqrt(N)
    assert W.std() == pytest.approx(std, rel=5 / np.sqrt(2 * N))
    # Within one standard deviation: 68.3 % of a normal, 57.7 % = 1 / √3 of a uniform distribution.
    share = np.mean(np.abs(W) < std)
    assert share == pytest.approx(1 / np.sqrt(3) if uniform else 0.6827, abs=5 * 0.5 / np.sqrt(N))
    # A uniform one ends at √3 standard deviations, and of this many normal draws some are beyond three.
    furthest = np.abs(W).max() / std
    assert np.sqrt(3) * 0.999 < furthest <= np.sqrt(3) if uniform else 3.5 < furthest < 6


def test_zeros_are_exactly_zero() -> None:
    assert not filled(Zeros()).any()


@every_initializer
def test_the_generator_decides(init: Initializer) -> None:
    np.testing.assert_array_equal(filled(init, 0), filled(init, 0))
    assert isinstance(init, Zeros) or (filled(init, 0) != filled(init, 1)).all()


@every_initializer
def test_both_precisions_draw_the_same_weights(init: Initializer) -> None:
    np.testing.assert_array_equal(filled(init, dtype="float32"), filled(init).astype("float32"))


@every_initializer
def test_a_network_has_other_weights_in_each_layer_and_biases_of_zero(init: Initializer) -> None:
    network = MLP(4, 4, 4, 2, init=init, rng=np.random.default_rng(0))
    assert not network.theta[network.num_weights :].any()
    first, second, _ = (layer.W for layer in network.layers)
    assert isinstance(init, Zeros) or (first != second).all()


def test_signals_keep_their_size_through_many_layers_with_he_and_relu() -> None:
    """The reason for its factor 2: without it the signal of 20 layers would shrink to a thousandth."""
    network = MLP(256, 256, 256, 20, init=He(), rng=np.random.default_rng(0))
    logits = network.forward(np.random.default_rng(1).normal(size=(64, 256)).astype("float32"))
    assert 0.2 < logits.std() < 5
