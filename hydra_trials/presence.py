"""Which commands are at work on a search: a file for each, so that its workers know, on whatever machine they are,
whether they are still wanted. There is no other way to reach them on all engines."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNNING = "running"  # the folder of a search for such files and for the locks of its trials


@contextmanager
def announced(directory: Path) -> Iterator[Path]:
    """The file of this command, which is there within the block."""
    path = directory / RUNNING / f"{_prefix()}{os.getpid()}"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # which forked processes do not inherit, unlike that of flock
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def is_wanted(path: Path) -> bool:
    """Whether the command of the file `path` still wants its workers. One that was killed cannot remove its file, but
    has lost the lock of it; that of another host is not asked, since not all file systems know it there."""
    if not path.name.startswith(_prefix()) or path.name == f"{_prefix()}{os.getpid()}":  # its own it would unlock
        return path.exists()
    try:
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _prefix() -> str:
    return f"command-{socket.gethostname()}-"


def commands(directory: Path) -> list[Path]:
    """The files of all commands at work on a search; those of commands that were killed here are removed."""
    found = []
    for path in (directory / RUNNING).glob("command-*"):
        if is_wanted(path):
            found.append(path)
        else:
            path.unlink(missing_ok=True)
    return found
