"""The plots of one run, from the files of its directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mlp.base.arrays import read_npz
from mlp.base.errors import UserError, shortened
from mlp.base.files import check_directory
from mlp.report import style
from mlp.report.figures.bars import per_class, robustness
from mlp.report.figures.curves import curves
from mlp.report.figures.matrix import confusion_matrix
from mlp.report.figures.reliability import reliability
from mlp.report.figures.wall import samples
from mlp.report.read import Array, confusion, read_facts, read_metrics

Plot = tuple[Path, Callable[[], Figure]]  # a file and what draws its figure


def plots(run_dir: Path) -> list[Plot]:
    """All plots that the files of a run directory allow, for its `plots` folder.

    Raises UserError when `run_dir` is no run directory, or has nothing to draw yet.
    """
    if not run_dir.is_dir():
        raise UserError(f"'{run_dir}' is not a directory; give the directory of a run")
    check_directory(run_dir)
    found: list[Plot] = []
    if (table := run_dir / "metrics.csv").exists():
        metrics = read_metrics(table)
        if len(metrics["epoch"]):
            facts = read_facts(run_dir)
            found.append((run_dir / "plots" / "curves.png", lambda: curves(metrics, facts)))
    if (arrays := run_dir / "predictions.npz").exists():
        found += prediction_plots(read_npz(arrays), run_dir / "plots")
    if not found:
        why = "no finished epoch in metrics.csv, and no predictions.npz"
        raise UserError(f"'{run_dir}' has nothing to draw: {why}")
    return found


def prediction_plots(predictions: Mapping[str, Array], out: Path) -> list[Plot]:
    """The confusion matrices, the bars per class, the reliability and, where there are pictures, samples."""
    _check(predictions)
    names = predictions["class_names"]
    counts, right = confusion(predictions), predictions["y_true"] == predictions["y_pred"]
    found: list[Plot] = [
        (out / "confusion_counts.png", lambda: confusion_matrix(counts, names)),
        (out / "confusion_normalised.png", lambda: confusion_matrix(counts, names, normalised=True)),
        (out / "per_class.png", lambda: per_class(counts, names)),
        (out / "reliability.png", lambda: reliability(predictions["confidence"], right)),
    ]
    images = predictions.get("images", np.empty(0))
    if len(images) and (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))):
        found.append((out / "samples.png", lambda: samples(predictions)))
    return found


def save_all(plots: Sequence[Plot]) -> list[Path]:
    """Draw them and write their files; return the paths."""
    paths = []
    for path, draw in plots:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(style.save(draw(), path))
    return paths


def draw_predictions(
    predictions: Mapping[str, Array], out: Path, changes: Sequence[tuple[str, float]] = (), samples: int = 0
) -> list[Path]:
    """Draw everything that predictions allow into the folder `out`; return the paths.

    `changes`, if there are any, are accuracies on changed images, measured on so many samples.
    """
    found = prediction_plots(predictions, out)
    if changes:
        found.append((out / "robustness.png", lambda: robustness(changes, samples)))
    return save_all(found)


def draw_run(run_dir: Path) -> list[Path]:
    """Draw all plots of a run directory; return their paths. Raises UserError as `plots` does."""
    found = plots(run_dir)
    try:
        return save_all(found)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # values that no run writes
        raise UserError(
            f"{run_dir} cannot be drawn, its numbers do not go together: {shortened(str(error))}"
        ) from error


def _check(predictions: Mapping[str, Array]) -> None:
    if missing := [k for k in ("y_true", "y_pred", "confidence", "class_names") if k not in predictions]:
        raise UserError(f"predictions lack {', '.join(missing)}")
    y_true, y_pred, confidence = (predictions[name] for name in ("y_true", "y_pred", "confidence"))
    for name, kinds in {"y_true": "iu", "y_pred": "iu", "confidence": "f", "class_names": "U"}.items():
        if (array := predictions[name]).ndim != 1 or array.dtype.kind not in kinds:
            raise UserError(f"predictions: {name} must be a vector. Got shape {array.shape} and type {array.dtype}")
    n, classes = len(y_true), len(predictions["class_names"])
    if any(len(vector) != n for vector in (y_pred, confidence)):
        raise UserError("predictions: y_true, y_pred and confidence must be vectors of one length")
    if n == 0:
        raise UserError("predictions: y_true is empty")
    if any(a.min() < 0 or a.max() >= classes for a in (y_true, y_pred)):
        raise UserError(f"predictions: class numbers must lie in 0..{classes - 1}, one name for each")
    rows, images = predictions.get("image_rows", np.empty(0)), predictions.get("images", np.empty(0))
    if rows.ndim != 1 or rows.shape != images.shape[:1] or (len(rows) and (rows.min() < 0 or rows.max() >= n)):
        raise UserError(f"predictions: image_rows must name one row in 0..{n - 1} for every picture")
