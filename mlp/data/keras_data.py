"""The data that Keras has downloaded, or can."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlp.base.errors import UserError
from mlp.base.paths import pip_install


def keras_datasets_folder() -> Path:
    """Where keras.datasets keeps its downloads: $KERAS_HOME/datasets, else ~/.keras/datasets."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")) / "datasets"


def keras_is_installed() -> bool:
    # Of its backends the one without automatic differentiation.
    os.environ.setdefault("KERAS_BACKEND", "openvino")
    try:
        import keras  # noqa: F401
    except ImportError:
        return False
    return True


def load_with_keras(name: str, missing: str, otherwise: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test, y_test of `keras.datasets.<name>`, downloaded if need be.

    The last source: an error says what was `missing` before, and how to get it `otherwise`.
    """
    try:
        if not keras_is_installed():
            raise ImportError("Keras is not installed")
        import keras

        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        keras = f"by download through keras.datasets: {pip_install('keras')}"
        raise UserError(
            f"{missing}; and keras.datasets.{name} cannot be loaded: {error}. Ways to get the data:"
            + "".join(f"\n  - {way}" for way in (keras, *otherwise))
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
