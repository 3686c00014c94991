"""Standard streams that the caller has closed, before the start or in the middle."""

import os
import sys


def open_closed() -> None:
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


def tell(text: str) -> None:
    """Print a program's answer. That its reader, such as `head`, has seen enough is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
