"""Errors that end a run with a message instead of a traceback, and their exit codes."""

import argparse
import re
from typing import NoReturn

from hydra_trials.files import shortened
from mlp.base.naming import unknown

__all__ = ["ArgumentParser", "CallbackFailed", "Diverged", "UserError", "damaged", "refuse", "shortened", "unknown"]


class UserError(Exception):
    """A mistake in the input, shown as one message: what was given, what is allowed, how to fix it."""

    exit_code = 2


def damaged(error: Exception) -> str:
    """What a reader says of a file, for what it raised; that may quote all of the file, or say nothing."""
    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
    return f"damaged or incomplete ({shortened(reason) or type(error).__name__})"


def refuse(message: str) -> NoReturn:
    """Raise UserError: what an argument parser calls instead of printing its usage."""
    raise UserError(message)


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are those of the program."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.fullmatch(r"argument (.+): invalid choice: '(.*)' \(choose from (.+)\)", message):
            name, given, allowed = wrong.groups()
            message = unknown(name.lower(), given, (choice.strip("'") for choice in allowed.split(", ")))
        refuse(f"{message} ({self.prog} --help explains it)")


def positive_integer(text: str) -> int:
    """The `type` of an argument that is an integer >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1. Got {text}")
    return int(text)


class Diverged(Exception):
    """The training loss became NaN or infinite."""

    exit_code = 3


class CallbackFailed(Exception):
    """A callback of the user raised, which ended the training; the run can be continued."""

    exit_code = 1
