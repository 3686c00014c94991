"""Trackio: runs in a SQLite file of this machine, seen in a dashboard of this machine. Nothing is sent anywhere."""

from __future__ import annotations

import io
import logging
import re
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlp.tracking import record
from mlp.tracking.record import TrackedRun
from mlp.tracking.tracker import LOSS, Tracker

log = logging.getLogger(__name__)

RENAMED = {"step": "steps"}  # Trackio's own word for what is the epoch here


@dataclass(eq=False)
class TrackioTracker(Tracker):
    """A callback that tracks the run with Trackio, in its folder: TRACKIO_DIR, or a cache in the user's home.

    `trackio show` shows all projects. Variables that would send runs elsewhere (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL)
    are not read. An epoch that is trained again after a kill, to other bits, is there twice.
    """

    package = "trackio"

    project: str = "numpy-mlp"
    group: str | None = None
    name: str | None = None
    histograms: bool = True
    log_model: bool = True
    log_plots: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[\w -]{1,128}", self.project):
            raise ValueError(f"project must be 1 to 128 letters, digits, blanks, - or _. Got {self.project!r}")

    def start(self, run: TrackedRun) -> bool:
        import trackio

        class LocalRun(trackio.Run):  # type: ignore[misc]  # without types
            """trackio.init() would ask Hugging Face who the user is, and print."""

            problem = ""

            def _get_username(self) -> None:
                return None

            def _warn_once(self, key: str, message: str) -> None:
                self.problem = self.problem or message

        stored, known = self.stored_id(run.directory), self.knows(run.directory)
        with _silence():
            self.session = LocalRun(
                url=None,
                project=self.project,
                client=None,
                name=self.name or record.run_name(run.directory),
                run_id=stored,
                group=self.group,
                config=record.parameters(run),
            )
        self.store_id(run.directory, self.session.id)
        log.info("Trackio: trackio show --project %s", shlex.quote(self.project))
        return known

    def knows(self, directory: Path) -> bool:
        """Whether the run is in Trackio's folder, which may be another one than before."""
        import trackio

        stored = self.stored_id(directory)
        try:
            return stored is not None and any(run.id == stored for run in trackio.Api().runs(self.project))
        except ValueError:  # there is no such project
            return False

    def losses(self) -> dict[int, float]:
        from trackio.sqlite_storage import SQLiteStorage

        rows = SQLiteStorage.get_metric_values(self.project, None, LOSS, run_id=self.session.id)
        return {row["step"]: row["value"] for row in rows}

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        self.session.log(dict(values), step=step)
        self._check()

    def _check(self) -> None:
        """Trackio writes in a thread, whose failures it only warns of."""
        if self.session.problem:
            raise RuntimeError(self.session.problem)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._log({RENAMED.get(name, name): value for name, value in metrics.items()}, epoch)

    def log_parameters(self, run: TrackedRun) -> None:
        import trackio

        if self.histograms:
            pairs = ((name, (counts, edges)) for name, counts, edges in record.histograms(run))
            self._log({name: trackio.Histogram(np_histogram=pair) for name, pair in pairs}, run.epoch)

    def log_results(self, run: TrackedRun) -> None:
        import trackio

        values: dict[str, Any] = {**record.results(run), "status": run.status}
        if (table := record.confusion_rows(run.directory)) is not None:
            values["confusion_matrix"] = trackio.Table(columns=table[0], data=table[1])
        if self.log_plots:
            values |= {f"plots/{path.stem}": trackio.Image(str(path)) for path in record.pictures(run.directory)}
        self._log(values, run.epoch)
        if self.log_model and (files := record.model_files(run.directory)):
            artifact = trackio.Artifact(f"model-{self.session.id}", type="model", metadata={"run": self.session.name})
            for file in files:
                artifact.add_file(file)
            self.session.log_artifact(artifact)

    def finish(self, run: TrackedRun) -> None:
        with _silence():
            self.session.finish()
        self._check()


def _silence() -> redirect_stdout[io.StringIO]:
    return redirect_stdout(io.StringIO())
