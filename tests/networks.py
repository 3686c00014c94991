"""Networks for the tests: `graded` as a grader builds them, `lively` with weights that bend every activation."""

from argparse import Namespace
from itertools import pairwise
from typing import Any

import numpy as np

from mlp.graded import NeuralNetwork
from mlp.nn import MLP
from mlp.nn.types import Array


def graded(**fields: Any) -> NeuralNetwork:
    """A NeuralNetwork from the fields of an argparse.Namespace."""
    return NeuralNetwork(Namespace(**fields))


def lively(*args: Any, rng: np.random.Generator, **kwargs: Any) -> MLP:
    """An MLP whose weights keep the size of signals and whose biases are not zero; float64 unless said."""
    network = MLP(*args, **{"dtype": "float64", "rng": rng, **kwargs})
    for layer in network.layers:
        layer.W = rng.normal(0, 1.2 / np.sqrt(len(layer.W)), layer.W.shape)
        layer.b = rng.normal(0, 0.5, layer.b.shape)
    return network


def parameters(weights: list[Array], biases: list[Array]) -> dict[str, Array]:
    """The dictionary of `get_weights` for lists of arrays, input side first."""
    return {f"{kind}{i}": a for kind, of in (("W", weights), ("b", biases)) for i, a in enumerate(of)}


def random_parameters(*sizes: int, seed: int = 0) -> dict[str, Array]:
    """Parameters of a network with these sizes, d_in first."""
    rng = np.random.default_rng(seed)
    return parameters([rng.normal(size=shape) for shape in pairwise(sizes)], [rng.normal(size=n) for n in sizes[1:]])
