"""Datasets as arrays: pixels in [0, 1], rows of samples; labels are class numbers."""

import numpy as np

from mlp.config.build import build
from mlp.config.files import canonical, read_option
from mlp.data import Dataset, Samples

Part = tuple[np.ndarray, np.ndarray]


def load_data(dataset: str = "mnist", val_split: float = 0.1, seed: int = 0) -> tuple[Part, Part, Part]:
    """(X_train, y_train), (X_val, y_val), (X_test, y_test): X (n, d) float64, y (n,) int64.

    The validation part is drawn from the training set, the same share of each class.
    """
    node = read_option("dataset", canonical("dataset", dataset))
    source: Dataset = build({**node, "validation_fraction": val_split}, "dataset", Dataset)
    train, validation = source.split(np.random.default_rng(seed))
    return _arrays(train), _arrays(validation), _arrays(source.test())


def _arrays(samples: Samples) -> Part:
    return samples.inputs(dtype=np.float64), np.asarray(samples.labels)
