"""Weights & Biases: a copy of a run's numbers, plots and best model, sent online or kept offline beside the run."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from mlp.errors import unknown

if TYPE_CHECKING:
    from wandb import Run as WandbRun
    from wandb import Settings

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
MODEL_FILES = ("best_model.npy", "best_config.json")
ID_FILE = "wandb_id.txt"
PROBE_SECONDS = 2.0


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
        if mode not in MODES:
            raise ValueError(unknown("mode", str(mode), MODES))
        if not 0 < len(project) <= 128 or set(project) & set(r"/\#?%:"):
            raise ValueError(rf"project must be 1 to 128 characters without any of / \ # ? % : . Got {project!r}")
        if isinstance(tags, str) or not all(isinstance(tag, str) and 0 < len(tag) <= 64 for tag in tags):
            raise ValueError(f"tags must be a list of strings of 1 to 64 characters. Got {tags!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds. Got {timeout}")
        self.project = project
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
        mode = os.environ.get("WANDB_MODE") if self.mode == "auto" else self.mode
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
            self._finish(self._run, run.exit_code)
        self._run = None

    @contextmanager
    def _harmless(self, doing: str) -> Iterator[None]:
        """Whatever goes wrong inside costs the copy in W&B, never the run: say so once, then keep quiet."""
        try:
            yield
        except Exception as error:
            if not self._failed:
                log.warning("W&B could not %s; the run goes on without it. %s", doing, _one_line(error))
            self._failed = True

    def _start(self, run: TrackedRun) -> None:
        # wandb reports its own usage to its server even from an offline run, and when the program ends it waits 10 s
        # for an answer. Offline means that nothing leaves the machine.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = wandb.Settings(silent=True, x_service_wait=self.timeout)
        if self.mode == "online":
            settings.mode = "online"
        wandb.termsetup(settings, None)  # before its settings files are read, which it would announce
        with _exit_hooks_kept():
            with _service_asked_often():
                settings = wandb.setup(settings).settings
            mode, reason = self._decide(settings)
            if mode == "disabled":
                return
            run_id = _stored_id(run.directory)
            try:
                self._run = self._init(run, mode, run_id, settings)
            except Exception as error:
                if mode != "online":
                    raise
                log.warning("W&B refused the online run: %s", _one_line(error))
                mode, reason = "offline", "see above"
                self._run = self._init(run, mode, None, settings)  # the refused id stays taken in this process

        (run.directory / ID_FILE).write_text(f"{self._run.id}\n")
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        files = shlex.quote(str(Path(self._run.dir).parent))
        if mode == "online":
            log.info("W&B: %s (files: %s)", self._run.url, files)
        else:
            level = logging.WARNING if self.mode == "online" else logging.INFO
            log.log(level, "W&B is offline (%s). Upload with: wandb sync %s", reason, files)

    def _decide(self, settings: Settings) -> tuple[str, str]:
        """The mode to start in, and the reason if it is offline."""
        import wandb

        mode = settings.mode if self.mode == "auto" else self.mode
        if mode == "disabled":
            return mode, ""
        if mode in ("offline", "dryrun"):
            return "offline", "as configured"
        if not wandb.login(prompt=False, verify=False):
            return "offline", "not logged in"
        if not _reachable(settings.base_url, settings.https_proxy or settings.http_proxy):
            return "offline", f"no connection to {settings.base_url}"
        return "online", ""

    def _init(self, run: TrackedRun, mode: str, run_id: str | None, settings: Settings) -> WandbRun:
        import wandb

        options: dict[str, Any] = {
            "allow_val_change": True,  # a resumed run may be given more epochs
            "console": "off",
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "finish_timeout": self.timeout,
            "init_timeout": self.timeout,
            "silent": True,
            "symlink": False,
            "x_disable_machine_info": True,
            "x_disable_stats": True,
            "x_save_requirements": False,
            "x_transaction_log_flush_interval": 1.0,  # seconds that a killed run loses; wandb's default is 15
        }
        # x_ options may go with any release of wandb, which refuses those it does not know.
        known = {name: value for name, value in options.items() if name in wandb.Settings.model_fields}
        return wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            name=self.name or settings.run_name or "/".join(run.directory.absolute().parts[-2:]),
            tags=self.tags or None,
            job_type=self.job_type,
            notes=self.notes,
            config=_beside_swept(run.config, settings.sweep_param_path),
            dir=str(run.directory.absolute()),
            mode=mode,  # type: ignore[arg-type]
            id=run_id,
            resume="allow" if run_id else None,
            reinit="create_new",
            save_code=False,
            settings=wandb.Settings(**known),
        )

    def _finish(self, wandb_run: WandbRun, exit_code: int) -> None:
        try:
            wandb_run.finish(exit_code=exit_code)
        except Exception:
            # wandb's service process has died. Unless it is forgotten, wandb fails again, with a traceback, when the
            # program ends; and the next run of this process would not start another one.
            import wandb

            with suppress(Exception, SystemExit):
                wandb.teardown()
            raise

    def _log_results(self, wandb_run: WandbRun, run: TrackedRun) -> None:
        import wandb

        wandb_run.summary.update({**run.summary, "status": run.status})
        # Tables and models wait for their upload in a staging directory, in the user's home unless told otherwise.
        with _variable("WANDB_DATA_DIR", str(run.directory.absolute() / "wandb")):
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
                artifact = wandb.Artifact(f"model-{wandb_run.id}", type="model", metadata=dict(run.summary))
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


def _reachable(url: str, proxy: str | None = None) -> bool:
    """Whether the server at `url`, or the proxy in front of it, accepts a TCP connection within two seconds."""
    from urllib.request import getproxies, proxy_bypass

    server = urlsplit(url)
    host = server.hostname or ""
    if not proxy and not proxy_bypass(host):
        proxy = getproxies().get(server.scheme)
    if proxy:
        server = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = server.port or {"http": 80}.get(server.scheme, 443)
    answered = threading.Event()

    def connect() -> None:
        with suppress(OSError), socket.create_connection((server.hostname or "", port), timeout=PROBE_SECONDS):
            answered.set()

    # In a thread, for resolving the name obeys no timeout.
    probe = threading.Thread(target=connect, name="wandb-probe", daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return answered.is_set()


@contextmanager
def _service_asked_often() -> Iterator[None]:
    """Let wandb look every 10 ms whether its service has started, which takes 40 ms; by itself it waits 200 ms.

    Where a release of wandb does that elsewhere, nothing changes.
    """
    try:
        from wandb.sdk.lib.service import service_port_file as place

        sleep = place._SLEEP
    except (ImportError, AttributeError):
        yield
        return
    place._SLEEP = lambda seconds: sleep(min(float(seconds), 0.01))
    try:
        yield
    finally:
        place._SLEEP = sleep


@contextmanager
def _exit_hooks_kept() -> Iterator[None]:
    """Undo wandb's replacement of sys.exit and sys.excepthook: it is told the exit code."""
    hooks = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = hooks


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
