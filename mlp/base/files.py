"""Files of this program and of strangers: written so that a reader, or the next start after a crash, never sees half
of one; read without trusting them."""

import json
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra_trials.files import LEFTOVER, atomic_write, fault_of_file, write_text
from mlp.base.errors import UserError

__all__ = [
    "LEFTOVER", "MAX_BYTES", "atomic_write", "check_directory", "fault_of_file", "plain", "read_bytes", "read_json",
    "remove_leftovers", "write_json", "write_text",
]  # fmt: skip

MAX_BYTES = 2**28  # 256 MiB; a network of this software is a few MB
MAX_JSON = 2**24
MAX_ENTRIES = 100_000  # of a run directory


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that a killed process left in a directory that nobody else writes to now."""
    for path in directory.glob(f".*{LEFTOVER}"):
        path.unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON in one step: NaN and infinities become null, NumPy's numbers plain ones."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """`value` in the types of JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_bytes(path: str | Path, most: int = MAX_BYTES, *, empty: bool = False) -> bytes:
    """The bytes of a regular file that is no larger than `most`, and not empty unless that is allowed. A pipe or a
    device is never waited for. Raises UserError, without the path."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError("a device or a pipe; expected a file")
            if status.st_size > most:
                raise UserError(f"{status.st_size:,} bytes are too many; at most {most:,} are read")
            data = file.read(most)
    except IsADirectoryError:
        model = Path(path, "best_model.npy")
        raise UserError(f"a directory; expected a file{f', such as {model}' if model.is_file() else ''}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise UserError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data and not empty:
        raise UserError("an empty file")
    return data


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError."""
    try:
        found = json.loads(read_bytes(path, MAX_JSON))
        if not isinstance(found, dict):
            raise UserError(f"expected {{...}}. Got {type(found).__name__}")
        return found
    except (UserError, ValueError, RecursionError) as error:  # no text, nested without end, a number of 5,000 digits
        raise UserError(f"{path} is not a JSON object: {error}") from error


def check_directory(directory: Path, names: Iterable[str] | None = None) -> None:
    """Raise UserError where a run directory, which may be a stranger's, has a link that leads out of it, a pipe or a
    device: nothing else is read or written by its means. `names`: only these of its files, no folders.

    W&B links its log in the user's cache; what lies below wandb/RUN is its own, and not read here.
    """
    root = directory.resolve()
    for path in _all_below(root) if names is None else (root / name for name in names):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISREG(mode) or (names is None and stat.S_ISDIR(mode)):
            continue
        if names is None and path.is_dir():
            fault = "" if path.resolve().is_relative_to(root) else f"is a link to a folder that is not in {root}"
        else:
            of_wandb = path.is_symlink() and path.relative_to(root).parts[0] == "wandb"
            fault = "" if of_wandb else fault_of_file(path, root, most=sys.maxsize)
        if fault:
            raise UserError(f"{path} {fault}: it is not read")


def _all_below(root: Path) -> Iterator[Path]:
    """All that is below a folder, without following links."""
    number = 0
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            number += 1
            if number > MAX_ENTRIES:
                raise UserError(f"{root} has more than {MAX_ENTRIES:,} files: this is no run directory")
            yield Path(folder, name)
