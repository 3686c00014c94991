"""Real runs for the tests of training and survival: start them, strike them at a chosen point, compare them."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forks import python

ROOT = Path(__file__).resolve().parent.parent
TIMES = ("seconds", "samples_per_second")  # the columns that no two runs share

# Runs train.py, and at the count-th call of a function sends itself a signal before the call. SIGXFSZ: the kernel
# kills the process in the middle of the next file that it writes, once 10,000 bytes of it are on the disk.
SABOTEUR = """
import os, pkgutil, resource, runpy, signal, sys

function, count, signal_name, once, script, *arguments = sys.argv[1:]
sys.argv = [script, *arguments]
sys.path[0] = os.path.dirname(script)
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run in the background, where it is ignored
owner, _, name = function.rpartition(".")
owner, left = pkgutil.resolve_name(owner), int(count)
original = getattr(owner, name)

def sabotaged(*args, **kwargs):
    global left
    left -= 1
    if left == 0 and once:  # of all processes that come here, forked ones too, the first
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            left = -1
    if left == 0 and signal_name == "SIGXFSZ":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    elif left == 0:
        os.kill(os.getpid(), getattr(signal, signal_name))
    return original(*args, **kwargs)

setattr(owner, name, sabotaged)
runpy.run_path(script, run_name="__main__")
"""


@dataclass(frozen=True)
class Strike:
    """A signal to itself at the `count`-th call of `function`; with `once`, a file, only if that is not there yet."""

    function: str
    count: int = 1
    signal: str = "SIGKILL"
    once: str = ""

    def __str__(self) -> str:
        return f"{self.signal}-{self.function}-{self.count}"


@dataclass(frozen=True)
class Ended:
    """How a process ended and what it said."""

    code: int
    out: str
    err: str


def start(
    cwd: Path, *arguments: str, strike: Strike | None = None, root: Path = ROOT, **popen: Any
) -> subprocess.Popen[str]:
    """Start train.py in `cwd`, with its output in pipes unless `popen` says otherwise."""
    popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True} | popen
    return subprocess.Popen([sys.executable, *_program(root, strike), *plotless(arguments)], cwd=cwd, **popen)


def plotless(arguments: Sequence[str]) -> list[str]:
    """Words of train.py for a run without plots, which take most of a short run's time, unless they say otherwise."""
    decided = any(word.startswith("plots=") or word in ("--info", "--hydra-help") for word in arguments)
    return [*arguments, *([] if decided else ["plots=false"])]


def _program(root: Path, strike: Strike | None) -> list[str]:
    """train.py, or what runs it up to the strike."""
    program = ["-c", SABOTEUR, strike.function, str(strike.count), strike.signal, strike.once] if strike else []
    return [*program, str(root / "train.py")]


def finish(process: subprocess.Popen[str], timeout: float = 300) -> Ended:
    """Wait for the end of a process."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def run(cwd: Path, *arguments: str, code: int = 0, strike: Strike | None = None, **popen: Any) -> Ended:
    """Run train.py to its end, which must be exit code `code`: in a fork, or with `popen` in a real process."""
    if popen:
        ended = finish(start(cwd, *arguments, strike=strike, **popen))
    else:
        done = python(*_program(ROOT, strike), *plotless(arguments), cwd=cwd)
        ended = Ended(done.returncode, done.stdout, done.stderr)
    assert ended.code == code, f"exit code {ended.code}, not {code}\n{ended.out}\n{ended.err}"
    return ended


def fork(work: Callable[[], None]) -> Callable[[], int]:
    """Begin `work` in a forked process. What is returned waits for its exit code, negative after a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool], timeout: float = 300) -> None:
    """Wait for something that a live process does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def summary(directory: Path) -> Any:
    return json.loads((directory / "summary.json").read_text())


def best_model(directory: Path) -> Mapping[str, np.ndarray]:
    return np.load(directory / "best_model.npy", allow_pickle=True).item()  # type: ignore[no-any-return]


def metrics(directory: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv as they are written, without the times."""
    with (directory / "metrics.csv").open(newline="") as file:
        return [{key: row[key] for key in row if key not in TIMES} for row in csv.DictReader(file)]


def checkpoint(directory: Path) -> dict[str, np.ndarray]:
    """The arrays of the checkpoint: parameters, best parameters, optimizer state."""
    with np.load(directory / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files if name != "progress"}


def assert_same_bits(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert actual[name].tobytes() == array.tobytes(), f"{name} differs"


def assert_same_run(actual: Path, expected: Path) -> None:
    """Both runs have the same weights, optimizer state, best model, rows of metrics and scores, to the last bit."""
    assert_same_bits(checkpoint(actual), checkpoint(expected))
    assert_same_bits(best_model(actual), best_model(expected))
    assert metrics(actual) == metrics(expected)
    scores = [
        {key: value for key, value in summary(run).items() if "seconds" not in key}
        | dict.fromkeys(("started", "environment", "timing"))
        for run in (actual, expected)
    ]
    assert scores[0] == scores[1]
