"""What a model said about the test set, kept as a file for plots and analyses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlp.base.files import atomic_write
from mlp.data import Samples
from mlp.data.pictures import as_pictures, is_picture
from mlp.nn.types import Labels
from mlp.training.evaluate import Evaluation

PREDICTIONS = "predictions.npz"
PICTURES = 28


def prediction_arrays(
    evaluation: Evaluation, samples: Samples, class_names: Sequence[str], image_shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Arrays of the n samples and the c classes, and k pictures: images (k, h, w) or (k, h, w, 3), image_rows (k,).

    y_true, y_pred, runner_up (n,): the true class, the likeliest and the second; confidence, true_confidence (n,):
    the probabilities of y_pred and of y_true; class_names (c,).
    The pictures are the first mistakes, at most half of them, and the first correct ones. None if the data are
    not pictures.
    """
    shown = is_picture(image_shape)
    rows = _pictures(evaluation.y_true == evaluation.y_pred) if shown else np.empty(0, np.int64)
    images = samples.x[samples.rows[rows]]
    if shown:
        images = as_pictures(images, image_shape)
        images = images[..., 0] if images.shape[-1] == 1 else np.ascontiguousarray(images)
    return {
        "y_true": evaluation.y_true,
        "y_pred": evaluation.y_pred,
        "runner_up": evaluation.runner_up,
        "confidence": evaluation.confidence.astype(np.float32),
        "true_confidence": evaluation.true_confidence.astype(np.float32),
        "class_names": np.array(class_names),
        "images": images,
        "image_rows": rows,
    }


def _pictures(correct: np.ndarray) -> Labels:
    wrong = np.flatnonzero(~correct)[: PICTURES // 2]
    right = np.flatnonzero(correct)[: PICTURES - len(wrong)]
    return np.sort(np.concatenate([wrong, right]))


def save_predictions(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write `predictions.npz`."""
    with atomic_write(directory / PREDICTIONS) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
