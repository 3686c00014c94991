"""Classification metrics: accuracy, macro precision, recall and F1 from counts, how certain they are, calibration."""

import math
from collections.abc import Mapping

import numpy as np

from mlp.nn.losses import softmax
from mlp.nn.types import Array, Labels

CALIBRATION_BINS = 15  # as Guo et al. (2017) have them
TEMPERATURES = 0.01, 100.0  # between which one is sought


def confusion_matrix(
    y_true: Labels, y_pred: Labels, num_classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Counts (c, c): entry [i, j] is how many samples of class i were called j, or what they weigh together."""
    cells = np.bincount(y_true * num_classes + y_pred, weights, minlength=num_classes**2)
    return cells.reshape(num_classes, -1)


def per_class(confusion: Labels) -> Mapping[str, np.ndarray]:
    """Precision, recall, F1 and support of each class, arrays (c,); 0 where a ratio would be 0 / 0."""
    hits = np.diag(confusion).astype(float)
    called, support = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": hits / (called + (called == 0)),
        "recall": hits / (support + (support == 0)),
        "f1": 2 * hits / (called + support + (called + support == 0)),
        "support": support,
    }


def scores(confusion: Labels) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 averaged over the classes that occur (macro average).

    As in scikit-learn, a class occurs if it is the truth or the prediction of a sample.
    """
    occurs = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    if not occurs.any():
        return dict.fromkeys(("accuracy", "precision", "recall", "f1"), float("nan"))
    classes = per_class(confusion)
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        **{name: float(classes[name][occurs].mean()) for name in ("precision", "recall", "f1")},
    }


def wilson_interval(share: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Where the true value of a share lies that was measured on `n` samples, with 95 % confidence (Wilson 1927).

    >>> [round(bound, 4) for bound in wilson_interval(0.9946, 10_000)]
    [0.993, 0.9959]
    """
    if not n > 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def reliability(confidence: Array, right: np.ndarray, bins: int = CALIBRATION_BINS) -> tuple[np.ndarray, ...]:
    """In bins of equal width over the confidences (n,): counts, mean confidence and share that is right, (bins,).

    The last two are 0 in an empty bin.
    """
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, weights=values, minlength=bins) for values in (confidence, right.astype(float)))
    mean_confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
    return counts, mean_confidence, accuracy


def calibration_error(confidence: Array, right: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error (ECE): the mean distance between confidence and accuracy, bin by bin."""
    counts, mean_confidence, accuracy = reliability(confidence, right, bins)
    return float(counts @ np.abs(accuracy - mean_confidence) / max(len(confidence), 1))


def temperature(logits: Array, labels: Labels) -> float:
    """The T that makes softmax(logits / T) most likely (Guo et al. 2017): above 1 for a model that is too confident.

    Logits (n, c) and labels (n,). The likelihood is concave in 1 / T, so that bisection finds where its slope, the
    mean of z_y - E z, is 0. Between 0.01 and 100, which are reached where all labels, or none, are the largest.
    """
    z = logits.astype(float) - logits.max(axis=1, keepdims=True)
    of_labels = z[np.arange(len(z)), labels].mean()
    low, high = (math.log(bound) for bound in TEMPERATURES)
    for _ in range(40):
        middle = (low + high) / 2
        expected = (softmax(z / math.exp(middle)) * z).sum(axis=1).mean()
        low, high = (middle, high) if expected > of_labels else (low, middle)
    return math.exp((low + high) / 2)
