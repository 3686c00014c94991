"""Classification metrics from counts: accuracy, macro precision, recall and F1."""

from collections.abc import Mapping

import numpy as np

from mlp.nn.types import Labels


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
