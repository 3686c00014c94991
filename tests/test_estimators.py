"""MLPClassifier is an estimator of scikit-learn, trained by the project's own loop."""

import copy
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlp import MLPClassifier
from mlp.data import Samples
from mlp.data.split import stratified_split
from mlp.nn import MLP, Adam, Constant, CrossEntropy, He, LeakyReLU, softmax
from mlp.training import Run, Trainer, random_streams

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
rng = np.random.default_rng(0)
Y = rng.integers(0, 3, 90)
X = rng.normal(size=(90, 5)) + Y[:, None]
FOREVER: dict[str, Any] = {"tol": 0, "n_iter_no_change": 10**6}

unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(*data: Any, sample_weight: Any = None, **parameters: Any) -> MLPClassifier:
    """A small classifier with few epochs, trained on X and Y or on `data`."""
    few = {"hidden_layer_sizes": (6,), "max_iter": 5, "batch_size": 20, "random_state": 0, "learning_rate_init": 0.01}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier(**{**few, **parameters}).fit(*(data or (X, Y)), sample_weight=sample_weight)


def bits(model: MLPClassifier) -> bytes:
    return bytes(model.network_.state.tobytes())


# As scikit-learn wants it


@unconverged
@parametrize_with_checks(
    [
        MLPClassifier(),
        MLPClassifier((8, 6), ["tanh", "elu"], "momentum", loss="mse", learning_rate_init=0.3, init="he"),
    ]
)
def test_scikit_learn_finds_no_fault(estimator: MLPClassifier, check: Any) -> None:
    check(estimator)


