"""The transfer to Fashion-MNIST: three configurations by rules, a text that follows the numbers, true figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from mlp.config.compose import compose
from mlp.config.files import CONF
from mlp.config.resolve import resolve
from mlp.errors import UserError
from mlp.report.blocks import Analysis, Picture, Table
from mlp.report.studies import transfer
from mlp.report.studies.transfer import NAMES, Transfer

STUDY = Transfer()
SEARCH, SHOWDOWN, RECIPE = NAMES
CLASSES = ["Bag", "Coat", "Shirt"]
TRUTH = np.repeat([0, 1, 2], 10)


def made(
    directory: Path,
    configuration: str,
    seed: int,
    test: float,
    train: float | None = None,
    **metrics: Sequence[float],
) -> Path:
    """A run of the study; of each class the share `test` is recognised, the rest is called the next class."""
    guess = np.where(np.arange(30) % 10 < round(10 * test), TRUTH, (TRUTH + 1) % 3)
    return make_run(
        directory,
        ["+experiment=transfer", f"+experiment/transfer={configuration}", f"seed={seed}"],
        {"train_loss": [0.6, 0.5, 0.4, 0.35, 0.3, 0.28], "val_accuracy": [0.5] * 6, **metrics},
        {"test_accuracy": test, "train_accuracy": test + 0.05 if train is None else train},
        predictions={"y_true": TRUTH, "y_pred": guess, "class_names": np.array(CLASSES)},
    )


def analysis(root: Path, scores: Mapping[tuple[str, int], tuple[float, float]]) -> Analysis:
    """Of runs with these test and training accuracies, by configuration and seed."""
    for number, ((configuration, seed), (test, train)) in enumerate(scores.items()):
        made(root / "transfer-fashion_mnist" / str(number), configuration, seed, test, train)
    return STUDY.analyse(STUDY.find_runs(root, "mnist"))


def text(found: Analysis) -> str:
    return "\n".join(block for block in found.blocks if isinstance(block, str))


def table(found: Analysis) -> Table:
    return next(block for block in found.blocks if isinstance(block, Table))


def axes(found: Analysis, name: str) -> Any:
    return next(block for block in found.blocks if isinstance(block, Picture) and block.name == name).draw().axes


def two_seeds(search: float, showdown: float, recipe: float, train: float = 0.95) -> dict[Any, tuple[float, float]]:
    """Test accuracies 0.002 around these. `train` is the training accuracy of the first two; that of the recipe is
    0.02 above its test accuracy."""
    means = {SEARCH: (search, train), SHOWDOWN: (showdown, train), RECIPE: (recipe, recipe + 0.02)}
    return {(name, i): (mean + 0.002 * (2 * i - 1), fit) for name, (mean, fit) in means.items() for i in (0, 1)}


def test_there_are_exactly_three_configurations_and_each_states_its_rule() -> None:
    files = {path.stem: path.read_text() for path in (CONF / "experiment" / "transfer").glob("*.yaml")}
    assert sorted(files) == sorted(NAMES)
    assert all("\n# Rule: " in content for content in files.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_trains_on_fashion_mnist_whichever_place_it_has_in_the_sweep(name: str) -> None:
    config = resolve(compose(["+experiment=transfer", f"+experiment/transfer={name}"]))
    assert config["dataset"]["_target_"] == "mlp.data.FashionMNIST"
    assert config["dataset"]["validation_fraction"] == 0.1


def test_the_recipe_is_that_of_the_best_model_but_for_its_length() -> None:
    config = resolve(compose(["+experiment=transfer", f"+experiment/transfer={RECIPE}"]))
    best = resolve(compose(["+experiment=best_mnist"]))
    best["dataset"], best["training"]["epochs"] = config["dataset"], 20
    assert config == best


def test_the_best_is_named_whichever_it_is(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", two_seeds(0.8, 0.85, 0.9))
    assert "the **MNIST recipe** reaches 90.00 ± 0.28 % test accuracy, the winner of the showdown 85.00" in text(
        found
    )
    assert "The differences are significant: more than two standard errors." in text(found)
    assert found.facts["groups"][RECIPE]["test_accuracy"].mean == pytest.approx(0.9)
    assert found.facts["groups"][RECIPE]["gap"] == pytest.approx(0.02)
    assert table(found).rows[2][3] == "90.00 ± 0.28 %"
    found = analysis(tmp_path / "b", two_seeds(0.9, 0.899, 0.8))
    assert "the **winner of the search** reaches" in text(found)
    level = "Not significantly different are the winner of the search and the winner of the showdown."
    assert level in text(found)


def test_the_lessons_hold_or_do_not(tmp_path: Path) -> None:
    good = text(analysis(tmp_path / "a", two_seeds(0.88, 0.85, 0.9)))
    assert "It is 3.00 points ahead of the default network of the showdown" in good
    assert "2.00 points ahead of the winner of the search; training and test accuracy are 2.00 points apart" in good
    assert "7.00 points with the other: the lesson holds." in good
    assert "But a better fit is not better generalisation" in good
    assert "gap between training and test accuracy is the smallest and its training accuracy not the highest" in good
    bad = text(analysis(tmp_path / "b", two_seeds(0.8, 0.85, 0.7)))
    assert "It is 5.00 points behind the default network of the showdown" in bad
    assert "It fits its training images no worse" in bad
    assert "15.00 points behind the winner of the showdown" in bad
    assert "with the other: the lesson does not hold." in bad
    level = text(analysis(tmp_path / "c", two_seeds(0.85, 0.85, 0.85)))
    assert "It does as well as the default network of the showdown" in level
    assert "The recipe is level with the winner of the s" in level


def test_half_a_point_on_a_single_seed_is_no_lead(tmp_path: Path) -> None:
    close = text(analysis(tmp_path / "a", {(SEARCH, 0): (0.8, 0.9), (SHOWDOWN, 0): (0.804, 0.9)}))
    assert "It does as well as the default network" in close
    apart = text(analysis(tmp_path / "b", {(SEARCH, 0): (0.8, 0.9), (SHOWDOWN, 0): (0.806, 0.9)}))
    assert "It is 0.60 points behind the default network" in apart


def test_speed_is_compared_after_five_epochs(tmp_path: Path) -> None:
    for number, (name, loss) in enumerate({SEARCH: 0.2, SHOWDOWN: 0.3, RECIPE: 0.4}.items()):
        losses = [0.6, 0.5, 0.4, 0.4, loss, 0.01]
        made(tmp_path / "transfer-fashion_mnist" / str(number), name, 0, 0.8, 0.9, train_loss=losses)
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    assert "is 0.300, that of the search's winner 0.200: what was fast there is not the faster" in text(found)
    assert found.facts["groups"][SHOWDOWN]["early_loss"].mean == pytest.approx(0.3)
    assert "With a single seed, differences below 0.5 points mean nothing." in text(found)


def test_the_classes_are_those_of_a_slow_loop(tmp_path: Path) -> None:
    guess = {0: [0] * 10 + [1] * 9 + [0] + [2] * 2 + [1] * 8, 1: [0] * 10 + [1] * 10 + [2] * 8 + [0] * 2}
    for seed, answers in guess.items():
        directory = made(tmp_path / "transfer-fashion_mnist" / str(seed), SEARCH, seed, 0.7)
        np.savez(directory / "predictions.npz", y_true=TRUTH, y_pred=answers, class_names=CLASSES)
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    shares = [
        [sum(answers[i] == label for i in range(30) if TRUTH[i] == label) / 10 for label in range(3)]
        for answers in guess.values()
    ]
    means = [(shares[0][label] + shares[1][label]) / 2 for label in range(3)]
    assert list(found.facts["groups"][SEARCH]["recall"].values()) == pytest.approx(means)
    points = axes(found, "transfer_classes")[0].lines[0]
    np.testing.assert_allclose(points.get_xdata(), sorted(means))
    assert "**Shirt** has the lowest recall (50.0 %)." in text(found)
    assert "Shirt varies between 20.0 and 80.0 % with the winner of the search" in text(found)
    assert "Without a completed run: the winner of the showdown and the MNIST recipe." in text(found)


def test_the_curves_are_means_over_the_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        scores = [0.1 * (seed + 1) * epoch for epoch in range(6)]
        made(tmp_path / "transfer-fashion_mnist" / str(seed), RECIPE, seed, 0.7, val_accuracy=scores)
    accuracy, loss = axes(STUDY.analyse(STUDY.find_runs(tmp_path, "mnist")), "transfer_curves")
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [0, 0.15, 0.3, 0.45, 0.6, 0.75])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.6, 0.5, 0.4, 0.35, 0.3, 0.28])


def test_a_run_that_diverged_is_counted_and_left_out(tmp_path: Path) -> None:
    made(tmp_path / "transfer-fashion_mnist" / "0", RECIPE, 0, 0.7)
    words = ["+experiment=transfer", f"+experiment/transfer={SEARCH}"]
    make_run(tmp_path / "transfer-fashion_mnist" / "1", words, {"train_loss": [9.0]}, {"status": "diverged"})
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    assert "1 diverged run is left out." in text(found)
    assert len(table(found).rows) == 1


def elsewhere(root: Path, place: str, overrides: Sequence[str], summary: Mapping[str, Any], **more: Any) -> None:
    """A run on MNIST that another study has left."""
    number = sum(1 for _ in (root / place).glob("*"))
    make_run(root / place / str(number), ["dataset=mnist", *overrides], more or {"train_loss": [0.5]}, summary)


def of_configuration(name: str, *further: str) -> list[str]:
    """The same configuration on MNIST."""
    return [f"+experiment/transfer={name}", "dataset=mnist", *further]


def test_what_the_same_configuration_reached_on_mnist_is_found(tmp_path: Path) -> None:
    scores = {(SEARCH, 0): (0.8, 0.9), (SHOWDOWN, 0): (0.85, 0.9), (RECIPE, 0): (0.9, 0.92)}
    none = analysis(tmp_path / "a", scores)
    assert [row[-1] for row in table(none).rows] == ["no run"] * 3
    root = tmp_path / "b"
    winner = of_configuration(SEARCH, "optimizer.learning_rate=0.00163", "seed=7")  # rounded, as people write it
    elsewhere(root, "mnist", winner, {"test_accuracy": 0.98, "val_accuracy": 0.99})
    elsewhere(root, "mnist", of_configuration(SEARCH, "activation=tanh"), {"test_accuracy": 0.5, "val_accuracy": 0.5})
    for seed, score in enumerate((0.97, 0.98)):
        shorter = of_configuration(SHOWDOWN, "training.epochs=5", f"seed={seed}")
        losses = [0.6, 0.4, 0.3, 0.2, 0.1]
        elsewhere(root, "optimizer_showdown-mnist", shorter, {"test_accuracy": score}, train_loss=losses)
    elsewhere(root, "error_analysis-mnist", of_configuration(RECIPE), {"test_accuracy": 0.99})
    found = analysis(root, scores)
    assert [row[-1] for row in table(found).rows] == ["98.00 %", "97.50 ± 0.71 % after 5 epochs", "99.00 %"]
    # Of the showdown's mistakes the recipe removes 5 of 15 points here, 1.5 of 2.5 on MNIST.
    assert "It makes 33 % fewer mistakes than the other here; on mnist, after 20 and 5 epochs, 60 % fewer." in text(
        found
    )


def test_the_rules_are_checked_against_the_files(tmp_path: Path) -> None:
    scores = {(name, 0): (0.8, 0.9) for name in NAMES}
    said = text(analysis(tmp_path / "a", scores))
    assert "The first rule was not checked: there is no search in mnist." in said
    assert "The second rule was not checked: there are no runs in optimizer_showdown-mnist." in said

    def check(root: Path, search: float, loss: float) -> str:
        """With the winners of the rules beside others of this validation accuracy and this loss."""
        elsewhere(root, "mnist", of_configuration(SEARCH), {"val_accuracy": 0.98})
        elsewhere(root, "mnist", ["optimizer=sgd", "training.epochs=3"], {"val_accuracy": search})
        elsewhere(root, "mnist", ["optimizer=sgd"], {"val_accuracy": 0.999, "status": "pruned"})
        for optimizer, end in (("rmsprop", 0.2), ("nag", loss)):
            words = [f"optimizer={optimizer}", "optimizer.learning_rate=1e-3", "model.hidden_sizes=[128,128,128]"]
            losses = [0.6, 0.5, 0.4, 0.3, end]
            elsewhere(root, "optimizer_showdown-mnist", words, {}, train_loss=losses)
        return text(analysis(root, scores))

    same = check(tmp_path / "b", search=0.97, loss=0.3)
    assert "Of the 2 completed trials in mnist the first rule chooses the same configuration" in same
    assert "the second rule chooses the same: rmsprop with 0.001, a training loss of 0.2 after 5 epochs" in same
    other = check(tmp_path / "c", search=0.99, loss=0.1)
    assert "another one: sgd 0.1, batch 64, 3 epochs, 128-128-128 (validation accuracy 99.00 %)" in other
    assert "another one: nag with 0.001, a training loss of 0.1 after 5 epochs (rmsprop with 0.001: 0.2)" in other


def test_the_third_rule_is_checked_against_the_best_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {(RECIPE, 0): (0.8, 0.9)}
    assert "has the network, optimizer, rate and batch size of the third" in text(analysis(tmp_path / "a", scores))
    monkeypatch.setattr(transfer.paths, "home", lambda: tmp_path)
    (tmp_path / "best_config.json").write_text('{"dataset": "digits"}')
    assert "The third rule was not checked" in text(analysis(tmp_path / "b", scores))
    (tmp_path / "best_config.json").write_text('{"dataset": "mnist", "test_accuracy": 0.9, "epochs": 3}')
    assert "does not have the network, optimizer, rate" in text(analysis(tmp_path / "c", scores))


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*transfer-fashion_mnist"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    make_run(tmp_path / "transfer-fashion_mnist" / "0", [], {"train_loss": [0.5]})
    with pytest.raises(UserError, match="none of the three configurations"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))


@pytest.mark.timeout(600)
def test_a_real_run_of_the_three(quick_studies: Path, tmp_path: Path) -> None:
    found = STUDY.analyse(STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True))
    assert "This is the small version" in text(found)
    with (quick_studies / "multirun_outputs" / "transfer-fashion_mnist-quick" / "leaderboard.csv").open() as file:
        board = {row["experiment/transfer"]: row["test_accuracy"] for row in csv.DictReader(file)}
    assert board == {name: str(found.facts["groups"][name]["test_accuracy"].mean) for name in NAMES}
    for block in found.blocks:
        if isinstance(block, Picture):
            block.draw().savefig(tmp_path / "figure.png")
