"""Mini-batches, gathered from the stored arrays, augmented and scaled into buffers that are allocated once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mlp.data.augmentation import Augmentation
from mlp.data.samples import Samples
from mlp.nn.types import Array, Labels

Batch = tuple[Array, Array, Labels, Array | None]


class Batches:
    """Shuffled mini-batches of `samples`; the last one of an epoch may be shorter.

    The order of an epoch comes from `rng`, and what an `augmentation` draws from `augment_rng`: their states are all
    that a checkpoint needs to repeat an epoch. With augmentation a thread prepares the next batch while the current
    one is in use; it draws in the same order as without a thread, so that the numbers are the same.

    Args:
        image_shape: of one sample, for the augmentation.
    """

    def __init__(
        self,
        samples: Samples,
        num_classes: int,
        batch_size: int,
        rng: np.random.Generator,
        dtype: np.dtype[np.floating],
        augmentation: Augmentation | None = None,
        augment_rng: np.random.Generator | None = None,
        image_shape: tuple[int, ...] = (),
    ) -> None:
        self.samples, self.rng = samples, rng
        self.batch_size = min(batch_size, len(samples))
        self.augmentation = augmentation if augmentation is not None and augmentation.active else None
        self._augment_rng = augment_rng or np.random.default_rng()
        self._image_shape = image_shape
        self._buffers = [self._allocate(num_classes, dtype) for _ in range(2 if self.augmentation else 1)]
        self._one_hot = np.eye(num_classes, dtype=dtype)
        self._divisor = dtype.type(samples.divisor)
        self._weights = None if samples.weights is None else samples.weights.astype(dtype)

    def _allocate(self, num_classes: int, dtype: np.dtype[np.floating]) -> tuple[Array, Array, Array]:
        shape = self.batch_size, self.samples.x.shape[1]
        return np.empty(shape, self.samples.x.dtype), np.empty(shape, dtype), np.empty((shape[0], num_classes), dtype)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.samples) // self.batch_size)

    def epoch(self) -> Iterator[Batch]:
        """Yield inputs X (b, d), targets T (b, c), labels (b,) and weights (b,) of the samples, None where they have
        none; X and T are overwritten by the next.

        T is one-hot, unless mixup changes it.
        """
        order = self.rng.permutation(self.samples.rows)
        parts = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        if self.augmentation is None:
            for rows in parts:
                yield self._prepare(rows, 0)
            return
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(self._prepare, parts[0], 0)
            for i in range(len(parts)):
                batch = following.result()
                if i + 1 < len(parts):
                    following = thread.submit(self._prepare, parts[i + 1], (i + 1) % 2)
                yield batch

    def _prepare(self, rows: Labels, place: int) -> Batch:
        """Gather, augment and scale the samples `rows` in the buffers number `place`."""
        n, labels = len(rows), self.samples.y[rows]
        raw, X, T = (buffer[:n] for buffer in self._buffers[place])
        # mode="clip": with the default, `take` buffers `out` and is slower. The rows are valid by construction.
        np.take(self.samples.x, rows, axis=0, out=raw, mode="clip")
        np.take(self._one_hot, labels, axis=0, out=T, mode="clip")
        if self.augmentation is None:
            np.divide(raw, self._divisor, out=X)
        else:
            X[...] = raw
            self.augmentation.apply(X, T, self._image_shape, self._augment_rng, self.samples.divisor)
            X /= self._divisor
        return X, T, labels, None if self._weights is None else self._weights[rows]
