"""An experiment as a whole: who is told at its end, when the test set is read, and what it learns from."""

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import assert_same_bits, best_model, metrics, run, summary

from hydra_trials.signals import Terminated
from mlp import experiment
from mlp.base.errors import CallbackFailed, Diverged, UserError
from mlp.config.compose import compose
from mlp.config.resolve import resolve, resolve_resumed
from mlp.data import Digits
from mlp.training import Callback, Run, Trainer

Experiment = Callable[..., Run]


@pytest.fixture
def run_here(tmp_path: Path) -> Experiment:
    """Run an experiment in this process, in tmp_path: `run_here("training.epochs=1", callbacks=[...])`."""

    def run_experiment(*overrides: str, callbacks: Sequence[Callback] = ()) -> Run:
        resumed = overrides[0].startswith("resume=") if overrides else False
        small = [] if resumed else ["dataset=digits", "tracker=none", "model.hidden_sizes=8", "training.epochs=2"]
        cfg = compose([*small, *overrides])
        config = resolve_resumed(cfg, tmp_path, overrides) if resumed else resolve(cfg)
        return experiment.run(config, tmp_path, callbacks)

    return run_experiment


class Witness(Callback):
    """Remembers how the run ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int]] = []

    def on_run_end(self, run: Run) -> None:
        self.ends.append((run.status, run.exit_code))


def failing(event: str, error: BaseException) -> Callback:
    """A callback that raises `error` at `event`."""

    def fail(_self: Callback, _run: Run) -> None:
        raise error

    return type("Failing", (Callback,), {event: fail})()  # type: ignore[no-any-return]


def test_the_test_set_is_handed_out_once_and_after_training(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def told(owner: Any, name: str, event: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            events.append(event(*args))
            try:
                return original(*args, **kwargs)
            finally:
                events.append(f"end of {event(*args)}")

        monkeypatch.setattr(owner, name, wrapper)

    told(Digits, "split", lambda *_: "split")
    told(Digits, "test", lambda *_: "test")
    told(Trainer, "fit", lambda *_: "fit")
    run_here()
    assert events == ["split", "end of split", "fit", "end of fit", "test", "end of test"]


def test_another_test_set_changes_the_test_scores_and_nothing_else(tmp_path: Path) -> None:
    train, test = Digits().load("train"), Digits().load("test")
    arrays: dict[str, Any] = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **{**arrays, "x_test": 255 - test[0][::-1]})
    for name in "ab":
        command = ("-d", "npz", f"dataset.path={name}.npz", "-sz", "16", "-e", "3", "training.patience=1")
        run(tmp_path, *command, "--no_wandb", f"hydra.run.dir=run_{name}")
    a, b = tmp_path / "run_a", tmp_path / "run_b"
    assert_same_bits(best_model(a), best_model(b))
    assert metrics(a) == metrics(b)
    scores = summary(a), summary(b)
    assert scores[0]["test_loss"] != scores[1]["test_loss"]
    assert scores[0]["val_loss"] == scores[1]["val_loss"]


def test_the_objective_is_the_best_value_of_the_monitored_metric(run_here: Experiment, tmp_path: Path) -> None:
    value = run_here("training.monitor=val_loss", "training.epochs=3").best_value
    assert value == min(float(row["val_loss"]) for row in metrics(tmp_path))
    assert summary(tmp_path)["best_value"] == value


def test_the_model_that_is_saved_and_measured_is_that_of_the_best_epoch(run_here: Experiment, tmp_path: Path) -> None:
    class Weights(Callback):
        def __init__(self) -> None:
            self.after: list[Mapping[str, np.ndarray]] = []

        def on_epoch_end(self, run: Run) -> None:
            self.after.append(run.network.get_weights())

    weights = Weights()
    # A rate so high that the last epoch is not the best.
    learn = ["optimizer=sgd", "optimizer.learning_rate=1.5", "training.epochs=6", "training.monitor=val_loss"]
    run_here(*learn, callbacks=[weights])
    losses = [float(row["val_loss"]) for row in metrics(tmp_path)]
    best = int(np.argmin(losses))
    assert best < 5
    assert_same_bits(best_model(tmp_path), weights.after[best])
    assert summary(tmp_path)["best_epoch"] == best + 1
    assert summary(tmp_path)["val_loss"] == losses[best]


def test_everybody_is_told_of_the_end_of_a_good_run(run_here: Experiment) -> None:
    witness = Witness()
    run_here(callbacks=[witness])
    assert witness.ends == [("completed", 0)]


@pytest.mark.parametrize(
    ("event", "error", "ends", "raised"),
    [
        ("on_run_start", RuntimeError("broken"), ("failed", 1), RuntimeError),
        ("on_batch_end", OSError(28, "No space left on device"), ("failed", 1), OSError),
        ("on_run_start", KeyboardInterrupt(), ("interrupted", 130), SystemExit),
        ("on_batch_end", Terminated(), ("interrupted", 143), SystemExit),
        ("on_epoch_end", Diverged("the training loss became nan"), ("diverged", 3), Diverged),
    ],
    ids=["error", "disk", "ctrl-c", "sigterm", "divergence"],
)
def test_everybody_is_told_of_the_end_when_a_callback_fails(
    run_here: Experiment, tmp_path: Path, event: str, error: BaseException, ends: tuple[str, int], raised: Any
) -> None:
    first, last = Witness(), Witness()
    with pytest.raises(raised):
        run_here(callbacks=[first, failing(event, error), last])
    assert first.ends == last.ends == [ends]
    assert summary(tmp_path)["status"] == ends[0]


def test_a_failure_at_the_end_of_one_callback_is_no_failure_of_the_run(
    run_here: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness()
    assert run_here(callbacks=[failing("on_run_end", RuntimeError("broken")), witness]).best_value is not None
    assert witness.ends == [("completed", 0)]
    assert "Failing failed at the end of the run" in caplog.text
    assert summary(tmp_path)["status"] == "completed"


def plugged(monkeypatch: pytest.MonkeyPatch, event: str, error: BaseException) -> tuple[str, list[str]]:
    """A class that raises `error` at its `event`, as a configuration names it; and the events it is told of."""
    events: list[str] = []

    def method(name: str) -> Callable[[Any, Run], None]:
        def told(_self: Any, _run: Run) -> None:
            events.append(name)
            if name == event:
                raise error

        return told

    names = ("on_run_start", "on_batch_end", "on_epoch_end", "on_run_end")
    cls = type("Mine", (Callback,), {name: method(name) for name in names} | {"__module__": "mlp.training.callbacks"})
    monkeypatch.setattr("mlp.training.callbacks.Mine", cls, raising=False)
    return "mlp.training.callbacks.Mine", events


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("on_run_start", UserError("no")),
        ("on_batch_end", OSError(28, "No space")),
        ("on_epoch_end", SystemExit(3)),
        ("on_run_end", RuntimeError("broken")),
    ],
)
def test_a_tracker_that_fails_is_switched_off_with_one_warning_and_the_run_is_the_same(
    run_here: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    event: str,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    target, events = plugged(monkeypatch, event, error)
    assert run_here(f"++tracker._target_={target}", "training.epochs=3").best_value is not None
    assert (summary(tmp_path)["status"], summary(tmp_path)["epochs"]) == ("completed", 3)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"The tracker Mine failed in {event} and is switched off; the run goes on. ")
    assert warning.endswith(")")  # the file and line of the tracker
    assert type(error).__name__ in warning
    assert "test_training_experiment.py, line " in warning
    assert (events.count(event), events[-1], events.count("on_run_end")) == (1, "on_run_end", 1)


@pytest.mark.parametrize("error", [RuntimeError("no such project"), KeyError("WANDB_KEY"), TypeError("entity")])
def test_a_tracker_that_cannot_be_built_is_a_mistake_in_the_configuration(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    target, _ = plugged(monkeypatch, "none", error)

    def refuse(_self: Any) -> None:
        raise error

    monkeypatch.setattr(f"{target}.__init__", refuse)
    with pytest.raises(UserError, match=rf"^tracker: Mine failed to start\. {type(error).__name__}: {error}$"):
        run_here(f"++tracker._target_={target}")


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        ("on_batch_end", ZeroDivisionError("by zero"), "failed in on_batch_end. ZeroDivisionError: by zero (test_tr"),
        ("on_epoch_end", UserError("accuracy is good enough"), "stopped the run: accuracy is good enough"),
    ],
    ids=["fails", "stops"],
)
def test_a_callback_that_raises_ends_the_run_by_its_name_and_the_run_can_be_continued_to_the_same_bits(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, event: str, error: Exception, message: str
) -> None:
    target, _ = plugged(monkeypatch, event, error)
    with pytest.raises(CallbackFailed) as failed:
        run_here(f"+training.callbacks.mine._target_={target}", "training.checkpoint_every=10", "training.epochs=3")
    assert str(failed.value).startswith(f"training.callbacks.mine (Mine) {message}")
    assert failed.value.exit_code == 1
    assert summary(tmp_path)["status"] == "failed"
    assert summary(tmp_path)["reason"] == str(failed.value)
    finished = metrics(tmp_path) if (tmp_path / "metrics.csv").exists() else []
    assert len(finished) == (event == "on_epoch_end")  # what is finished is kept

    plugged(monkeypatch, "none", error)  # the mended callback
    run_here(f"resume={tmp_path}")
    resumed = best_model(tmp_path)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    run_here("training.epochs=3")
    assert_same_bits(best_model(tmp_path), resumed)


def test_a_mistake_that_a_callback_finds_at_the_start_is_the_users(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, _ = plugged(monkeypatch, "on_run_start", UserError("layer must be <= 2. Got 7"))
    with pytest.raises(UserError, match=r"^layer must be <= 2\. Got 7$"):
        run_here(f"+training.callbacks.mine._target_={target}")


def test_a_callback_that_fails_at_the_end_of_a_run_is_one_line(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, _ = plugged(monkeypatch, "on_run_end", RuntimeError("broken"))
    run_here(f"+training.callbacks.mine._target_={target}")
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "training.callbacks.mine (Mine) failed in on_run_end. RuntimeError: broken" in record.getMessage()
    assert record.exc_info is None
    assert summary(tmp_path)["status"] == "completed"


def test_everybody_is_told_of_the_end_when_ctrl_c_comes_during_the_plots(
    run_here: Experiment, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    first, last = Witness(), Witness()
    with pytest.raises(KeyboardInterrupt):
        run_here(callbacks=[first, experiment.PlotCallback(interrupted), last])
    assert len(first.ends) == len(last.ends) == 1
    assert summary(tmp_path)["status"] == "completed"


def test_a_run_without_validation_is_complete_with_its_plots(tmp_path: Path) -> None:
    command = ("-d", "digits", "-sz", "8", "-e", "2", "--no_wandb", "dataset.validation_fraction=0")
    ended = run(tmp_path, *command, "hydra.run.dir=run", "plots=null")
    assert "Traceback" not in ended.out + ended.err
    assert (tmp_path / "run" / "plots" / "curves.png").exists()
    assert summary(tmp_path / "run")["best_epoch"] == 2
    assert "Note: without validation data there is no best epoch; the last one is kept." in ended.out
    assert "| best" not in ended.out
    assert summary(tmp_path / "run")["monitor"] is None


def test_a_failing_evaluation_of_the_test_set_is_a_failed_run_that_keeps_its_epochs(
    run_here: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreadable(_: Digits) -> None:
        raise OSError(5, "Input/output error", "test.gz")

    witness = Witness()
    with monkeypatch.context() as broken:
        broken.setattr(Digits, "test", unreadable)
        with pytest.raises(OSError, match="Input/output"):
            run_here(callbacks=[witness])
    assert witness.ends == [("failed", 1)]
    assert len(metrics(tmp_path)) == 2
    run_here(f"resume={tmp_path}")
    assert summary(tmp_path)["status"] == "completed"


def test_steps_epochs_and_seconds_of_the_summary_are_those_of_the_table(run_here: Experiment, tmp_path: Path) -> None:
    run_here("training.batch_size=100", "training.epochs=3")
    said = summary(tmp_path)
    assert (
        said["steps"] == 3 * 13 == int(metrics(tmp_path)[-1]["step"])
    )  # 1294 samples: 12 batches of 100 and one of 94
    assert said["epochs"] == 3
    assert said["training_seconds"] <= said["total_seconds"]


def test_the_signal_handler_of_before_is_back_afterwards(run_here: Experiment) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_here()
    assert signal.getsignal(signal.SIGTERM) == before
