"""Errors that end a run with a message instead of a traceback, and their exit codes."""

from mlp.nn.naming import unknown

__all__ = ["CallbackFailed", "Diverged", "UserError", "unknown"]


class UserError(Exception):
    """A mistake in the input, shown as one message: what was given, what is allowed, how to fix it."""

    exit_code = 2


class Diverged(Exception):
    """The training loss became NaN or infinite."""

    exit_code = 3


class CallbackFailed(Exception):
    """A callback of the user raised, which ended the training; the run can be continued."""

    exit_code = 1
