"""Where the numbers of a run go besides its own directory. Importing this costs nothing: the packages come later.

Add one: a subclass of `Tracker` here and a file in `conf/tracker/`.
"""

from mlp.tracking.mlflow import MLflowTracker
from mlp.tracking.record import TrackedRun
from mlp.tracking.tensorboard import TensorBoardTracker
from mlp.tracking.tracker import Tracker
from mlp.tracking.trackio import TrackioTracker
from mlp.tracking.wandb import WandbTracker

__all__ = [
    "MLflowTracker",
    "NoTracker",
    "TensorBoardTracker",
    "TrackedRun",
    "Tracker",
    "TrackioTracker",
    "WandbTracker",
]


class NoTracker:
    """A callback that does nothing: the run directory alone keeps the record."""

    def on_run_start(self, run: TrackedRun) -> None: ...

    def on_batch_end(self, run: TrackedRun) -> None: ...

    def on_epoch_end(self, run: TrackedRun) -> None: ...

    def on_run_end(self, run: TrackedRun) -> None: ...
