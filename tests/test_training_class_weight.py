"""Class weights: what a class counts in the training loss, in the loop and from the command line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Strike, assert_same_run, metrics, run

from mlp.base.errors import UserError
from mlp.data import Augmentation, Samples
from mlp.nn import MLP, SGD, Constant
from mlp.training import Run, Trainer, evaluate, random_streams
from mlp.training.class_weight import of_classes

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 5)), np.repeat([0, 1, 2], [40, 15, 5])
ROWS = rng.permutation(60)[:45]
TRAIN, VALIDATION = Samples(X, Y, ROWS, 1.0), Samples(X, Y, np.setdiff1d(np.arange(60), ROWS), 1.0)


def trained(train: Samples, batch_size: int = 1000, **options: Any) -> Run:
    random = random_streams(0)
    network = MLP(5, 3, [4], rng=random["init"], dtype="float64")
    state = Run(Path(), {}, network, SGD(0.5), Constant(), random)
    Trainer(epochs=20, batch_size=batch_size, **options).fit(state, train, VALIDATION)
    return state


def test_balanced_classes_weigh_the_same_together() -> None:
    weights = of_classes("balanced", np.array([6.0, 2.0, 0.0, 4.0]))
    np.testing.assert_allclose(weights, [12 / (3 * 6), 12 / (3 * 2), 1, 12 / (3 * 4)], rtol=1e-15)


def test_lists_and_mappings_say_it_by_class_number() -> None:
    mass = np.ones(3)
    assert of_classes([1.0, 2.0, 3.0], mass).tolist() == [1, 2, 3]
    assert of_classes({1: 5.0}, mass).tolist() == [1, 5, 1]
    assert Trainer(class_weight={"1": 5, 2: 3}).class_weight == {1: 5, 2: 3}  # JSON makes texts of numbers


@pytest.mark.parametrize("given", [[1, 3, 2], {1: 3, 2: 2}])
def test_a_class_of_weight_three_learns_as_if_its_samples_were_there_three_times(given: Any) -> None:
    repeats = np.array([1, 3, 2])[Y[ROWS]]
    weighted, repeated = trained(TRAIN, class_weight=given), trained(replace(TRAIN, rows=ROWS.repeat(repeats)))
    np.testing.assert_allclose(weighted.network.theta, repeated.network.theta, rtol=1e-11, atol=1e-13)
    assert weighted.metrics["train_loss"] == pytest.approx(repeated.metrics["train_loss"], rel=1e-11)
    assert not np.allclose(weighted.network.theta, trained(TRAIN).network.theta, rtol=0.01)


def test_the_training_loss_of_an_epoch_is_the_weighted_mean_over_its_samples() -> None:
    """At a rate that changes nothing it is that of the network, whatever the batches."""
    for batch_size in (7, 45):
        random = random_streams(0)
        network = MLP(5, 3, [4], rng=random["init"], dtype="float64")
        network.theta += 0.01  # biases of 0 would change
        state = Run(Path(), {}, network, SGD(1e-300), Constant(), random)
        Trainer(epochs=1, batch_size=batch_size, class_weight=[1, 3, 2]).fit(state, TRAIN, VALIDATION)
        repeated = evaluate(state.network, replace(TRAIN, rows=ROWS.repeat(np.array([1, 3, 2])[Y[ROWS]])))
        assert state.metrics["train_loss"] == pytest.approx(repeated.loss, rel=1e-12)
        assert state.metrics["train_accuracy"] == evaluate(state.network, TRAIN).scores()["accuracy"]


def test_balanced_counts_the_training_samples_alone_and_validation_counts_samples() -> None:
    counts = np.bincount(Y[ROWS])
    balanced, spelled_out = (trained(TRAIN, 10, class_weight=given) for given in ("balanced", list(1 / counts)))
    np.testing.assert_allclose(balanced.network.theta, spelled_out.network.theta, rtol=1e-9)
    measured = evaluate(balanced.network, VALIDATION).scores("val_")
    assert {name: balanced.metrics[name] for name in ("val_loss", "val_accuracy")} == {
        name: measured[name] for name in ("val_loss", "val_accuracy")
    }


def test_class_weights_multiply_those_of_the_samples() -> None:
    own = np.random.default_rng(1).integers(1, 4, 60).astype(float)
    both = trained(replace(TRAIN, weights=own), class_weight=[1, 3, 2])
    repeated = trained(replace(TRAIN, rows=ROWS.repeat((own * np.array([1, 3, 2])[Y])[ROWS].astype(int))))
    np.testing.assert_allclose(both.network.theta, repeated.network.theta, rtol=1e-11, atol=1e-13)


def test_what_cannot_be_weighed_is_refused() -> None:
    with pytest.raises(UserError, match="differ by a factor of 1e"):
        trained(TRAIN, class_weight=[1, 1e-40, 1])
    with pytest.raises(UserError, match=r"a weight for each of the 3 classes. Got 2; a mapping such as \{2: 2\}"):
        trained(TRAIN, class_weight=[1, 2])
    with pytest.raises(UserError, match=r"balanced needs samples of one class each, and augment\.mixup=0\.2"):
        Trainer(class_weight="balanced").check_class_weight(3, Augmentation(mixup=0.2))
    Trainer(class_weight="balanced").check_class_weight(3, Augmentation(shift=2))


def test_a_run_with_class_weights_that_is_killed_resumes_to_the_same_bits(tmp_path: Path) -> None:
    command = ("-d", "digits", "-sz", "32", "--no_wandb", "-e", "2", "loss.label_smoothing=0.1")
    weights = "training.class_weight={3: 4, 8: 2.5}"
    step = Strike("mlp.nn.optimizers.Optimizer.step", 30)  # of 21 in an epoch
    run(tmp_path, *command, weights, "hydra.run.dir=killed", strike=step, code=-9)
    run(tmp_path, "resume=killed")
    run(tmp_path, *command, weights, "hydra.run.dir=whole")
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    run(tmp_path, *command, "hydra.run.dir=plain", "-e", "1")
    assert metrics(tmp_path / "plain")[0]["train_loss"] != metrics(tmp_path / "whole")[0]["train_loss"]
