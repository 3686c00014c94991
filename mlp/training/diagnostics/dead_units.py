"""Which hidden units no training sample moves, and where the outputs of each layer lie."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from mlp.nn import Activation, Sigmoid, Tanh
from mlp.nn.types import Array
from mlp.nn.types import Labels as Counts
from mlp.training.diagnostics.recorder import Recorder
from mlp.training.evaluate import ROWS_AT_ONCE
from mlp.training.run import Run

SATURATED = 0.99  # of the way from the middle of the range to its ends

#: Edges of 43 bins. Bounded activations: equal bins. Others: three to a decade on either side of the bin around 0.
LINEAR = np.linspace(-1, 1, 44)
GEOMETRIC = np.concatenate([-np.geomspace(1e4, 1e-3, 22), np.geomspace(1e-3, 1e4, 22)])


class DeadUnits(Recorder):
    """Passes the whole training set through the network before the first step and after each epoch.

    The weights are those of the training (not their average), the pass is that of the evaluation: no dropout, and
    batch normalisation with its running statistics. It changes nothing that the training reads.

    dead_units.npz: step (rows,), samples (rows,), and
        nonzero, saturated, flat (rows, layers, units): for how many samples the output of a hidden unit is not
            exactly 0; is in the outer 1 % of its range (|h| > 0.99 for tanh); is at the end of its range, where the
            derivative is exactly 0. -1 beyond the width of a layer, and in the latter two for activations without
            bounds.
        counts (rows, layers, bins), edges (rows, layers, bins + 1): a histogram of the outputs that are not exactly
            0. Outputs beyond the edges are in the outermost bins.
    """

    file = "dead_units.npz"

    def on_run_start(self, run: Run) -> None:
        super().on_run_start(run)
        if not run.step:
            self._measure(run)

    def on_epoch_end(self, run: Run) -> None:
        self._measure(run)
        super().on_epoch_end(run)

    def _measure(self, run: Run) -> None:
        network, samples = run.network, run.train
        if samples is None or not network.hidden_sizes:
            return
        layers = {f: OutputCounts(f, d) for f, d in zip(network.activations, network.hidden_sizes, strict=True)}
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows it
            for start in range(0, len(samples), ROWS_AT_ONCE):
                X = samples.inputs(start, start + ROWS_AT_ONCE, network.dtype)
                for module in network.modules:
                    X = module.forward(X)
                    if isinstance(module, Activation):
                        layers[module].add(X)
        counts = layers.values()
        self.add(
            run,
            samples=len(samples),
            nonzero=_padded([c.nonzero for c in counts]),
            saturated=_padded([c.saturated for c in counts]),
            flat=_padded([c.flat for c in counts]),
            counts=np.stack([c.counts for c in counts]),
            edges=np.stack([c.edges for c in counts]),
        )


class OutputCounts:
    """What is counted of one hidden layer: three numbers for each of its d units, and a histogram of all outputs."""

    def __init__(self, activation: Activation, d: int) -> None:
        self.bounds = (-1, 1) if isinstance(activation, Tanh) else (0, 1) if isinstance(activation, Sigmoid) else None
        self.edges = GEOMETRIC if self.bounds is None else LINEAR
        self.nonzero = np.zeros(d, np.int64)
        self.saturated, self.flat = np.full((2, d), -1 if self.bounds is None else 0, np.int64)
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, A: Array) -> None:
        """Add the outputs A (n, d) of n samples."""
        moved = np.count_nonzero(A, axis=0)
        self.nonzero += moved
        if self.bounds is not None:
            low, high = self.bounds
            middle, reach = (low + high) / 2, (high - low) / 2
            self.saturated += np.count_nonzero(np.abs(A - middle) > SATURATED * reach, axis=0)
            self.flat += np.count_nonzero(np.isin(A, self.bounds), axis=0)
        # To sort the outputs and find the edges among them is ten times faster than to find a bin for each output.
        inner = self.edges[1:-1].astype(A.dtype)  # what lies beyond the outermost edges falls into their bins
        below = np.searchsorted(np.sort(A, axis=None), inner)
        self.counts += np.diff(below, prepend=0, append=A.size)
        self.counts[len(self.counts) // 2] -= A.size - moved.sum()


def _padded(rows: list[Counts]) -> Counts:
    """The rows (d,) of several lengths as one array, filled up with -1."""
    return np.array(list(zip_longest(*rows, fillvalue=-1))).T
