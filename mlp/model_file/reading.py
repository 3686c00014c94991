"""The bytes of a model file -> arrays, dictionaries, lists, strings and numbers, and nothing else.

Sizes that a file claims are compared with the bytes it has before anything is allocated.
"""

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from mlp.model_file.pickles import ModelFileError, check_size, loads

MAX_BYTES = 2**28  # 256 MiB; a network of this software is a few MB
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the two that are unpacked in bounded pieces
_PICKLE = b"\x80"  # the first byte of a pickle of protocol 2 or later
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(path: str | Path) -> Any:
    """The content of a .npy file (arrays or pickled containers) or, as a dictionary, of a plain .npz file.

    The kind of file is told from its first bytes, not from its name. Raises ModelFileError, without the path.
    """
    data = read_bytes(path)
    if foreign := _foreign_format(data):
        raise ModelFileError(f"a file of {foreign}; save the arrays with np.save or np.savez instead")
    try:
        if data.startswith(npy.MAGIC_PREFIX):
            return _npy(data)
        if zipfile.is_zipfile(io.BytesIO(data)):
            return _npz(data)
        if data.startswith(_PICKLE):
            return loads(data)
    except ModelFileError:
        raise
    except Exception as error:  # a damaged pickle, header or archive raises anything
        raise ModelFileError(f"damaged or incomplete ({error or type(error).__name__})") from error
    kind = "a text file" if _is_text(data) else "a file of an unknown kind"
    raise ModelFileError(f"{kind}; expected .npy or .npz as written by np.save or np.savez")


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a regular file that is neither empty nor larger than MAX_BYTES."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelFileError("a directory; expected a file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("a device or a pipe; expected a file")
        if status.st_size > MAX_BYTES:
            raise ModelFileError(f"{status.st_size:,} bytes are too many; at most {MAX_BYTES:,} are read")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise ModelFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise ModelFileError("an empty file")
    return data


def _foreign_format(data: bytes) -> str:
    """The library whose file this is; empty for NumPy's, and for what is not known."""
    if data.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(data)):
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        return "torch.save" if any(name.endswith("/data.pkl") for name in names) else ""
    if data.startswith(_PICKLE) and b"joblib.numpy_pickle" in data[:4096]:
        return "joblib.dump"
    if data.startswith(_PICKLE) and b"torch" in data[:4096] and b"_rebuild_tensor" in data[:65536]:
        return "torch.save"
    return "Keras (HDF5)" if data.startswith(b"\x89HDF\r\n") else ""


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:1000] and data[:1000].decode("utf-8", "replace").count("\ufffd") <= 1


def _npy(data: bytes) -> Any:
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ModelFileError(f"npy format {version[0]}.{version[1]} is not supported; expected 1.0 or 2.0")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind == "O":
        return loads(data[file.tell() :])
    if dtype.hasobject or dtype.fields:
        raise ModelFileError(f"an array of {dtype} inside; expected plain numbers")
    check_size(shape, dtype, len(data) - file.tell())
    return np.ndarray(shape, dtype, buffer=data, offset=file.tell(), order="F" if fortran else "C")


def _npz(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise ModelFileError(f"{size:,} bytes when unpacked are too many; at most {MAX_BYTES:,} are read")
        if other := [m.filename for m in archive.infolist() if m.compress_type not in PACKED]:
            raise ModelFileError(f"{other[0][:80]!r} inside is packed in a way that np.savez never uses")
        found, refused = {}, None
        for member in archive.infolist():
            try:
                with archive.open(member) as file:  # no more than it says that it has
                    found[member.filename.removesuffix(".npy")] = _npy(file.read(member.file_size))
            except ModelFileError as error:  # what a program keeps beside the weights, such as its arguments
                refused = refused or error
        if refused and not found:
            raise refused
        return found
