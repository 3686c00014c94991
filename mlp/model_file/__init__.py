"""best_model.npy and best_config.json: written safely, read without trusting them, whoever wrote them.

reading.py   bytes on the disk -> arrays, dictionaries, lists
pickles.py   the pickles among them, by a machine that runs nothing
layouts.py   other people's layouts -> {"W0": (in, out), "b0": (out,), "W1": ...}
config.py    other people's hyper-parameters -> the names and types of our flags
pair.py      which configuration belongs to which model
"""

from pathlib import Path

import numpy as np

from mlp.errors import UserError
from mlp.files import atomic_write
from mlp.model_file.config import load_config, save_config
from mlp.model_file.layouts import Weights, layer_sizes, normalise
from mlp.model_file.pair import (
    CONFIG,
    DIGEST,
    MODEL,
    OWN_CLASSES,
    config_beside,
    contradictions,
    hidden_activations,
    weights_sha256,
)
from mlp.model_file.pickles import ModelFileError
from mlp.model_file.reading import read

__all__ = [
    "CONFIG",
    "DIGEST",
    "MODEL",
    "OWN_CLASSES",
    "ModelFileError",
    "Weights",
    "config_beside",
    "contradictions",
    "hidden_activations",
    "layer_sizes",
    "load_config",
    "load_weights",
    "normalise",
    "save_config",
    "save_weights",
    "weights_sha256",
]


def save_weights(path: str | Path, weights: Weights) -> None:
    """Write `weights` in one step; `np.load(path, allow_pickle=True).item()` gives the dictionary back."""
    with atomic_write(path) as file:
        np.save(file, np.array(weights, dtype=object), allow_pickle=True)


def load_weights(path: str | Path, skipped: list[str] | None = None) -> Weights:
    """Read a .npy or .npz model of any known layout. No code in the file is ever run.

    `skipped` gets the names of what an .npz file holds beside numbers, and of what is too strange to be read.
    """
    try:
        return normalise(read(path, skipped))
    except UserError as error:
        raise ModelFileError(f"{path}: {error}") from error
