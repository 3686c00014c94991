"""Run directories as plots and studies read them: files only."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp.base.arrays import read_npz
from mlp.base.errors import UserError
from mlp.base.files import check_directory, read_bytes, read_json
from mlp.base.text import option_name, shorten
from mlp.config.build import build
from mlp.config.files import options, read_config, read_option, read_yaml
from mlp.nn.metrics import confusion_matrix
from mlp.nn.sizes import expand_hidden_sizes
from mlp.nn.types import Labels
from mlp.report.statistics import MeanStd

Array = NDArray[Any]  # numbers, counts, labels or pixels
FINISHED = ("completed", "pruned", "diverged")
MOST_LISTED = 5  # values that are named one by one
KEYS = {
    "activation": "activation", "init": "init", "loss": "loss", "optimizer": "optimizer",
    "learning rate": "optimizer.learning_rate", "batch size": "training.batch_size", "epochs": "training.epochs",
}  # fmt: skip
GRADIENT_TRACE = "gradient_trace.npz"  # of the callback of this name


def read_metrics(path: Path) -> dict[str, Array]:
    """The columns of a metrics.csv; an empty cell is NaN.

    A last line without its newline was cut off by a kill in the middle of the write, and is left out.
    """
    needed = ["epoch", "learning_rate"]  # gradient norms are a choice
    needed += [f"train_{what}" for what in ("loss", "accuracy", "f1")]
    try:
        lines = read_bytes(path, empty=True).decode("utf-8", "replace").split("\n")[:-1]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    header, *rows = lines or [",".join(needed)]  # the header itself cut off: no epoch yet
    names = header.strip().split(",")
    table = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        try:
            table[i] = [float(cell) if cell else math.nan for cell in row.strip().split(",")]
        except ValueError:
            problem = f"expected {len(names)} numbers separated by commas. Got '{shorten(row, 80)}'"
            raise UserError(f"{path}, line {i + 2}: {problem}") from None
    columns = dict(zip(names, table.T, strict=True))
    if missing := [name for name in needed if name not in columns]:
        raise UserError(f"{path}: no column {', '.join(missing)}. Is this the metrics.csv of a run?")
    for name in ("epoch", "step") if "step" in columns else ("epoch",):
        if not (np.diff(columns[name], prepend=0) > 0).all() or not np.isfinite(columns[name]).all():
            raise UserError(f"{path}: the {name}s must be numbers that rise from 1")
    return columns


def confusion(predictions: Mapping[str, Array]) -> Labels:
    """How often class i (row) was taken for class j (column), from the arrays of a predictions.npz.

    Raises UserError for labels that are no integers.
    """
    labels = [predictions[name] for name in ("y_true", "y_pred")]
    if wrong := [array.dtype for array in labels if array.dtype.kind not in "iu"]:
        raise UserError(f"y_true and y_pred of predictions.npz must be integers. Got {wrong[0]}")
    y_true, y_pred = (array.astype(np.int64) for array in labels)
    return confusion_matrix(y_true, y_pred, len(predictions["class_names"]))


def read_facts(run_dir: Path, *names: str) -> dict[str, Any]:
    """What the JSON files `names`, else best_config.json and summary.json, say about the run; a file that is not
    there says nothing."""
    facts: dict[str, Any] = {}
    for path in (run_dir / name for name in names or ("best_config.json", "summary.json")):
        if path.exists():
            facts |= read_json(path)
    return facts


@dataclass(frozen=True)
class RunFiles:
    """The files of one run."""

    directory: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml."""
        return read_config(self.directory)

    @cached_property
    def overrides(self) -> dict[str, str]:
        """overrides.yaml, key to value: what the run was given, also what config.yaml does not name."""
        words = read_yaml(self.directory / "overrides.yaml")
        split = (str(word).lstrip("+~").partition("=") for word in (words if isinstance(words, list) else ()))
        return {key: value for key, _, value in split}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, and what best_config.json says beside it."""
        return read_facts(self.directory)

    @cached_property
    def metrics(self) -> dict[str, Array]:
        """The columns of metrics.csv, (epochs,) each."""
        return read_metrics(self.directory / "metrics.csv")

    @cached_property
    def predictions(self) -> dict[str, Array]:
        """The arrays of predictions.npz: what the best weights said about the test set."""
        return self.arrays("predictions.npz")

    def arrays(self, name: str) -> dict[str, Array]:
        """The arrays of another .npz, such as a diagnostic callback writes."""
        return read_npz(self.directory / name)

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def layer_sizes(self) -> list[int]:
        """Of the hidden layers."""
        return expand_hidden_sizes(self.config["model"]["hidden_sizes"], self.config["model"]["num_layers"])

    def value(self, key: str) -> Any:
        """A value of the configuration, as `optimizer.learning_rate`; of a group its option, as `optimizer`."""
        found: Any = self.config
        for part in key.split("."):
            found = found[part]
        if not isinstance(found, dict):
            return found
        choices = self.config.get("choices")
        return (choices.get(key) if isinstance(choices, dict) else None) or _option(key, found)


def _option(group: str, node: Mapping[str, Any]) -> str:
    """The option of `group` that a run was composed with, where it does not say so: of those with its class the one
    with the most of its values."""
    target = node.get("_target_", "")
    same = {option: values for option, values in option_values(group).items() if values.get("_target_") == target}
    own = target.rpartition(".")[2]
    return max(same, key=lambda option: sum(node.get(k) == v for k, v in same[option].items()), default=own)


@cache
def option_values(group: str) -> dict[str, dict[str, Any]]:
    """The content of the files of a group in conf/, by option."""
    return {option: read_option(group, option) for option in options(group)}


def build_option(group: str, name: str, kind: type, /, **changed: Any) -> Any:
    """The object that an option of conf/ describes, such as a dataset; with `changed` values."""
    return build(option_values(group)[name] | changed, group, kind)


def runs_of(search: Path) -> list[RunFiles]:
    """The runs of a search that have ended, by their number; empty where there are none yet."""
    paths = [path for path in search.glob("*/summary.json") if path.parent.name.isdecimal()]
    for path in paths:
        check_directory(path.parent)
    found = [RunFiles(path.parent) for path in paths if read_json(path).get("status") in FINISHED]
    return sorted(found, key=lambda run: int(run.directory.name))


def by(runs: Iterable[RunFiles], *keys: str) -> dict[tuple[Any, ...], list[RunFiles]]:
    """Runs grouped by the values of `keys`, groups in the order in which they first come."""
    groups: dict[tuple[Any, ...], list[RunFiles]] = {}
    for run in runs:
        values = (run.value(key) for key in keys)
        key = tuple(tuple(value) if isinstance(value, list) else value for value in values)
        groups.setdefault(key, []).append(run)
    return groups


def stacked(runs: Sequence[RunFiles], column: str) -> Array:
    """A column of metrics.csv of several runs, (runs, epochs); NaN after the end of a shorter one.

    A run that diverged in its first epoch has no such file.
    """
    columns = [run.metrics[column] if (run.directory / "metrics.csv").is_file() else () for run in runs]
    table = np.full((len(columns), max(1, *map(len, columns))), np.nan)
    for row, values in zip(table, columns, strict=True):
        row[: len(values)] = values
    return table


def over_seeds(runs: Sequence[RunFiles], measured: str | Sequence[float] | Array) -> MeanStd:
    """A measurement on runs that differ in their seed: a value for each (runs,), or its name in summary.json."""
    values = [run.summary[measured] for run in runs] if isinstance(measured, str) else measured
    return MeanStd([float(value) for value in values], [run.seed for run in runs])


def gradient_trace(runs: Sequence[RunFiles]) -> tuple[Array, Array]:
    """Steps (rows,) and the gradient norms there, (runs, rows, layers), as far as all runs have recorded them."""
    traces = [run.arrays(GRADIENT_TRACE) for run in runs]
    rows = min(len(trace["step"]) for trace in traces)
    return traces[0]["step"][:rows], np.stack([trace["norms"][:rows] for trace in traces])


def late(step: Array) -> Array:
    """Which of the steps are in the last fifth of the training."""
    return np.asarray(step > 0.8 * step[-1])


def configured(runs: Sequence[RunFiles]) -> dict[str, list[str]]:
    """The values that runs have of what describes a training: numbers in their order, of many only the ends."""
    named = {what: _listed(dict.fromkeys(run.value(key) for run in runs)) for what, key in KEYS.items()}
    return {"hidden layers": layers(dict.fromkeys(tuple(run.layer_sizes) for run in runs)), **named}


def layers(sizes: Collection[Sequence[int]]) -> list[str]:
    """Different hidden layers as `128-64`; of many only how many, and between which ends."""
    if len(sizes) <= MOST_LISTED:
        return ["-".join(map(str, own)) or "none" for own in sizes]
    lengths, widths = _listed({len(own) for own in sizes}, 1), _listed({width for own in sizes for width in own}, 1)
    plural = "" if lengths == ["1"] else "s"
    return [f"{len(sizes)} different sets ({lengths[0]} layer{plural} of {widths[0]} units)"]


def _listed(values: Collection[Any], most: int = MOST_LISTED) -> list[str]:
    if not all(isinstance(value, float | int) for value in values):
        return [option_name(str(value)) for value in values]
    words = [f"{value:.3g}" for value in sorted(values)]
    return words if len(words) <= most else [f"{words[0]} to {words[-1]}"]
