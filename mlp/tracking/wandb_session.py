"""Starting and ending a run of Weights & Biases: never a question, never a long wait, nothing printed.

Whoever has something to send (the tracker of a training run, the studies of the report) asks `plan` how, starts a
run with `start`, and ends it with `finish`.
"""

from __future__ import annotations

import os
import secrets
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

MODES = ("auto", "online", "offline", "disabled")
PROBE_SECONDS = 2.0

_refused = ""  # what was wrong with the user's settings, if wandb has been started without them
_turn = threading.RLock()  # the environment and wandb's settings are the process's: its threads change them in turn
_inside = 0  # blocks of _process_kept
_before: tuple[Any, ...] = ()  # what the first of them found


@dataclass(frozen=True)
class Plan:
    """How runs are to start."""

    mode: str  # online, offline or disabled
    reason: str  # of being offline
    settings: Settings  # those of the user
    refused: bool = False  # whether it is offline since something of the user's was refused


def project_name(project: str) -> str:
    """`project`, if W&B takes that. Raises ValueError."""
    if not 0 < len(project) <= 128 or set(project) & set(r"/\#?%:"):
        raise ValueError(rf"project must be 1 to 128 characters without any of / \ # ? % : . Got {project!r}")
    return project


def wanted_mode() -> str:
    """WANDB_MODE, in small letters as wandb wants it."""
    return os.environ.get("WANDB_MODE", "").strip().lower()


def plan(mode: str, timeout: float, directory: Path) -> Plan:
    """What `mode` means here and now.

    "auto" follows WANDB_MODE and wandb's own settings. It is online if these allow it, the user is logged in and the
    server answers, and offline in every other case. `timeout` in seconds is for wandb's own process to start;
    `directory` is for its log where the user has no home.
    """
    with _turn, _process_kept():
        wanted = wanted_mode()
        with _variables("WANDB_MODE", **({"WANDB_MODE": wanted} if wanted else {})):
            return _plan(mode, timeout, directory)


def _plan(mode: str, timeout: float, directory: Path) -> Plan:
    global _refused
    import wandb

    _telemetry_off()
    options: dict[str, Any] = {"silent": True, "x_service_wait": timeout}
    settings = wandb.Settings(**options | ({"mode": "online"} if mode == "online" else {}))
    wandb.termsetup(settings, None)  # before its settings files are read, which it would announce
    with _service_log_below(directory):
        try:
            settings = wandb.setup(settings).settings
        except Exception as error:  # a variable that wandb does not accept, whichever
            wandb.teardown()
            with _variables("WANDB_", WANDB_ERROR_REPORTING="false"):
                settings = wandb.setup(wandb.Settings(**options | {"mode": "offline"})).settings
            _refused = f"its settings are refused: {cause(error)}"
    if _refused:
        return Plan("offline", _refused, settings, refused=True)
    return _decide(mode, settings)


def _telemetry_off() -> None:
    """Without this a process of wandb that does not start is waited for without end, in wandb 0.31.

    The failure is to be reported to wandb, for which the lock is needed that the start holds.
    """
    with suppress(ImportError, AttributeError):
        from wandb.analytics.opentelemetry import opentelemetry_proxy

        opentelemetry_proxy.disable()


def _decide(mode: str, settings: Settings) -> Plan:
    import wandb

    mode = settings.mode if mode == "auto" else mode
    if mode == "disabled":
        return Plan(mode, "", settings)
    if mode in ("offline", "dryrun"):
        return Plan("offline", "as configured", settings)
    try:
        if not wandb.login(prompt=False, verify=False):
            return Plan("offline", "not logged in", settings)
        if not reachable(settings.base_url, settings.https_proxy or settings.http_proxy):
            return Plan("offline", f"no connection to {settings.base_url}", settings)
    except Exception as error:  # what no key can be, or no address of a proxy
        return Plan("offline", f"login failed: {cause(error)}", settings, refused=True)
    return Plan("online", "", settings)


def start(
    plan: Plan, directory: Path, timeout: float, run_id: str | None = None, **labels: Any
) -> tuple[WandbRun, Plan]:
    """A new run with its files below `directory`/wandb, or the one with `run_id` continued; and how it started.

    `labels` are arguments of wandb.init: project, entity, group, name, tags, config ... `timeout` in seconds is for
    the server, here and in `finish`. Where the run is refused, it starts offline under a new id.
    """
    with _turn, _process_kept():  # another thread may be hiding the user's variables
        try:
            return _init(plan.mode, directory, timeout, labels | {"id": run_id, "resume": run_id and "allow"}), plan
        except Exception as error:
            plan = replace(plan, mode="offline", reason=f"the run is refused: {cause(error)}", refused=True)
            # The refused id, which may be that of WANDB_RUN_ID, stays taken in this process.
            return _init("offline", directory, timeout, labels | {"id": secrets.token_hex(4)}), plan


def _init(mode: str, directory: Path, timeout: float, labels: dict[str, Any]) -> WandbRun:
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
    with _turn, _variables("WANDB_DATA_DIR", WANDB_DATA_DIR=str(directory.absolute() / "wandb")):
        yield


@contextmanager
def _variables(hidden: str, **given: str) -> Iterator[None]:
    """Within the block the environment has the `given` variables, and of those that begin with `hidden` no others."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(hidden)}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def _service_log_below(directory: Path) -> Iterator[None]:
    """Give wandb's process a place for its log where it would find none, and print to stderr instead.

    It is written in Go, and takes the user's cache from the environment alone, without a look at the password file.
    """
    home = Path(os.environ.get("HOME", ""))
    usual = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    cache = Path(os.environ.get("WANDB_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or usual)
    try:
        if cache.is_absolute():
            (cache / "wandb" / "logs").mkdir(parents=True, exist_ok=True)
        usable = cache.is_absolute() and os.access(cache / "wandb" / "logs", os.W_OK)
    except OSError:
        usable = False
    if usable:
        yield
    else:
        with _variables("WANDB_CACHE_DIR", WANDB_CACHE_DIR=str(directory.absolute() / "wandb")):
            yield


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
def _process_kept() -> Iterator[None]:
    """Undo what wandb leaves in the process, when the last thread is done: its own sys.exit and sys.excepthook (it is
    told the exit code), and the address of its process, which programs started later must not share.

    wandb reports its own usage to its server even from an offline run, and when the program ends it waits 10 s for
    an answer. Offline means that nothing leaves the machine: within, reports are off unless the user wants them.
    """
    global _inside, _before
    names = ("WANDB_ERROR_REPORTING", "WANDB_SERVICE")
    with _turn:
        if not _inside:
            _before = sys.exit, sys.excepthook, {name: os.environ[name] for name in names if name in os.environ}
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        _inside += 1
    try:
        yield
    finally:
        with _turn:
            _inside -= 1
            if not _inside:
                sys.exit, sys.excepthook, variables = _before
                for name in names:
                    os.environ.pop(name, None)
                os.environ.update(variables)


def cause(error: Exception) -> str:
    """What `error` says, in one line; of pydantic's reports without their links."""
    details = getattr(error, "errors", None)
    if not callable(details):
        return one_line(error)
    parts = [[*map(str, detail["loc"]), detail["msg"].removeprefix("Value error, ")] for detail in details()]
    return "; ".join(": ".join(part) for part in parts)


def one_line(error: BaseException) -> str:
    """The kind of the error and what it says, in one line.

    >>> one_line(ValueError("a\\n b")), one_line(KeyboardInterrupt())
    ('ValueError: a b', 'KeyboardInterrupt')
    """
    return ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
