"""Locks on files, which the system releases when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWN = f"command-{socket.gethostname()}-"  # how the files of this host's commands begin
RUNNING = "running"  # the folder of a search for the locks of its trials, and for the files of its commands


def acquire(path: Path) -> int:
    """Wait for the lock of `path`, which is created if it is not there; close the descriptor to release it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`."""
    descriptor = acquire(path)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether somebody holds the lock of `path`, a file or a directory; what is not there is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that only look do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


# Which commands are at work on a search: a file for each, so that its workers know, on whatever machine they are,
# whether they are still wanted. There is no other way to reach them on all engines.


@contextmanager
def announced(directory: Path) -> Iterator[Path]:
    """The file of this command, which is there within the block."""
    path = directory / RUNNING / f"{OWN}{os.getpid()}"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # which forked processes do not inherit, unlike that of flock
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def is_wanted(path: Path) -> bool:
    """Whether the command of the file `path` still wants its workers. One that was killed cannot remove its file, but
    has lost the lock of it; that of another host is not asked, since not all file systems know it there."""
    if not path.name.startswith(OWN) or path.name == f"{OWN}{os.getpid()}":  # its own it would unlock
        return path.exists()
    try:
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def commands(directory: Path) -> list[Path]:
    """The files of all commands at work on a search; those of commands that were killed here are removed."""
    found = []
    for path in (directory / RUNNING).glob("command-*"):
        if is_wanted(path):
            found.append(path)
        else:
            path.unlink(missing_ok=True)
    return found
