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
    output: str


def in_child(function: Callable[..., Any], *args: Any, seconds: float = 10, megabytes: int = 1024) -> Outcome:
    """Call `function` in a fork of this process, which may compute for so long and take so much more memory.

    What it raises is printed as a traceback, with exit code 1; SystemExit ends it as it ends Python.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        if (child := os.fork()) == 0:
            code = 1
            try:
                _limit(output.fileno(), seconds, megabytes)
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
        output.seek(0)
        text = output.read(100_000).decode(errors="replace")
    return Outcome(max(0, -how), max(0, how), time.monotonic() - started, text)


def _limit(output: int, seconds: float, megabytes: int) -> None:
    faulthandler.disable()  # of pytest, which would write past the child's output
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))  # pytest has its own
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _wait(child: int, seconds: float) -> int:
    """The child's exit code, negative after a signal; a child that takes too long is killed, with all it started."""
    handle = os.pidfd_open(child)
    try:
        if not select.select([handle], [], [], seconds)[0]:
            os.killpg(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
