"""Runs that W&B tracks, as the trainer makes them: in their own processes, without account or network."""

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import wandb_file
from forks import python
from wandb_server import environment

EPOCHS = [
    {"epoch": epoch, "learning_rate": 1e-3 / epoch, "train_loss": 0.1 * 3 / epoch, "val_loss": 2 / 7 / epoch,
     "grad_norm_1": 1e-300 * epoch, "grad_norm_2": 1 / 3}
    for epoch in range(1, 6)
]  # fmt: skip
CONFIG = {
    "seed": 7,
    "optimizer": {"_target_": "mlp.nn.Adam", "learning_rate": 1e-3},
    "model": {"hidden_sizes": [8, 4]},
}

# A process that does what the trainer does. ARGUMENTS, STATUS and EXIT_CODE may be set before, code added after.
PROGRAM = """
import logging, os, signal, sys
from dataclasses import dataclass, field
from pathlib import Path

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")  # to stderr

@dataclass
class Run:
    directory: Path
    config: dict
    step: int = 0
    epoch: int = 0
    metrics: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    status: str = "running"
    exit_code: int = 0
    summary: dict = field(default_factory=dict)

def train(tracker, run, epochs, status="completed", exit_code=0, summary=()):
    tracker = TrackerCallback(tracker, "W&B")
    tracker.on_run_start(run)
    for metrics in epochs:
        run.epoch, run.metrics = metrics["epoch"], metrics
        tracker.on_batch_end(run)
        run.history.append(dict(metrics))
        tracker.on_epoch_end(run)
    run.status, run.exit_code, run.summary = status, exit_code, dict(summary)
    tracker.on_run_end(run)

from mlp.tracking import WandbTracker
from mlp.training.callback_wrappers import TrackerCallback
directory = Path("run")
directory.mkdir(exist_ok=True)
EPOCHS, CONFIG = {epochs!r}, {config!r}
"""
TRAIN = "train(WandbTracker(), Run(directory, CONFIG), EPOCHS)"


@dataclass
class Finished:
    """A process that has ended, and the W&B files it left."""

    place: Path
    stdout: str
    stderr: str

    @property
    def directory(self) -> Path:
        return self.place / "run"

    @property
    def files(self) -> list[Path]:
        return wandb_file.find(self.directory)

    @property
    def content(self) -> wandb_file.WandbFile:
        (file,) = self.files
        return wandb_file.read(file)

    @property
    def lines(self) -> list[str]:
        return self.stderr.splitlines()


def command(code: str) -> list[str]:
    prefix = PROGRAM.replace("{epochs!r}", repr(EPOCHS)).replace("{config!r}", repr(CONFIG))
    return [sys.executable, "-c", prefix + textwrap.dedent(code)]


def execute(place: Path, code: str = TRAIN, **variables: str) -> Finished:
    process = python(*command(code)[1:], cwd=place, env=environment(place, **variables))
    assert process.returncode == 0, process.stderr
    return Finished(place, process.stdout, process.stderr)


NOWHERE = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
