"""What a network computes and how well, written down once more: the references of the tests of inference."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

Data = tuple[np.ndarray, np.ndarray]
KEYS = {"logits", "loss", "accuracy", "f1", "precision", "recall"}


def reference_logits(weights: dict[str, np.ndarray], X: np.ndarray, activation: Any = np.tanh) -> np.ndarray:
    """The network written down once more, in its plainest form."""
    layers = len(weights) // 2
    for i in range(layers):
        X = X @ weights[f"W{i}"].astype(float) + weights[f"b{i}"].astype(float)
        X = activation(X) if i < layers - 1 else X
    return X


def assert_measured(result: dict[str, Any], logits: np.ndarray, y: np.ndarray) -> None:
    """`result` holds these logits and scikit-learn's scores of them."""
    assert set(result) == KEYS
    np.testing.assert_allclose(result["logits"], logits, rtol=1e-9, atol=1e-9)
    guess = logits.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(y, guess, average="macro", zero_division=0)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    loss = log_loss(y, shifted / shifted.sum(axis=1, keepdims=True), labels=range(logits.shape[1]))
    expected = {
        "accuracy": accuracy_score(y, guess),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "loss": loss,
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-9)
