"""Flags and overrides choose trackers and augmentations: one, several, in their order."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from mlp.base.errors import UserError
from mlp.cli.overrides import to_hydra

CONF = Path(__file__).resolve().parent.parent / "conf"


@pytest.fixture(autouse=True, scope="module")
def default() -> Iterator[Any]:
    """The configuration without any override."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield hydra.compose("config")


def composed(line: str) -> Any:
    """The configuration that Hydra composes from a command line without switches."""
    return hydra.compose("config", overrides=to_hydra(shlex.split(line)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "mlp.tracking.WandbTracker"),
        ("--no_wandb", "mlp.tracking.NoTracker"),
        ("-wp disabled", "mlp.tracking.NoTracker"),
        ("-w_p Disabled", "mlp.tracking.NoTracker"),
        ("--no_wandb -wp demo -we me", "mlp.tracking.NoTracker"),
        ("-wp demo tracker=none", "mlp.tracking.NoTracker"),
        ("--no_wandb tracker=wandb", "mlp.tracking.WandbTracker"),
    ],
)
def test_tracking_is_switched_off_by_flag_project_or_override(line: str, expected: str) -> None:
    assert composed(line).tracker._target_ == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-wp demo tracker=wandb", {"tracker.project": "demo"}),
        ("-wp demo tracker=Trackio", {"tracker.project": "demo"}),
        ("-wp demo tracker=[trackio]", {"tracker.project": "demo"}),
        (
            "-wp demo -we me tracker=[wandb,trackio,mlflow]",
            {"tracker.wandb.project": "demo", "tracker.trackio.project": "demo", "tracker.wandb.entity": "me"},
        ),
        ("-wp demo tracker=[wandb,tensorboard] tracker.wandb.project=b", {"tracker.wandb.project": "b"}),
    ],
)
def test_project_and_entity_reach_the_trackers_that_have_them(line: str, expected: dict[str, str]) -> None:
    config = composed(line)
    assert {key: OmegaConf.select(config, key) for key in expected} == expected


def test_a_project_that_no_tracker_takes_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert composed("-wp demo tracker=tensorboard").tracker._target_ == "mlp.tracking.TensorBoardTracker"
    assert "Note: --wandb_project is ignored: tracker=tensorboard has no project." in capsys.readouterr().err


def test_several_trackers_are_composed_by_name_in_their_order() -> None:
    tracker = composed("'tracker=[TensorBoard, wandb]' tracker.tensorboard.histograms=false").tracker
    assert list(tracker) == ["tensorboard", "wandb"]
    assert tracker.tensorboard == {**OmegaConf.load(CONF / "tracker/tensorboard.yaml"), "histograms": False}
    assert tracker.wandb == OmegaConf.load(CONF / "tracker/wandb.yaml")


@pytest.mark.parametrize("names", ["wandb,wandb", "wandb,WandB", "none,wandb", "several,wandb"])
def test_trackers_that_cannot_go_together_are_refused(names: str) -> None:
    with pytest.raises(UserError, match=r"name each option once, of mlflow, tensorboard, trackio, wandb; or give"):
        to_hydra([f"tracker=[{names}]"])


def test_several_augmentations_are_composed_in_their_order() -> None:
    augment = composed("augment=[rotation,erasing] augment.steps.rotation.rotation=0.3").augment
    assert augment._target_ == "mlp.data.Compose"
    assert list(augment.steps) == ["rotation", "erasing"]
    assert augment.steps.rotation == {**OmegaConf.load(CONF / "augment/rotation.yaml"), "rotation": 0.3}
    assert composed("augment=[Rotation]").augment == OmegaConf.load(CONF / "augment/rotation.yaml")
    with pytest.raises(
        UserError, match=r"augment=\[none,flip\]: name each option once, of blur, brightness, elastic"
    ):
        to_hydra(["augment=[none,flip]"])


def test_a_later_tracker_replaces_several() -> None:
    assert composed("tracker=[wandb,tensorboard] tracker=none").tracker == {"_target_": "mlp.tracking.NoTracker"}
    assert list(composed("tracker=[wandb,mlflow] tracker=[tensorboard,wandb]").tracker) == ["tensorboard", "wandb"]
