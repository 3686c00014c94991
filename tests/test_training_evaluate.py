"""Measuring a network: in chunks as in one pass, with the scores of scikit-learn, and kept for later."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import run, summary
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from mlp.data import Digits, Samples
from mlp.nn import MLP
from mlp.nn.losses import MeanSquaredError
from mlp.training import Evaluation, evaluate
from mlp.training.evaluate import ROWS_AT_ONCE
from mlp.training.predictions import PICTURES, prediction_arrays, save_predictions

CLASSES = 4


def samples(n: int) -> Samples:
    """n of 5000 stored samples, in no order."""
    rng = np.random.default_rng(n)
    x, y = rng.integers(0, 256, (5000, 9)).astype(np.uint8), rng.integers(0, CLASSES, 5000)
    return Samples(x, y, rng.permutation(5000)[:n], 255.0)


def network(dtype: str = "float64", **arguments: object) -> MLP:
    return MLP(9, CLASSES, [7], rng=np.random.default_rng(0), dtype=dtype, **arguments)  # type: ignore[arg-type]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("n", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE, 2500])
def test_chunks_give_what_one_pass_gives(n: int) -> None:
    part, net = samples(n), network()
    result = evaluate(net, part)
    X, y = part.x[part.rows] / 255, part.y[part.rows]
    logits = net.forward(X).copy()
    np.testing.assert_allclose(result.logits, logits, rtol=1e-12)
    np.testing.assert_array_equal(result.y_true, y)
    assert result.loss == pytest.approx(log_loss(y, softmax(logits), labels=range(CLASSES)), rel=1e-12)


def test_the_mean_squared_error_of_a_short_last_chunk_counts_by_its_samples() -> None:
    part = samples(ROWS_AT_ONCE + 3)
    result = evaluate(network(loss=MeanSquaredError()), part)
    squares = (softmax(result.logits) - np.eye(CLASSES)[part.labels]) ** 2
    assert result.loss == pytest.approx(squares.mean(), rel=1e-12)


def test_evaluating_changes_neither_parameters_nor_gradients() -> None:
    net = network()
    net.loss_and_gradients(np.ones((2, 9)), np.eye(CLASSES)[:2])
    before = net.theta.copy(), net.grad.copy()
    evaluate(net, samples(1500))
    np.testing.assert_array_equal(net.theta, before[0])
    np.testing.assert_array_equal(net.grad, before[1])


def test_the_logits_are_the_callers_own() -> None:
    net = network()
    result = evaluate(net, samples(10))
    kept = result.logits.copy()
    evaluate(net, samples(20))
    np.testing.assert_array_equal(result.logits, kept)


def test_of_no_samples_there_is_nothing_to_say() -> None:
    result = evaluate(network(), samples(0))
    assert result.logits.shape == (0, CLASSES)
    assert math.isnan(result.scores()["accuracy"])


@pytest.mark.parametrize("absent", [None, 2])
def test_scores_are_those_of_scikit_learn(absent: int | None) -> None:
    rng = np.random.default_rng(3)
    truth, logits = rng.integers(0, CLASSES, 300), rng.normal(size=(300, CLASSES))
    if absent is not None:
        truth[truth == absent] = 0
        logits[:, absent] = -9
    result = Evaluation(0.25, truth, logits)
    guess = logits.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess, average="macro", zero_division=0)
    expected = {
        "loss": 0.25,
        "accuracy": accuracy_score(truth, guess),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    assert result.scores() == pytest.approx(expected, rel=1e-12)
    assert result.scores("test_").keys() == {f"test_{name}" for name in expected}
    np.testing.assert_array_equal(result.confusion, confusion_matrix(truth, guess, labels=range(CLASSES)))
    np.testing.assert_allclose(result.confidence, softmax(logits).max(axis=1), rtol=1e-12)


def test_weighted_samples_are_measured_as_repeated_ones() -> None:
    part, repeats = samples(1500), np.random.default_rng(1).integers(0, 4, 5000)
    repeated = evaluate(network(), replace(part, rows=part.rows.repeat(repeats[part.rows])))
    weighted = evaluate(network(), replace(part, weights=repeats / 5))
    assert weighted.scores() == pytest.approx(repeated.scores(), rel=1e-6)
    assert weighted.scores() != pytest.approx(evaluate(network(), part).scores(), rel=1e-3)
    np.testing.assert_allclose(weighted.confusion, repeated.confusion / 5)


def test_predictions_keep_truth_guess_confidence_and_the_first_mistakes(tmp_path: Path) -> None:
    part = samples(200)
    truth = part.labels
    guess = truth.copy()
    guess[50:90] = (guess[50:90] + 1) % CLASSES
    logits = np.eye(CLASSES)[guess] * math.log(9)  # probability 9 / 12 for the class that is called
    save_predictions(tmp_path, prediction_arrays(Evaluation(1.0, truth, logits), part, ("a", "b", "c", "d"), (3, 3)))
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        saved = dict(file)
    arrays = {"y_true", "y_pred", "runner_up", "confidence", "true_confidence", "class_names", "images", "image_rows"}
    assert saved.keys() == arrays
    np.testing.assert_array_equal(saved["y_true"], truth)
    np.testing.assert_array_equal(saved["y_pred"], guess)
    np.testing.assert_allclose(saved["confidence"], 0.75, rtol=1e-6)
    assert saved["class_names"].tolist() == ["a", "b", "c", "d"]
    half = PICTURES // 2  # mistakes at most
    assert saved["image_rows"].tolist() == [*range(PICTURES - half), *range(50, 50 + half)]
    for image, row in zip(saved["images"], saved["image_rows"], strict=True):
        np.testing.assert_array_equal(image, part.x[part.rows[row]].reshape(3, 3))


def test_predictions_know_the_second_choice_and_what_the_true_class_got() -> None:
    part = samples(50)
    logits = np.random.default_rng(3).normal(0, 2, (50, CLASSES))
    arrays = prediction_arrays(Evaluation(1.0, part.labels, logits), part, "abcd", (3, 3))
    for row, label in enumerate(part.labels):
        by_size = sorted(range(CLASSES), key=lambda k, row=row: -logits[row, k])  # type: ignore[misc]
        assert [arrays["y_pred"][row], arrays["runner_up"][row]] == by_size[:2]
        share = math.exp(logits[row, label]) / sum(math.exp(z) for z in logits[row])
        assert arrays["true_confidence"][row] == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(("mistakes", "shown"), [(0, 0), (3, 3), (200, PICTURES // 2)])
def test_pictures_are_filled_up_with_what_there_is(mistakes: int, shown: int) -> None:
    part = samples(200)
    guess = part.labels
    guess[:mistakes] = (guess[:mistakes] + 1) % CLASSES
    arrays = prediction_arrays(Evaluation(1.0, part.labels, np.eye(CLASSES)[guess]), part, "abcd", (3, 3))
    wrong = arrays["y_true"][arrays["image_rows"]] != arrays["y_pred"][arrays["image_rows"]]
    assert wrong.sum() == shown
    assert len(arrays["images"]) == (PICTURES if mistakes < 200 else shown)


def test_data_that_are_not_pictures_leave_none() -> None:
    part = samples(5)
    arrays = prediction_arrays(Evaluation(1.0, part.labels, np.eye(CLASSES)[part.labels]), part, "abcd", ())
    assert len(arrays["images"]) == len(arrays["image_rows"]) == 0


@pytest.mark.parametrize("further", [(), ("loss.label_smoothing=0.3", "normalization=batch_norm")], ids=str)
def test_the_scores_of_a_run_are_those_of_its_saved_model(tmp_path: Path, further: tuple[str, ...]) -> None:
    """The forward pass is written down again here; the test set is scikit-learn's."""
    run(tmp_path, "-d", "digits", "-e", "2", "-sz", "16", "-nhl", "2", "--no_wandb", "hydra.run.dir=run", *further)
    said = summary(tmp_path / "run")
    d = np.load(tmp_path / "run" / "best_model.npy", allow_pickle=True).item()
    test = Digits().test()
    A = test.x[test.rows] / 16
    for i in range(2):
        A = np.maximum(A @ d[f"W{i}"] + d[f"b{i}"], 0)
    P, truth = softmax(A @ d["W2"] + d["b2"]), test.labels
    assert said["test_accuracy"] == accuracy_score(truth, P.argmax(axis=1))
    assert said["test_loss"] == pytest.approx(log_loss(truth, P), rel=1e-5)
    config = json.loads((tmp_path / "run" / "best_config.json").read_text())
    assert config["test_f1"] == said["test_f1"]
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        np.testing.assert_array_equal(file["y_true"], truth)
        np.testing.assert_array_equal(file["y_pred"], P.argmax(axis=1))
        np.testing.assert_allclose(file["confidence"], P.max(axis=1), rtol=1e-5)
