"""CIFAR-10."""

import functools
import hashlib
import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.data.cache import cached, file_identity, imported
from mlp.data.dataset import Dataset, given_file
from mlp.data.keras_data import keras_datasets_folder, load_with_keras

BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


class CIFAR10(Dataset):
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

    def __init__(self, validation_fraction: float = 0.1, data_dir: str | None = None) -> None:
        super().__init__(validation_fraction)
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser()
        if self._data_dir is not None:
            for name in (*BATCHES["train"], *BATCHES["test"]):
                paths = (folder / name for folder in self._folders())
                given_file(self._data_dir, next((path for path in paths if path.is_file()), None), name)

    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        names = BATCHES[part]
        for folder in self._folders():
            if (folder / names[0]).is_file():
                return _load_batches(part, [folder / name for name in names])
        arrays = load_with_keras(
            self.name,
            missing=f"{self.name} is not in {' nor in '.join(map(str, self._folders()))}",
            otherwise=[
                "without network: unpack cifar-10-python.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html), then "
                "dataset.data_dir=FOLDER"
            ],
        )
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.shape[1] == 3:  # Keras is configured for channels first
            x = x.transpose(0, 2, 3, 1)
        return x.reshape(len(x), self.num_features), y.reshape(-1).astype(np.int64)

    def _folders(self) -> list[Path]:
        """Where the batches may lie. Keras 3 unpacks them one folder deeper than Keras 2 did."""
        batches = "cifar-10-batches-py"
        if self._data_dir is not None:
            return [self._data_dir / batches, self._data_dir]
        keras = keras_datasets_folder()
        places = [keras / f"{batches}-target" / batches, keras / batches / batches, keras / batches]
        return [imported(self.name), *places]

    def files(self) -> list[Path]:
        names = [*BATCHES["train"], *BATCHES["test"]]
        found = next((folder for folder in self._folders() if (folder / names[0]).is_file()), None)
        return [] if found is None else [found / name for name in names]


def _load_batches(part: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    try:
        # Hashing the files themselves would take longer than the rest of a start.
        identity = [file_identity(path) for path in paths]
    except OSError as error:
        raise UserError(f"cifar10 is incomplete: {error}. Unpack the archive again.") from error
    key = hashlib.md5(repr(identity).encode(), usedforsecurity=False).hexdigest()
    batches = functools.cache(lambda: [read_batch(path) for path in paths])
    x = cached(f"cifar10-{part}-x-{key}", (None, 3072), lambda: np.concatenate([x for x, _ in batches()]))
    y = cached(f"cifar10-{part}-y-{key}", (None,), lambda: np.concatenate([y for _, y in batches()]))
    return x, y.astype(np.int64)


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of the original distribution, a pickled {b"data": (n, 3072), b"labels": [...]}, into uint8."""
    try:
        with path.open("rb") as file:
            batch = _BatchUnpickler(file, encoding="bytes").load()
        data, labels = batch[b"data"].array(), np.array(batch[b"labels"], dtype=np.uint8)
        planes = data.reshape(len(labels), 3, 32 * 32)  # all red values, then all green, then all blue
        pixels = planes.transpose(0, 2, 1).reshape(len(labels), 3072)
        if labels.max(initial=0) > 9:
            raise ValueError(f"has the label {labels.max()}")
    except Exception as error:  # a damaged pickle can fail anywhere
        raise UserError(f"{path} is not a batch of CIFAR-10: {error}. Unpack the archive again.") from error
    return pixels, labels


class _BatchUnpickler(pickle.Unpickler):
    """Runs nothing that a file names: inert records stand in for NumPy's constructors."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return lambda *_: _PickledArray()
            case "numpy", "ndarray" | "dtype":
                return _PickledType
            case "_codecs", "encode":  # how Python 3 writes bytes for Python 2
                return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")


class _PickledType:
    """Stands for the class ndarray or a dtype. All that is kept is the type code, such as b"u1"."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


class _PickledArray:
    """Stands for an ndarray: keeps the state that NumPy would have restored."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran_order, self.content = state

    def array(self) -> np.ndarray:
        if self.dtype.code not in (b"u1", "u1") or self.fortran_order:
            raise ValueError("its data is not an array of bytes in C order")
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)
