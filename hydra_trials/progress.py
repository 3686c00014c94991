"""How far a search is: a live status area on a terminal and in notebooks, else a line for each finished trial."""

from __future__ import annotations

import heapq
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.files import escaped
from hydra_trials.search import REASON, Search, counts, rounded, seconds, state

if TYPE_CHECKING:
    from rich.live import Live

REFRESH_SECONDS = 0.5
MOST_RUNNING = 8  # trials with a line of their own
STATUS = "HYDRA_TRIALS_STATUS"  # of the environment: who reads the output shows the status lines itself
MARK = "\x1e"  # before them, as a JSON list
COLOURS = re.compile(r"(?:\x1b|\\x1b)\[[\d;]*m")  # as they are, and as a program's stderr writes them out


class Progress:
    """Shows the state of a search whenever `refresh` is called, until `close`, which a terminal needs.

    On a terminal standard output and error lead to a file meanwhile, for this process and for those that it starts:
    what they write is shown above the status area, which their own lines would tear apart. `step` is what trials
    count, such as epochs. A notebook starts the search with STATUS set and shows what `status_of` finds in its lines.
    """

    def __init__(self, search: Search, workers: int, step: str = "step") -> None:
        self._search, self._workers, self._step = search, workers, step
        self._printed = {trial.number for trial in search.trials() if trial.state.is_finished()}
        self._due = 0.0
        self._live: Live | None = None
        self._marked = bool(os.environ.get(STATUS))
        if sys.stdout.isatty() and os.isatty(1):
            from rich.console import Console
            from rich.live import Live

            _flush()
            self._streams = {number: os.dup(number) for number in (1, 2) if os.isatty(number)}
            self._written, self._relayed = tempfile.TemporaryFile(buffering=0), 0  # noqa: SIM115 - until `close`
            for number in self._streams:
                os.dup2(self._written.fileno(), number)
            terminal = os.fdopen(self._streams[1], "w", encoding=sys.stdout.encoding, closefd=False)
            self._live = Live(
                console=Console(file=terminal), auto_refresh=False, transient=True, redirect_stdout=False,
                redirect_stderr=False,
            )  # fmt: skip
            self._live.start()

    def refresh(self) -> None:
        """Show what is new."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + REFRESH_SECONDS
        self._relay()
        trials = self._search.trials()
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._printed:
                self._printed.add(trial.number)
                self._print(self._line(trial))
        if self._live is not None:
            from rich.console import ConsoleDimensions
            from rich.text import Text

            text = Text("\n".join(self.status(trials)), no_wrap=True, overflow="ellipsis")
            text.highlight_regex(r"(?m)^\d.*$", "bold")
            text.highlight_regex(r"(?m)^best ", "green")
            self._live.console.size = ConsoleDimensions(*os.get_terminal_size(self._streams[1]))
            self._live.update(text, refresh=True)
        elif self._marked:
            print(f"{MARK}{json.dumps(self.status(trials))}", flush=True)

    def status(self, trials: list[FrozenTrial]) -> list[str]:
        """How many are done and left, and how long these take; what runs, how far, with which score; the best."""
        found = counts(trials)
        text = "  ".join(f"{found[name]} {name}" for name in ("done", "running", "pruned", "failed"))
        left = found["waiting"] + found["running"]
        expected = time_left(trials, found["waiting"], self._workers, datetime.now())
        known = any(seconds(trial) is not None for trial in trials)
        time_ = f", about {clock(expected)}" if known else ", time not known yet"
        lines = [f"{text}  {left} left{time_ if left else ''}"]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        lines += [self._running(trial) for trial in running[:MOST_RUNNING]]
        if len(running) > MOST_RUNNING:
            lines.append(f"and {len(running) - MOST_RUNNING} more")
        return lines + self._best(trials)

    def _best(self, trials: Sequence[FrozenTrial]) -> list[str]:
        """The best trial; of several objectives how large the Pareto front is, and who is best in each of them."""
        best, names = self._search.best(trials), self._search.objectives
        if best is None or not best.values:
            return []
        if len(names) == 1:
            return [f"best trial {best.number}: {names[0]} {best.values[0]:.4g}  [{self._point(best)}]"]
        numbers = self._search.pareto_front()
        front = [t for t in trials if t.number in numbers and t.values and all(map(math.isfinite, t.values))]
        lines = [f"Pareto front: {len(front)} of {counts(trials)['done']} completed trials"]
        for place, name in enumerate(names if front else []):
            sign = 1 if self._search.minimizes(place) else -1
            first = min(front, key=lambda trial: sign * trial.values[place])
            lines.append(f"best {name}: trial {first.number}: {self._values(first)}  [{self._point(first)}]")
        return lines

    def _values(self, trial: FrozenTrial) -> str:
        values = zip(self._search.objectives, trial.values or [], strict=False)
        return ", ".join(f"{name} {value:.4g}" for name, value in values)

    def _running(self, trial: FrozenTrial) -> str:
        step = trial.last_step
        far = "begun" if step is None else f"{self._step} {step}, {trial.intermediate_values[step]:.4g}"
        return f"trial {trial.number}: {far}  [{self._point(trial)}]"

    def _point(self, trial: FrozenTrial) -> str:
        """What was varied, by the last parts of the names."""
        varied = self._search.varied(trial)
        return " ".join(f"{key.rpartition('.')[2]}={rounded(value)}" for key, value in varied.items())

    def _relay(self, ended: bool = False) -> None:
        """Show the lines that were written meanwhile; the last one when it is whole, or all has `ended`."""
        if self._live is None:
            return
        new = os.pread(self._written.fileno(), 1 << 20, self._relayed)
        whole = new if ended or len(new) == 1 << 20 else new[: new.rfind(b"\n") + 1]
        self._relayed += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            line = COLOURS.sub("", line)
            self._print("".join(character for character in line if character.isprintable()))

    def _line(self, trial: FrozenTrial) -> str:
        word = state(trial)
        text = self._values(trial)
        why = trial.user_attrs.get(REASON, "")
        again = " (runs again)" if word == "lost" else ""
        point = self._search.point(trial)
        return f"trial {trial.number} {word}: {'; '.join(part for part in (text, why) if part)}{again}  [{point}]"

    def _print(self, line: str) -> None:
        line = escaped(line)
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Show the last state, and leave the terminal as it was: also where the record cannot be read any more."""
        self._due = 0.0
        try:
            _flush()
            self.refresh()
        finally:
            if self._live is not None:
                self._relay(ended=True)
                self._live.stop()
                self._live = None
                for number, own in self._streams.items():
                    os.dup2(own, number)
                    os.close(own)
                self._written.close()


def status_of(line: str) -> tuple[str, list[str] | None]:
    """A line of a search that was started with STATUS: its text, and the status lines if it holds them."""
    text, _, marked = line.partition(MARK)
    try:
        return text, json.loads(marked)
    except ValueError:  # another's
        return line, None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def time_left(trials: Sequence[FrozenTrial], waiting: int, workers: int, now: datetime) -> float:
    """Seconds until all trials have ended if each takes as long as those that have did on average; 0: not known.

    It never climbs while nothing ends: a trial that takes longer is expected to end at once.
    """
    took = [duration for trial in trials if (duration := seconds(trial)) is not None]
    if not took:
        return 0.0
    mean = statistics.fmean(took)
    begun = [t.datetime_start for t in trials if t.state == TrialState.RUNNING and t.datetime_start is not None]
    ends = [max(0.0, mean - (now - start).total_seconds()) for start in begun]
    ends += [0.0] * (workers - len(ends))  # of those that are about to take a trial
    heapq.heapify(ends)
    for _ in range(waiting):
        heapq.heapreplace(ends, ends[0] + mean)
    return max(ends)


def clock(duration: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
