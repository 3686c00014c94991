"""`load_model` and `evaluate_model`, which graders call."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs
from measured import Data, assert_measured, reference_logits

from mlp.data import NPZ
from mlp.graded import NeuralNetwork
from mlp.inference import evaluate_model, load_model


def test_load_model_returns_the_dictionary_of_the_file(digits_run: Path) -> None:
    expected = np.load(digits_run / "best_model.npy", allow_pickle=True).item()
    for path in (digits_run / "best_model.npy", str(digits_run / "best_model.npy")):
        loaded = load_model(path)
        assert list(loaded) == ["W0", "b0", "W1", "b1", "W2", "b2"]
        runs.assert_same_bits(loaded, expected)


@pytest.mark.parametrize("labels", ["(n,)", "(n, 1)", "one-hot"])
def test_evaluate_model_takes_weights_or_a_network(digits_run: Path, digits: Data, labels: str) -> None:
    X, y = digits
    shaped = {"(n,)": y, "(n, 1)": y[:, None], "one-hot": np.eye(10)[y]}[labels]
    weights = load_model(digits_run / "best_model.npy")
    network = NeuralNetwork(argparse.Namespace(dataset="digits", activation="tanh"))
    network.set_weights(weights)
    logits = reference_logits(weights, X)
    assert_measured(evaluate_model(weights, X, shaped, activation="tanh"), logits, y)
    assert_measured(evaluate_model(network, X, shaped), logits, y)


def test_weights_from_a_file_are_measured_with_the_activation_beside_it(
    digits_run: Path, digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = digits
    weights = load_model(digits_run / "best_model.npy")
    assert_measured(evaluate_model(weights, X, y), reference_logits(weights, X), y)  # tanh, says its best_config.json
    relu = reference_logits(weights, X, lambda z: np.maximum(z, 0))
    assert_measured(evaluate_model(weights, X, y, activation="relu"), relu, y)
    assert_measured(evaluate_model(dict(weights), X, y), relu, y)  # no longer those of a file
    assert capsys.readouterr().err == ""
    shutil.copy(digits_run / "best_model.npy", tmp_path)
    assert_measured(evaluate_model(load_model(tmp_path / "best_model.npy"), X, y), relu, y)
    assert capsys.readouterr().err == (
        f"Note: no best_config.json beside {tmp_path}/best_model.npy: taking activation relu, loss cross_entropy, "
        "unless activation=/loss= is given.\n"
    )


def test_evaluate_model_divides_pixels_by_255() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "W0": rng.normal(size=(6, 5)),
        "b0": rng.normal(size=5),
        "W1": rng.normal(size=(5, 3)),
        "b1": np.ones(3),
    }
    pixels, y = rng.integers(0, 256, (40, 6), dtype=np.uint8), np.arange(40) % 3
    logits = reference_logits(weights, pixels / 255, lambda z: np.maximum(z, 0))
    assert_measured(evaluate_model(weights, pixels, y), logits, y)
    assert_measured(evaluate_model(weights, pixels / 255, y), logits, y)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint16", "float32"])
def test_evaluate_model_scales_each_type_as_training_does(tmp_path: Path, dtype: str) -> None:
    pixels, y = (200 * np.eye(4)).astype(dtype), np.array([0, 1, 2, 0])
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=y, x_test=pixels, y_test=y)
    weights = {"W0": np.arange(12.0).reshape(4, 3), "b0": np.zeros(3)}
    result = evaluate_model(weights, pixels, y)
    in_training = NPZ(path=str(tmp_path / "data.npz")).test().inputs()
    np.testing.assert_allclose(result["logits"], in_training @ weights["W0"], rtol=1e-6)
    np.testing.assert_allclose(in_training, pixels / (255 if dtype == "uint8" else 1), rtol=1e-6)
