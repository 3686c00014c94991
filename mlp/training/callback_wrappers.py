"""What keeps other people's callbacks from harming a run: trackers, and those of `training.callbacks`."""

from __future__ import annotations

import logging
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from mlp.base.errors import CallbackFailed, Diverged, UserError
from mlp.training.run import EVENTS, Callback, Run

log = logging.getLogger(__name__)


class CallbackWrapper(Callback):
    """Passes on to `callback` every event that it has a method for; `name` is for messages."""

    def __init__(self, callback: Any, name: str) -> None:
        self.callback, self.name = callback, name
        for event in EVENTS:
            if hasattr(callback, event):
                setattr(self, event, partial(self.call, event))

    def call(self, event: str, run: Run) -> None:
        getattr(self.callback, event)(run)


class TrackerCallback(CallbackWrapper):
    """A tracker, which is a copy of the record and no reason to end a run: one that fails is switched off.

    It still hears of the end, to close what it has open.
    """

    failed = False

    def call(self, event: str, run: Run) -> None:
        if self.failed and event != "on_run_end":
            return
        try:
            super().call(event, run)
        except (Exception, SystemExit) as error:
            if not self.failed:
                message = "%s failed in %s and is switched off; the run goes on. %s"
                log.warning(message, self.name, event, describe_error(error))
            self.failed = True


class UserCallback(CallbackWrapper):
    """A callback of the user, which may end the run: as CallbackFailed, which names it.

    A UserError at the start is a mistake in the configuration, and passes as it is.
    """

    def call(self, event: str, run: Run) -> None:
        try:
            super().call(event, run)
        except Diverged:
            raise
        except UserError as error:
            if event == "on_run_start":
                raise
            raise CallbackFailed(f"{self.name} stopped the run: {error}") from error
        except Exception as error:
            raise CallbackFailed(f"{self.name} failed in {event}. {describe_error(error)}") from error


def describe_error(error: BaseException) -> str:
    """`error` in one line, with the line of the callback where it came from."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    # Of the frames the first is the wrapper's; `call` of the base class and the callback's own method follow.
    frames = traceback.extract_tb(error.__traceback__)[2:]
    return f"{text} ({Path(frames[0].filename).name}, line {frames[0].lineno})" if frames else text
