"""The bytes of a model file -> arrays, dictionaries, lists, strings and numbers, and nothing else.

Sizes that a file claims are compared with the bytes it has before anything is allocated.
"""

import io
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from mlp.base import arrays
from mlp.base.errors import UserError, damaged
from mlp.base.files import read_bytes
from mlp.model_file.pickles import ModelFileError, loads

_PICKLE = b"\x80"  # the first byte of a pickle of protocol 2 or later
_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch.save began with before version 1.6


def read(path: str | Path, skipped: list[str] | None = None) -> Any:
    """The content of a .npy file (arrays or pickled containers) or, as a dictionary, of a plain .npz file.

    The kind of file is told from its first bytes, not from its name. `skipped` gets the names of the members of an
    .npz that are left out. Raises UserError, without the path.
    """
    data = read_bytes(path)
    try:
        if foreign := _foreign_format(data):
            raise ModelFileError(f"a file of {foreign}; save the arrays with np.save or np.savez instead")
        if data.startswith(npy.MAGIC_PREFIX):
            return _npy(data)
        if zipfile.is_zipfile(io.BytesIO(data)):
            return _npz(data, [] if skipped is None else skipped)
        if data.startswith(_PICKLE):
            return loads(data)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle or archive raises anything
        raise ModelFileError(damaged(error)) from error
    kind = "a text file" if _is_text(data) else "a file of an unknown kind"
    raise ModelFileError(f"{kind}; expected .npy or .npz as written by np.save or np.savez")


def _foreign_format(data: bytes) -> str:
    """The library whose file this is; empty for NumPy's, and for what is not known."""
    start = data[:4096]
    if data.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(data)):
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        if any(name.endswith("/data.pkl") for name in names):
            return "torch.save"
        return "Keras" if "model.weights.h5" in names else ""
    if start.startswith(b"x"):
        with suppress(zlib.error):  # a text
            start = zlib.decompressobj().decompress(start, len(start))
    if start.startswith(_PICKLE) and (b"joblib.numpy_pickle" in start or not data.startswith(_PICKLE)):
        return "joblib.dump"
    if start.startswith(_TORCH) or (
        start.startswith(_PICKLE) and b"torch" in start and b"_rebuild_tensor" in data[:65536]
    ):
        return "torch.save"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return "safetensors"
    return "Keras (HDF5)" if data.startswith(b"\x89HDF\r\n") else ""


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:1000] and data[:1000].decode("utf-8", "replace").count("\ufffd") <= 1


def _npy(data: bytes) -> Any:
    dtype, start = arrays.header(data)[2:]
    return loads(data[start:]) if dtype.kind == "O" else arrays.parse_npy(data)


def _npz(data: bytes, skipped: list[str]) -> dict[str, Any]:
    """What the members hold; `skipped` gets those that are no model's, such as the arguments of a program."""
    found, refused = {}, None
    for name, content in arrays.members(data):
        try:
            found[name] = _npy(content)
        except UserError as error:
            skipped.append(name)
            refused = refused or error
    if refused and not found:
        raise refused
    return found
