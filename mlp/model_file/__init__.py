"""best_model.npy and best_config.json: written safely, read without trusting them, whoever wrote them.

reading.py   bytes on the disk -> arrays, dictionaries, lists
pickles.py   the pickles among them, by a machine that runs nothing
layouts.py   other people's layouts -> {"W0": (in, out), "b0": (out,), "W1": ...}
config.py    other people's hyper-parameters -> the names and types of our flags
pair.py      which configuration belongs to which model
weights.py   saving, loading, and starting a training from what was loaded
"""

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
from mlp.model_file.weights import Pretrained, load_weights, save_weights

__all__ = [
    "CONFIG",
    "DIGEST",
    "MODEL",
    "OWN_CLASSES",
    "ModelFileError",
    "Pretrained",
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
