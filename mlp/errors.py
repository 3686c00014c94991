"""Errors that end a run with a message instead of a traceback, and their exit codes."""

import os
import sys

from mlp.nn.naming import unknown

__all__ = ["CallbackFailed", "Diverged", "UserError", "tell", "unknown"]


class UserError(Exception):
    """A mistake in the input, shown as one message: what was given, what is allowed, how to fix it."""

    exit_code = 2


class Diverged(Exception):
    """The training loss became NaN or infinite."""

    exit_code = 3


class CallbackFailed(Exception):
    """A callback of the user raised, which ended the training; the run can be continued."""

    exit_code = 1


def tell(text: str) -> None:
    """Print a program's answer. That its reader, such as `head`, has seen enough is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
