"""Standard streams that the caller has closed, before the start or in the middle."""

import errno
import io
import os
import sys
from typing import Any


def prepare() -> None:
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
    """A stream whose reader may leave, or whose terminal may close: what is written then goes nowhere."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(content)


def _outlive_readers() -> None:
    """That a reader, such as `head`, has seen enough is no error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            stream.flush()
            lasting = _Lasting(stream.fileno(), "w", closefd=False)
            buffer: Any = lasting if stream.write_through else io.BufferedWriter(lasting)  # as Python's own
            replaced = io.TextIOWrapper(
                buffer, stream.encoding, stream.errors,
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            setattr(sys, name, replaced)
