"""What all trackers do alike: when they are told something, what they keep of it in the run directory."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from mlp.base.errors import UserError
from mlp.base.files import read_bytes
from mlp.base.paths import pip_install
from mlp.tracking.record import TrackedRun

log = logging.getLogger(__name__)

LOSS = "train_loss"  # tells an epoch that was trained again to the same bits from another one


class Tracker:
    """A callback that copies a run: its configuration, a row of numbers per epoch, and its results at the end.

    A subclass is a dataclass of its options; it opens the copy in `start`, and keeps what is open in `session`. What
    it raises costs the copy and never the run: `mlp.training.guards.TrackerCallback` then switches it off.

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
        """What `store_id` has kept in the run directory, if the run was tracked before."""
        try:
            return read_bytes(directory / f"{self.package}_id.txt", 1000).decode().strip() or None
        except (UserError, ValueError):
            return None

    def store_id(self, directory: Path, identity: str) -> None:
        """Keep what a resumed run will need to continue its copy."""
        (directory / f"{self.package}_id.txt").write_text(f"{identity}\n")
