"""Ctrl-C and SIGTERM: both interrupt, at a moment that is safe."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)

#: The interruptions that came to this process since `interrupt_once`.
received: list[int] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it: ends a program as Ctrl-C does."""


def interrupt(number: int, _: object = None) -> None:
    """Raise the exception for a signal."""
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def handled(handler: Callable[[int, Any], Any], *numbers: int) -> Iterator[None]:
    """Let `handler` handle signals within the block; in the main thread only, whose business they are."""
    try:
        before = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def sigterm_interrupts() -> AbstractContextManager[None]:
    """Within the block SIGTERM raises `Terminated`."""
    return handled(interrupt, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[None]:
    """Interruptions wait until the block is left."""
    came: list[int] = []
    try:
        with handled(lambda number, _: came.append(number), *INTERRUPTIONS):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def blocked() -> Iterator[None]:
    """Interruptions wait until the block is left, also in a process that is forked in it: that one must `unblock`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    try:
        yield
    finally:
        unblock()


def unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)


def ignore() -> None:
    """From now on interruptions do nothing."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)


def interrupt_once() -> None:
    """Of Ctrl-C and the SIGTERM that follows it only the first interrupts; what it sets off is left in peace.

    Python drops what is raised in a finalizer, with a report of it. So `received` keeps the signals that came, for
    later looks, and the report is left out.
    """

    def once(number: int, _: object) -> None:
        received.append(number)
        if len(received) == 1:
            interrupt(number)

    received.clear()
    for number in INTERRUPTIONS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, once)
    report = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, KeyboardInterrupt) else report(lost)
