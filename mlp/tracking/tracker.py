"""What all trackers do alike: when they are told something, what they keep of it in the run directory."""

from __future__ import annotations

import hmac
import importlib.util
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from mlp.base.errors import UserError
from mlp.base.files import read_bytes
from mlp.base.paths import cache_directory, pip_install
from mlp.tracking.record import TrackedRun

log = logging.getLogger(__name__)

LOSS = "train_loss"  # tells an epoch that was trained again to the same bits from another one


class Tracker:
    """A callback that copies a run: its configuration, a row of numbers per epoch, and its results at the end.

    A subclass is a dataclass of its options; it opens the copy in `start`, and keeps what is open in `session`. What
    it raises costs the copy and never the run: `mlp.training.callback_wrappers.TrackerCallback` then switches it off.

    Raises UserError where `package`, which the extra of the same name installs, is missing.
    """

    package: ClassVar[str]
    session: Any = None

    def __post_init__(self) -> None:
        if importlib.util.find_spec(self.package) is None:
            raise UserError(
                f"{type(self).__name__} needs the package {self.package}, which is not installed: "
                f"{pip_install(self.package)}"
            )

    def start(self, run: TrackedRun) -> bool:
        """Open `session`, unless nothing is to be tracked; whether it continues the copy that the run had before."""
        raise NotImplementedError

    def losses(self) -> dict[int, float]:
        """The training loss of each epoch that a continued copy has, where it cannot take one back."""
        return {}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Copy a row of metrics.csv."""
        raise NotImplementedError

    def log_parameters(self, run: TrackedRun) -> None:
        """Copy what can be seen of the weights and gradients of this moment, if anything."""

    def log_results(self, run: TrackedRun) -> None:
        """Copy what is there at the end of the run."""
        raise NotImplementedError

    def finish(self, run: TrackedRun) -> None:
        """Close `session`."""

    def on_run_start(self, run: TrackedRun) -> None:
        self.session = None
        is_known = self.start(run)
        self._there = self.losses() if is_known else {}
        if not is_known and self.session is not None and run.history:
            log.info("%s: a new run, with the epochs of the resumed one.", type(self).__name__)
            for row in run.history:
                self.log_epoch(int(row["epoch"]), row)

    def on_batch_end(self, run: TrackedRun) -> None:
        """An epoch is the unit here: what changes faster belongs in a file of the run directory."""

    def on_epoch_end(self, run: TrackedRun) -> None:
        if self.session is None:
            return
        # After a kill the epochs since the checkpoint are trained again, as a rule to the same bits.
        if run.epoch not in self._there or self._there[run.epoch] != run.metrics[LOSS]:
            self.log_epoch(run.epoch, run.metrics)
            self.log_parameters(run)

    def on_run_end(self, run: TrackedRun) -> None:
        if self.session is None:
            return
        try:
            self.log_results(run)
        finally:
            try:
                self.finish(run)
            finally:
                self.session = None

    def stored_id(self, directory: Path) -> str | None:
        """What `store_id` has kept in the run directory, if this user tracked the run before: in a stranger's
        directory the name of a copy is none to be changed."""
        try:
            identity, _, signature = read_bytes(directory / f"{self.package}_id.txt", 1000).decode().partition(" ")
        except (UserError, ValueError):
            return None
        return identity if hmac.compare_digest(signature.strip().encode(), self._signature(identity)) else None

    def store_id(self, directory: Path, identity: str) -> None:
        """Keep what a resumed run will need to continue its copy."""
        signed = f"{identity} {self._signature(identity).decode()}\n"
        (directory / f"{self.package}_id.txt").write_text(signed)

    def _signature(self, identity: str) -> bytes:
        """That this user has stored `identity`; by another key each time where none can be kept."""
        return hmac.new(_key(), f"{self.package} {identity}".encode(), "sha256").hexdigest().encode()


@cache
def _key() -> bytes:
    """The key of this user, made when it is first needed."""
    made = secrets.token_hex(32).encode()
    with suppress(OSError, RuntimeError):  # the latter: no home directory
        path = cache_directory() / "key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=path.parent) as folder:  # which nobody else can read
                Path(folder, "key").write_bytes(made)
                Path(folder, "key").chmod(0o600)
                with suppress(FileExistsError):
                    path.hardlink_to(Path(folder, "key"))  # of several processes the first one counts
        return path.read_bytes()
    return made
