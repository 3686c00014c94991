"""Where a stranger's run directory is sent, and what is fetched for it, is not its own to say."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_hostile_run_directories import configured, refused, resume, run

from mlp.config.compose import compose
from mlp.config.resolve import left_out, resolve_resumed, wandb_nodes
from mlp.runs import read as run_rows
from mlp.runs import send, verify
from mlp.tracking import WandbTracker, record
from mlp.tracking import tracker as tracker_module

__all__ = ["run"]  # the fixture

WANDB = "mlp.tracking.WandbTracker"


@pytest.mark.parametrize(
    ("tracker", "words", "found"),
    [
        ({"project": "numpy-mlp", "entity": None, "mode": "auto"}, (), ("numpy-mlp", None, "auto")),
        ({"project": "numpy-mlp", "entity": None, "mode": "online"}, (), ("numpy-mlp", None, "auto")),
        ({"project": "numpy-mlp", "entity": None, "mode": "offline"}, (), ("numpy-mlp", None, "offline")),
        ({"project": "theirs", "entity": None, "mode": "online"}, (), ("numpy-mlp", None, "offline")),
        ({"project": "numpy-mlp", "entity": "them", "mode": []}, (), ("numpy-mlp", None, "offline")),
        ({"project": "theirs"}, ("tracker.project=theirs",), ("theirs", None, "auto")),
        ({"project": "theirs"}, ("tracker.project=mine",), ("mine", None, "auto")),
        ({"project": "theirs"}, ("tracker=wandb",), ("numpy-mlp", None, "auto")),
    ],
)
def test_where_wandb_sends_it_is_not_its_own_to_say(
    run: Path, tracker: dict[str, Any], words: tuple[str, ...], found: tuple[str, str, str]
) -> None:
    node, board = {"_target_": WANDB, **tracker}, {"_target_": "mlp.tracking.TensorBoardTracker"}
    for trackers in [node] if words else [node, {"it": node, "board": board}]:
        configured(run, {"tracker": trackers})
        config = resolve_resumed(compose(["resume=run", *words]), run, ["resume=run", *words])
        told = next(wandb_nodes(config["tracker"]))
        assert (told["project"], told["entity"], told["mode"]) == found
        elsewhere = tracker["project"] != found[0] or tracker.get("entity") is not None
        assert len([note for note in left_out(run, config) if "W&B does not go on where it was" in note]) == elsewhere


@pytest.mark.parametrize("elsewhere", ["/dev/null/none", "other"])
def test_which_copy_a_tracker_continues_is_not_its_own_to_say(
    run: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(run.parent / "cache"))
    tracker_module._key.cache_clear()
    tracker = WandbTracker()
    tracker.store_id(run, "mine")
    assert tracker.stored_id(run) == "mine"
    signed = (run / "wandb_id.txt").read_text()
    for theirs in ("theirs", signed.replace("mine", "theirs"), "theirs \xe9", "", " "):
        (run / "wandb_id.txt").write_text(theirs)
        assert tracker.stored_id(run) is None
    (run / "wandb_id.txt").write_text(signed)
    assert tracker.stored_id(run) == "mine"
    tracker_module._key.cache_clear()
    assert tracker.stored_id(run) == "mine"
    monkeypatch.setenv("MLP_CACHE_DIR", str(run.parent / elsewhere))
    tracker_module._key.cache_clear()
    assert tracker.stored_id(run) is None
    assert (run.parent / "cache" / "key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(run.parent / "cache") == ["key"]


def test_it_downloads_nothing_unless_the_command_line_names_the_dataset(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "KERAS_HOME", "MLP_CACHE_DIR"):
        monkeypatch.setenv(name, str(run.parent / "home"))
    keras = SimpleNamespace(datasets=None)  # that it is asked shows in the message
    monkeypatch.setitem(sys.modules, "keras", keras)
    configured(run, {"dataset": {"_target_": "mlp.data.CIFAR10", "validation_fraction": 0.1, "data_dir": None}})
    refused(resume, "cifar10 is not in ", "what only a file names is not downloaded")
    refused(lambda: verify.verify(run_rows.ended_row("run"), None), "what only a file names is not downloaded")
    refused(lambda: resume("-d", "cifar10"), "keras.datasets.cifar10 cannot be loaded")


def test_sending_it_says_what_does_not_go_together(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = SimpleNamespace(log_results=lambda run: record.confusion_rows(run.directory))
    for name in ("knows", "start", "log_epoch", "finish"):
        setattr(tracker, name, lambda *_: None)
    monkeypatch.setattr(send, "build_option", lambda *_, **__: tracker)
    np.savez(run / "predictions.npz", y_true=np.zeros(3), y_pred=np.zeros(3))
    text = send.to_trackio([run_rows.ended_row("run")], "p")
    assert "run: sent in parts, its files do not go together: KeyError: 'class_names'" in text
    assert "0 of 1 runs sent" in text
