"""A function in a forked child with limits of time and memory, and how that ended."""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAITING = 6  # times as long may a child take on the clock as on the processor, which others use too


@dataclass(frozen=True)
class Outcome:
    """How a child ended: by which signal (0: none), with which code, after how many seconds; what it printed."""

    signal: int
    exit_code: int
    seconds: float
    errors: str  # to stderr
    output: str  # to both streams


def in_child(function: Callable[..., Any], *args: Any, seconds: float = 10, megabytes: int = 1024) -> Outcome:
    """Call `function` in a fork of this process, which may compute for so long and take so much more memory.

    What it raises is printed as a traceback, with exit code 1; SystemExit ends it as it ends Python.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if (child := os.fork()) == 0:
            code = 1
            try:
                _limit((out.fileno(), err.fileno()), seconds, megabytes)
                function(*args)
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else int(error.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        how = _wait(child, seconds * WAITING)
        texts = [os.pread(file.fileno(), 100_000, 0).decode(errors="replace") for file in (out, err)]
    return Outcome(max(0, -how), max(0, how), time.monotonic() - started, texts[1], "".join(texts))


def _limit(streams: tuple[int, int], seconds: float, megabytes: int) -> None:
    faulthandler.disable()  # of pytest, which would write past the child's output
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, stream, name in zip((1, 2), streams, ("stdout", "stderr"), strict=True):
        os.dup2(stream, number)
        opened = os.fdopen(number, "w", closefd=False, errors="backslashreplace")
        for known in (name, f"__{name}__"):  # pytest has its own
            setattr(sys, known, opened)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _wait(child: int, seconds: float) -> int:
    """The child's exit code, negative after a signal; a child that takes too long is killed, with all it started."""
    handle = os.pidfd_open(child)
    try:
        if not select.select([handle], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
