"""Writing a file so that a reader, or the next start after a crash, never sees half of it."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
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
        if isinstance(error, OSError) and error.errno and error.filename in (None, name):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def fault_of_places(directory: Path, *folders: str) -> str:
    """What in `directory`, or anywhere in those of its folders, would lead elsewhere what is written there, or make
    its writer wait for ever; empty if nothing."""
    root = directory.resolve()
    paths = [*directory.iterdir()] if directory.is_dir() else []
    for folder in folders:  # os.walk follows no links
        paths += (Path(place, name) for place, *names in os.walk(directory / folder) for name in chain(*names))
    for path in paths:
        with suppress(FileNotFoundError):  # others come and go
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) and not Path(os.path.realpath(path)).is_relative_to(root):
                return f"{path} is a link that leads out of the search, which writes in its own directory only"
            if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return f"{path} is a device or a pipe; remove it"
    return ""


class LogFile(logging.FileHandler):
    """A log that goes on where the disk fails: what cannot be written is told once, and tried again with the next."""

    def __init__(self, filename: str, encoding: str = "utf-8") -> None:
        super().__init__(filename, encoding=encoding, delay=True)
        self._told = False
        with suppress(OSError):
            self.stream = self._open()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of the opening; others are handled
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f"Warning: {self.baseFilename} could not be written: {error.strerror}", file=sys.stderr)


def to_file(logger: logging.Logger, message: str) -> None:
    """Log `message` as an error in the log files alone: the console has it as the last words of the program."""
    record = logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), None)
    while logger:
        for handler in logger.handlers:
            if isinstance(handler, LogFile):
                handler.handle(record)
        logger = logger.parent if logger.propagate else None  # type: ignore[assignment]


def write_text(path: str | Path, text: str) -> None:
    """Replace the content of `path` in one step."""
    with atomic_write(path, "w") as file:
        file.write(text)


def fault_of_file(path: Path, root: Path, most: int = 2**28) -> str:
    """Why `path` is not read as a file of the directory `root`, whoever made that; empty where it is one, or is not
    there. A link may not lead out of `root`, a pipe or a device could make its reader wait for ever."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        return "is a link to nothing" if path.is_symlink() else ""
    if not path.resolve().is_relative_to(root.resolve()):
        return f"is a link that leads out of {root}"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "is a device or a pipe"
    return f"has {status.st_size:,} bytes; at most {most:,} are read" if status.st_size > most else ""


def escaped(text: str) -> str:
    """`text` as a terminal may show it: control characters, which it would obey, as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def shortened(text: str, most: int = 300) -> str:
    """`text`, without its middle where it is too long for a message."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def shown(path: Path) -> Path:
    """`path` relative to the working directory where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
