"""The bytes of a model file -> arrays, dictionaries, lists, strings and numbers, and nothing else.

A dictionary inside a .npy file is a pickle, and a pickle is a program: it names functions and calls them.
Here only the names that rebuild NumPy's own objects are known, and each stands for a function of this module
that checks its arguments. Everything else is refused before it is even imported. Sizes that a file claims are
compared with the bytes it has before anything is allocated.
"""

import io
import math
import pickle
import pickletools
import re
import stat
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from mlp.errors import UserError

MAX_BYTES = 2**30  # 1 GiB; a network of this software is a few MB
_PICKLE = b"\x80"  # the first byte of a pickle of protocol 2 or later
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class ModelFileError(UserError):
    """The file is no model that can be understood; the message says what was found and what is expected."""


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
            return _unpickle(data)
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


def _npy(data: bytes, *, pickled: bool = True) -> Any:
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ModelFileError(f"npy format {version[0]}.{version[1]} is not supported; expected 1.0 or 2.0")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind == "O" and pickled:
        return _unpickle(data[file.tell() :])
    if dtype.hasobject or dtype.fields:
        raise ModelFileError(f"an array of {dtype} inside; expected plain numbers")
    _check_size(shape, dtype, len(data) - file.tell())
    return np.ndarray(shape, dtype, buffer=data, offset=file.tell(), order="F" if fortran else "C")


def _npz(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise ModelFileError(f"{size:,} bytes when unpacked are too many; at most {MAX_BYTES:,} are read")
        names = archive.namelist()
        return {name.removesuffix(".npy"): _npy(archive.read(name), pickled=False) for name in names}


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    if any(length < 0 for length in shape):
        raise ModelFileError(f"an array of shape {shape} cannot be")
    needed = math.prod(shape) * dtype.itemsize
    if needed > available:
        raise ModelFileError(
            f"an array of shape {shape} and type {dtype} needs {needed:,} bytes, {available:,} are there; "
            "the file is cut off or its header is wrong"
        )


def _unpickle(data: bytes) -> Any:
    for opcode, argument, _ in pickletools.genops(data):  # raises ValueError where the file is cut off
        if opcode.name.startswith("EXT"):  # a number in place of a name: would go past find_class
            raise ModelFileError(f"refused to load: the pickle uses {opcode.name}, which no array needs")
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > len(data):
            raise ModelFileError("damaged (a memo index larger than the file)")  # else allocated up to it
    return _Unpickler(io.BytesIO(data)).load()


class _DType:
    """A data type on its way out of a pickle; not the real, shared np.dtype, which a pickle could change."""

    def __init__(self, code: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[biufc?SUO]\d{0,6}", code):
            raise ModelFileError(f"an array of type {str(code)[:40]!r} inside; expected numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray[Any, Any]):
    """An array that believes its pickled state only after having checked it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        dtype = kind.dtype
        _check_size(shape, dtype, len(content) * (dtype.itemsize if isinstance(content, list) else 1))
        super().__setstate__((1, shape, dtype, fortran, content))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # Bound methods: a pickle can set attributes on what it is given, and methods have none to set.
        match module.replace("numpy.core.", "numpy._core."), name:
            case "numpy._core.multiarray", "_reconstruct":
                return self._reconstruct
            case "numpy._core.multiarray", "scalar":
                return self._scalar
            case "numpy._core.numeric", "_frombuffer":
                return self._frombuffer
            case "numpy", "dtype":
                return self._dtype
            case "numpy", "ndarray":
                return "ndarray"  # only ever an argument of _reconstruct; a string cannot be called
            case "_codecs", "encode":
                return self._encode
            case "collections", "OrderedDict":
                return OrderedDict
        raise ModelFileError(
            f"refused to load: the file wants to use {module[:80]}.{name[:80]}, and a model needs only "
            "arrays, dictionaries, lists, strings and numbers. Nothing of it has been run"
        )

    def _reconstruct(self, _kind: object, _shape: object, _dtype: object) -> _Array:
        return _Array(0)  # its shape and content come with __setstate__

    def _dtype(self, code: object, _align: object = False, _copy: object = False) -> _DType:
        return _DType(code)

    def _scalar(self, kind: _DType, content: bytes) -> Any:
        return np.frombuffer(content, kind.dtype, count=1)[0]

    def _frombuffer(
        self,
        buffer: bytes | bytearray,
        kind: _DType,
        shape: tuple[int, ...],
        order: Any,
        axes: tuple[int, ...] | None = None,
    ) -> Any:
        _check_size(shape, kind.dtype, len(buffer))
        array = np.frombuffer(buffer, kind.dtype)
        return array.reshape(shape, order=order) if axes is None else array.reshape(shape).transpose(axes)

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise ModelFileError(f"refused to load: _codecs.encode with {encoding[:40]!r}; arrays use latin1")
        return text.encode("latin1")
