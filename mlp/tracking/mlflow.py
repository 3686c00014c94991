"""MLflow: runs in a SQLite file and a folder of artifacts below ./mlruns, without a server."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp.tracking import record, wandb_session
from mlp.tracking.record import TrackedRun
from mlp.tracking.tracker import LOSS, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

STORE = Path("mlruns")
PARAMETERS = 100  # that MLflow takes at a time


@dataclass(eq=False)
class MLflowTracker(Tracker):
    """A callback that tracks the run in MLflow.

    `tracking_uri` null is MLFLOW_TRACKING_URI, or the file mlruns/mlflow.db of the current folder, which
    `mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db` shows. The runs of a search have its name in the tag
    `group`. MLflow has no histograms. Its pages begin with those of language models: the runs
    are under "Model training".

    A value that MLflow has stays: an epoch that is trained again after a kill, to other bits, is there twice, and the
    later one counts. MLflow's imports take about 3 s in the first run of a process, and the tables of a new file 8 s.
    """

    package = "mlflow"

    experiment: str = "numpy-mlp"
    tracking_uri: str | None = None
    group: str | None = None
    name: str | None = None
    log_model: bool = True
    log_plots: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.experiment.strip():
            raise ValueError(f"experiment must be a name. Got {self.experiment!r}")

    def start(self, run: TrackedRun) -> bool:
        # MLflow reports its usage to its makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        given = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if given and given.startswith("http") and not wandb_session.reachable(given):  # MLflow would try for minutes
            raise ConnectionError(f"no connection to {given}")
        from mlflow import MlflowClient
        from mlflow.entities import RunTag

        for name in ("mlflow", "alembic"):  # which would tell of every table
            logging.getLogger(name).setLevel(logging.WARNING)
        with _alone(None if given else STORE):
            uri = given or f"sqlite:///{STORE}/mlflow.db"
            client = MlflowClient(uri)
            experiment = _experiment(client, self.experiment, None if given else STORE.absolute() / "artifacts")
        stored = self.stored_id(run.directory)
        continued = stored is not None and _known(client, stored)
        if continued:
            self._id = str(stored)
            client.update_run(self._id, status="RUNNING")
        else:
            created = client.create_run(experiment, run_name=self.name or record.run_name(run.directory))
            self._id = created.info.run_id
        self.session = client
        self.store_id(run.directory, self._id)
        tags = {"group": self.group, "directory": str(run.directory.absolute())}
        client.log_batch(self._id, tags=[RunTag(key, value) for key, value in tags.items() if value])
        self._log_parameters_of(run)
        log.info("MLflow: mlflow ui --backend-store-uri %s", shlex.quote(uri))
        return continued

    def _log_parameters_of(self, run: TrackedRun) -> None:
        """The configuration. A parameter of MLflow never changes: those of a resumed run that do become tags too."""
        from mlflow.entities import Param, RunTag

        wanted = {re.sub(r"[^\w\-. :/]", "_", name): str(value) for name, value in record.parameters(run).items()}
        there = self.session.get_run(self._id).data.params
        new = [Param(name, value) for name, value in wanted.items() if name not in there]
        for first in range(0, len(new), PARAMETERS):
            self.session.log_batch(self._id, params=new[first : first + PARAMETERS])
        for name, value in wanted.items():
            if there.get(name, value) != value:
                log.info("Note: MLflow keeps the parameter %s=%s; %s is a tag.", name, there[name], value)
                self.session.log_batch(self._id, tags=[RunTag(name, value)])

    def losses(self) -> dict[int, float]:
        return {metric.step: metric.value for metric in self.session.get_metric_history(self._id, LOSS)}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.session.log_batch(self._id, [Metric(name, float(value), now, epoch) for name, value in metrics.items()])

    def log_results(self, run: TrackedRun) -> None:
        self.log_epoch(0, record.results(run))  # MLflow draws what has no later step as bars
        for key in ("status", "reason"):
            if (value := run.summary.get(key)) or key in self.session.get_run(self._id).data.tags:
                self.session.set_tag(self._id, key, value or "")
        if (table := record.confusion_rows(run.directory)) is not None:
            # What log_table writes, which first looks for an earlier one, with a progress bar.
            self.session.log_dict(self._id, {"columns": table[0], "data": table[1]}, "confusion_matrix.json")
        for file in record.model_files(run.directory) if self.log_model else ():
            self.session.log_artifact(self._id, str(file), "model")
        for file in record.pictures(run.directory) if self.log_plots else ():
            self.session.log_artifact(self._id, str(file), "plots")

    def finish(self, run: TrackedRun) -> None:
        ends = {"completed": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}
        self.session.set_terminated(self._id, ends.get(run.status, "FAILED"))


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """No other run makes the tables of the store in `folder` meanwhile."""
    if folder is None:
        yield
        return
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _experiment(client: MlflowClient, name: str, artifacts: Path | None) -> Any:
    """The id of the experiment, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts and artifacts.as_uri())
        except MlflowException:  # another run may have made it meanwhile
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    return found.experiment_id


def _known(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False
