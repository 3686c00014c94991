"""Published datasets: in the files that a user names, in the usual places, in Keras' cache, else downloaded."""

import functools
import logging
import os
import socket
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import ClassVar

import numpy as np

from mlp.base.errors import UserError
from mlp.base.paths import pip_install
from mlp.data.dataset import Dataset

log = logging.getLogger(__name__)

_downloads: ContextVar[bool] = ContextVar("downloads", default=True)


class Published(Dataset):
    """A dataset in files of known names. `data_dir`, where it is given, must hold all of them, and nothing takes the
    place of what it lacks."""

    file_names: ClassVar[Sequence[str]]
    suffixes: ClassVar[Sequence[str]] = ("",)  # that a name may have
    below: ClassVar[str] = ""  # the folder in `data_dir` that may hold them; by default that of the dataset's name

    def __init__(self, validation_fraction: float = 0.1, data_dir: str | None = None) -> None:
        super().__init__(validation_fraction)
        self._given: dict[str, Path] = {}
        if data_dir is None:
            return
        try:
            self._given = self.files_in(Path(data_dir).expanduser())
        except UserError as error:
            raise UserError(
                f"dataset.data_dir={data_dir} {error}. Without dataset.data_dir the usual places are searched"
            ) from None

    @classmethod
    def files_in(cls, folder: Path) -> dict[str, Path]:
        """The files of this dataset by their names, all of which the folder must hold. Raises UserError, without the
        folder."""
        found = {name: cls._first(name, [folder / (cls.below or cls.name), folder]) for name in cls.file_names}
        for name, path in found.items():
            if path is None:
                exists = "is not a folder" if folder.exists() else "does not exist"
                packed = f"[{cls.suffixes[0]}]" if cls.suffixes[0] else ""
                raise UserError(f"does not hold {name}{packed}" if folder.is_dir() else exists)
        return {name: path for name, path in found.items() if path is not None}

    @abstractmethod
    def places(self) -> list[Path]:
        """The folders where the files may lie if none is given."""

    def find(self, name: str) -> Path | None:
        """The file of this name in what was given, else in the first of the usual places that has it."""
        return self._given[name] if self._given else self._first(name, self.places())

    def files(self) -> list[Path]:
        return [path for path in map(self.find, self.file_names) if path is not None]

    @classmethod
    def _first(cls, name: str, folders: Sequence[Path]) -> Path | None:
        paths = (folder / f"{name}{suffix}" for folder in folders for suffix in cls.suffixes)
        return next((path for path in paths if path.is_file()), None)


@contextmanager
def downloads(are_wanted: bool) -> Iterator[None]:
    """Whether data that are not here may be downloaded within: not where a file alone names them."""
    token = _downloads.set(are_wanted and _downloads.get())
    try:
        yield
    finally:
        _downloads.reset(token)


def _check_downloads(missing: str) -> None:
    if not _downloads.get():
        raise UserError(
            f"{missing}, and what only a file names is not downloaded. Name the dataset (-d NAME), or train on "
            "it once"
        )


def keras_datasets_folder() -> Path:
    """Where keras.datasets keeps its downloads: $KERAS_HOME/datasets, else ~/.keras/datasets."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")) / "datasets"


def keras_is_installed() -> bool:
    # Of its backends the one without automatic differentiation.
    os.environ.setdefault("KERAS_BACKEND", "openvino")
    try:
        import keras  # noqa: F401
    except ImportError:
        return False
    return True


def load_with_keras(name: str, missing: str, otherwise: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test, y_test of `keras.datasets.<name>`, downloaded if need be.

    The last source: an error says what was `missing` before, and how to get it `otherwise`.
    """
    _check_downloads(missing)
    try:
        if not keras_is_installed():
            raise ImportError("Keras is not installed")
        import keras

        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        way = f"by download through keras.datasets: {pip_install('keras')}"
        raise _unavailable(missing, f"keras.datasets.{name}", str(error), [way, *otherwise]) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def load_from_openml(number: int, missing: str, otherwise: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, d) and labels (n,) of a dataset of openml.org, uint8, in the order that it has there.

    The last source, as `load_with_keras` is.
    """
    _check_downloads(missing)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or 30)  # a network that swallows what it is sent must not stop the program
    try:
        return fetch(number)
    except Exception as error:  # of a network, of a file that is none: of any kind
        reason = str(error).rstrip(".")
        raise _unavailable(missing, f"https://www.openml.org/d/{number}", reason, otherwise) from error
    finally:
        socket.setdefaulttimeout(before)


@functools.lru_cache(maxsize=1)  # for the pixels and the labels of both parts: it takes 10 s
def fetch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels, from the network only the first time: scikit-learn keeps them in ~/scikit_learn_data."""
    from sklearn.datasets import fetch_openml

    log.info("Loading https://www.openml.org/d/%d; it is kept for all later runs.", number)
    with warnings.catch_warnings():  # that it tries again: what it says in the end is in the error
        warnings.simplefilter("ignore")
        found = fetch_openml(data_id=number, as_frame=False, parser="liac-arff", n_retries=1)
    return found.data.astype(np.uint8), found.target.astype(np.uint8)


def _unavailable(missing: str, source: str, reason: str, ways: Sequence[str]) -> UserError:
    listed = "".join(f"\n  - {way}" for way in ways)
    return UserError(f"{missing}; and {source} cannot be loaded: {reason}. Ways to get the data:{listed}")
