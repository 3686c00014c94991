"""Reading .npy and .npz files without trusting them: numbers and texts, never a pickle.

Sizes that a file claims are compared with the bytes it has before anything is allocated.
"""

import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from mlp.base.errors import UserError, damaged, shortened
from mlp.base.files import MAX_BYTES, read_bytes

MAX_DIMENSIONS = 32
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the two that are unpacked in bounded pieces
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

AnyArray = np.ndarray[Any, Any]


def read_npz(path: str | Path, most: int = MAX_BYTES) -> dict[str, AnyArray]:
    """The arrays of an .npz file, of `most` bytes when unpacked. Raises UserError."""
    try:
        return {name: parse_npy(content) for name, content in members(read_bytes(path, most), most)}
    except Exception as error:  # a damaged header or archive raises anything
        reason = error if isinstance(error, UserError) else damaged(error)
        raise UserError(f"{path} cannot be read: {reason}") from error


def members(data: bytes, most: int = MAX_BYTES) -> Iterator[tuple[str, bytes]]:
    """Names, without .npy, and contents of what an .npz file holds. Raises UserError."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise UserError("not an .npz file, or a truncated one")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in checked(archive, most):
            with archive.open(member) as file:  # no more than it says that it has
                yield member.filename.removesuffix(".npy"), file.read(member.file_size)


def checked(archive: zipfile.ZipFile, most: int | None = None) -> list[zipfile.ZipInfo]:
    """The members of an archive. Raises UserError where they have more than `most` bytes when unpacked, cannot be
    unpacked in bounded pieces, or have the same name."""
    entries = archive.infolist()
    if most is not None and (size := sum(member.file_size for member in entries)) > most:
        raise UserError(f"{size:,} bytes when unpacked are too many; at most {most:,} are read")
    if other := [member.filename for member in entries if member.compress_type not in PACKED]:
        raise UserError(f"{other[0][:80]!r} inside is packed in a way that np.savez never uses")
    if len({member.filename.removesuffix(".npy") for member in entries}) < len(entries):
        raise UserError("two arrays inside have the same name")
    return entries


def parse_npy(data: bytes) -> AnyArray:
    """The array of an .npy file: numbers or texts. Raises UserError."""
    shape, fortran, dtype, start = header(data)
    if dtype.hasobject or dtype.fields:
        raise UserError(f"an array of type {shortened(str(dtype))} inside; expected plain numbers")
    check_size(shape, dtype, len(data) - start)
    return np.ndarray(shape, dtype, buffer=data, offset=start, order="F" if fortran else "C")


def header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether it is in Fortran's order, type, and where the content of an .npy file begins.

    Raises UserError.
    """
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version in _HEADERS:
            with warnings.catch_warnings(action="ignore"):  # of Python's parser
                return *_HEADERS[version](file), file.tell()
    except Exception as error:  # its texts tell of syntax trees, and of arguments that we do not have
        raise UserError("damaged or incomplete (the header of an array cannot be read)") from error
    raise UserError(f"npy format {version[0]}.{version[1]} is not supported; expected 1.0 or 2.0")


def check_shape(shape: tuple[Any, ...]) -> int:
    """The number of entries of an array of this shape. Raises UserError for what is no shape."""
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise UserError(f"an array of shape {as_text(shape)} cannot be")
    return math.prod(shape)


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    """Raises UserError where an array needs more bytes than are there."""
    needed = check_shape(shape) * max(1, dtype.itemsize)  # texts of no characters need time
    if needed > available:
        raise UserError(
            f"an array of shape {as_text(shape)} and type {dtype} needs {needed:,} bytes, {available:,} are there; "
            "the file is cut off or its header is wrong"
        )


def as_text(shape: tuple[Any, ...]) -> str:
    """A shape of a file in a message, whatever is in it."""
    entries = [str(n) if type(n) is int and n.bit_length() < 64 else type(n).__name__ for n in shape[:8]]
    return f"({', '.join(entries)}{',' if len(shape) == 1 else ''}{', ...' if len(shape) > 8 else ''})"
