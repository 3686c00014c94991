"""The user's own arrays."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from mlp.data.dataset import Dataset
from mlp.data.samples import divisor_of
from mlp.errors import UserError

MOST_CLASSES = 65_536


def read_npz(path: Path, *keys: str, expected: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read the arrays `keys` of an .npz file; those `expected` must be there and stay unread. Never unpickles."""
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz file, or is cut short. np.savez(path, x_train=...) writes one")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [key for key in (*keys, *expected) if key not in archive.files]:
                has = ", ".join(archive.files) or "nothing"
                raise UserError(f"{path} has no array {', '.join(missing)}. It has: {has}")
            return {key: archive[key] for key in keys}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


class NPZ(Dataset):
    """Arrays x_train, y_train, x_test, y_test of one .npz file (`np.savez`).

    x is (n, features), or pictures such as (n, height, width) or (n, height, width, channels). uint8 is taken
    for pixels and divided by 255; everything else goes to the network as it is. y is class numbers 0, 1, ... as
    (n,) or (n, 1), or one-hot (n, classes).
    """

    name = "npz"

    def __init__(self, validation_fraction: float = 0.1, path: str | None = None) -> None:
        super().__init__(validation_fraction)
        if not path:
            raise UserError(
                "dataset=npz needs a file: dataset.path=FILE.npz, with the arrays x_train, y_train, x_test, y_test"
            )
        self._path = Path(path).expanduser()
        arrays = read_npz(self._path, "x_train", "y_train", expected=("x_test", "y_test"))
        x, y = arrays["x_train"], arrays["y_train"]
        self._x, self._y, num_classes = self._checked("train", x, y)
        self.image_shape = x.shape[1:] if x.ndim > 2 else ()
        self.divisor = divisor_of(x)
        if num_classes < 2:
            raise self._error("y_train has only the class 0; there is nothing to tell apart")
        self.class_names = tuple(map(str, range(num_classes)))

    @property
    def num_features(self) -> int:
        return int(self._x.shape[1])

    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        if part == "train":
            return self._x, self._y
        arrays = read_npz(self._path, "x_test", "y_test")
        x, y, _ = self._checked("test", arrays["x_test"], arrays["y_test"])
        if x.shape[1] != self.num_features:
            raise self._error(f"x_test has {x.shape[1]} features, x_train {self.num_features}")
        if (x.dtype == np.uint8) != (self._x.dtype == np.uint8):
            raise self._error(
                f"x_train is {self._x.dtype} and x_test {x.dtype}: uint8 is divided by 255, the rest is not"
            )
        if unseen := np.setdiff1d(y, self._y).tolist():
            raise self._error(f"y_test has classes that y_train has not: {', '.join(map(str, unseen[:10]))}")
        return x, y

    def _checked(self, part: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """x as (n, features), y as (n,) int64, the number of classes; or an error that names the mistake."""
        if len(x.shape) < 2 or x.size == 0:
            raise self._error(f"x_{part} must be (samples, features ...), none of them 0. Got {x.shape}")
        if y.ndim == 0 or len(x) != len(y):
            raise self._error(f"x_{part} {x.shape} and y_{part} {y.shape} must have the same length")
        if x.dtype.kind not in "buif":
            raise self._error(f"x_{part} must hold numbers. Got {x.dtype}")
        if x.dtype not in (np.uint8, np.float32, np.float64):
            x = x.astype(np.float32)
        x = np.ascontiguousarray(x.reshape(len(x), -1))
        if x.dtype != np.uint8 and not (finite := np.isfinite(x).all(axis=1)).all():
            bad = np.flatnonzero(~finite)
            raise self._error(f"x_{part} has NaN or infinity in {len(bad)} rows, the first is row {bad[0]}")
        labels, num_classes = self._class_numbers(f"y_{part}", y)
        return x, labels, num_classes

    def _class_numbers(self, name: str, y: np.ndarray) -> tuple[np.ndarray, int]:
        if y.dtype.kind not in "buif":
            hint = "np.unique(y, return_inverse=True)[1] makes class numbers of names"
            raise self._error(f"{name} must hold integers. Got {y.dtype}; {hint}")
        if y.ndim == 2 and y.shape[1] > 1:
            if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
                raise self._error(f"{name} is {y.shape} but not one-hot: one 1 in each row, the rest 0")
            return y.argmax(axis=1).astype(np.int64), y.shape[1]
        if y.size != len(y):
            raise self._error(f"{name} must be (n,), (n, 1) or one-hot (n, classes). Got {y.shape}")
        y = y.reshape(-1)
        wrong = ~((y >= 0) & (y < MOST_CLASSES) & (y == np.floor(y)))
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            raise self._error(f"{name} must hold integers from 0 to {MOST_CLASSES - 1}. Got {y[row]} in row {row}")
        labels = y.astype(np.int64)
        return labels, int(labels.max()) + 1

    def _error(self, what: str) -> UserError:
        return UserError(f"{self._path}: {what}")
