"""Measurements on what a model says about a test set: its mistakes, and how sure it is of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp.nn.types import Labels
from mlp.report.read import Array


@dataclass
class Model:
    """A model, and the arrays of its `predictions.npz`."""

    name: str
    predictions: Mapping[str, Array]
    config: Mapping[str, Any] | None = None  # best_config.json of a model that no run of the study has made

    def __post_init__(self) -> None:
        self.wrong: Array = self.predictions["y_true"] != self.predictions["y_pred"]  # (n,) of truth values
        rows = np.flatnonzero(self.wrong)
        #: The rows that are wrong, the most confident first.
        self.mistakes: Labels = rows[np.argsort(-self.predictions["confidence"][rows], kind="stable")]


def caught(confidence: Array, wrong: Array, share: float) -> float:
    """The share of all mistakes that is in the least confident `share` of the images; 0 without mistakes."""
    least = np.argsort(confidence, kind="stable")[: round(share * len(confidence))]
    return float(wrong[least].sum() / max(1, wrong.sum()))


def nearer_to_predicted(pixels: Array, predictions: Mapping[str, Array]) -> Array:
    """Whether an image is nearer to the mean of the predicted class than to that of its own, (n,).

    Of an image that is right, the second choice takes the place of the predicted class.
    """
    flat = pixels.reshape(len(pixels), -1)
    y_true, y_pred = predictions["y_true"], predictions["y_pred"]
    other = np.where(y_pred == y_true, predictions["runner_up"], y_pred)
    means = np.stack([flat[y_true == i].mean(axis=0) if (y_true == i).any() else np.full(flat.shape[1], np.inf)
                      for i in range(len(predictions["class_names"]))])  # fmt: skip
    own, others = (((flat - means[labels]) ** 2).sum(axis=1) for labels in (y_true, other))
    return np.asarray(others < own)


def agreement(best: Model, second: Model) -> dict[str, Any]:
    """Which mistakes of the best model the second one makes too."""
    wrong, both = best.wrong, best.wrong & second.wrong
    same = both & (best.predictions["y_pred"] == second.predictions["y_pred"])
    truth = best.predictions["true_confidence"]
    return {
        "name": second.name, "accuracy": float(1 - second.wrong.mean()), "mistakes": int(second.wrong.sum()),
        "shared": int(both.sum()), "shared_by_chance": float(wrong.sum() * second.wrong.mean()),
        "same_answer": int(same.sum()),
        "true_probability_shared": median(truth[both]),
        "true_probability_alone": median(truth[wrong & ~second.wrong]),
    }  # fmt: skip


def median(values: Array) -> float | None:
    """None of nothing."""
    return float(np.median(values)) if len(values) else None
