"""The tracker options: each is a callback, and choosing one costs nothing."""

import importlib
import inspect
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mlp.cli.overrides import to_hydra
from mlp.config.compose import compose
from mlp.config.resolve import resolve_trial
from mlp.tracking import NoTracker

OPTIONS = sorted((Path(__file__).parent.parent / "conf" / "tracker").glob("*.yaml"))
SINGLE = [path for path in OPTIONS if "_target_" in (OmegaConf.load(path) or {})]


def class_of(path: Path) -> type:
    module, name = OmegaConf.load(path)["_target_"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def test_only_the_option_for_several_names_no_class() -> None:
    assert [path.stem for path in OPTIONS if path not in SINGLE] == ["several"]


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: path.stem)
def test_tracker_has_every_event_of_a_callback(path: Path) -> None:
    cls = class_of(path)
    if find_spec(package := getattr(cls, "package", "mlp")) is None:
        pytest.skip(f"needs the package {package}")
    tracker = cls()
    for event in ("on_run_start", "on_batch_end", "on_epoch_end", "on_run_end"):
        assert list(inspect.signature(getattr(tracker, event)).parameters) == ["run"]


def test_no_tracker_reads_nothing_of_the_run() -> None:
    for event in ("on_run_start", "on_batch_end", "on_epoch_end", "on_run_end"):
        assert getattr(NoTracker(), event)(None) is None


def test_every_tracker_of_a_trial_gets_the_group_of_the_search_unless_it_has_one() -> None:
    words = to_hydra(["tracker=[wandb,tensorboard,trackio]", "tracker.trackio.group=mine"])
    trackers = resolve_trial(compose(words), "search")["tracker"]
    groups = {name: node["group"] for name, node in trackers.items()}
    assert groups == {"wandb": "search", "tensorboard": "search", "trackio": "mine"}


def test_importing_and_building_trackers_imports_none_of_their_packages() -> None:
    code = "from mlp.tracking import *; import sys; WandbTracker(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert not {"wandb", "trackio", "tensorboard", "mlflow"} & set(done.stdout.split())
