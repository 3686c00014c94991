"""A model and its configuration belong together: where the one lies beside the other, and whether it is the other's.

The configuration holds the digest of the weights (`weights_sha256`). The model cannot hold one of the configuration:
its keys are W0, b0, ... and nothing else, for every reader.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlp.model_file.config import short
from mlp.model_file.layouts import Weights, layer_sizes
from mlp.model_file.pickles import ModelFileError

MODEL, CONFIG, DIGEST = "best_model.npy", "best_config.json", "weights_sha256"
OWN_CLASSES = "own_classes"  # key of a configuration: what is of a user's class, to the names of these classes

# What an output layer may be called that is linear, its softmax in the loss: here it always is.
_LINEAR_OUTPUT = {"softmax", "log_softmax", "logits", "identity"}


def config_beside(model_path: Path) -> Path:
    """Where the configuration of a model lies: best_model.npy -> best_config.json, mine.npy -> mine_config.json."""
    return model_path.with_name(f"{model_path.stem.removesuffix('_model')}_config.json")


def weights_sha256(weights: Weights) -> str:
    """A digest of the numbers, whatever the file's format or layout."""
    digest = hashlib.sha256()
    for i in range(len(weights) // 2):
        for name in (f"W{i}", f"b{i}"):
            array = weights[name]
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def contradictions(config: Mapping[str, Any], weights: Weights) -> list[str]:
    """What in `config` shows that it was written for other weights, in words."""
    sizes, wrong = layer_sizes(weights), []
    hidden, count = config.get("hidden_size"), config.get("num_layers")
    if hidden is not None:
        # Some count the inputs or the outputs among the layers, and one size can stand for all of them.
        known = [sizes[1:-1], sizes[1:], sizes[:-1], sizes]
        if hidden not in known and not (len(hidden) == 1 and count is None and {*hidden} == {*sizes[1:-1]}):
            wrong.append(f"hidden_size {short(hidden)}")
    elif count is not None and count not in (len(sizes) - 2, len(sizes) - 1):
        wrong.append(f"num_layers {short(count)}")
    for key, size in (("input_size", sizes[0]), ("num_classes", sizes[-1])):
        if type(config.get(key)) is int and config[key] != size:
            wrong.append(f"{key} {short(config[key])}")
    found = [f"says {', '.join(wrong)}, but the weights are {'-'.join(map(str, sizes))}"] if wrong else []
    if DIGEST in config and config[DIGEST] != weights_sha256(weights):
        found.append(f"belongs to other weights (its {DIGEST} is not theirs)")
    return found


def hidden_activations(names: str | list[str], hidden_layers: int) -> str | list[str]:
    """The activations of the hidden layers: an entry for the output layer, as in [tanh, tanh, softmax], goes.

    Raises ModelFileError where that entry is a function which would change the answers, or the number is wrong.
    """
    if isinstance(names, str):
        return names
    if names[-1] in {"softmax", "log_softmax", "logits"} or (
        len(names) == hidden_layers + 1 and names[-1] in _LINEAR_OUTPUT
    ):
        names = names[:-1]
    elif len(names) == hidden_layers + 1 and hidden_layers:
        raise ModelFileError(
            f"activation {', '.join(names)} gives the output layer {names[-1]}, but here that layer is linear. Give "
            f"the activations of the {hidden_layers} hidden layers with -a, to evaluate the network without it"
        )
    if len(names) > 1 and hidden_layers and len(names) != hidden_layers:
        raise ModelFileError(
            f"activation names {len(names)} functions ({', '.join(names)}), but the network has {hidden_layers} "
            f"hidden layers. Give them with -a"
        )
    return names[0] if len(names) == 1 or not hidden_layers else names
