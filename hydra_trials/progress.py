"""How far a search is: a live line on a terminal, a line for each finished trial elsewhere."""

from __future__ import annotations

import heapq
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from hydra_trials.files import escaped
from hydra_trials.study import REASON, Search, counts, seconds, state

if TYPE_CHECKING:
    from rich.live import Live

REFRESH_SECONDS = 0.5


class Progress:
    """Shows the state of a search whenever `refresh` is called, until `close`, which a terminal needs."""

    def __init__(self, search: Search, workers: int) -> None:
        self._search, self._workers = search, workers
        self._printed = {trial.number for trial in search.trials() if trial.state.is_finished()}
        self._due = 0.0
        self._live: Live | None = None
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()

    def refresh(self) -> None:
        """Show what is new."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + REFRESH_SECONDS
        trials = self._search.trials()
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._printed:
                self._printed.add(trial.number)
                self._print(self._line(trial))
        if self._live is not None:
            self._live.update(self.status(trials), refresh=True)

    def status(self, trials: list[FrozenTrial]) -> str:
        """done, running, pruned, failed, best so far, time left."""
        found = counts(trials)
        text = "  ".join(f"{found[name]} {name}" for name in ("done", "running", "pruned", "failed"))
        best = self._search.best(trials)
        if best is not None and best.values:
            name = self._search.objectives[0]
            text += f"  best {name} {best.values[0]:.4g} (trial {best.number})"
        text += f"  {found['waiting'] + found['running']} left"
        expected = time_left(trials, found["waiting"], self._workers, datetime.now())
        return text + (f", about {clock(expected)}" if expected >= 1 else "")

    def _line(self, trial: FrozenTrial) -> str:
        word = state(trial)
        values = dict(zip(self._search.objectives, trial.values or [], strict=False))
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
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
        """Show the last state, and leave the terminal as it was."""
        self._due = 0.0
        self.refresh()
        if self._live is not None:
            self._live.stop()
            self._live = None


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
