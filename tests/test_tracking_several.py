"""Trackers that are missing, fail, join later, or work beside each other and in searches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import runs
from test_tracking_local import NAMES, WORDS, database, events, needs

import mlp
from mlp.tracking import tracker


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tracker=trackio", "tracker.project=a/b"), "tracker: project must be 1 to 128 letters, .* Got 'a/b'"),
        (("tracker=mlflow", "tracker.experiment=' '"), "tracker: experiment must be a name. Got ' '"),
        (("tracker=[tensorboard,none,wandb]",), "name each option once"),
        (("tracker=[wandb,tensorboard]", "tracker.wandb.mode=of"), "tracker.wandb: mode 'of' is unknown"),
        (("tracker=tensorboard", "tracker.histograms=3"), "tracker.histograms must be true or false. Got 3"),
    ],
)
def test_mistakes_are_refused_before_the_run_begins(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(mlp.UserError, match=message):
        mlp.train("dataset=digits", *words, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_one_message_with_the_line_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda wanted: None if wanted == name else object())
    with pytest.raises(
        mlp.UserError, match=rf"needs the package {name}, which is not installed: pip install .*\[{name}\]"
    ):
        mlp.train("dataset=digits", f"tracker={name}", directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_package_ends_the_program_with_code_2_before_the_training(tmp_path: Path) -> None:
    code = """
import importlib.util, runpy, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "trackio" else find_spec(name, *more)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    words = [str(runs.ROOT / "train.py"), "dataset=digits", "tracker=[trackio,wandb]"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: TrackioTracker needs the package trackio, which is not installed: pip install -e '.[trackio]'\n"
    )
    assert list(tmp_path.rglob("metrics.csv")) == []


@needs("tensorboard")
@needs("trackio")
def test_of_several_trackers_one_that_fails_is_switched_off_and_the_other_has_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    words = ("-d", "digits", "-e", "3", "tracker=[trackio,tensorboard]", "plots=false", "hydra.run.dir=run")
    done = subprocess.run(
        [sys.executable, str(runs.ROOT / "train.py"), *words], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "TRACKIO_DIR": str(tmp_path / "file")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("The tracker TrackioTracker failed in ") == done.stdout.count("is switched off") == 1
    assert [event.step for event in events(tmp_path / "run").Scalars("val_loss")] == [1, 2, 3]


@needs("tensorboard")
def test_a_tracker_that_joins_a_resumed_run_gets_the_earlier_epochs_too(
    tmp_path: Path,
) -> None:
    mlp.train(*WORDS, "tracker=none", directory=tmp_path / "run")
    mlp.train(f"resume={tmp_path / 'run'}", "training.epochs=3", "tracker=tensorboard", directory=tmp_path / "run")
    assert [event.step for event in events(tmp_path / "run").Scalars("train_loss")] == [1, 2, 3]
    log = (tmp_path / "run/train.log").read_text()
    assert "TensorBoardTracker: a new run, with the epochs of the resumed one." in log


@needs("tensorboard")
@needs("trackio")
@pytest.mark.slow
def test_the_trials_of_a_search_are_runs_of_their_own_in_its_group(tmp_path: Path) -> None:
    words = ("-m", "-d", "digits", "-e", "2", "-o", "sgd,adam", "tracker=[tensorboard,trackio]", "search.name=two")
    done = subprocess.run(
        [sys.executable, str(runs.ROOT / "train.py"), *words], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = [tmp_path / "multirun_outputs/two" / number for number in "01"]
    assert [[event.step for event in events(trial).Scalars("val_accuracy")] for trial in trials] == [[1, 2]] * 2
    configs = [json.loads(config) for (config,) in database(trials[0].parent, "SELECT config FROM configs")]
    assert [config["_Group"] for config in configs] == ["two", "two"]
    named = database(trials[0].parent, "SELECT DISTINCT run_name FROM metrics ORDER BY run_name")
    assert named == [("two/0",), ("two/1",)]
