"""Jobs on this machine, each in a forked process: they share what is in memory, and a killed one is forked again."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_trials import signals
from hydra_trials.compat import run_task
from hydra_trials.errors import SearchError

POLL_SECONDS = 0.1
STOP_SECONDS = 10.0  # that jobs have to end after an interruption

if TYPE_CHECKING:  # slow to import, at every start of every Hydra program
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    Running = dict[int, tuple[BaseProcess, Connection]]  # by number of the job: its process, and what ended it


class ForkingLauncher(Launcher):
    """Runs each job in a forked process, all at a time.

    Args:
        restarts: of killed processes in all, before it gives up.
    """

    def __init__(self, restarts: int = 1000) -> None:
        self.restarts = restarts
        self.on_poll: Callable[[], None] = lambda: None  # called while the jobs run

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from multiprocessing.connection import wait

        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = dict(enumerate(job_overrides, initial_job_idx))
        results: dict[int, JobReturn] = {}
        running: Running = {}
        with signals.sigterm_interrupts():
            try:
                for number, overrides in jobs.items():
                    self._fork(running, number, overrides)
                while running:
                    self.on_poll()
                    wait([process.sentinel for process, _ in running.values()], POLL_SECONDS)
                    for number, (process, errors) in list(running.items()):
                        if (code := process.exitcode) is None:
                            continue
                        del running[number]
                        if code < 0 and self.restarts > 0:
                            self.restarts -= 1
                            self._fork(running, number, jobs[number])
                        elif code in (130, 143):  # so were we, if Python did not lose it in a finalizer
                            signals.interrupt(code - 128)
                        else:
                            error = _error(code, errors)
                            status = JobStatus.FAILED if error else JobStatus.COMPLETED
                            results[number] = JobReturn(jobs[number], status=status, _return_value=error)
            except BaseException:
                _stop([process for process, _ in running.values()])
                raise
        return [results[number] for number in sorted(results)]

    def _fork(self, running: Running, number: int, overrides: Sequence[str]) -> None:
        """Start a process, and enter it in `running`."""
        from multiprocessing import get_context

        fork = get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=self._run, args=(number, overrides, sender))
        with signals.blocked():  # until each of the two knows which one it is
            process.start()
            running[number] = process, receiver
        sender.close()

    def _run(self, number: int, overrides: Sequence[str], errors: Connection) -> None:
        """What a forked process does. Its exit code says how it ended, `errors` gets what ended it."""
        try:
            signals.interrupt_once()
            signals.unblock()
            run_task(self.hydra_context, self.task_function, self.config, overrides, number)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            errors.send(_picklable(error))
            sys.exit(1)
        finally:
            signals.ignore()  # it ends already


def _picklable(error: Exception) -> Exception:
    """An error to be raised in the parent: as it is if it speaks for itself, else in one line below its traceback."""
    if isinstance(error, SearchError):
        return SearchError(str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror, error.filename)
    traceback.print_exception(error)
    return ChildProcessError(f"a worker ended with {type(error).__name__}: {str(error)[:1000]}")


def _error(code: int, errors: Connection) -> BaseException | None:
    """What ended a process with an exit code, negative after a signal; None if nothing did."""
    with suppress(EOFError):
        if errors.poll():  # else a process that it left behind holds the other end
            error: BaseException = errors.recv()
            return error
    if code < 0:
        return ChildProcessError(f"a worker was killed too often, the last time by {signal.Signals(-code).name}")
    return ChildProcessError(f"a worker ended with exit code {code}") if code else None


def _stop(processes: list[BaseProcess]) -> None:
    """End all processes: ask first (after Ctrl-C the terminal has asked already), and kill who takes too long."""
    signals.ignore()
    for process in processes:
        process.terminate()
    until = time.monotonic() + STOP_SECONDS
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        process.kill()
        process.join()
