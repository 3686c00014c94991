"""Which numbers, names and files of a run trackers copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlp.base.arrays import read_npz
from mlp.base.naming import flat
from mlp.nn.metrics import confusion_matrix
from mlp.nn.types import Array, Labels

MODEL_FILES = ("best_model.npy", "best_config.json")
BINS = 30  # of a histogram


class TrackedRun(Protocol):
    """What a tracker reads of a training run."""

    @property
    def directory(self) -> Path: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def network(self) -> Any: ...
    @property
    def epoch(self) -> int: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def history(self) -> Sequence[Mapping[str, float]]: ...
    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


def run_name(directory: Path) -> str:
    """The last two parts of the path: `search/7`."""
    return "/".join(directory.absolute().parts[-2:])


def parameters(run: TrackedRun) -> dict[str, Any]:
    """The configuration, flat; without the folder of a resumed run, which is the run's own."""
    return {name: value for name, value in flat(run.config) if name != "resume"}


def histograms(run: TrackedRun) -> Iterator[tuple[str, Labels, Array]]:
    """Name, counts (BINS,) and edges (BINS + 1,) for the weights and biases of each layer, and their gradients in the
    epoch's last step. Layer 1 is the first hidden layer. What is not finite is left out."""
    for number, layer in enumerate(run.network.layers, start=1):
        for kind, prefix in (("parameters", ""), ("gradients", "grad_")):
            for part in ("W", "b"):
                values = np.asarray(getattr(layer, prefix + part), np.float64)
                counts, edges = np.histogram(values[np.isfinite(values)], BINS)
                yield f"{kind}/{part}{number}", counts, edges


def results(run: TrackedRun) -> dict[str, float]:
    """The numbers of summary.json, such as `results/test_accuracy`: some are named like columns of metrics.csv, but
    are those of the best epoch."""
    numbers = {name: value for name, value in run.summary.items() if isinstance(value, int | float | np.number)}
    return {f"results/{name}": float(value) for name, value in numbers.items()}


def predictions(directory: Path) -> tuple[Labels, Labels, list[str]] | None:
    """True and predicted classes (n,) of the test samples, and the names of the classes, if they were measured."""
    path = directory / "predictions.npz"
    if not path.exists():
        return None
    arrays = read_npz(path)
    return arrays["y_true"], arrays["y_pred"], arrays["class_names"].tolist()


def confusion_rows(directory: Path) -> tuple[list[str], list[list[Any]]] | None:
    """The confusion matrix of the test samples as a table: column names; for each true class its name and counts."""
    if (found := predictions(directory)) is None:
        return None
    y_true, y_pred, names = found
    counts = confusion_matrix(y_true, y_pred, len(names)).tolist()
    return ["true \\ predicted", *names], [[name, *row] for name, row in zip(names, counts, strict=True)]


def model_files(directory: Path) -> list[Path]:
    return [directory / name for name in MODEL_FILES if (directory / name).exists()]


def pictures(directory: Path) -> list[Path]:
    """The plots, where the run draws them."""
    return sorted((directory / "plots").glob("*.png"))
