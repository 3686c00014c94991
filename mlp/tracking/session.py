"""Starting and ending a run of Weights & Biases: never a question, never a long wait, nothing printed.

Whoever has something to send (the tracker of a training run, the studies of the report) asks `plan` how, starts a
run with `start`, and ends it with `finish`.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wandb import Run as WandbRun
    from wandb import Settings

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """How runs are to start."""

    mode: str  # online, offline or disabled
    reason: str  # of being offline
    settings: Settings  # those of the user


def project_name(project: str) -> str:
    """`project`, if W&B takes that. Raises ValueError."""
    if not 0 < len(project) <= 128 or set(project) & set(r"/\#?%:"):
        raise ValueError(rf"project must be 1 to 128 characters without any of / \ # ? % : . Got {project!r}")
    return project


def plan(mode: str, timeout: float) -> Plan:
    """What `mode` means here and now.

    "auto" follows WANDB_MODE and wandb's own settings. It is online if these allow it, the user is logged in and the
    server answers, and offline in every other case. `timeout` in seconds is for wandb's own process to start.
    """
    # wandb reports its own usage to its server even from an offline run, and when the program ends it waits 10 s for
    # an answer. Offline means that nothing leaves the machine.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    settings = wandb.Settings(silent=True, x_service_wait=timeout)
    if mode == "online":
        settings.mode = "online"
    wandb.termsetup(settings, None)  # before its settings files are read, which it would announce
    with _exit_hooks_kept():
        with service_asked_often():
            settings = wandb.setup(settings).settings
        return Plan(*_decide(mode, settings), settings)


def _decide(mode: str, settings: Settings) -> tuple[str, str]:
    """The mode to start in, and the reason if it is offline."""
    import wandb

    mode = settings.mode if mode == "auto" else mode
    if mode == "disabled":
        return mode, ""
    if mode in ("offline", "dryrun"):
        return "offline", "as configured"
    if not wandb.login(prompt=False, verify=False):
        return "offline", "not logged in"
    if not reachable(settings.base_url, settings.https_proxy or settings.http_proxy):
        return "offline", f"no connection to {settings.base_url}"
    return "online", ""


def start(
    plan: Plan, directory: Path, timeout: float, run_id: str | None = None, **labels: Any
) -> tuple[WandbRun, Plan]:
    """A new run with its files below `directory`/wandb, or the one with `run_id` continued; and how it started.

    `labels` are arguments of wandb.init: project, entity, group, name, tags, config ... `timeout` in seconds is for
    the server, here and in `finish`. Where the server refuses the run, it starts offline.
    """
    with _exit_hooks_kept():
        try:
            return _init(plan.mode, directory, timeout, run_id, labels), plan
        except Exception as error:
            if plan.mode != "online":
                raise
            log.warning("W&B refused the online run: %s", one_line(error))
            # The refused id stays taken in this process.
            return _init("offline", directory, timeout, None, labels), replace(
                plan, mode="offline", reason="see above"
            )


def _init(mode: str, directory: Path, timeout: float, run_id: str | None, labels: dict[str, Any]) -> WandbRun:
    import wandb

    options: dict[str, Any] = {
        "allow_val_change": True,  # a resumed run may be given more epochs
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "disable_job_creation": True,
        "finish_timeout": timeout,
        "init_timeout": timeout,
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
        **labels,
        dir=str(directory.absolute()),
        mode=mode,  # type: ignore[arg-type]
        id=run_id,
        resume="allow" if run_id else None,
        reinit="create_new",
        save_code=False,
        settings=wandb.Settings(**known),
    )


def finish(run: WandbRun, exit_code: int) -> None:
    """End the run; online, its files are uploaded first."""
    try:
        run.finish(exit_code=exit_code)
    except Exception:
        # wandb's service process has died. Unless it is forgotten, wandb fails again, with a traceback, when the
        # program ends; and the next run of this process would not start another one.
        import wandb

        with suppress(Exception, SystemExit):
            wandb.teardown()
        raise


def files_of(run: WandbRun) -> Path:
    """The folder of the run's files, which `wandb sync` takes."""
    return Path(run.dir).parent


@contextmanager
def staged_in(directory: Path) -> Iterator[None]:
    """Tables and models that are logged in the block wait for their upload in `directory`/wandb.

    By itself wandb keeps them in the user's home.
    """
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = str(directory.absolute() / "wandb")
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]
        else:
            os.environ["WANDB_DATA_DIR"] = before


def within(seconds: float, work: Callable[[], object]) -> bool:
    """Whether `work` has ended in time. In a thread: not everything that waits obeys a timeout."""
    thread = threading.Thread(target=work, name="wandb-wait", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def reachable(url: str, proxy: str | None = None) -> bool:
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

    within(PROBE_SECONDS, connect)  # resolving the name obeys no timeout
    return answered.is_set()


@contextmanager
def service_asked_often() -> Iterator[None]:
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


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
