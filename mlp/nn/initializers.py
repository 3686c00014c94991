"""Initial weights. Biases always start at zero.

Add one: a class here and a file in `conf/init/`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from mlp.base.naming import Named
from mlp.nn import checks
from mlp.nn.layers import Linear
from mlp.nn.types import Array

DISTRIBUTIONS = ("normal", "uniform")


class Initializer(Named, ABC):
    """Fills a weight matrix W of shape (fan_in, fan_out) in place, drawing in float64 from `rng`."""

    @abstractmethod
    def fill(self, W: Array, rng: np.random.Generator) -> None:
        """W <- initial weights."""

    def initialize(self, layers: Sequence[Linear], rng: np.random.Generator) -> None:
        """Fill the weights of all layers, the first one first. Biases are zero."""
        for layer in layers:
            self.fill(layer.W, rng)


class Zeros(Initializer):
    """W = 0: every neuron of a layer stays the copy of its neighbour. For the study of symmetry."""

    aliases = ("zero",)

    def fill(self, W: Array, rng: np.random.Generator) -> None:
        W[...] = 0


class Random(Initializer):
    """W ~ N(0, std²), the same for every layer."""

    aliases = ("normal", "random_normal")

    def __init__(self, std: float = 0.01) -> None:
        self.std = checks.number("std", std, gt=0)

    def fill(self, W: Array, rng: np.random.Generator) -> None:
        W[...] = rng.normal(0, self.std, W.shape)


class VarianceScaling(Initializer):
    """Independent draws with mean 0, and a variance that depends on the numbers of inputs and outputs.

    `distribution` is normal, or uniform on ±√(3 Var W).
    """

    def __init__(self, distribution: str = "normal") -> None:
        self.distribution = checks.choice("distribution", distribution, DISTRIBUTIONS)

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """Var W."""

    def fill(self, W: Array, rng: np.random.Generator) -> None:
        variance = self.variance(*W.shape)
        if self.distribution == "normal":
            W[...] = rng.normal(0, math.sqrt(variance), W.shape)
        else:
            bound = math.sqrt(3 * variance)
            W[...] = rng.uniform(-bound, bound, W.shape)


class Xavier(VarianceScaling):
    """Var W = 2 / (fan_in + fan_out): keeps the variance of signals and gradients (Glorot & Bengio 2010)."""

    aliases = ("glorot",)

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(VarianceScaling):
    """Var W = 2 / fan_in: Xavier's argument for ReLU, which halves the variance (He et al. 2015)."""

    aliases = ("kaiming",)

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in
