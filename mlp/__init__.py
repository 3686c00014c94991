"""A multi-layer perceptron in NumPy and the experiment framework around it."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`from mlp import NeuralNetwork`, without importing NumPy for those who only import a submodule.

    Nor scikit-learn for those who do not ask for `MLPClassifier`.
    """
    if name == "NeuralNetwork":
        from mlp.graded import NeuralNetwork

        return NeuralNetwork
    if name == "MLPClassifier":
        from mlp.estimators import MLPClassifier

        return MLPClassifier
    raise AttributeError(f"module 'mlp' has no attribute {name!r}")
