"""The launcher of searches on one machine: forked processes, which share what is in memory."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

POLL = 0.1  # seconds
PATIENCE = 10.0  # seconds that workers have to end after an interruption
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


class Process(NamedTuple):  # no dataclass: those look for their module, which Hydra does not register
    """A forked process, and the pipe that it writes the error to that ends it."""

    pid: int
    errors: int

    def ended(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def error(self, code: int) -> BaseException | None:
        """What ended it, once it has ended."""
        with open(self.errors, "rb") as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)  # a process that it left behind may hold the other end
            written = pipe.read()
        if written:
            error: BaseException = pickle.loads(written)
            return error
        if code < 0:
            return ChildProcessError(f"a worker was killed too often, the last time by {signal.Signals(-code).name}")
        return ChildProcessError(f"a worker ended with exit code {code}") if code else None


class LocalLauncher(Launcher):
    """Runs each job in a forked process, all at a time. One that a signal killed is forked again."""

    def __init__(self, restarts: int = 1000) -> None:
        self.restarts = restarts
        self._interrupted: list[int] = []  # in a job: the signals that came
        #: Called while the jobs run.
        self.meanwhile: Callable[[], None] = lambda: None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = dict(enumerate(job_overrides, initial_job_idx))
        results: dict[int, JobReturn] = {}
        processes: dict[int, Process] = {}
        with _sigterm_interrupts():
            try:
                for number, overrides in jobs.items():
                    self._fork(processes, number, overrides)
                while processes:
                    self.meanwhile()
                    for number, process in list(processes.items()):
                        if (code := process.ended()) is None:
                            continue
                        del processes[number]
                        if code < 0 and self.restarts > 0:
                            self.restarts -= 1
                            os.close(process.errors)
                            self._fork(processes, number, jobs[number])
                        elif code in (130, 143):  # so were we, if Python did not lose it in a finalizer
                            raise _interruption(code - 128)
                        else:
                            results[number] = _result(process.error(code), jobs[number])
                    time.sleep(POLL)
            except BaseException:
                _stop([process.pid for process in processes.values()])
                raise
        return [results[number] for number in sorted(results)]

    def _fork(self, processes: dict[int, Process], number: int, overrides: Sequence[str]) -> None:
        """Start a process, and enter it in `processes`."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent, (reading, writing) = os.getpid(), os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)  # until each of the two knows which one it is
        try:
            if pid := os.fork():
                processes[number] = Process(pid, reading)
            else:
                self._child(number, overrides, parent, writing)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
            os.close(writing)

    def _child(self, number: int, overrides: Sequence[str], parent: int, errors: int) -> NoReturn:
        """What a forked process does. Nothing of the parent's may run in it: no exit handlers, no output twice."""
        code = 1
        try:
            try:
                self._interrupted = _interrupt_once()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
                self._run(number, overrides, parent)
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except KeyboardInterrupt:
                code = 130
            except BaseException as error:
                os.write(errors, _pickled(error))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _run(self, number: int, overrides: Sequence[str], parent: int) -> None:
        if hasattr(self.task_function, "parent"):
            self.task_function.parent = parent
        if hasattr(self.task_function, "interrupted"):
            self.task_function.interrupted = self._interrupted
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
            config.hydra.sweep.dir = self.config.hydra.sweep.dir
        result = run_job(
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.hydra_context,
        )
        if result.status == JobStatus.FAILED:
            raise result._return_value  # .return_value would also print


def _pickled(error: BaseException) -> bytes:
    """An error to be raised in the parent: as it is if it speaks for itself, else in one line below its traceback."""
    from mlp.errors import UserError

    if isinstance(error, UserError):
        return pickle.dumps(UserError(str(error)))
    if isinstance(error, OSError) and error.errno is not None:
        return pickle.dumps(OSError(error.errno, error.strerror, error.filename))
    traceback.print_exception(error)
    return pickle.dumps(ChildProcessError(f"a worker ended with {type(error).__name__}: {str(error)[:1000]}"))


def _result(error: BaseException | None, overrides: Sequence[str]) -> JobReturn:
    result = JobReturn()
    result.overrides = overrides
    result.status = JobStatus.FAILED if error else JobStatus.COMPLETED
    result.return_value = error
    return result


def _stop(pids: list[int]) -> None:
    """End all processes: ask first (after Ctrl-C the terminal has asked already), and kill who takes too long."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)  # not waited for yet, so the number is still its own
    until = time.monotonic() + PATIENCE
    while pids and time.monotonic() < until:
        pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0] == 0]
        time.sleep(POLL / 5)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(number: int, _: object) -> None:
        raise _interruption(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt_once() -> list[int]:
    """Of Ctrl-C and the SIGTERM that follows it only the first interrupts; what it sets off is left in peace.

    Python drops what is raised in a finalizer, with a report of it. So the signals that came are returned, for later
    looks, and the report is left out.
    """
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        if len(came) == 1:
            raise _interruption(number)

    for number in INTERRUPTIONS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    report = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, KeyboardInterrupt) else report(lost)
    return came


def _interruption(number: int) -> KeyboardInterrupt:
    from mlp.experiment import Terminated

    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
