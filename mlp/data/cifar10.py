"""CIFAR-10."""

import functools
import hashlib
from pathlib import Path
from typing import Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.base.files import read_bytes
from mlp.data.cache import cached, file_identity, imported
from mlp.data.published import Published, keras_datasets_folder, load_with_keras

BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
FOLDER = "cifar-10-batches-py"


class CIFAR10(Published):
    """Small colour photographs of ten kinds of things, 32 x 32 x 3: 50,000 for training, 10,000 for the test.

    Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009.
    https://www.cs.toronto.edu/~kriz/cifar.html
    """

    name = "cifar10"
    class_names = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    image_shape = (32, 32, 3)
    divisor = 255.0

    file_names = [*BATCHES["train"], *BATCHES["test"]]  # noqa: RUF012
    below = FOLDER

    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        paths = {name: self.find(name) for name in BATCHES[part]}
        if found := [path for path in paths.values() if path is not None]:
            if lacking := [name for name, path in paths.items() if path is None]:
                raise UserError(
                    f"cifar10 is incomplete: {found[0].parent} has no {lacking[0]}. Unpack the archive again."
                )
            return _load_batches(part, found)
        arrays = load_with_keras(
            self.name,
            missing=f"{self.name} is not in {' nor in '.join(map(str, self.places()))}",
            otherwise=[
                "without network: unpack cifar-10-python.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html), then "
                "dataset.data_dir=FOLDER"
            ],
        )
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.shape[1] == 3:  # Keras is configured for channels first
            x = x.transpose(0, 2, 3, 1)
        return x.reshape(len(x), self.num_features), y.reshape(-1).astype(np.int64)

    def places(self) -> list[Path]:
        """Keras 3 unpacks the batches one folder deeper than Keras 2 did."""
        keras = keras_datasets_folder()
        places = [keras / f"{FOLDER}-target" / FOLDER, keras / FOLDER / FOLDER, keras / FOLDER]
        return [imported(self.name), *places]


def _load_batches(part: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    # Hashing the files themselves would take longer than the rest of a start.
    identity = [file_identity(path) for path in paths]
    key = hashlib.md5(repr(identity).encode(), usedforsecurity=False).hexdigest()
    batches = functools.cache(lambda: [read_batch(path) for path in paths])
    x = cached(f"cifar10-{part}-x-{key}", (None, 3072), lambda: np.concatenate([x for x, _ in batches()]))
    y = cached(f"cifar10-{part}-y-{key}", (None,), lambda: np.concatenate([y for _, y in batches()]))
    return x, y.astype(np.int64)


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of the original distribution, a pickled {"data": (n, 3072), "labels": [...]}, into uint8.

    Nothing that the file names is run.
    """
    from mlp.model_file.pickles import loads

    try:
        batch = loads(read_bytes(path))
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(10)).all():
            raise ValueError("its labels are not integers from 0 to 9")
        if data.dtype != np.uint8 or data.shape != (len(labels), 3072):
            raise ValueError(f"its pixels are {data.dtype} of shape {data.shape}, its labels {len(labels)}")
        planes = data.reshape(len(labels), 3, 32 * 32)  # all red values, then all green, then all blue
        pixels = planes.transpose(0, 2, 1).reshape(len(labels), 3072)
    except KeyError as error:
        raise UserError(f"{path} is not a batch of CIFAR-10: it has no {error}. Unpack the archive again.") from error
    except Exception as error:  # of a damaged file anything can be missing
        raise UserError(f"{path} is not a batch of CIFAR-10: {error}. Unpack the archive again.") from error
    return pixels, labels.astype(np.uint8)
