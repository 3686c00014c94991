"""Run directories are read as they were configured."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run
from omegaconf import OmegaConf

from mlp.base.errors import UserError
from mlp.report.read import RunFiles, by, configured, confusion, layers, over_seeds
from mlp.report.statistics import MeanStd, differ, difference, is_overfitted


def made(directory: Path, *overrides: str) -> RunFiles:
    return RunFiles(make_run(directory, ["dataset=digits", *overrides], {"val_loss": [1.0]}))


@pytest.mark.parametrize(
    ("overrides", "augment", "optimizer"),
    [
        ((), "none", "adam"),
        (("augment=mnist", "optimizer=sgd"), "mnist", "sgd"),
        (("augment=elastic", "augment.elastic=0.5", "optimizer=nag"), "elastic", "nag"),
    ],
)
def test_a_group_is_named_by_the_option_that_was_chosen(
    tmp_path: Path, overrides: tuple[str, ...], augment: str, optimizer: str
) -> None:
    run = made(tmp_path / "0", *overrides)
    assert (run.value("augment"), run.value("optimizer")) == (augment, optimizer)


def test_a_configuration_that_says_its_choices_is_believed(tmp_path: Path) -> None:
    run = made(tmp_path / "0")
    config = OmegaConf.load(run.directory / "config.yaml")
    OmegaConf.save(OmegaConf.merge(config, {"choices": {"augment": "mine"}}), run.directory / "config.yaml")
    assert RunFiles(run.directory).value("augment") == "mine"


def test_runs_are_grouped_by_what_they_chose(tmp_path: Path) -> None:
    runs = [made(tmp_path / str(i), f"augment={name}") for i, name in enumerate(("shift", "flip", "shift"))]
    groups = {key: [run.directory.name for run in members] for key, members in by(runs, "augment").items()}
    assert groups == {("shift",): ["0", "2"], ("flip",): ["1"]}
    assert over_seeds(runs, [run.metrics["val_loss"][0] for run in runs]).mean == 1


def test_many_hidden_layers_are_said_by_their_ends(tmp_path: Path) -> None:
    sizes = ("[32]", "[64,32]", "[128,64]", "[96,96,96]", "[128,128]")
    runs = [made(tmp_path / str(i), f"model.hidden_sizes={one}", "optimizer=nag") for i, one in enumerate(sizes)]
    words = configured(runs)
    assert words["hidden layers"] == ["32", "64-32", "128-64", "96-96-96", "128-128"]
    assert (words["optimizer"], words["loss"], words["init"]) == (["NAG"], ["cross-entropy"], ["Xavier"])
    more = [*runs, made(tmp_path / "more", "model.hidden_sizes=[48]")]
    assert layers([(size,) for size in range(8, 14)]) == ["6 different sets (1 layer of 8 to 13 units)"]
    assert configured(more)["hidden layers"] == ["6 different sets (1 to 3 layers of 32 to 128 units)"]


def test_a_difference_is_paired_where_the_seeds_are_the_same() -> None:
    # Seeds that lie far apart, and move both measurements alike.
    a, b = MeanStd([1.0, 2.0, 3.0], [0, 1, 2]), MeanStd([3.2, 1.1, 2.1], [2, 0, 1])
    paired = difference(b, a)
    assert paired.mean == pytest.approx(0.4 / 3)
    assert paired.error == pytest.approx(0.1 / 3)  # of 0.1, 0.1, 0.2: their deviation 0.0577 over the root of 3
    assert differ(a, b)
    assert not differ(MeanStd(a.values), MeanStd(b.values))  # not known to belong together
    assert difference(MeanStd(a.values), MeanStd(b.values)).error == pytest.approx((2 / 3 + 0.0033) ** 0.5, rel=0.05)
    assert not differ(MeanStd([1.0, 2.0], [0, 1]), MeanStd([1.1, 2.1], [0, 1]))  # two pairs may agree by luck
    assert differ(MeanStd([1.0]), MeanStd([1.1]))


def test_over_fitted_is_more_than_a_point_and_more_than_chance() -> None:
    assert is_overfitted(0.99, 0.97, None)
    assert not is_overfitted(0.99, 0.985, None)
    assert not is_overfitted(0.99, 0.97, 200)


def test_labels_that_are_no_integers_are_refused() -> None:
    arrays = {"y_true": np.array([0.0, np.nan]), "y_pred": np.array([0, 1]), "class_names": np.array(["a", "b"])}
    with pytest.raises(UserError, match=r"must be integers. Got float64"):
        confusion(arrays)
