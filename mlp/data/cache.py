"""Decoded data, kept as .npy in the user's cache directory and shared by all processes as memory maps."""

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlp.base.files import atomic_write
from mlp.base.paths import cache_directory

log = logging.getLogger(__name__)


def imported(dataset: str) -> Path:
    """Where `mlp data import` puts the files of a dataset, for all programs of this user."""
    return cache_directory() / "datasets" / dataset


def cached(
    name: str, shape: tuple[int | None, ...], decode: Callable[[], np.ndarray], kinds: str = "u"
) -> np.ndarray:
    """The array called `name`: mapped from the cache, or else decoded and added to it.

    `None` in `shape` stands for any length, `kinds` are those of NumPy's types: u for uint8, f, U. The name must
    change with the content, as a checksum in it does; the file ends with the SHA-256 of the array, and only a file
    whose content fits it is believed.
    Two processes that decode at once write the same file, each in one step. A damaged file is written anew.
    Where the cache cannot be written, the array stays in memory.
    """
    try:
        path = cache_directory() / f"{name}.npy"
    except RuntimeError as error:  # the user has no home directory
        _warn(str(error))
        return decode()
    if (array := _open(path, shape, kinds)) is not None:
        return array
    decoded = decode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.save(file, decoded)
            file.write(hashlib.sha256(np.ascontiguousarray(decoded).data).digest())
    except OSError as error:
        _warn(f"{path.parent}: {error.strerror or error}")
    array = _open(path, shape, kinds)
    return decoded if array is None else array


def content_sha256(array: np.ndarray) -> str:
    """The SHA-256 of the array's bytes in C order. That of a cached array was computed when it was opened."""
    base = array if array.flags.c_contiguous else None
    while isinstance(base, np.ndarray):
        if isinstance(base, _Mapped) and (base.nbytes, base.dtype) == (array.nbytes, array.dtype):
            return base.sha256
        base = base.base
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


class _Mapped(np.memmap):
    """The whole content of a cache file, which knows its checksum."""

    sha256 = ""


def file_identity(path: Path) -> tuple[str, int, int, int, int]:
    """Changes when the file does: no program sets the time of the last change of its entry back."""
    stat = path.stat()
    return str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _open(path: Path, shape: tuple[int | None, ...], kinds: str) -> np.ndarray | None:
    """Map the array of a cache file; None when there is no such file, or not one as it should be."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        end = mapped.offset + mapped.nbytes
        whole = path.stat().st_size == end + hashlib.sha256().digest_size
    except Exception:  # a damaged header can fail anywhere in NumPy's parser
        return None
    fits = mapped.ndim == len(shape) and all(map(lambda want, have: want in (None, have), shape, mapped.shape))
    is_wanted = mapped.dtype.kind in kinds and (mapped.dtype.kind != "u" or mapped.dtype == np.uint8)
    if not (whole and fits and is_wanted and mapped.flags.c_contiguous):
        return None
    content = mapped.view(_Mapped)
    content.sha256 = _checked(file_identity(path), mapped.offset, end)
    # As a plain view: indexing the memmap class itself is slower, and this happens for every batch.
    return np.asarray(content) if content.sha256 else None


@functools.lru_cache(maxsize=16)  # a search opens the same files again and again
def _checked(identity: tuple[str, int, int, int, int], start: int, end: int) -> str:
    """The SHA-256 of bytes start ... end of a cache file; empty if it is not what the file says behind them."""
    content = np.memmap(identity[0], np.uint8, "r")
    found = hashlib.sha256(content[start:end].data)
    return found.hexdigest() if found.digest() == content[end:].tobytes() else ""


@functools.cache  # a dataset has several arrays
def _warn(reason: str) -> None:
    log.warning(
        "The data is decoded in memory, again in every process, because the cache cannot be used: %s. "
        "MLP_CACHE_DIR can name another directory.",
        reason,
    )
