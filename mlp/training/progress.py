"""What a training says of itself while it goes on: a live line within an epoch, and a line for each finished one."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time

from mlp.training.run import Callback, Run

log = logging.getLogger(__name__)

LEAST_BAR = 6  # characters; with less room for it, the line is written shorter
WIDEST = 120


class ProgressBar(Callback):
    """A line per epoch, and within the epoch a live one, on a terminal and in Jupyter, unless others write there too.

    It is one line that is written over, of the same width throughout: nothing that a kill would leave behind.
    """

    REFRESH = 0.1  # seconds

    def __init__(self, bar: bool = True) -> None:
        self._wanted = bar
        self._live = False
        self._width = 0  # of the line that is shown; 0: none
        self._due = self._began = 0.0
        self._loss = 0.0
        self._batches = self._finished = 0
        self._took = 0.0  # the finished epochs together

    def on_run_start(self, run: Run) -> None:
        self._live = self._wanted and (sys.stdout.isatty() or in_jupyter())
        self._began = time.perf_counter()

    def on_batch_end(self, run: Run) -> None:
        if not self._live:
            return
        self._loss += run.batch_loss
        self._batches += 1
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + self.REFRESH
            columns = shutil.get_terminal_size().columns - 1  # a full line would move the cursor to the next one
            line = self.line(run, now, min(columns, WIDEST))
            self._clear(len(line))
            print(f"\r{_colored(line)}", end="", flush=True)
            self._width = len(line)

    def line(self, run: Run, now: float, width: int) -> str:
        """The live line: the epoch, how much of it is done, the mean loss and the accuracy of its batches so far, and
        how long the epoch and the run will still take. It has `width` characters."""
        epoch = now - self._began
        left = epoch / self._batches * (run.steps_per_epoch - self._batches)
        mean = (self._took + epoch + left) / (self._finished + 1)
        rest = left + mean * (run.epochs - run.epoch - 1)
        counts = run.confusion
        accuracy = 0.0 if counts is None else float(counts.trace() / max(1, counts.sum()))
        loss, done = self._loss / self._batches, self._batches / run.steps_per_epoch
        number = f"{run.epoch + 1:>{len(str(run.epochs))}}/{run.epochs}"
        last = f"val acc {100 * run.metrics['val_accuracy']:6.2f} %  " if "val_accuracy" in run.metrics else " " * 18
        scores, times = (
            f"  loss {fixed(loss)}  acc {100 * accuracy:6.2f} %  ",
            f"epoch {clock(left)}, run {clock(rest)}",
        )
        texts = (
            (f"epoch {number} ", f"{scores}{last}left: {times}"),
            (f"epoch {number} ", f"{scores}left: {times}"),
            (f"{number} ", f" loss {fixed(loss)} acc {100 * accuracy:5.1f} % left {clock(left)}, run {clock(rest)}"),
        )
        for before, after in texts:
            room = width - len(before) - len(after)
            if room >= LEAST_BAR:
                break
        return (before + bar(done, room) + after)[:width].ljust(width)

    def _clear(self, width: int = 0) -> None:
        """Take a line away that was wider than `width`: the terminal has become narrower, or the epoch has ended."""
        if self._width > width:
            # Blanks, as a notebook knows no more; on a terminal the whole line, with the ^C that it may have shown.
            simple = not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
            print(f"\r{' ' * self._width}\r", end="" if simple else "\x1b[2K", flush=True)
            self._width = 0

    def on_epoch_end(self, run: Run) -> None:
        self._clear()
        now = time.perf_counter()
        self._took, self._finished = self._took + now - self._began, self._finished + 1
        self._loss, self._batches, self._began = 0.0, 0, now
        m = run.metrics
        validation = (
            f"val loss {m['val_loss']:.4f} acc {100 * m['val_accuracy']:.2f} % F1 {100 * m['val_f1']:.2f} % | "
            if "val_f1" in m
            else ""
        )
        log.info(
            "epoch %*d/%d | train loss %.4f acc %.2f %% | %s%.1f s, %s samples/s%s",
            len(str(run.epochs)), run.epoch, run.epochs, m["train_loss"], 100 * m["train_accuracy"], validation,
            m["seconds"], f"{m['samples_per_second']:,.0f}",
            " | best" if run.best_epoch == run.epoch and run.best_value is not None else "",
        )  # fmt: skip

    def on_run_end(self, run: Run) -> None:
        self._clear()


def in_jupyter() -> bool:
    """Whether what is printed goes to a notebook, which knows how to write over a line."""
    return type(sys.stdout).__module__.startswith("ipykernel.")


def bar(done: float, width: int) -> str:
    """`━━━━────`"""
    full, empty = ("━", "─") if "utf" in (sys.stdout.encoding or "").lower() else ("#", "-")
    filled = round(done * max(0, width))
    return full * filled + empty * (max(0, width) - filled)


def _colored(line: str) -> str:
    """The line with its bar in colour, where colours are wanted: NO_COLOR and TERM=dumb switch them off."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    start, end = line.find("━"), line.rfind("━") + 1
    return line if start < 0 else f"{line[:start]}\x1b[32m{line[start:end]}\x1b[0m{line[end:]}"


def fixed(loss: float) -> str:
    """A loss in six characters: `0.1234`, `12.345`, `123456`, `1e+08 `."""
    if not math.isfinite(loss) or abs(loss) >= 1e6:
        return f"{loss:<6.0e}"
    return f"{loss:.4f}"[:6].ljust(6)


def clock(seconds: float) -> str:
    """A time left in five characters: ` 0:07`, `12:34`, `3h05m`, `days`."""
    whole = math.ceil(seconds) if math.isfinite(seconds) else 1_000_000
    if whole < 3600:
        return f"{whole // 60:2d}:{whole % 60:02d}"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"[:5] if whole < 36_000 else f"{min(whole // 3600, 9999):4d}h"
