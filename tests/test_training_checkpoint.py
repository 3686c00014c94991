"""A checkpoint restores every bit of a run; anything else under its name is refused, and never executed."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp.base.naming import subclasses
from mlp.data import Samples
from mlp.nn import MLP, Cosine, Optimizer
from mlp.nn import optimizers as optimizer_module
from mlp.training import Run, Trainer, random_streams
from mlp.training.callbacks import EarlyStopping, MetricsFile
from mlp.training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint

OPTIMIZERS = subclasses(Optimizer)
rng = np.random.default_rng(0)
X, Y = rng.integers(0, 256, (60, 6)).astype(np.uint8), rng.integers(0, 3, 60)
TRAIN, VALIDATION = Samples(X, Y, np.arange(45), 255.0), Samples(X, Y, np.arange(45, 60), 255.0)


def new_run(directory: Path, optimizer: Optimizer | None = None, hidden: int = 5, dtype: str = "float32") -> Run:
    random = random_streams(3)
    network = MLP(6, 3, [hidden], rng=random["init"], dtype=dtype)
    run = Run(directory, {}, network, optimizer or optimizer_module.Adam(), Cosine(), random)
    run.callbacks = [MetricsFile(), Checkpoint()]
    return run


def trained(directory: Path, **arguments: Any) -> Run:
    run = new_run(directory, **arguments)
    Trainer(epochs=4, batch_size=10).fit(run, TRAIN, VALIDATION)
    return run


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("epochs", [0, 2])
def test_training_from_a_checkpoint_ends_in_the_same_bits(tmp_path: Path, kind: Any, epochs: int) -> None:
    whole, half = new_run(tmp_path, kind()), new_run(tmp_path, kind())
    trainer = Trainer(epochs=4, batch_size=10)
    trainer.fit(whole, TRAIN, VALIDATION)

    (tmp_path / CHECKPOINT).unlink()

    class Killed(Exception):
        pass

    class Killer(Checkpoint):
        def on_batch_end(self, run: Run) -> None:
            if run.step == epochs * 5 + 3:
                raise Killed

    half.callbacks = [MetricsFile(), Killer()]
    with pytest.raises(Killed):
        trainer.fit(half, TRAIN, VALIDATION)

    resumed = new_run(tmp_path, kind())
    resumed.network.theta[...] = np.nan  # whatever the initial weights are, they do not matter
    load_checkpoint(resumed)
    assert (resumed.epoch, resumed.step) == (epochs, epochs * 5)
    trainer.fit(resumed, TRAIN, VALIDATION)
    assert resumed.network.theta.tobytes() == whole.network.theta.tobytes()
    assert resumed.best_state is not None
    assert whole.best_state is not None
    assert resumed.best_state.tobytes() == whole.best_state.tobytes()
    for name in ("best_epoch", "best_value", "best_loss"):
        assert getattr(resumed, name) == getattr(whole, name) is not None
    for name, array in whole.optimizer.state().items():
        assert resumed.optimizer.state()[name].tobytes() == array.tobytes()
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in whole.history]
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]
    for stream in whole.random:
        assert resumed.random[stream].random() == whole.random[stream].random()


@pytest.mark.parametrize(
    ("every", "stop_after", "saved"),
    [(1, 9, [0, 1, 2, 3, 4, 5]), (2, 9, [0, 2, 4, 5]), (9, 9, [0, 5]), (9, 3, [0, 3])],
)
def test_checkpoints_are_written_at_the_start_every_so_often_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, stop_after: int, saved: list[int]
) -> None:
    class Stop(EarlyStopping):
        def on_epoch_end(self, run: Run) -> None:
            run.stop = run.epoch == stop_after

    written: list[int] = []
    monkeypatch.setattr("mlp.training.checkpoint.save_checkpoint", lambda run: written.append(run.epoch))
    run = new_run(tmp_path)
    run.callbacks = [Stop(1), Checkpoint(every)]
    Trainer(epochs=5).fit(run, TRAIN, VALIDATION)
    assert written == saved


def test_a_checkpoint_holds_no_pickles(tmp_path: Path) -> None:
    trained(tmp_path)
    with zipfile.ZipFile(tmp_path / CHECKPOINT) as archive:
        for name in archive.namelist():
            array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            assert array.dtype != object


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(file: Any, **_: np.ndarray) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(run)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "metrics.csv"]


def test_a_checkpoint_of_a_release_that_kept_no_loss_goes_on_by_its_rule_the_first_of_equal_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = Trainer._keep_best

    def all_equal(trainer: Trainer, run: Run) -> None:
        run.metrics |= {"val_f1": 0.5, "val_loss": 1 / run.epoch}
        choose(trainer, run)

    monkeypatch.setattr(Trainer, "_keep_best", all_equal)
    trained(tmp_path)
    with np.load(tmp_path / CHECKPOINT) as file:
        arrays = dict(file)
    progress = json.loads(arrays["progress"].item())
    assert progress.pop("best_loss") == 0.25
    np.savez(tmp_path / CHECKPOINT, **{**arrays, "progress": np.array(json.dumps(progress | {"best_epoch": 2}))})
    resumed = new_run(tmp_path)
    load_checkpoint(resumed)
    Trainer(epochs=6, batch_size=10).fit(resumed, TRAIN, VALIDATION)
    assert (resumed.epoch, resumed.best_epoch) == (6, 2)


# A stranger's checkpoint: every entry is checked before any is used
