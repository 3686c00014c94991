"""A multi-layer perceptron in NumPy and the experiment framework around it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlp.api import Run, SearchResult, load, search, train
    from mlp.base.errors import CallbackFailed, Diverged, UserError
    from mlp.estimators import MLPClassifier
    from mlp.graded import NeuralNetwork
    from mlp.inference import evaluate_model, load_model

_HOMES = {
    **dict.fromkeys(("train", "load", "Run", "SearchResult"), "mlp.api"),
    **dict.fromkeys(("UserError", "Diverged", "CallbackFailed"), "mlp.base.errors"),
    **dict.fromkeys(("load_model", "evaluate_model"), "mlp.inference"),
    "NeuralNetwork": "mlp.graded",
    "MLPClassifier": "mlp.estimators",
    "search": "mlp.api",
}

__all__ = [
    "CallbackFailed", "Diverged", "MLPClassifier", "NeuralNetwork", "Run", "SearchResult", "UserError", "__version__",
    "evaluate_model", "load", "load_model", "search", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`from mlp import NeuralNetwork`, without importing NumPy for those who only import a submodule."""
    if name == "__version__":
        from importlib.metadata import version

        return version("numpy-mlp")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlp' has no attribute {name!r}")
