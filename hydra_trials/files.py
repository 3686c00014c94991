"""Writing a file so that a reader, or the next start after a crash, never sees half of it."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LEFTOVER = ".mlp-tmp"  # the end of a temporary file's name, which nobody else uses


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:  # type: ignore[type-arg]
    """Open a temporary file beside `path`; on success it replaces `path` in one step, on failure it goes.

    The bytes are on the disk (fsync) before the name changes: after a power cut the file is the old or the new
    one, never a mixture. Raises OSError as `open` does, for example when the disk is full.
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=LEFTOVER, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp creates with 0600; give the file the permissions that `open` would have given it.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno and not error.filename:
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` in one step."""
    with atomic_write(path, "w") as file:
        file.write(text)


def without_password(text: str) -> str:
    """`text` as it may be written down and shown: URLs in it keep the user's name and lose the password."""
    return re.sub(r"(://[^\s:/@]*):[^\s@]*@", r"\1@", text)


def escaped(text: str) -> str:
    """`text` as a terminal may show it: control characters, which it would obey, as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def shown(path: Path) -> Path:
    """`path` relative to the working directory where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
