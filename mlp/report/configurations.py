"""What the configurations of runs have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mlp.nn.sizes import expand_hidden_sizes
from mlp.report.read import RunFiles
from mlp.report.text import activation_name

MOST = 8  # numbers that are listed
KEYS = {
    "activation": "activation", "init": "init", "loss": "loss", "optimizer": "optimizer",
    "learning rate": "optimizer.learning_rate", "batch size": "training.batch_size", "epochs": "training.epochs",
}  # fmt: skip


def configured(runs: Sequence[RunFiles]) -> dict[str, list[str]]:
    """The values that runs have of what describes a training: numbers in their order, of many only the ends."""
    sizes = dict.fromkeys("-".join(map(str, layer_sizes(run))) or "none" for run in runs)
    named = {what: _words(dict.fromkeys(run.value(key) for run in runs)) for what, key in KEYS.items()}
    return {"hidden layers": list(sizes), **named}


def _words(values: Collection[Any]) -> list[str]:
    if not all(isinstance(value, float | int) for value in values):
        return [activation_name(str(value)).replace("_", "-") for value in values]
    words = [f"{value:.3g}" for value in sorted(values)]
    return words if len(words) <= MOST else [f"{words[0]} to {words[-1]}"]


def layer_sizes(run: RunFiles) -> list[int]:
    """Of the hidden layers."""
    model = run.config["model"]
    return expand_hidden_sizes(model["hidden_sizes"], model["num_layers"])
