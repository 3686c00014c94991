"""A second process that loads matplotlib while the network trains, so that the plots are ready soon after the end.

Loading takes as long as drawing. It cannot be hidden in a thread: imports and training want the same interpreter.
"""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds for five pictures; then the run draws them itself
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from mlp.report.painter import work; work(sys.argv[2])"


class Painter:
    """Draws the plots of a run directory in the other process, if that was started.

    A help, never a need: where the process is missing, or fails for whatever reason, `draw` says so, and the plots
    are to be drawn as they always can be.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self, directory: Path) -> None:
        """Start the process for a run directory with a metrics.csv in it. Does nothing the second time."""
        if self._process is None:
            command = [sys.executable, "-P", "-c", PROGRAM, str(ROOT), str(directory.absolute())]
            pipe = subprocess.PIPE
            with suppress(OSError):
                self._process = subprocess.Popen(  # in a group of its own: Ctrl-C is for the program that waits
                    command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, process_group=0
                )

    def draw(self) -> bool:
        """Draw all plots, and return when they are there; False if that is left to the caller."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return False
        try:
            self._process.stdin.write("draw\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
            return bool(ready) and self._process.stdout.readline() == "drawn\n"
        except OSError:
            return False

    def close(self) -> None:
        """End the process, in the middle of a picture too."""
        if self._process is not None:
            for ending in (signal.SIGTERM, signal.SIGKILL):  # the second for one that is stopped, or stuck
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, ending)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)
                    break
            with suppress(OSError), self._process:  # closes the pipes
                pass
            self._process = None


def work(directory: str) -> None:
    """The other process: load, wait for the word, draw, answer. Ends when its starter does."""
    from mlp.report import run_plots

    run_dir = Path(directory)
    with suppress(Exception):  # fills matplotlib's caches of fonts and glyphs
        run_plots.curves(run_plots.read_metrics(run_dir / "metrics.csv"), {}).savefig(io.BytesIO())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave no half of a file
    if sys.stdin.readline() != "draw\n":
        return
    if _draw_in_two(run_dir):
        print("drawn", flush=True)
        os._exit(0)  # taking matplotlib apart would only keep the starter waiting


def _draw_in_two(run_dir: Path) -> bool:
    """Draw the plots of a run, half of them in a forked process; whether all succeeded."""
    from mlp.report import run_plots

    plots = run_plots.plots(run_dir)
    middle = len(plots) // 2
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run_plots.save_all(plots[:middle])
            status = 0
        finally:
            os._exit(status)
    run_plots.save_all(plots[middle:])
    return os.waitpid(child, 0)[1] == 0
