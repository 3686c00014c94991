"""The ends of a program: standard streams that are closed or full, signals, messages and exit codes."""

from __future__ import annotations

import atexit
import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra_trials.files import escaped
from hydra_trials.signals import Terminated, sigterm_interrupts

__all__ = ["MISPLACED", "Formatter", "escaped", "exit_code", "message_of", "program", "protect"]

#: A folder where a file should be, and the reverse: the user's mistakes, unlike other failures of files.
MISPLACED = (IsADirectoryError, NotADirectoryError, FileExistsError)


@contextmanager
def program() -> Iterator[None]:
    """Run a program's `main` within: what ends it is one message on stderr and an exit code.

    2 is a mistake of the user's (an error with an `exit_code` of its own has that), 1 a failure such as a full disk,
    130 Ctrl-C and 143 SIGTERM. Other exceptions are faults of the program, and pass.
    """
    protect()
    code: Any = 0
    try:
        with sigterm_interrupts():
            yield
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt as interrupt:
        print("Interrupted.", file=sys.stderr)
        code = 143 if isinstance(interrupt, Terminated) else 130
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        text = message_of(error)
        if "://" in text or "storage=" in text:
            from hydra_trials.passwords import hidden_in_message  # it knows Hydra, which is slow to import

            text = hidden_in_message(text, sys.argv)
        print(f"Error: {escaped(text)}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        lasting = _Lasting.of(stream)
        if lasting is not None and lasting.failure is not None and not code:
            print(f"Error: the output could not be written: {lasting.failure.strerror}", file=sys.stderr)
            code = 1
    atexit.unregister(_end_at_once)
    atexit.register(_end_at_once)  # last, so that it is the first to run
    if code:
        raise SystemExit(code)


def exit_code(error: BaseException) -> int | None:
    """The exit code for an error that needs no traceback; None for others."""
    own: int | None = getattr(error, "exit_code", None)
    if own is None and isinstance(error, OSError | MemoryError):
        return 2 if isinstance(error, MISPLACED) else 1
    return own


def message_of(error: BaseException) -> str:
    """What an error says, in one message."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {str(error) or 'smaller layers, batches or data need less'}"
    return str(error).strip()


class Formatter(logging.Formatter):
    """Of logs, which quote names and messages from files."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def _end_at_once() -> None:
    """From now on a signal ends the process: all is written, and an exception would only be reported."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os._exit(128 + number))


def protect() -> None:
    """Let a program do its work whatever its caller does to its streams: what counts is in its files."""
    _open_closed()
    _outlive_readers()


def _open_closed() -> None:
    """Lead standard streams that were closed before the start to /dev/null.

    Otherwise what is printed raises an error, and the next file that is opened takes the stream's number, so that the
    output of another program goes into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # also for the programs that this one starts
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


class _Lasting(io.FileIO):
    """A stream whose reader may leave, or that may be full: what is written then goes nowhere.

    `failure` is why, unless it is only that a reader has left or a terminal was closed."""

    failure: OSError | None = None

    @classmethod
    def of(cls, stream: Any) -> _Lasting | None:
        """The lasting file below a text stream, if it has one."""
        raw = getattr(getattr(stream, "buffer", None), "raw", getattr(stream, "buffer", None))
        return raw if isinstance(raw, cls) else None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                self.failure = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(content)


class _Escaping(io.TextIOWrapper):
    """A text stream of messages, which may quote anything."""

    def write(self, text: str) -> int:
        return super().write(escaped(text))


def _outlive_readers() -> None:
    """That a reader, such as `head`, has seen enough is no error, nor is a character that the terminal lacks."""
    for name, kind in (("stdout", io.TextIOWrapper), ("stderr", _Escaping)):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            stream.flush()
            lasting = _Lasting(stream.fileno(), "w", closefd=False)
            buffer: Any = lasting if stream.write_through else io.BufferedWriter(lasting)  # as Python's own
            errors = "backslashreplace" if stream.errors == "strict" else stream.errors
            replaced = kind(
                buffer, stream.encoding, errors,
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            setattr(sys, name, replaced)
