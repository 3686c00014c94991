"""Weights on the disk, and as the start of another training (fine-tuning)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlp.base.errors import UserError
from mlp.base.files import atomic_write
from mlp.model_file.layouts import Weights, normalise
from mlp.model_file.pair import weights_sha256
from mlp.model_file.pickles import ModelFileError
from mlp.model_file.reading import read
from mlp.nn.initializers import Initializer
from mlp.nn.layers import Linear
from mlp.nn.types import Array


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


class Pretrained(Initializer):
    """Weights and biases of a saved model of the same sizes, in any layout that `inference.py` reads.

    Args:
        path: the file, such as best_model.npy. Relative ones are looked for in the current directory.
    """

    needs_more = True

    def __init__(self, path: str | None = None) -> None:
        if not path:
            raise ValueError("path must name a saved model (init.path=best_model.npy). Got none")
        self.path = path
        self.weights = load_weights(path)
        self.sha256 = weights_sha256(self.weights)

    def initialize(self, layers: Sequence[Linear], rng: np.random.Generator) -> None:
        shapes = [layer.W.shape for layer in layers]
        if (found := [W.shape for W in list(self.weights.values())[::2]]) != shapes:
            raise UserError(
                f"init.path={self.path} has weights {_sizes(found)}, and the network is {_sizes(shapes)}: "
                "choose model.hidden_sizes and the dataset as in its training"
            )
        if not all(layer.adds_bias for layer in layers):
            raise UserError(
                "init=pretrained needs normalization=none: that of a saved model is folded into its weights"
            )
        for i, layer in enumerate(layers):
            layer.W[...], layer.b[...] = self.weights[f"W{i}"], self.weights[f"b{i}"].ravel()

    def fill(self, W: Array, rng: np.random.Generator) -> None:
        raise NotImplementedError("weights of a saved model belong to a layer: see initialize")


def _sizes(shapes: Sequence[tuple[int, ...]]) -> str:
    return "-".join(map(str, [shapes[0][0], *(shape[1] for shape in shapes)]))
