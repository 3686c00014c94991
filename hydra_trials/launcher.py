"""Jobs on this machine, each in a forked process: they share what is in memory, and a killed one is forked again."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_trials import signals
from hydra_trials.compat import configure_log, run_task
from hydra_trials.errors import SearchError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
STOP_SECONDS = 10.0  # that jobs have to end after an interruption

if TYPE_CHECKING:  # slow to import, at every start of every Hydra program
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess


@dataclass
class Job:
    """A process that runs a job, and what it has sent."""

    process: BaseProcess
    receiver: Connection
    result: JobReturn | None = None

    def receive(self) -> None:
        """Take the result if it is there. It comes before the end of the process, which may leave others behind."""
        with suppress(EOFError, OSError):  # it was killed
            if not self.receiver.closed and self.receiver.poll():
                with self.receiver:
                    self.result = self.receiver.recv()


class ForkingLauncher(Launcher):
    """Runs each job in a forked process.

    Args:
        n_jobs: how many jobs run at a time; -1: one for each core.
        restarts: of killed processes in all, before a job that is killed counts as failed; a search, which counts for
            itself how often a trial may be tried, asks for 1000 where it is None.
    """

    def __init__(self, n_jobs: int = -1, restarts: int | None = None) -> None:
        self.n_jobs, self.restarts = n_jobs, 0 if restarts is None else restarts
        self.on_poll: Callable[[], None] | None = None  # of a search: called while jobs run, and it does the talking

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        if type(self.n_jobs) is not int or (self.n_jobs < 1 and self.n_jobs != -1):
            raise SearchError(f"hydra.launcher.n_jobs must be an integer >= 1, or -1. Got {self.n_jobs}")
        if type(self.restarts) is not int or self.restarts < 0:
            raise SearchError(f"hydra.launcher.restarts must be an integer >= 0. Got {self.restarts}")
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; how each ended, in their order."""
        from multiprocessing.connection import wait

        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        at_a_time = cores() if self.n_jobs == -1 else self.n_jobs
        if self.on_poll is None:
            configure_log(self.hydra_context, self.config)
            log.info("Launching %d jobs, %d at a time", len(job_overrides), at_a_time)
        waiting = dict(enumerate(job_overrides, initial_job_idx))
        jobs, results, running = dict(waiting), {}, dict[int, Job]()
        with signals.sigterm_interrupts():
            try:
                while waiting or running:
                    for number in list(waiting)[: max(0, at_a_time - len(running))]:
                        if self.on_poll is None:
                            log.info("\t#%d : %s", number, " ".join(filter_overrides(jobs[number])))
                        self._fork(running, number, waiting.pop(number))
                    if self.on_poll is not None:
                        self.on_poll()
                    pipes = [job.receiver for job in running.values() if not job.receiver.closed]
                    wait([*pipes, *(job.process.sentinel for job in running.values())], POLL_SECONDS)
                    for number, job in list(running.items()):
                        code = job.process.exitcode  # first: what it sent, it has sent before
                        job.receive()
                        if code is None:
                            continue
                        del running[number]
                        if code < 0 and job.result is None and self.restarts > 0:
                            self.restarts -= 1
                            waiting[number] = jobs[number]
                        elif code in (130, 143):  # so were we, if Python did not lose it in a finalizer
                            signals.interrupt(code - 128)
                        else:
                            results[number] = job.result or _ended(number, jobs[number], code)
            except BaseException:
                _stop([job.process for job in running.values()])
                raise
        return [results[number] for number in jobs]

    def _fork(self, running: dict[int, Job], number: int, overrides: Sequence[str]) -> None:
        """Start a process, and enter it in `running`."""
        from multiprocessing import get_context

        fork = get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=self._run, args=(number, overrides, sender))
        with signals.blocked():  # until each of the two knows which one it is
            process.start()
            running[number] = Job(process, receiver)
        sender.close()

    def _run(self, number: int, overrides: Sequence[str], sender: Connection) -> None:
        """What a forked process does. Its exit code says how it ended; `sender` gets its JobReturn."""
        try:
            signals.interrupt_once()
            signals.unblock()
            try:
                job = run_task(self.hydra_context, self.task_function, self.config, overrides, number)
            except Exception as error:  # before its task began
                job = JobReturn(overrides, status=JobStatus.FAILED, _return_value=error)
            sender.send_bytes(_pickled(job, number))
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            signals.ignore()  # it ends already


def _pickled(job: JobReturn, number: int) -> bytes:
    """A job for its parent. An error keeps its traceback, as the cause that is printed with it."""
    from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]

    value: Any = job._return_value
    try:
        if job.status == JobStatus.FAILED:
            job._return_value = ExceptionWithTraceback(value, value.__traceback__)
        data = pickle.dumps(job)
        pickle.loads(data)  # some errors cannot be made again
        return data
    except Exception as error:
        if job.status == JobStatus.FAILED:
            lost = ChildProcessError(f"job {number} ended with {type(value).__name__}: {str(value)[:1000]}")
            job._return_value = ExceptionWithTraceback(lost, value.__traceback__)
        else:
            what = f"job {number} returned a {type(value).__name__}, which cannot leave its process: {error}"
            job.status, job._return_value = JobStatus.FAILED, ChildProcessError(what)
        return pickle.dumps(job)


def _ended(number: int, overrides: Sequence[str], code: int) -> JobReturn:
    """How a process ended that sent nothing, by its exit code, negative after a signal."""
    if code == 0:
        return JobReturn(overrides, status=JobStatus.COMPLETED)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return JobReturn(overrides, status=JobStatus.FAILED, _return_value=ChildProcessError(f"job {number} {how}"))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
