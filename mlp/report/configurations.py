"""Which runs have the same configuration, apart from data, seed and length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlp.nn.naming import expand_hidden_sizes
from mlp.report.read import RunFiles

OPTIONS = ("augment", "model", "activation", "init", "normalization", "loss", "optimizer", "schedule")
LEARNING = ("batch_size", "max_grad_norm", "ema_decay", "class_weight")  # of `training`


def same_configuration(run: RunFiles, others: Sequence[RunFiles]) -> list[RunFiles]:
    """Those of the same configuration: of the same length if there are any, else the longest."""
    found = [other for other in others if is_same_configuration(run, other)]
    lengths = [epochs(other) for other in found]
    length = epochs(run) if epochs(run) in lengths else max(lengths, default=0)
    return [other for other in found if epochs(other) == length]


def is_same_configuration(a: RunFiles, b: RunFiles) -> bool:
    """But for data, seed, length, and what the digits leave open in which people write numbers."""
    return _equal(_recipe(a), _recipe(b))


def epochs(run: RunFiles) -> int:
    return int(run.value("training.epochs"))


def layer_sizes(run: RunFiles) -> list[int]:
    """Of the hidden layers."""
    model = run.config["model"]
    return expand_hidden_sizes(model["hidden_sizes"], model["num_layers"])


def _recipe(run: RunFiles) -> dict[str, Any]:
    """The configuration but for data, seed and length."""
    model, training = run.config["model"], run.config["training"]
    return {
        **{key: run.config[key] for key in OPTIONS},
        **{key: training.get(key) for key in LEARNING},
        "model": {**model, "hidden_sizes": layer_sizes(run), "num_layers": None},
        "validation_fraction": run.config["dataset"]["validation_fraction"],
    }


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=0.005)
    return bool(a == b)
