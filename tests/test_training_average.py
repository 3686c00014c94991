"""The average of the weights and clipped gradients are exact, and checkpoints keep all that a run draws."""

from pathlib import Path

import numpy as np
import pytest
import runs

from mlp.data import Digits
from mlp.nn import MLP, BatchNorm
from mlp.training import evaluate
from mlp.training.average import WeightAverage
from mlp.training.trainer import clip


def test_the_average_is_the_weighted_sum_of_all_states() -> None:
    """By hand: S after three steps, with decays min(0.15, 1/10), min(0.15, 2/11) and min(0.15, 3/12)."""
    network = MLP(2, 2, [3], normalization=BatchNorm(), dtype="float64", rng=np.random.default_rng(0))
    initial = network.state.copy()
    average, states = WeightAverage(network, 0.15), []
    for step in range(3):
        network.state += step + 1.0
        states.append(network.state.copy())
        average.update(network)
    first = 0.1 * initial + 0.9 * states[0]
    second = 0.15 * first + 0.85 * states[1]
    np.testing.assert_allclose(average.state, 0.15 * second + 0.85 * states[2], rtol=1e-14)


def test_what_is_kept_has_the_share_of_the_initial_weights() -> None:
    network = MLP(2, 2, [3], dtype="float64", rng=np.random.default_rng(0))
    initial, average = network.state.copy(), WeightAverage(network, 0.5, initial_share=0.3)
    network.state[...] = 5.0
    average.update(network)
    np.testing.assert_allclose(average.kept, 0.3 * initial + 0.7 * (0.1 * initial + 0.9 * 5), rtol=1e-14)
    np.testing.assert_array_equal(average.initial, initial)


def test_long_gradients_are_shortened_and_others_left() -> None:
    grad = np.array([3.0, 4.0])
    clip(grad, 5.0)
    np.testing.assert_array_equal(grad, [3, 4])
    clip(grad, 2.0)
    np.testing.assert_allclose(grad, [1.2, 1.6], rtol=1e-15)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e20), ("float32", 3e38), ("float64", 1e200)])
def test_gradients_whose_squares_overflow_are_shortened_too(dtype: str, size: float) -> None:
    grad = np.array([3.0, -4.0, 0.0], dtype) * (size / 5)
    with np.errstate(over="ignore"):  # as in training
        clip(grad, 2.0)
    np.testing.assert_allclose(grad, [1.2, -1.6, 0], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_no_number_is_not_hidden(bad: float) -> None:
    grad = np.array([1.0, bad])
    with np.errstate(invalid="ignore"):
        clip(grad, 2.0)
    assert not np.isfinite(grad).all()


EVERYTHING = [
    "-d",
    "digits",
    "-sz",
    "16",
    "16",
    "--no_wandb",
    "normalization=batch_norm",
    "model.dropout=0.2",
    "augment=mnist",
    "augment.mixup=0.2",
    "augment.erase=0.3",
    "training.ema_decay=0.99",
    "training.max_grad_norm=1",
    "loss.label_smoothing=0.1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("average")


def test_a_resumed_run_ends_with_the_same_bits(place: Path) -> None:
    words = (*EVERYTHING, "training.initial_share=0.1")
    runs.run(place, *words, "-e", "5", "hydra.run.dir=whole")
    runs.run(place, *words, "-e", "2", "hydra.run.dir=parts")
    runs.run(place, "resume=parts", "-e", "5")
    assert (place / "parts" / "best_model.npy").read_bytes() == (place / "whole" / "best_model.npy").read_bytes()
    with np.load(place / "whole" / "checkpoint.npz") as whole, np.load(place / "parts" / "checkpoint.npz") as parts:
        assert (
            {"state", "best_state", "average", "average.t", "average.initial"} < set(whole.files) == set(parts.files)
        )
        for name in set(whole.files) - {"progress"}:
            assert whole[name].tobytes() == parts[name].tobytes(), name


def test_the_model_that_is_kept_is_the_average_not_the_last_step(place: Path) -> None:
    """Without validation data the last epoch is kept: then the model is the average that the checkpoint holds."""
    runs.run(place, *EVERYTHING, "-e", "3", "hydra.run.dir=kept", "dataset.validation_fraction=0")
    network = MLP(64, 10, [16, 16], normalization=BatchNorm())
    with np.load(place / "kept" / "checkpoint.npz") as saved:
        assert saved["best_state"].tobytes() == saved["average"].tobytes() != saved["state"].tobytes()
        network.state[...] = saved["average"]
    model = runs.best_model(place / "kept")
    assert list(model) == ["W0", "b0", "W1", "b1", "W2", "b2"]
    for name, expected in network.get_weights().items():
        np.testing.assert_array_equal(model[name], expected)
    assert evaluate(network, Digits(0).test()).scores()["accuracy"] == runs.summary(place / "kept")["test_accuracy"]


def test_a_run_without_gradient_norms_and_validation_data_has_its_plots(place: Path) -> None:
    words = [
        "-d",
        "digits",
        "-e",
        "2",
        "-sz",
        "8",
        "--no_wandb",
        "training.gradient_norm_every=0",
        "dataset.validation_fraction=0",
    ]
    ended = runs.run(place, *words, "hydra.run.dir=bare", "plots=null")
    assert "could not be drawn" not in ended.out + ended.err
    assert (place / "bare" / "plots" / "curves.png").stat().st_size > 10_000
