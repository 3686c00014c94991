"""The lower bound for anything on NumPy: the matrix products of a step and nothing else."""

from itertools import pairwise

from mlp.base import blas

blas.prepare()  # as the programs of the project do, before NumPy is imported

import numpy as np  # noqa: E402

from contenders.protocol import SIZES, Array, Task, numpy_version  # noqa: E402


class MatmulOnly:
    """Every step multiplies the same arrays. No data, no activation, no loss, no update: it learns nothing."""

    def __init__(self, task: Task) -> None:
        self.versions = numpy_version()
        self.steps = task.samples // task.batch
        rng = np.random.default_rng(task.seed)

        def array(*shape: int) -> Array:
            return rng.normal(0, 0.1, shape).astype(task.dtype)

        A = [array(task.batch, width) for width in SIZES]
        D = [array(task.batch, width) for width in SIZES]
        W = [array(*shape) for shape in pairwise(SIZES)]
        forward = [(A[i], W[i], array(task.batch, SIZES[i + 1])) for i in range(len(W))]
        gradients = [(A[i].T, D[i + 1], np.empty_like(W[i])) for i in range(len(W))]
        backward = [(D[i + 1], W[i].T, np.empty_like(A[i])) for i in range(1, len(W))]
        self.products = forward + gradients + backward

    def epoch(self) -> None:
        for _ in range(self.steps):
            for left, right, out in self.products:
                np.matmul(left, right, out=out)

    def weights(self) -> tuple[list[Array], list[Array]]:
        raise NotImplementedError("it has no weights")


build = MatmulOnly
