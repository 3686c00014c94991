"""The gradients of single neurons, step by step and to the last bit."""

from __future__ import annotations

import numpy as np

from mlp.base.errors import UserError
from mlp.nn import checks
from mlp.training.diagnostics.recorder import Recorder
from mlp.training.run import Run


class NeuronGradients(Recorder):
    """Records the gradients of the first `neurons` neurons of hidden layer `layer`, for the first `steps` steps.

    Layer 1 is the first hidden layer. neuron_gradients.npz: step (rows,), grad_W (rows, d_in, neurons) and grad_b
    (rows, neurons) in the network's own precision; width (rows,), the neurons of the whole layer, and distinct
    (rows,), how many different gradients they have, compared bit by bit; loss (rows,), of the batch.
    """

    file = "neuron_gradients.npz"

    def __init__(self, layer: int = 1, neurons: int = 5, steps: int = 50) -> None:
        super().__init__()
        self.layer = checks.integer("layer", layer, ge=1)
        self.neurons = checks.integer("neurons", neurons, ge=1)
        self.steps = checks.integer("steps", steps, ge=1)

    def on_run_start(self, run: Run) -> None:
        hidden = run.network.hidden_sizes
        if self.layer > len(hidden):
            raise UserError(f"layer must be <= {len(hidden)}, the number of hidden layers. Got {self.layer}")
        if self.neurons > (width := hidden[self.layer - 1]):
            raise UserError(f"neurons must be <= {width}, the width of hidden layer {self.layer}. Got {self.neurons}")
        super().on_run_start(run)

    def on_batch_end(self, run: Run) -> None:
        if run.step > self.steps:
            return
        layer = run.network.layers[self.layer - 1]
        gradients = np.vstack([layer.grad_W, layer.grad_b]).T  # (width, d_in + 1)
        self.add(
            run,
            loss=run.batch_loss,
            grad_W=layer.grad_W[:, : self.neurons],
            grad_b=layer.grad_b[: self.neurons],
            width=len(gradients),
            distinct=len({gradient.tobytes() for gradient in gradients}),
        )
