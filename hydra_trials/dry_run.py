"""What a search would run, and about how long it would take."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from hydra_trials.definition import Definition
from hydra_trials.files import shown
from hydra_trials.migration import Migration, check_same
from hydra_trials.progress import clock
from hydra_trials.study import SEARCH_FILE, Search, counts, seconds


def plan(definition: Definition, directory: Path, estimated: float | None) -> str:
    """The plan of a search as text; nothing is run or written.

    Args:
        definition: the search.
        directory: where it is or would be.
        estimated: the seconds that a trial may take, if none has been run yet.
    """
    planned = definition.planned()
    found: Mapping[str, int] = {"done": 0, "pruned": 0, "failed": 0}
    took: list[float] = []
    if (directory / SEARCH_FILE).exists():
        search = Search(directory)
        check_same(directory, search.description, definition)
        migration = Migration(directory, search.description, definition)
        trials = [migration.migrate(trial) for trial in search.trials()]
        found = counts(trials)
        took = [duration for trial in trials if (duration := seconds(trial)) is not None]
    done, failed = found["done"] + found["pruned"], found["failed"]
    left = max(0, planned - done - failed)
    node = definition.node
    before = f"{done} done, {failed} failed: {node}.retry_failed=true runs them again" if failed else f"{done} done"
    per_trial = statistics.fmean(took) if took else estimated
    duration_text = (
        "nobody knows how long"
        if per_trial is None
        else f"about {clock(per_trial * left / definition.workers)} without pruning, {clock(per_trial)} a trial"
    )
    aims = zip(definition.directions, definition.objectives, strict=True)
    return "\n".join(
        [
            f"Search {definition.name}: {planned} trial{'s' * (planned != 1)} by {definition.sampler}"
            + (f", each on {definition.seeds} seeds" if definition.seeds > 1 else "")
            + (f"; pruner {definition.pruner}" if definition.pruner != "none" else ""),
            f"Directory: {shown(directory)}",
            f"Objectives: {', '.join(f'{direction} {name}' for direction, name in aims)}",
            "Space:" if len(definition.space) else "Space: a single point",
            *(f"  {key}: {line}" for key, line in definition.space.describe().items()),
            *([f"Fixed: {' '.join(definition.fixed)}"] if definition.fixed else []),
            f"{left} to run ({before}), {definition.workers} at a time: {duration_text}",
            f"Nothing was run: {node}.dry_run=true.",
        ]
    )
