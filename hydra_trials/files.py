"""Writing a file so that a reader, or the next start after a crash, never sees half of it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` in one step. Raises OSError with the name of the file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not error.filename:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def without_password(text: str) -> str:
    """`text` as it may be written down and shown: URLs in it keep the user's name and lose the password."""
    return re.sub(r"(://[^\s:/@]*):[^\s@]*@", r"\1@", text)


def shown(path: Path) -> Path:
    """`path` relative to the working directory where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
