"""Weights & Biases: a copy of a run's numbers, plots and best model, sent online or kept offline beside the run."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlp.errors import unknown
from mlp.tracking import session

if TYPE_CHECKING:
    from wandb import Run as WandbRun

log = logging.getLogger(__name__)

MODEL_FILES = ("best_model.npy", "best_config.json")
ID_FILE = "wandb_id.txt"


class TrackedRun(Protocol):
    """What a tracker reads of a training run."""

    @property
    def directory(self) -> Path: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def history(self) -> Sequence[Mapping[str, float]]: ...
    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


class WandbTracker:
    """A callback that tracks the run in Weights & Biases.

    mode "auto" follows WANDB_MODE and wandb's own settings. It is online if these allow it, the user is logged in
    and the server answers; in every other case the files stay in `<run directory>/wandb` for a later `wandb sync`.
    Nothing is asked, nothing but one log line is printed, and what goes wrong in here never stops the training.

    The start costs about 0.5 s in the first run of a process (0.3 s of it `import wandb`), 10 ms in the next ones.
    A thread that hides it behind the first epoch was measured to save 0.15 s: wandb's imports and the training
    compete for the interpreter. It is not worth a thread.
    """

    def __init__(
        self,
        project: str = "numpy-mlp",
        entity: str | None = None,
        mode: str = "auto",
        group: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        job_type: str = "train",
        notes: str | None = None,
        log_model: bool = True,
        log_plots: bool = True,
        timeout: float = 30.0,
    ) -> None:
        if mode not in session.MODES:
            raise ValueError(unknown("mode", str(mode), session.MODES))
        if isinstance(tags, str) or not all(isinstance(tag, str) and 0 < len(tag) <= 64 for tag in tags):
            raise ValueError(f"tags must be a list of strings of 1 to 64 characters. Got {tags!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds. Got {timeout}")
        self.project = session.project_name(project)
        self.entity = entity
        self.mode = mode
        self.group = group
        self.name = name
        self.tags = tuple(tags)
        self.job_type = job_type
        self.notes = notes
        self.log_model = log_model
        self.log_plots = log_plots
        self.timeout = timeout
        self._run: WandbRun | None = None
        self._failed = False

    def on_run_start(self, run: TrackedRun) -> None:
        self._run, self._failed = None, False
        mode = session.wanted_mode() if self.mode == "auto" else self.mode
        if mode != "disabled":
            with self._harmless("start"):
                self._start(run)

    def on_batch_end(self, run: TrackedRun) -> None:
        """An epoch is the unit here: what changes faster belongs in a file of the run directory."""

    def on_epoch_end(self, run: TrackedRun) -> None:
        if self._run is None or self._failed:
            return
        with self._harmless("log an epoch"):
            # A resumed online run goes on after the last step that the server knows.
            step = max(run.epoch, self._run.step)
            self._run.log({"epoch": run.epoch, **run.metrics}, step=step, commit=True)

    def on_run_end(self, run: TrackedRun) -> None:
        if self._run is None:
            return
        with self._harmless("log the results"):
            if not self._failed:
                self._log_results(self._run, run)
        with self._harmless("finish"):
            session.finish(self._run, run.exit_code)
        self._run = None

    @contextmanager
    def _harmless(self, doing: str) -> Iterator[None]:
        """Whatever goes wrong inside costs the copy in W&B, never the run: say so once, then keep quiet."""
        try:
            yield
        except Exception as error:
            if not self._failed:
                log.warning("W&B could not %s; the run goes on without it. %s", doing, session.one_line(error))
            self._failed = True

    def _start(self, run: TrackedRun) -> None:
        plan = session.plan(self.mode, self.timeout, run.directory)
        if plan.mode == "disabled":
            return
        self._run, plan = session.start(
            plan,
            run.directory,
            self.timeout,
            _stored_id(run.directory),
            project=self.project,
            entity=self.entity,
            group=self.group,
            name=self.name or plan.settings.run_name or "/".join(run.directory.absolute().parts[-2:]),
            tags=self.tags or None,
            job_type=self.job_type,
            notes=self.notes,
            config=_beside_swept(run.config, plan.settings.sweep_param_path),
        )
        (run.directory / ID_FILE).write_text(f"{self._run.id}\n")
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        files = shlex.quote(str(session.files_of(self._run)))
        if plan.mode == "online":
            log.info("W&B: %s (files: %s)", self._run.url, files)
        else:
            level = logging.WARNING if self.mode == "online" or plan.refused else logging.INFO
            log.log(level, "W&B is offline (%s). Upload with: wandb sync %s", plan.reason, files)

    def _log_results(self, wandb_run: WandbRun, run: TrackedRun) -> None:
        import wandb

        wandb_run.summary.update({**run.summary, "status": run.status})
        with session.staged_in(run.directory):
            charts: dict[str, Any] = dict(_curves(run.history))
            predictions = run.directory / "predictions.npz"
            if predictions.exists():
                charts["confusion_matrix"] = _confusion_matrix(predictions)
            if self.log_plots:
                for image in sorted((run.directory / "plots").glob("*.png")):
                    charts[f"plots/{image.stem}"] = wandb.Image(str(image))
            if charts:
                wandb_run.log(charts)

            files = [run.directory / name for name in MODEL_FILES if (run.directory / name).exists()]
            if self.log_model and files:
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


def _confusion_matrix(predictions: Path) -> Any:
    import numpy as np
    import wandb

    with np.load(predictions) as arrays:
        return wandb.plot.confusion_matrix(
            y_true=arrays["y_true"].tolist(),
            preds=arrays["y_pred"].tolist(),
            class_names=arrays["class_names"].tolist(),
            title="Confusion matrix (test)",
        )


def _beside_swept(config: Mapping[str, Any], swept: str | None) -> dict[str, Any]:
    """The configuration as a sweep's agent leaves room for it.

    The agent's file `swept` holds what it has chosen, as `optimizer: adam` and `optimizer.learning_rate: 0.1`, and
    wandb drops every other value of these keys: the mapping `optimizer` would be lost. So it is written flat.
    """
    from omegaconf import OmegaConf

    chosen = set(OmegaConf.load(swept)) if swept and Path(swept).is_file() else set()
    return {name: value for name, value in _flat(config) if name not in chosen} if chosen else dict(config)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _stored_id(directory: Path) -> str | None:
    """The W&B id of the run that this directory belongs to, if it was tracked before: a resumed run continues it."""
    try:
        return (directory / ID_FILE).read_text().strip() or None
    except OSError:
        return None
