"""Runs that were made without a tracker, sent to one afterwards."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlp.base.errors import UserError
from mlp.report.read import RunFiles, build_option
from mlp.runs.listing import clean
from mlp.runs.select import Row
from mlp.tracking import TrackioTracker
from mlp.tracking.wandb_session import one_line

COUNTS = ("epoch", "step")  # columns of whole numbers


def tracked_run(row: Row) -> Any:
    """What a tracker reads of the run of a row, from its files; there is no network, as the weights of each epoch are
    gone. Raises UserError for files that cannot be read."""
    run = RunFiles(Path(row["path"]))
    columns = run.metrics
    history = [
        {name: int(value) if name in COUNTS else float(value) for name, value in zip(columns, values, strict=True)
         if math.isfinite(value)}
        for values in zip(*columns.values(), strict=True)
    ]  # fmt: skip
    if not history:
        raise UserError("its metrics.csv has no epoch")
    return SimpleNamespace(
        directory=run.directory, config=run.config, network=None, history=history, metrics=history[-1],
        epoch=len(history), status=row["state"], exit_code=0, summary=run.summary,
    )  # fmt: skip


def to_trackio(rows: Sequence[Row], project: str) -> str:
    """Copy every epoch, the results, the confusion matrix, plots and models of runs to Trackio, each run once.

    Raises UserError for a wrong name of a project, or where Trackio is not installed.
    """
    lines, sent = [], 0
    for row in reversed(rows):  # the oldest first
        tracker = build_option(
            "tracker", "trackio", TrackioTracker, project=project, group=row["search"], name=row["name"]
        )
        name = clean(row["name"])
        if row["state"] in ("running", "damaged") or not row["epoch"]:
            why = f"it is {row['state']}" if row["epoch"] else "it has no finished epoch"
            lines.append(f"{name}: not sent, {why}")
        elif tracker.knows(Path(row["path"])):
            lines.append(f"{name}: is there already")
        else:
            try:
                run = tracked_run(row)
            except UserError as error:
                lines.append(f"{name}: not sent, {clean(str(error))}")
                continue
            tracker.start(run)
            try:
                for metrics in run.history:
                    tracker.log_epoch(int(metrics["epoch"]), metrics)
                tracker.log_results(run)
            except (UserError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # of a stranger's files
                lines.append(f"{name}: sent in parts, its files do not go together: {clean(one_line(error))}")
            else:
                sent += 1
                lines.append(f"{name}: sent, {row['epoch']} epochs")
            finally:
                tracker.finish(run)
    return "\n".join(
        [*lines, f"{sent} of {len(rows)} runs sent. Look: trackio show --project {shlex.quote(project)}"]
    )
