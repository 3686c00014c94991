"""How long the gradients of each layer are, step by step."""

from __future__ import annotations

import numpy as np

from mlp.nn import checks
from mlp.training.diagnostics.recorder import Recorder
from mlp.training.run import Run


class GradientTrace(Recorder):
    """Records the L2 norms of the gradients of each layer's weights, at every `every`-th step and the first.

    gradient_trace.npz: step (rows,), norms (rows, layers), the first hidden layer first.
    """

    file = "gradient_trace.npz"

    def __init__(self, every: int = 10) -> None:
        super().__init__()
        self.every = checks.integer("every", every, ge=1)

    def on_batch_end(self, run: Run) -> None:
        if run.step == 1 or run.step % self.every == 0:
            # In float64: the squares of a vanishing gradient are beyond float32.
            squares = [np.square(layer.grad_W, dtype=np.float64).sum() for layer in run.network.layers]
            self.add(run, norms=np.sqrt(squares))
