"""The IDX format of MNIST and its successors, and the datasets that come in it."""

import functools
import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.base.paths import CHECKOUT, command
from mlp.data.cache import cached, file_identity, imported
from mlp.data.npz import read_npz
from mlp.data.published import (
    Published,
    keras_datasets_folder,
    keras_is_installed,
    load_from_openml,
    load_with_keras,
)

#: The data that come with the repository; an installed package has none.
REPOSITORY_DATA = None if CHECKOUT is None else CHECKOUT / "data"

FILES: dict[str, tuple[str, tuple[int, ...]]] = {  # Keras' name of the array: its IDX file and shape
    "x_train": ("train-images-idx3-ubyte", (60_000, 28, 28)),
    "y_train": ("train-labels-idx1-ubyte", (60_000,)),
    "x_test": ("t10k-images-idx3-ubyte", (10_000, 28, 28)),
    "y_test": ("t10k-labels-idx1-ubyte", (10_000,)),
}


def _header(shape: tuple[int, ...]) -> bytes:
    """Two zero bytes, 8 for unsigned bytes, the number of dimensions, then each length, big-endian."""
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or .gz, that must hold an array of this shape."""
    header = _header(shape)
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(size + 1)  # one more: reads on to the checksum of the archive, and no further
    except (EOFError, zlib.error, OSError) as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    if not content.startswith(header):
        begin, expected = content[: len(header)].hex(" ", 4), header.hex(" ", 4)
        raise _damaged(path, f"is not the IDX file it should be: begins with '{begin}', not '{expected}'")
    if len(content) != size:
        raise _damaged(path, f"holds {'less' if len(content) < size else 'more'} than {size} bytes")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def content_md5(array: np.ndarray) -> str:
    """The MD5 of the uncompressed IDX file that holds this uint8 array."""
    md5 = hashlib.md5(_header(array.shape), usedforsecurity=False)
    md5.update(np.ascontiguousarray(array).data)
    return md5.hexdigest()


def _damaged(source: Path | str, what: str) -> UserError:
    restore = " (`git checkout -- data` if it is the repository's)" if REPOSITORY_DATA else ""
    return UserError(f"{source} {what}. Restore it{restore}, or name another folder with dataset.data_dir=FOLDER.")


class IDXDataset(Published):
    """MNIST or a set of the same format, each array known by its MD5 wherever it comes from."""

    image_shape = (28, 28)
    divisor = 255.0
    file_names = [file for file, _ in FILES.values()]  # noqa: RUF012
    suffixes = (".gz", "")
    md5: ClassVar[dict[str, str]]  # of the four uncompressed IDX files, by the keys of FILES
    openml: ClassVar[int]  # its number at openml.org, where the training set comes first
    keras_cache: ClassVar[str]  # what keras.datasets leaves in its folder: a folder of IDX files, or an .npz

    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        for key, (file, _) in FILES.items() if self._given else ():  # a fault must not come to light after all epochs
            _check(type(self), key, file_identity(self._given[file]))
        x, y = self._array(f"x_{part}"), self._array(f"y_{part}")
        return x.reshape(len(x), self.num_features), y.astype(np.int64)

    def _array(self, key: str) -> np.ndarray:
        file, shape = FILES[key]
        # What was given has the same MD5: the cache spares all processes but one the memory.
        return cached(f"{self.name}-{file}-{self.md5[key]}", shape, lambda: self.verified(key, *self._found(key)))

    @classmethod
    def verified(cls, key: str, source: Path | str, array: np.ndarray) -> np.ndarray:
        """The array, if it is the published one."""
        _, shape = FILES[key]
        if array.shape != shape or array.dtype != np.uint8:
            raise _damaged(source, f"has the wrong {key}: {array.dtype} {array.shape}, not uint8 {shape}")
        if (md5 := content_md5(array)) != cls.md5[key]:
            raise _damaged(source, f"is damaged or another dataset: the MD5 of {key} is {md5}, not {cls.md5[key]}")
        return array

    def _found(self, key: str) -> tuple[Path | str, np.ndarray]:
        """The first source that has the array, and the array as it is there: what was given and nothing else; or the
        repository's data, else what Keras has downloaded, else a download."""
        file, shape = FILES[key]
        if path := self.find(file):
            return path, read_idx(path, shape)
        keras = keras_datasets_folder() / self.keras_cache
        if keras.is_file():
            return keras, read_npz(keras, key)[key]
        missing = f"{file} of {self.name} is not in {', '.join(map(str, self.places()))}"
        otherwise = [
            *(["in a clone of the repository: git checkout -- data"] if REPOSITORY_DATA else []),
            "from files that you have (IDX, .gz or plain): dataset.data_dir=FOLDER, or for ever: "
            + command("data", "import", "FOLDER"),
        ]
        if keras_is_installed():
            return f"keras.datasets.{self.name}", load_with_keras(self.name, missing, otherwise)[key]
        x, y = load_from_openml(self.openml, missing, otherwise)
        rows = slice(None, 60_000) if key.endswith("train") else slice(60_000, None)
        array = x[rows].reshape(-1, 28, 28) if key.startswith("x") else y[rows]
        return f"https://www.openml.org/d/{self.openml}", array

    def places(self) -> list[Path]:
        """In the repository, among the user's files, in Keras' cache."""
        own = [] if REPOSITORY_DATA is None else [REPOSITORY_DATA / self.name, REPOSITORY_DATA]
        return [*own, imported(self.name), keras_datasets_folder() / self.keras_cache]


@functools.lru_cache(maxsize=16)  # a search opens the same files again and again
def _check(dataset: type[IDXDataset], key: str, identity: tuple[str, int, int, int, int]) -> None:
    """Raise UserError unless the file holds the published array."""
    path = Path(identity[0])
    dataset.verified(key, path, read_idx(path, FILES[key][1]))
