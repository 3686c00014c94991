"""The user's own arrays."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlp.base.arrays import checked, parse_npy
from mlp.base.errors import UserError
from mlp.data.samples import divisor_of
from mlp.data.user_data import LARGEST, OwnData, Part, some_of
from mlp.nn.checks import RENUMBER

BROKEN = (zipfile.BadZipFile, zlib.error)
MOST_CLASSES = 65_536
MOST_GAPS = 10  # times as many classes as there are labels


def read_npz(path: Path, *keys: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the arrays `keys` of an .npz file, and those of `optional` that it has. Never unpickles."""
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz file, or is cut short. np.savez(path, x_train=...) writes one")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in checked(archive)}
            if not (missing := [key for key in keys if key not in members]):
                wanted = [*keys, *(key for key in optional if key in members)]
                return {key: parse_npy(archive.read(members[key])) for key in wanted}
    except (UserError, OSError, ValueError, EOFError, RuntimeError, MemoryError, *BROKEN) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    raise UserError(f"{path} has no array {', '.join(missing)}. It has: {', '.join(members) or 'nothing'}")


class NPZ(OwnData):
    """Arrays x_train, y_train, x_test, y_test of one .npz file (`np.savez`), or x and y with `test_fraction`.

    x is (n, features), or pictures: (n, height, width), (n, height, width, channels) or (n, channels, height, width).
    uint8 is taken for pixels and divided by 255; everything else goes to the network as it is. y is class numbers
    0, 1, ... as (n,) or (n, 1), one-hot (n, classes), or texts (n,), whose sorted values are the classes.
    `class_names`, an array of the file or a key, names them.
    """

    name = "npz"
    needs = "a file: dataset.path=FILE.npz, with the arrays x_train, y_train, x_test, y_test"

    def __init__(
        self,
        validation_fraction: float = 0.1,
        path: str | None = None,
        test_fraction: float | None = None,
        class_names: Sequence[str | int] | None = None,
    ) -> None:
        super().__init__(validation_fraction, path, test_fraction, class_names)
        has = read_npz(self._path, optional=("y", "y_test", "class_names"))
        if "y" in has or test_fraction is not None:
            self._check_test_part("y_test" in has, "x_test and y_test")
        if "class_names" in has:
            self._use_names(has["class_names"])
        of = [("x_train", "y_train"), ("x_test", "y_test")] if test_fraction is None else [("x", "y")]
        arrays = read_npz(self._path, *(key for pair in of for key in pair))
        self._of = of[0]
        x, y = (arrays[key] for key in self._of)
        parts = [self._checked(*pair, arrays) for pair in of]
        if test_fraction is None:
            self._check_alike(x, y, arrays["x_test"], arrays["y_test"])
        count = None
        if y.dtype.kind != "U":
            count = y.shape[1] if _is_one_hot(y) else int(parts[0][1].max()) + 1
            self._check_gaps(y, len(np.unique(parts[0][1])), count)
        self._keep(parts, self._of[1], "y_test", count)
        self.image_shape = x.shape[1:] if x.ndim > 2 else ()
        self.divisor = divisor_of(x)

    def _check_alike(self, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> None:
        """Raise UserError where the test part is stored in another way than the training part."""
        if _without_ones(x.shape[1:]) != _without_ones(x_test.shape[1:]):
            raise self._error(
                f"the samples of x_test are {x_test.shape[1:]}, those of x_train {x.shape[1:]}: store both alike"
            )
        if divisor_of(x) != divisor_of(x_test):
            raise self._error(
                f"x_train is {x.dtype} and x_test {x_test.dtype}: uint8 is divided by 255, the rest is not"
            )
        if (y.dtype.kind == "U") != (y_test.dtype.kind == "U"):
            raise self._error(f"y_train is {y.dtype} and y_test {y_test.dtype}: store both alike")
        if _is_one_hot(y) and _is_one_hot(y_test) and y.shape[1] != y_test.shape[1]:
            raise self._error(f"y_test is one-hot over {y_test.shape[1]} classes, y_train over {y.shape[1]}")

    def _use_names(self, names: np.ndarray) -> None:
        """Take the names of the classes that the file has. Raises UserError where a key says others."""
        if names.ndim != 1 or names.dtype.kind not in "Uiu":
            raise self._error(f"class_names must be texts (classes,). Got {names.dtype} {names.shape}")
        if self._names not in (None, found := [str(name) for name in names]):
            raise self._error(f"has class_names of its own, {', '.join(found[:10])}: leave out dataset.class_names")
        self._names = found

    def notes(self) -> list[str]:
        x, labels = self._parts["train"]
        notes = super().notes()
        if empty := np.setdiff1d(np.arange(self.num_classes), labels).tolist():
            which = "class" if len(empty) == 1 else "classes"
            some = some_of([self.class_names[i] for i in empty])
            notes.append(
                f"{self._of[1]} has no sample of {which} {some}, yet the network has an output for each of "
                f"{self.num_classes} classes; {RENUMBER} numbers the labels without gaps"
            )
        if x.dtype != np.uint8 and (x.min(), x.max()) == (0, 255):
            notes.append(
                f"{self._of[0]} goes from 0 to 255 and is taken as it is; pixels that are stored as uint8 are "
                "divided by 255"
            )
        return notes

    def _checked(self, of_x: str, of_y: str, arrays: Mapping[str, np.ndarray]) -> Part:
        """x as (n, features), y as (n,) int64 or texts; or an error that names the mistake."""
        x, y = arrays[of_x], arrays[of_y]
        if len(x.shape) < 2 or x.size == 0:
            raise self._error(f"{of_x} must be (samples, features ...), none of them 0. Got {x.shape}")
        if y.ndim == 0 or len(x) != len(y):
            raise self._error(f"{of_x} {x.shape} and {of_y} {y.shape} must have the same length")
        if x.dtype.kind not in "buif":
            raise self._error(f"{of_x} must hold numbers. Got {x.dtype}")
        if x.dtype.kind == "f":
            self._check_size(of_x, x.reshape(len(x), -1))
        if x.dtype not in (np.uint8, np.float32, np.float64):
            x = x.astype(np.float32)
        return np.ascontiguousarray(x.reshape(len(x), -1)), self._labels(of_y, y)

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

    def _check_gaps(self, y: np.ndarray, present: int, num_classes: int) -> None:
        """Raise UserError for numbers that are no class numbers, such as indices: the network grows with them."""
        if num_classes > MOST_GAPS * present and not _is_one_hot(y):
            raise self._error(
                f"{self._of[1]} has {present} different labels, the largest {num_classes - 1:,}: {num_classes:,} "
                f"classes, nearly all of them empty. {RENUMBER} numbers the labels 0, 1, ..."
            )

    def _labels(self, name: str, y: np.ndarray) -> np.ndarray:
        if y.dtype.kind not in "buifU":
            raise self._error(f"{name} must hold integers or texts. Got {y.dtype}")
        if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind != "U":
            if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
                raise self._error(f"{name} is {y.shape} but not one-hot: one 1 in each row, the rest 0")
            return np.asarray(y.argmax(axis=1), np.int64)
        if y.size != len(y):
            raise self._error(f"{name} must be (n,), (n, 1) or one-hot (n, classes). Got {y.shape}")
        y = y.reshape(-1)
        if y.dtype.kind == "U":
            return y
        y = y.astype(np.float64) if y.dtype == np.float16 else y  # which cannot hold the number of classes
        wrong = ~((y >= 0) & (y < MOST_CLASSES) & (y == np.floor(y)))
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            raise self._error(
                f"{name} must hold integers from 0 to {MOST_CLASSES - 1}. Got {y[row]} in row {row}; {RENUMBER} "
                f"numbers the labels 0, 1, ..."
            )
        return y.astype(np.int64)


def _is_one_hot(y: np.ndarray) -> bool:
    return y.size != len(y)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
