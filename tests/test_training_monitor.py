"""The monitored score: which epoch is the best, what stops a run early, and what needs validation data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import NOTHING, TRAIN, VALIDATION, Recorder, new_run

from mlp.base.errors import UserError
from mlp.training import Callback, Run, Trainer
from mlp.training.callbacks import EarlyStopping, ModelCheckpoint


def script(monkeypatch: pytest.MonkeyPatch, **columns: list[float]) -> None:
    """Put these values, one an epoch, in place of measured metrics before the best epoch is chosen."""
    choose = Trainer._keep_best

    def scripted(trainer: Trainer, run: Run) -> None:
        run.metrics |= {name: values[run.epoch - 1] for name, values in columns.items()}
        choose(trainer, run)

    monkeypatch.setattr(Trainer, "_keep_best", scripted)


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_f1", [0.1, 0.3, 0.2], 2),
        ("train_accuracy", [0.1, 0.2, 0.3], 3),
        ("val_loss", [0.5, 0.2, 0.4], 2),
        ("train_loss", [0.5, 0.4, 0.4], 2),  # of equal losses the first
        ("val_loss", [math.nan, 3.0, math.inf], 2),  # what is no number is never the best
        ("val_f1", [0.1, math.nan, 0.2], 3),
    ],
)
def test_the_weights_of_the_best_epoch_are_kept(
    monkeypatch: pytest.MonkeyPatch, monitor: str, values: list[float], best: int
) -> None:
    class Thetas(Callback):
        def __init__(self) -> None:
            self.taken: list[np.ndarray] = []

        def on_epoch_end(self, run: Run) -> None:
            self.taken.append(run.network.theta.copy())

    thetas, saved = Thetas(), []
    script(monkeypatch, **{monitor: values})
    state = new_run(Path(), thetas, ModelCheckpoint(lambda run: saved.append(run.epoch)))
    Trainer(epochs=3, monitor=monitor).fit(state, TRAIN, VALIDATION)
    assert (state.best_epoch, state.best_value) == (best, values[best - 1])
    assert state.best_state is not None
    np.testing.assert_array_equal(state.best_state, thetas.taken[best - 1])
    assert saved[-1] == best


@pytest.mark.parametrize(
    ("part", "losses", "best"),
    [
        ("val", [0.5, 0.3, 0.4, 0.2], 4),
        ("val", [0.5, 0.3, 0.3, 0.4], 2),  # of equal losses too the first
        ("val", [math.nan, math.inf, 9.0, 9.5], 3),  # any loss is better than none
        ("val", [0.5, math.nan, 0.6, math.inf], 1),
        ("train", [0.5, 0.3, 0.4, 0.3], 2),
    ],
)
@pytest.mark.parametrize("score", ["accuracy", "f1"])
def test_of_equal_scores_the_one_with_the_lower_loss_on_the_same_data_is_better(
    monkeypatch: pytest.MonkeyPatch, part: str, losses: list[float], best: int, score: str
) -> None:
    other = {"val": "train", "train": "val"}[part]
    rising = {f"{other}_loss": [0.4, 0.3, 0.2, 0.1]}  # of the other part: it has no say
    script(monkeypatch, **{f"{part}_{score}": [0.7] * 4, f"{part}_loss": losses, **rising})
    saved: list[int] = []
    state = new_run(Path(), ModelCheckpoint(lambda run: saved.append(run.epoch)))
    Trainer(epochs=4, monitor=f"{part}_{score}").fit(state, TRAIN, VALIDATION)
    assert (state.best_epoch, saved[-1], state.best_value) == (best, best, 0.7)


def test_a_better_score_wins_whatever_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, val_f1=[0.6, 0.7, 0.6], val_loss=[0.1, 0.9, 0.05])
    state = new_run()
    Trainer(epochs=3).fit(state, TRAIN, VALIDATION)
    assert state.best_epoch == 2


def test_without_validation_the_last_epoch_is_kept_and_no_val_columns_exist() -> None:
    recorder = Recorder()
    state = new_run(Path(), recorder)
    Trainer(epochs=3).fit(state, TRAIN, NOTHING)
    assert state.best_epoch == 3
    assert state.best_value is None
    np.testing.assert_array_equal(state.best_state, state.network.theta)
    assert not [name for name in recorder.rows[0] if name.startswith("val_")]


@pytest.mark.parametrize(
    ("patience", "values", "last", "best"),
    [
        (2, [0.1, 0.5, 0.4, 0.5, 0.9, 0.9], 4, 2),  # an equal epoch of equal loss is no improvement
        (1, [0.5, 0.4, 0.9, 0.9, 0.9, 0.9], 2, 1),
        (3, [0.1, 0.5, 0.4, 0.3, 0.6, 0.1], 6, 5),
        (5, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1], 6, 1),  # at the very end
    ],
)
def test_early_stopping_after_so_many_epochs_without_improvement(
    monkeypatch: pytest.MonkeyPatch, patience: int, values: list[float], last: int, best: int
) -> None:
    script(monkeypatch, val_f1=values, val_loss=[1.0] * 6)
    state = new_run(Path(), EarlyStopping(patience))
    Trainer(epochs=6).fit(state, TRAIN, VALIDATION)
    assert (state.epoch, state.best_epoch) == (last, best)
    assert state.stop_reason == (f"no improvement for {patience} epochs" if last - best >= patience else "")


def test_early_stopping_counts_a_lower_loss_at_the_same_score_as_an_improvement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(monkeypatch, val_f1=[0.9] * 6, val_loss=[0.5, 0.4, 0.45, 0.3, 0.35, 0.35])
    state = new_run(Path(), EarlyStopping(2))
    Trainer(epochs=6).fit(state, TRAIN, VALIDATION)
    assert (state.epoch, state.best_epoch) == (6, 4)


WANTED = [
    ({"monitor": "val_loss"}, None, "training.monitor=val_loss needs validation data, and there are none"),
    ({"monitor": "val_f1"}, None, "training.monitor=val_f1 needs validation data, and there are none"),
    ({}, 2, "training.patience=2 watches val_f1, which needs validation data, and there are none"),
]


@pytest.mark.parametrize(("arguments", "patience", "message"), WANTED)
def test_a_score_that_needs_validation_data_is_refused_where_there_are_none(
    arguments: dict[str, Any], patience: int | None, message: str
) -> None:
    Trainer(**arguments).check_monitor(validation=True, resumed=False, patience=patience)
    with pytest.raises(UserError, match=f"^{message}: .*fraction=0.1, or choose training.monitor=train_loss"):
        Trainer(**arguments).check_monitor(validation=False, resumed=False, patience=patience)


@pytest.mark.parametrize(("arguments", "patience"), [({}, None), ({"monitor": "train_f1"}, None),
                                                     ({"monitor": "train_loss"}, 2)])  # fmt: skip
def test_what_needs_no_validation_data_passes_without_them(arguments: dict[str, Any], patience: int | None) -> None:
    Trainer(**arguments).check_monitor(validation=False, resumed=False, patience=patience)


def test_a_resumed_run_may_have_a_monitor_that_an_earlier_release_ignored_but_no_patience() -> None:
    Trainer(monitor="val_f1").check_monitor(validation=False, resumed=True)
    with pytest.raises(UserError, match=r"training\.patience=2 watches val_f1"):
        Trainer(monitor="val_f1").check_monitor(validation=False, resumed=True, patience=2)
