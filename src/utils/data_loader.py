"""Datasets as arrays: pixels in [0, 1], rows of samples; labels are class numbers."""

import numpy as np

from mlp.config.build import build
from mlp.config.files import canonical, read_option
from mlp.data import Dataset, Samples

Part = tuple[np.ndarray, np.ndarray]


def load_data(
    dataset: str | None = None, val_split: float | None = None, seed: int | None = None
) -> tuple[Part, Part, Part]:
    """(X_train, y_train), (X_val, y_val), (X_test, y_test): X (n, d) float64, y (n,) int64.

    The validation part is drawn from the training set, the same share of each class. What is None, as arguments are
    that a command line does not name, is MNIST, 0.1 and 0.
    """
    node = read_option("dataset", canonical("dataset", "mnist" if dataset is None else dataset))
    share = 0.1 if val_split is None else val_split
    source: Dataset = build({**node, "validation_fraction": share}, "dataset", Dataset)
    train, validation = source.split(np.random.default_rng(0 if seed is None else seed))
    return _arrays(train), _arrays(validation), _arrays(source.test())


def _arrays(samples: Samples) -> Part:
    return samples.inputs(dtype=np.float64), np.asarray(samples.labels)
