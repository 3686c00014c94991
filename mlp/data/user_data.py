"""The user's own data: what npz, csv and folder have in common."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.data.dataset import Dataset
from mlp.data.split import stratified_split

MOST_OUTPUTS = 4096  # confusion matrices and one-hot rows are classes x classes
LARGEST = float(np.finfo(np.float32).max)
Part = tuple[np.ndarray, np.ndarray]


class OwnData(Dataset):
    """Data of the user's, read and checked when they are opened, and kept in memory or mapped.

    A subclass reads both parts in its constructor and hands them to `_keep`. The test part is one of its own, or
    `test_fraction` of all samples of each class, drawn with a seed of its own: the same samples for every seed of a
    run.
    """

    needs: ClassVar[str]  # what a user must say, for the message
    _parts: dict[str, Part]
    named: bool  # whether class_names are more than the numbers of the classes

    def __init__(
        self,
        validation_fraction: float,
        path: str | None,
        test_fraction: float | None,
        class_names: Sequence[str | int] | None,
    ) -> None:
        super().__init__(validation_fraction)
        if not path:
            raise UserError(f"dataset={self.name} needs {self.needs}")
        if test_fraction is not None and not 0 < test_fraction < 1:
            raise ValueError(f"test_fraction must be in (0, 1). Got {test_fraction}")
        self._path = Path(path).expanduser()
        self._test_fraction = test_fraction
        self._names = None if class_names is None else [str(name) for name in class_names]

    @property
    def num_features(self) -> int:
        return int(self._parts["train"][0].shape[1])

    def load(self, part: Literal["train", "test"]) -> Part:
        return self._parts[part]

    def notes(self) -> list[str]:
        same = self.sha256 and self.sha256["train"] == self.sha256["test"]
        return super().notes() + ["the test part is the training part"] * bool(same)

    def checksum(self, x: np.ndarray, y: np.ndarray) -> str:
        """That of the content, and of the names of the classes where they are more than numbers."""
        content = super().checksum(x, y)
        if self.class_names == _numbers(self.num_classes):
            return content
        return hashlib.sha256(repr((content, self.class_names)).encode()).hexdigest()

    def use_classes(self, names: Sequence[str]) -> None:
        """Number the classes as a model does, whose classes have these names. Raises UserError for unknown ones."""
        own, names = self.class_names, tuple(names)
        numbers = not self.named and names != _numbers(len(names))  # of classes, whose names the model knows
        if numbers and len(own) == len(names) and not set(own) & set(names):
            self.class_names = names
            return
        if numbers or not set(own) <= set(names):
            renames = len(own) == len(names) and all(map(is_integer, own))
            raise self._error(
                f"the model knows the classes {some_of(names)}; those of the data are {some_of(own)}"
                + (f". If they are the same in this order: dataset.class_names=[{','.join(names)}]" * renames)
            )
        number = np.array([names.index(name) for name in own])
        self._parts = {part: (x, number[y]) for part, (x, y) in self._parts.items()}
        self.class_names = names

    def _check_test_part(self, found: object, what: str) -> None:
        """Raise UserError unless there is one test part: `what` is found, or a share of all is to be held out."""
        if found and self._test_fraction is not None:
            raise self._error(f"has a test part, {what}: leave out dataset.test_fraction={self._test_fraction}")
        if not found and self._test_fraction is None:
            raise self._error(
                f"a test part is needed: give {what}, or hold out a share of the samples, the "
                f"same for every seed, with dataset.test_fraction=0.2"
            )

    def _keep(self, parts: Sequence[Part], of: str, of_test: str, count: int | None = None) -> None:
        """Keep x (n, d), y (n,) of the training and the test part; of one alone, a share becomes the test part.

        y are texts, whose sorted values are the classes, or numbers below `count`. `of` and `of_test` are what the
        labels are called. Raises UserError unless the training part has two classes or more, and all of the test.
        """
        if len(found := np.unique(parts[0][1])) < 2:
            raise self._error(f"{of} has only the class {some_of(in_order(found))}; two or more are needed")
        if unseen := np.setdiff1d(parts[-1][1], found).tolist():
            raise self._error(f"{of_test} has classes that {of} lacks: {some_of(in_order(unseen))}")
        labels = in_order(found) if count is None else list(_numbers(count))
        if len(labels) > MOST_OUTPUTS:
            raise self._error(f"{of} has {len(labels):,} classes; at most {MOST_OUTPUTS:,} are possible")
        names, number = self._named_classes(labels)
        if count is None:
            parts = [(x, _numbered(texts, labels)) for x, texts in parts]
        if len(parts) == 1:
            (x, y), own_seed = parts[0], 0  # the test part is the same for all seeds of a search
            assert self._test_fraction is not None
            divided = stratified_split(y, self._test_fraction, np.random.default_rng(own_seed))
            parts = [(x[rows], y[rows]) for rows in divided]
        if not len(parts[1][1]):
            raise self._error("the test part has no samples")
        self._parts = {name: (x, number[y]) for name, (x, y) in zip(("train", "test"), parts, strict=True)}
        self.named = count is None or names != labels
        self.class_names = tuple(names)

    def _named_classes(self, labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The names of the classes, and which of them each of the labels is."""
        names = list(labels) if self._names is None else self._names
        if odd := [name for name in names if not name.isprintable() or not name.strip()]:
            raise self._error(f"{odd[0]!r} is no name of a class: it is empty, or has unprintable characters")
        if set(names) == set(labels):
            if len(names) != len(labels):
                raise self._error("class_names has a name twice")
            return names, np.array([names.index(label) for label in labels])
        if len(names) != len(labels) or len(set(names)) != len(names):
            raise self._error(
                f"class_names must be {len(labels)} different names, for the classes {some_of(labels)}. "
                f"Got {len(names)}: {some_of(names)}"
            )
        if not all(map(is_integer, labels)) or set(names) & set(labels):
            raise self._error(
                f"class_names must be the labels in the desired order or, for numbers, other names in the "
                f"order of the numbers. Got {some_of(names)} for {some_of(labels)}"
            )
        return names, np.arange(len(names))

    def _error(self, what: str) -> UserError:
        return UserError(f"{self._path}: {what}")


def is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,300}(\.0*)?", text, re.ASCII) is not None


def as_integer(text: str) -> int:
    return int(text.partition(".")[0])


def in_order(labels: Iterable[object]) -> list[str]:
    """Labels sorted: as numbers where all are integers, else as texts."""
    texts = list(map(str, labels))
    return sorted(texts, key=as_integer) if all(map(is_integer, texts)) else sorted(texts)


def _numbered(texts: np.ndarray | Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """For each of the texts (n,) its place among the labels, (n,) int64."""
    unique, place = np.unique(np.asarray(texts), return_inverse=True)
    places = {label: i for i, label in enumerate(labels)}
    number: np.ndarray = np.array([places[str(text)] for text in unique], np.int64)[place.reshape(-1)]
    return number


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def some_of(names: Sequence[str]) -> str:
    """The first ten names for a message, without what a terminal would obey."""
    shown = [name if name.isprintable() else repr(name) for name in names[:10]]
    return ", ".join(shown) + (" ..." if len(names) > 10 else "")
