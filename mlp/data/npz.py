"""The user's own arrays."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from mlp.data.dataset import Dataset
from mlp.data.samples import divisor_of
from mlp.errors import UserError
from mlp.nn.checks import RENUMBER

MOST_CLASSES = 65_536
MOST_GAPS = 10  # times as many classes as there are labels
MOST_OUTPUTS = 4096  # confusion matrices and one-hot rows are classes x classes
LARGEST = float(np.finfo(np.float32).max)


def read_npz(path: Path, *keys: str) -> dict[str, np.ndarray]:
    """Read the arrays `keys` of an .npz file. Never unpickles."""
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz file, or is cut short. np.savez(path, x_train=...) writes one")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [key for key in keys if key not in archive.files]:
                has = ", ".join(archive.files) or "nothing"
                raise UserError(f"{path} has no array {', '.join(missing)}. It has: {has}")
            return {key: archive[key] for key in keys}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


class NPZ(Dataset):
    """Arrays x_train, y_train, x_test, y_test of one .npz file (`np.savez`).

    x is (n, features), or pictures: (n, height, width), (n, height, width, channels) or (n, channels, height, width).
    uint8 is taken for pixels and divided by 255; everything else goes to the network as it is. y is class numbers
    0, 1, ... as (n,) or (n, 1), or one-hot (n, classes).

    All is read and checked at once, so that a mistake in the test part does not come to light after the training.
    """

    name = "npz"

    def __init__(self, validation_fraction: float = 0.1, path: str | None = None) -> None:
        super().__init__(validation_fraction)
        if not path:
            raise UserError(
                "dataset=npz needs a file: dataset.path=FILE.npz, with the arrays x_train, y_train, x_test, y_test"
            )
        self._path = Path(path).expanduser()
        arrays = read_npz(self._path, "x_train", "y_train", "x_test", "y_test")
        x, x_test = arrays["x_train"], arrays["x_test"]
        *train, num_classes = self._checked("train", x, arrays["y_train"])
        *test, num_test_classes = self._checked("test", x_test, arrays["y_test"])
        self._parts = {"train": (train[0], train[1]), "test": (test[0], test[1])}
        if _without_ones(x.shape[1:]) != _without_ones(x_test.shape[1:]):
            raise self._error(
                f"the samples of x_test are {x_test.shape[1:]}, those of x_train {x.shape[1:]}: store both alike"
            )
        if divisor_of(x) != divisor_of(x_test):
            raise self._error(
                f"x_train is {x.dtype} and x_test {x_test.dtype}: uint8 is divided by 255, the rest is not"
            )
        if num_classes < 2:
            raise self._error("y_train has only the class 0; there is nothing to tell apart")
        if unseen := np.setdiff1d(test[1], train[1]).tolist():
            raise self._error(f"y_test has classes that y_train lacks: {', '.join(map(str, unseen[:10]))}")
        self._check_classes(arrays["y_train"], train[1], num_classes)
        if _is_one_hot(arrays["y_train"]) and _is_one_hot(arrays["y_test"]) and num_test_classes != num_classes:
            raise self._error(f"y_test is one-hot over {num_test_classes} classes, y_train over {num_classes}")
        self.image_shape = x.shape[1:] if x.ndim > 2 else ()
        self.divisor = divisor_of(x)
        self.class_names = tuple(map(str, range(num_classes)))

    @property
    def num_features(self) -> int:
        return int(self._parts["train"][0].shape[1])

    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        return self._parts[part]

    def notes(self) -> list[str]:
        x, labels = self._parts["train"]
        notes = super().notes()
        if empty := np.setdiff1d(np.arange(self.num_classes), labels).tolist():
            which = "class" if len(empty) == 1 else "classes"
            some = ", ".join(map(str, empty[:10])) + (" ..." if len(empty) > 10 else "")
            notes.append(
                f"y_train has no sample of {which} {some}, yet the network has an output for each of "
                f"{self.num_classes} classes; {RENUMBER} numbers the labels without gaps"
            )
        if x.dtype != np.uint8 and (x.min(), x.max()) == (0, 255):
            notes.append(
                "x_train goes from 0 to 255 and is taken as it is; pixels that are stored as uint8 are divided by 255"
            )
        return notes

    def _checked(self, part: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """x as (n, features), y as (n,) int64, the number of classes; or an error that names the mistake."""
        if len(x.shape) < 2 or x.size == 0:
            raise self._error(f"x_{part} must be (samples, features ...), none of them 0. Got {x.shape}")
        if y.ndim == 0 or len(x) != len(y):
            raise self._error(f"x_{part} {x.shape} and y_{part} {y.shape} must have the same length")
        if x.dtype.kind not in "buif":
            raise self._error(f"x_{part} must hold numbers. Got {x.dtype}")
        if x.dtype.kind == "f":
            self._check_size(f"x_{part}", x.reshape(len(x), -1))
        if x.dtype not in (np.uint8, np.float32, np.float64):
            x = x.astype(np.float32)
        x = np.ascontiguousarray(x.reshape(len(x), -1))
        labels, num_classes = self._class_numbers(f"y_{part}", y)
        return x, labels, num_classes

    def _check_size(self, name: str, x: np.ndarray) -> None:
        """Raise UserError for numbers that are none, or that float32, in which networks compute, cannot hold."""
        checks = {"NaN or infinity": ~np.isfinite(x).all(axis=1)}
        if x.dtype.itemsize > 4:
            what = f"numbers beyond float32, whose largest is {LARGEST:.1e} (scale the features),"
            checks[what] = (np.abs(x) > LARGEST).any(axis=1)
        for what, wrong in checks.items():
            if wrong.any():
                bad = np.flatnonzero(wrong)
                rows = f"row {bad[0]}" if len(bad) == 1 else f"{len(bad)} rows, the first is row {bad[0]}"
                raise self._error(f"{name} has {what} in {rows}")

    def _check_classes(self, y: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
        """Raise UserError for numbers that are no class numbers, such as indices: the network grows with them."""
        present = len(np.unique(labels))
        if num_classes > MOST_GAPS * present and not _is_one_hot(y):
            raise self._error(
                f"y_train has {present} different labels, the largest {num_classes - 1:,}: {num_classes:,} classes, "
                f"nearly all of them empty. {RENUMBER} numbers the labels 0, 1, ..."
            )
        if num_classes > MOST_OUTPUTS:
            raise self._error(f"y_train has {num_classes:,} classes; at most {MOST_OUTPUTS:,} are possible")

    def _class_numbers(self, name: str, y: np.ndarray) -> tuple[np.ndarray, int]:
        if y.dtype.kind not in "buif":
            raise self._error(f"{name} must hold integers. Got {y.dtype}; {RENUMBER} makes class numbers of names")
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
            raise self._error(
                f"{name} must hold integers from 0 to {MOST_CLASSES - 1}. Got {y[row]} in row {row}; {RENUMBER} "
                f"numbers the labels 0, 1, ..."
            )
        labels = y.astype(np.int64)
        return labels, int(labels.max()) + 1

    def _error(self, what: str) -> UserError:
        return UserError(f"{self._path}: {what}")


def _is_one_hot(y: np.ndarray) -> bool:
    return y.size != len(y)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
