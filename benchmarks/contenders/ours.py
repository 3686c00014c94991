"""This project: the objects that a run builds from the default configuration, and the loop of its trainer."""

from mlp.base import blas

blas.prepare()  # as train.py does, before NumPy is imported

import numpy as np  # noqa: E402

from contenders.protocol import DIVISOR, SIZES, Array, Task, numpy_version  # noqa: E402
from mlp.base.naming import by_name  # noqa: E402
from mlp.data import Samples  # noqa: E402
from mlp.data.batches import Batches  # noqa: E402
from mlp.nn import MLP, Optimizer  # noqa: E402


class Ours:
    def __init__(self, task: Task) -> None:
        self.versions = numpy_version()
        x, y = task.data()
        self.network = MLP(SIZES[0], SIZES[-1], list(SIZES[1:-1]), dtype=task.dtype)
        for layer, W, b in zip(self.network.layers, *task.initial(), strict=True):
            layer.W, layer.b = W, b
        self.optimizer = by_name(Optimizer, task.optimizer)(**task.coefficients)
        samples = Samples(np.asarray(x), y, np.arange(len(y)), DIVISOR)
        rng = np.random.default_rng(task.seed)
        self.batches = Batches(samples, SIZES[-1], task.batch, rng, self.network.dtype)

    def epoch(self) -> None:
        network, optimizer = self.network, self.optimizer
        for X, targets, *_ in self.batches.epoch():
            network.loss_and_gradients(X, targets)
            optimizer.step(network.theta, network.grad, network.num_weights)

    def weights(self) -> tuple[list[Array], list[Array]]:
        return [layer.W for layer in self.network.layers], [layer.b for layer in self.network.layers]


build = Ours
