"""Python in forks of one process that has imported everything, which takes most of a short command's time.

A fork is a process of its own: folder, environment, streams and exit code belong to it. It ends as Python ends.
Tests of start-up, of terminals and of signals from outside start real processes (`runs.start`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SERVER = r"""
import atexit, gc, json, os, runpy, signal, sys, tempfile, threading, weakref

sys.path[0] = sys.argv[1]
import inference  # before NumPy is imported
import importlib
for name in sys.argv[2:]:
    importlib.import_module(name)

def run(program):
    "As `python program` does, with sys.argv[0] to come."
    if program == "-m":
        sys.path.insert(0, os.getcwd())
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif program == "-c":
        code, sys.argv[0] = sys.argv[0], "-c"
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv.insert(0, program)
        sys.path[0] = os.path.dirname(program)
        runpy.run_path(program, run_name="__main__")

def end(code):
    "As Python ends, without taking a hundred modules apart."
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

from mlp.config.compose import compose
from hydra.core.global_hydra import GlobalHydra
compose(["dataset=digits", "tracker=none"])  # parsers and plugins are slow the first time
GlobalHydra.instance().clear()
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    task = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.setsid()
    for finalizer in list(weakref.finalize._registry):  # W&B's temporary folders: this fork has its own
        owner, *_ = finalizer.detach()
        if isinstance(owner, tempfile.TemporaryDirectory):
            owner.__init__()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where it is ignored
    for descriptor, name in enumerate(("/dev/null", task["out"], task["err"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND if descriptor else os.O_RDONLY), descriptor)
    os.chdir(task["cwd"])
    os.environ.clear()
    os.environ.update(task["env"])
    sys.stdin = open(0)
    program, *sys.argv = task["command"]
    try:
        run(program)
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            end(exit.code or 0)
        raise
    end(0)
"""
IMPORTS = (
    *("matplotlib.pyplot", "optuna", "rich.table", "sklearn.datasets", "wandb"),
    *("mlp.cli.inference", "mlp.cli.hydra_main", "mlp.report.run_plots", "mlp.report.build", "mlp.searches.page"),
    *("mlp.searches.hooks", "mlp.searches.results", "hydra_trials.driver", "hydra_trials.launcher"),
)


class ForkServer:
    """The process that forks, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    def run(
        self, *command: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run `python command...` to its end. Raises subprocess.TimeoutExpired as subprocess.run does."""
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            task = {"command": command, "cwd": str(cwd), "out": out.name, "err": err.name}
            child = self._begin(task | {"env": dict(os.environ if env is None else env)})
            try:
                code = int(self._line(timeout))
            except TimeoutError:
                os.killpg(child, signal.SIGKILL)
                self._line(300)
                raise subprocess.TimeoutExpired(command, timeout, out.read(), err.read()) from None
            texts = [file.read().decode() for file in (out, err)]
        return subprocess.CompletedProcess(command, code, *texts)

    def close(self) -> None:
        if self._process is not None:
            with self._process:  # closes its input, and waits
                self._process = None

    def _begin(self, task: Mapping[str, object]) -> int:
        """Start a task; return its process number, which is that of its group too."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(ROOT), *IMPORTS],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            assert self._line(300) == "ready"
        assert self._process.stdin
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._line(300))

    def _line(self, timeout: float) -> str:
        """The next line that the server writes. Raises TimeoutError."""
        assert self._process
        assert self._process.stdout
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            if not select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            received = os.read(self._process.stdout.fileno(), 4096)
            assert received, "the process that forks has ended"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()


FORKS = ForkServer()


def python(
    *command: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run([sys.executable, *command])` gives, from a fork of the one process of this test worker."""
    return FORKS.run(*command, cwd=cwd, env=env, timeout=timeout)
