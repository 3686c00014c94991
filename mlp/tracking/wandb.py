"""Weights & Biases: a copy of a run's numbers, plots and best model, sent online or kept offline beside the run."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlp.base.errors import unknown
from mlp.base.naming import flat
from mlp.config.files import read_mapping
from mlp.tracking import record, wandb_session
from mlp.tracking.record import TrackedRun
from mlp.tracking.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(eq=False)
class WandbTracker(Tracker):
    """A callback that tracks the run in Weights & Biases.

    mode "auto" follows WANDB_MODE and wandb's own settings. It is online if these allow it, the user is logged in
    and the server answers; in every other case the files stay in `<run directory>/wandb` for a later `wandb sync`.
    Nothing is asked, and nothing but one log line is printed.

    The start costs about 0.5 s in the first run of a process (0.3 s of it `import wandb`), 10 ms in the next ones.
    A thread that hides it behind the first epoch was measured to save 0.15 s: wandb's imports and the training
    compete for the interpreter. It is not worth a thread.
    """

    package = "wandb"

    project: str = "numpy-mlp"
    entity: str | None = None
    mode: str = "auto"
    group: str | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    job_type: str = "train"
    notes: str | None = None
    log_model: bool = True
    log_plots: bool = True
    timeout: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in wandb_session.MODES:
            raise ValueError(unknown("mode", str(self.mode), wandb_session.MODES))
        tags = self.tags
        if isinstance(tags, str) or not all(isinstance(tag, str) and 0 < len(tag) <= 64 for tag in tags):
            raise ValueError(f"tags must be a list of strings of 1 to 64 characters. Got {tags!r}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds. Got {self.timeout}")
        wandb_session.project_name(self.project)

    def start(self, run: TrackedRun) -> bool:
        if (wandb_session.wanted_mode() if self.mode == "auto" else self.mode) == "disabled":
            return False  # without the import of wandb
        plan = wandb_session.plan(self.mode, self.timeout, run.directory)
        if plan.mode == "disabled":
            return False
        stored = self.stored_id(run.directory)
        self.session, plan = wandb_session.start(
            plan,
            run.directory,
            self.timeout,
            stored,
            project=self.project,
            entity=self.entity,
            group=self.group,
            name=self.name or plan.settings.run_name or record.run_name(run.directory),
            tags=tuple(self.tags) or None,
            job_type=self.job_type,
            notes=self.notes,
            config=beside_swept(run.config, plan.settings.sweep_param_path),
        )
        self.store_id(run.directory, self.session.id)
        self.session.define_metric("epoch")
        self.session.define_metric("*", step_metric="epoch")
        files = shlex.quote(str(wandb_session.files_of(self.session)))
        if plan.mode == "online":
            log.info("W&B: %s (files: %s)", self.session.url, files)
        else:
            level = logging.WARNING if self.mode == "online" or plan.refused else logging.INFO
            log.log(level, "W&B is offline (%s). Upload with: wandb sync %s", plan.reason, files)
        return bool(stored == self.session.id)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        # A resumed online run goes on after the last step that the server knows.
        step = max(epoch, self.session.step)
        self.session.log({"epoch": epoch, **metrics}, step=step, commit=True)

    def finish(self, run: TrackedRun) -> None:
        wandb_session.finish(self.session, run.exit_code)

    def log_results(self, run: TrackedRun) -> None:
        import wandb

        wandb_run = self.session
        wandb_run.summary.update({**run.summary, "status": run.status})
        with wandb_session.staged_in(run.directory):
            charts: dict[str, Any] = dict(_curves(run.history))
            if (found := record.predictions(run.directory)) is not None:
                y_true, y_pred, names = found
                charts["confusion_matrix"] = wandb.plot.confusion_matrix(
                    y_true=y_true.tolist(), preds=y_pred.tolist(), class_names=names, title="Confusion matrix (test)"
                )
            if self.log_plots:
                for image in record.pictures(run.directory):
                    charts[f"plots/{image.stem}"] = wandb.Image(str(image))
            if charts:
                wandb_run.log(charts)

            if self.log_model and (files := record.model_files(run.directory)):
                name = re.sub(r"[^\w.-]", "-", f"model-{wandb_run.id}", flags=re.ASCII)[:128]
                artifact = wandb.Artifact(name, type="model", metadata=dict(run.summary))
                for file in files:
                    artifact.add_file(str(file))
                wandb_run.log_artifact(artifact)


def _curves(rows: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, Any]]:
    """One chart for each family of metrics: train and val of one measure, or one measure of all layers."""
    import wandb

    families: dict[str, list[str]] = {}
    for name in rows[0] if rows else ():
        if all(name in row for row in rows):
            families.setdefault(re.sub(r"^(train|val)_|_\d+$", "", name), []).append(name)
    for family, names in families.items():
        if len(names) > 1:
            yield (
                f"curves/{family}",
                wandb.plot.line_series(
                    xs=[row["epoch"] for row in rows],
                    ys=[[row[name] for row in rows] for name in names],
                    keys=names,
                    title=family,
                    xname="epoch",
                ),
            )


def beside_swept(config: Mapping[str, Any], swept: str | None) -> dict[str, Any]:
    """The configuration as a sweep's agent leaves room for it.

    The agent's file `swept` holds what it has chosen, as `optimizer: adam` and `optimizer.learning_rate: 0.1`, and
    wandb drops every other value of these keys: the mapping `optimizer` would be lost. So it is written flat.
    """
    chosen = set(read_mapping(Path(swept))) if swept and Path(swept).is_file() else set()
    return {name: value for name, value in flat(config) if name not in chosen} if chosen else dict(config)
