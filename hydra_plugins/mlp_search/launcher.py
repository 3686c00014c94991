"""The launcher of searches on one machine: forked processes, which share what is in memory."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

POLL = 0.1  # seconds
PATIENCE = 30.0  # seconds that workers have to end their epoch after an interruption


class LocalLauncher(Launcher):
    """Runs each job in a forked process, all at a time. One that a signal killed is forked again."""

    def __init__(self, restarts: int = 100) -> None:
        self.restarts = restarts
        #: Called while the jobs run.
        self.meanwhile: Callable[[], None] = lambda: None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = dict(enumerate(job_overrides, initial_job_idx))
        results: dict[int, JobReturn] = {}
        processes = {self._fork(number, overrides): number for number, overrides in jobs.items()}
        try:
            while processes:
                self.meanwhile()
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    time.sleep(POLL)
                    continue
                if (number := processes.pop(pid, None)) is None:
                    continue
                code = os.waitstatus_to_exitcode(status)
                if code < 0 and self.restarts > 0:
                    self.restarts -= 1
                    processes[self._fork(number, jobs[number])] = number
                else:
                    results[number] = _result(code)
        except BaseException:
            _stop(processes)
            raise
        return [results[number] for number in sorted(results)]

    def _fork(self, number: int, overrides: Sequence[str]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            self._run(number, overrides)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:  # nothing of the parent's may run in here: no exit handlers, no buffered output twice
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _run(self, number: int, overrides: Sequence[str]) -> None:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        result = run_job(
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.hydra_context,
        )
        _ = result.return_value  # raises what the job raised


def _result(code: int) -> JobReturn:
    result = JobReturn()
    result.status = JobStatus.FAILED if code else JobStatus.COMPLETED
    result.return_value = RuntimeError(f"a worker ended with exit code {code}") if code else code
    return result


def _stop(processes: dict[int, int]) -> None:
    """End all processes: ask first (after Ctrl-C the terminal has asked already), and kill who takes too long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while processes and time.monotonic() < until:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        processes.pop(pid, None)
        time.sleep(POLL if not pid else 0)
    for pid in processes:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
