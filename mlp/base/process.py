"""What a run from Python changes in its process, and gives back: this package's log, and the BLAS threads."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadpoolctl import threadpool_limits

from hydra_trials.files import LogFile
from mlp.base import blas, streams


class _Process:
    """What runs need of the whole process while one is at work: this package's log at INFO and for its own
    handlers only, and one BLAS thread, as the programs have it, unless the environment says otherwise."""

    def __init__(self) -> None:
        self._lock, self._runs = threading.Lock(), 0
        self._logger = logging.getLogger("mlp")

    @contextmanager
    def prepared(self) -> Iterator[None]:
        with self._lock:
            if not self._runs:
                self._before = self._logger.level, self._logger.propagate
                self._logger.setLevel(logging.INFO)
                self._logger.propagate = False
                chosen = any(name in os.environ for name in blas.VARIABLES)
                self._threads = None if chosen else threadpool_limits(1, user_api="blas")
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    self._logger.level, self._logger.propagate = self._before
                    if self._threads is not None:
                        self._threads.restore_original_limits()


_process = _Process()


@contextmanager
def logging_to(path: Path, verbose: bool) -> Iterator[None]:
    """Write what this thread logs to the run's log, and to stdout if it is `verbose`."""
    thread = threading.get_ident()
    file = LogFile(str(path))
    file.setFormatter(streams.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(streams.Formatter())
    handlers: list[logging.Handler] = [file, *([console] if verbose else [])]
    logger = logging.getLogger("mlp")
    with _process.prepared():
        for handler in handlers:
            handler.addFilter(lambda record: record.thread == thread)
            logger.addHandler(handler)
        try:
            yield
        finally:
            for handler in handlers:
                logger.removeHandler(handler)
            file.close()
