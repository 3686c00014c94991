"""What a dataset hands out: rows of arrays that stay as they are stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike


def divisor_of(x: np.ndarray) -> float:
    """What arrays of unknown origin are divided by: uint8 is taken for pixels, everything else for what it is."""
    return 255.0 if x.dtype == np.uint8 else 1.0


@dataclass(frozen=True, eq=False)
class Samples:
    """A part of a dataset: training, validation or test. Training and validation share `x` and `y`."""

    x: np.ndarray  # (N, d) everything stored: uint8, memory-mapped where possible, or float; not scaled
    y: np.ndarray  # (N,) int64 labels of everything stored
    rows: np.ndarray  # (n,) int64 rows of x and y that belong to this part
    divisor: float  # x / divisor is the network's input
    weights: np.ndarray | None = None  # (N,) how much each counts in losses and scores, > 0; None: all the same

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> np.ndarray:
        """The labels of this part, (n,) int64, a copy."""
        return np.take(self.y, self.rows)

    def inputs(self, start: int = 0, stop: int | None = None, dtype: DTypeLike = np.float32) -> np.ndarray:
        """The scaled inputs of samples [start, stop) of this part, (m, d), a copy."""
        inputs: np.ndarray = self.x[self.rows[start:stop]].astype(dtype, copy=False)
        inputs /= self.divisor
        return inputs
