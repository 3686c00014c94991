"""Accuracy, precision, recall and F1 are scikit-learn's, also where classes are missing."""

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support as sklearn_scores

from mlp.nn.metrics import calibration_error, confusion_matrix, per_class, scores, temperature, wilson_interval

CLASSES = 7

#: Which classes may be the truth, and which may be predicted.
MISSING = {
    "none": (range(CLASSES), range(CLASSES)),
    "from the truth": ([0, 2, 3], range(CLASSES)),
    "from the predictions": (range(CLASSES), [1, 6]),
    "from both": ([0, 1, 3], [0, 3, 4]),
    "nothing in common": ([0, 1], [2, 3]),
    "one class": ([5], [5]),
}


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("n", [1, 40, 500])
def test_scores_are_those_of_scikit_learn(missing: str, n: int) -> None:
    rng = np.random.default_rng(n)
    y_true, y_pred = (rng.choice(list(classes), n) for classes in MISSING[missing])
    y_pred = np.where((rng.random(n) < 0.5) & np.isin(y_true, MISSING[missing][1]), y_true, y_pred)
    confusion = confusion_matrix(y_true, y_pred, CLASSES)
    np.testing.assert_array_equal(confusion, sklearn_confusion(y_true, y_pred, labels=range(CLASSES)))

    each = sklearn_scores(y_true, y_pred, labels=range(CLASSES), zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), each, strict=True):
        np.testing.assert_allclose(per_class(confusion)[name], expected, rtol=1e-12)

    *macro, _ = sklearn_scores(y_true, y_pred, average="macro", zero_division=0)
    expected = dict(
        zip(("accuracy", "precision", "recall", "f1"), [accuracy_score(y_true, y_pred), *macro], strict=True)
    )
    assert scores(confusion) == pytest.approx(expected, rel=1e-12)
    assert all(type(value) is float for value in scores(confusion).values())


def test_scores_of_nothing_are_not_a_number() -> None:
    nothing = scores(confusion_matrix(np.empty(0, np.int64), np.empty(0, np.int64), 3))
    assert set(nothing) == {"accuracy", "precision", "recall", "f1"}
    assert np.isnan(list(nothing.values())).all()


@pytest.mark.parametrize(("hits", "n"), [(9946, 10_000), (0, 12), (12, 12), (1, 3)])
def test_intervals_of_a_share_are_those_of_scipy(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson_interval(hits / n, n) == pytest.approx(tuple(expected), abs=1e-6)
    assert wilson_interval(0.0, 0) == (0, 1)


def test_the_calibration_error_is_that_worked_by_hand() -> None:
    """Two at 0.95 of which one is right, two at 0.55 that both are: (2 x 0.45 + 2 x 0.45) / 4."""
    error = calibration_error(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True]))
    assert error == pytest.approx(0.45)
    assert calibration_error(np.ones(3), np.ones(3, bool)) == 0


def test_the_temperature_is_the_one_of_the_smallest_loss_and_finds_what_logits_were_multiplied_by() -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    found = temperature(3 * logits, labels)
    assert found == pytest.approx(3, rel=0.05)  # some five standard errors
    best = optimize.minimize_scalar(
        lambda T: -special.log_softmax(3 * logits / T, axis=1)[np.arange(len(labels)), labels].mean(),
        (1, 5),
        tol=1e-10,
    )
    assert found == pytest.approx(best.x, rel=1e-5)
    assert temperature(np.eye(3), np.arange(3)) == pytest.approx(0.01)  # the more certain the better