def test_the_package_imports_scikit_learn_for_nobody_else() -> None:
    code = """
import sys
import mlp
from mlp import NeuralNetwork
assert "sklearn" not in sys.modules
from mlp import MLPClassifier
assert "sklearn" in sys.modules and MLPClassifier.__module__ == "mlp.estimators"
assert "hydra" not in sys.modules and "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)


def test_cross_validation_in_a_pipeline_reads_digits() -> None:
    model = make_pipeline(MinMaxScaler(), MLPClassifier((32,), max_iter=30, batch_size=32, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(model, DIGITS, LABELS, cv=3)
    assert scores.min() > 0.86
    assert scores.mean() > 0.9


@unconverged
def test_grid_search_takes_nested_parameters_objects_and_weights() -> None:
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(), (4,)],
        "mlpclassifier__loss": ["mse", CrossEntropy(label_smoothing=0.1)],
        "mlpclassifier__optimizer_options": [None, {"beta1": 0.8}],
    }
    model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=3, random_state=0))
    search = GridSearchCV(model, grid, cv=2, error_score="raise")
    search.fit(X, Y, mlpclassifier__sample_weight=np.ones(len(Y)))
    assert len(search.cv_results_["params"]) == 8
    assert search.best_score_ > 0.4


# What it computes


def test_it_trains_with_the_loop_of_the_project_to_the_same_bits() -> None:
    model = fitted(X, Y, dropout=0.2, weight_decay=0.01, dtype="float32")
    seed = int(np.random.RandomState(0).randint(2**31))
    random = random_streams(seed)
    network = MLP(5, 3, [6], dropout=0.2, rng=random["init"])
    run = Run(Path(), {}, network, Adam(0.01, weight_decay=0.01), Constant(), random)
    train = Samples(X.astype(np.float32), Y, np.arange(90), 1.0)
    Trainer(5, 20, "train_loss").fit(run, train, Samples(X, Y, np.arange(0), 1.0))
    assert bits(model) == network.state.tobytes()
    assert model.loss_curve_ == [row["train_loss"] for row in run.history]


def test_the_same_state_gives_the_same_bits_and_another_one_others() -> None:
    assert bits(fitted()) == bits(fitted()) != bits(fitted(random_state=1))
    drawn = np.random.RandomState(3)
    first, second = fitted(random_state=drawn), fitted(random_state=drawn)
    assert bits(first) != bits(second)
    assert bits(first) == bits(fitted(random_state=np.random.RandomState(3)))


def test_parts_of_a_fit_are_the_whole() -> None:
    whole = fitted(**FOREVER)
    parts = clone(whole)
    for i in range(5):
        parts.partial_fit(X, Y, classes=[2, 1, 0] if i == 0 else None)
        parts = pickle.loads(pickle.dumps(parts)) if i == 2 else copy.deepcopy(parts)
    assert bits(parts) == bits(whole)
    assert (parts.n_iter_, parts.loss_curve_, parts.best_loss_) == (5, whole.loss_curve_, whole.best_loss_)


def test_a_part_may_lack_classes_and_has_a_learning_rate_of_its_own() -> None:
    model = MLPClassifier((6,), random_state=0).partial_fit(X[Y == 1], Y[Y == 1], classes=np.arange(3))
    assert model.predict_proba(X).shape == (90, 3)
    before = model.network_.state.copy()
    model.set_params(learning_rate_init=1e-12).partial_fit(X, Y)
    np.testing.assert_allclose(model.network_.state, before, rtol=1e-8, atol=1e-10)
    with pytest.raises(ValueError, match=r"y must hold the classes \[0 1 2\] only. Got \[7\]"):
        model.partial_fit(X[:2], [1, 7])
    with pytest.raises(ValueError, match=r"classes must be those of the first call, \[0 1 2\]. Got \[0, 1\]"):
        model.partial_fit(X, Y, classes=[0, 1])


@pytest.mark.parametrize("labels", [["c", "a", "b"], [-5, 1000, 3], [0.0, -1.0, 2.0]], ids=str)
def test_labels_may_be_anything_and_name_the_columns(labels: list[Any]) -> None:
    names = np.array(labels)
    model, numbers = fitted(X, names[Y]), np.argsort(np.argsort(names))
    np.testing.assert_array_equal(model.classes_, np.sort(names))
    assert bits(model) == bits(fitted(X, numbers[Y]))
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(probabilities))


def test_probabilities_follow_from_the_weights_that_are_shown() -> None:
    model = fitted(hidden_layer_sizes=(6, 4))
    A = X
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        A = np.maximum(A @ W + b, 0)
    logits = A @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_allclose(model.predict_proba(X), softmax(logits), rtol=1e-10)
    assert [W.shape for W in model.coefs_] == [(5, 6), (6, 4), (4, 3)]


@pytest.mark.parametrize(("given", "dtype", "used"), [
    ("float32", None, "float32"), ("float64", None, "float64"), ("uint8", None, "float64"),
    ("float64", "float32", "float32"), ("float32", "float64", "float64"),
])  # fmt: skip
def test_the_precision_is_that_of_the_data_or_of_the_parameter(given: str, dtype: str | None, used: str) -> None:
    data = np.abs(10 * X).astype(given)
    model = fitted(data, Y, dtype=dtype)
    assert {array.dtype.name for array in (*model.coefs_, model.predict_proba(data))} == {used}


def test_threads_may_predict_at_the_same_time() -> None:
    model = fitted(DIGITS, LABELS, hidden_layer_sizes=(32,), max_iter=1)
    parts = [DIGITS[i::8] for i in range(8)] * 4
    expected = [model.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as threads:
        for found, wanted in zip(threads.map(model.predict_proba, parts), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_features_keep_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcde"))
    model = fitted(table, Y)
    assert (model.feature_names_in_.tolist(), model.n_features_in_) == (list("abcde"), 5)
    assert model.predict(table).tolist() == fitted().predict(X).tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[list("bacde")])


# Weights


def test_whole_weights_are_repetitions_and_a_weight_of_zero_leaves_a_sample_out() -> None:
    weights = np.random.default_rng(1).integers(0, 4, 90)
    weighted = fitted(batch_size=1000, sample_weight=weights, max_iter=20)
    repeated = fitted(X.repeat(weights, axis=0), Y.repeat(weights), batch_size=1000, max_iter=20)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    tiny = fitted(sample_weight=weights * 1e-60, early_stopping=True, dtype="float32")
    assert np.isfinite(tiny.predict_proba(X)).all()
    zero = weights == 0
    left_out = fitted(sample_weight=np.where(zero, 0.0, 2.0))
    assert bits(left_out) == bits(fitted(X[~zero], Y[~zero], sample_weight=np.full(np.sum(~zero), 3.0)))


def test_class_weights_are_sample_weights() -> None:
    names = np.array(["ant", "bee", "cat"])[Y]
    by_class = fitted(X, names, class_weight={"cat": 5, "ant": 2})
    by_sample = fitted(X, names, sample_weight=np.array([2.0, 1, 5])[Y])
    np.testing.assert_allclose(by_class.predict_proba(X), by_sample.predict_proba(X), rtol=1e-9)
    assert np.abs(by_class.predict_proba(X) - fitted(X, names).predict_proba(X)).max() > 0.01
    own = np.random.default_rng(2).uniform(1, 2, 90)
    balanced = fitted(class_weight="balanced", sample_weight=own)
    mass = np.bincount(Y, own)
    by_hand = fitted(sample_weight=own / mass[Y])
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(
        fitted(class_weight="balanced").predict_proba(X),
        fitted(sample_weight=compute_sample_weight("balanced", Y)).predict_proba(X), rtol=1e-9,
    )  # fmt: skip


def test_a_fold_may_lack_a_class_that_has_a_weight() -> None:
    two = Y < 2
    assert fitted(X[two], Y[two], class_weight={0: 1, 1: 2, 2: 3}).classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"class_weight: the classes are \[0, 1\]. Got \[2\]"):
        fitted(X[two], Y[two], class_weight={0: 1, 2: 3})


# When it stops


def replayed(curve: list[float], tol: float, patience: int, sign: int) -> int:
    """How long a curve is when more than `patience` epochs in a row were not better than the best by `tol`."""
    best, stale = -np.inf, 0
    for epoch, value in enumerate(curve, 1):
        stale = stale + 1 if sign * value < best + tol else 0
        best = max(best, sign * value)
        if stale > patience:
            return epoch
    return -1


def test_fit_ends_when_the_loss_no_longer_improves_by_tol() -> None:
    model = fitted(max_iter=1000, tol=0.005, n_iter_no_change=3)
    assert len(model.loss_curve_) == model.n_iter_ == replayed(model.loss_curve_, 0.005, 3, -1) < 1000
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.validation_scores_ is model.best_validation_score_ is None


def test_early_stopping_keeps_the_weights_that_classify_the_validation_samples_best() -> None:
    weights = np.random.default_rng(3).integers(1, 4, 90).astype(float)
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 4, "max_iter": 1000}
    model = fitted(sample_weight=weights, learning_rate_init=0.05, **options)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ == replayed(scores, 1e-4, 4, 1) < 1000
    assert model.best_validation_score_ == max(scores) > scores[-1]
    assert model.best_loss_ is None

    random = random_streams(int(np.random.RandomState(0).randint(2**31)))
    _, held_out = stratified_split(Y, 0.3, random["split"])
    score = accuracy_score(Y[held_out], model.predict(X[held_out]), sample_weight=weights[held_out])
    assert score == pytest.approx(model.best_validation_score_, rel=1e-12)
    assert score != pytest.approx(accuracy_score(Y[held_out], model.predict(X[held_out])), rel=1e-6)


def test_what_has_not_converged_is_said() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs ended before train_loss stopped improving"):
        MLPClassifier(max_iter=3).fit(X, Y)


def test_objects_that_are_given_stay_as_they_are() -> None:
    loss, activation = CrossEntropy(label_smoothing=0.1), LeakyReLU(0.2)
    model = fitted(loss=loss, activation=[activation], init=He("uniform"))
    assert model.network_.loss is not loss
    assert (model.loss, model.activation[0]) == (loss, activation)
    assert loss._gradient.size == 0
