"""The transfer to Fashion-MNIST: three configurations by rules, a text that follows the numbers, true figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from answers import drawn, tables_of, text_of
from made_runs import make_run

from mlp.base.errors import UserError
from mlp.config.compose import compose
from mlp.config.files import CONF
from mlp.config.resolve import resolve
from mlp.report.blocks import Analysis, Picture
from mlp.report.build import Chapter
from mlp.report.studies import transfer
from mlp.report.studies.transfer import NAMES, Transfer

STUDY = Transfer()
SHALLOW, TANH, DEEP = NAMES
CLASSES = ["Bag", "Coat", "Shirt"]
TRUTH = np.repeat([0, 1, 2], 10)


def made(directory: Path, configuration: str, seed: int, test: float, train: float = 0.95,
         dataset: str = "fashion_mnist", **metrics: Sequence[float]) -> Path:  # fmt: skip
    """A run of the study; of each class the share `test` is recognised, the rest is called the next class."""
    guess = np.where(np.arange(30) % 10 < round(10 * test), TRUTH, (TRUTH + 1) % 3)
    return make_run(
        directory,
        ["+experiment=transfer", f"+experiment/transfer={configuration}", f"dataset={dataset}", f"seed={seed}"],
        {"train_loss": [0.6, 0.5, 0.4, 0.35, 0.3, 0.28], "val_accuracy": [0.5] * 6, **metrics},
        {"test_accuracy": test, "train_accuracy": train},
        predictions={"y_true": TRUTH, "y_pred": guess, "class_names": np.array(CLASSES)},
    )


def analysis(root: Path, scores: Mapping[tuple[str, int], float], mnist: Mapping[str, float] | None = None,
             train: float = 0.95) -> Analysis:  # fmt: skip
    """Of runs with these test accuracies, by configuration and seed, and those of a seed on MNIST."""
    for number, ((configuration, seed), test) in enumerate(scores.items()):
        made(root / "transfer" / str(number), configuration, seed, test, train)
    for number, (configuration, test) in enumerate((mnist or {}).items(), len(scores)):
        made(root / "transfer" / str(number), configuration, 0, test, 0.99, dataset="mnist")
    return STUDY.analyse(STUDY.find_runs(root, "mnist"))


def two_seeds(shallow: float, tanh: float, deep: float) -> dict[tuple[str, int], float]:
    """Test accuracies 0.002 around these."""
    means = {SHALLOW: shallow, TANH: tanh, DEEP: deep}
    return {(name, i): mean + 0.002 * (2 * i - 1) for name, mean in means.items() for i in (0, 1)}


def test_there_are_exactly_three_configurations_and_each_states_its_rule() -> None:
    files = {path.stem: path.read_text() for path in (CONF / "experiment" / "transfer").glob("*.yaml")}
    assert sorted(files) == sorted(NAMES)
    assert all("\n# Rule: " in content for content in files.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", ["FashionMNIST", "MNIST"])
def test_each_trains_on_both_whichever_place_it_has_in_the_sweep(name: str, dataset: str) -> None:
    words = [f"+experiment/transfer={name}", f"dataset={'fashion_mnist' if dataset[0] == 'F' else 'mnist'}"]
    for order in (words, words[::-1]):
        config = resolve(compose(["+experiment=transfer", *order]))
        assert config["dataset"]["_target_"] == f"mlp.data.{dataset}"
        assert config["dataset"]["validation_fraction"] == 0.1


def test_the_recipe_is_that_of_the_best_model_but_for_its_length() -> None:
    config = resolve(compose(["+experiment=transfer", f"+experiment/transfer={DEEP}"]))
    best = resolve(compose(["+experiment=best_mnist"]))
    best["dataset"], best["training"]["epochs"] = config["dataset"], 20
    assert config == best


def test_the_three_are_listed_and_really_differ(tmp_path: Path) -> None:
    found = analysis(tmp_path, two_seeds(0.8, 0.85, 0.9))
    listed = tables_of(found)[0]
    assert [row[1:4] for row in listed.rows] == [
        ["784-128-10", "ReLU", "Nadam, 0.00107"],
        ["784-128-128-128-10", "tanh", "RMSprop, 0.001"],
        ["784-128-128-128-128-128-128-10, batch normalisation, augmentation", "ReLU", "Adam, 0.003, cosine"],
    ]
    assert all(row[5].startswith("MNIST, 2.") for row in listed.rows)  # the study that the lesson is from


def test_the_best_is_named_whichever_it_is(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", two_seeds(0.8, 0.85, 0.9))
    said = "**The best test accuracy on Fashion-MNIST is 90.00 ± 0.28 %, with six ReLU layers, Adam, augmentation**"
    assert said in text_of(found)
    assert "The differences are significant." in text_of(found)
    assert found.facts["groups"][DEEP]["test_accuracy"].mean == pytest.approx(0.9)
    assert tables_of(found)[1].rows[2][1] == "90.00 ± 0.28 %"
    assert (
        "Measured: the augmented configuration has the smallest gap between training and test accuracy (5.00"
        in text_of(found)
    )
    found = analysis(tmp_path / "b", two_seeds(0.9, 0.899, 0.8))
    assert "90.00 ± 0.28 %, with one ReLU layer, Nadam**" in text_of(found)
    assert ", level with 89.90 ± 0.28 % (three tanh layers, RMSprop) and ahead of 80.00 ± 0.28 % (six" in text_of(
        found
    )
    assert found.headline is not None
    assert "one ReLU layer, Nadam, level with three tanh layers, RMSprop." in found.headline.answer
    level = "one ReLU layer, Nadam and three tanh layers, RMSprop."
    assert f"These do not differ significantly: {level}" in text_of(found)
    assert "the augmented configuration has not the smallest gap" in text_of(found)
    assert "so this is not the effect of augmentation alone." in text_of(found)


def test_whether_the_best_for_digits_is_the_best_for_clothing(tmp_path: Path) -> None:
    scores = two_seeds(0.8, 0.85, 0.9)
    unknown = analysis(tmp_path / "a", scores, {SHALLOW: 0.98})
    assert "**Not measured:** there are no runs of all three on MNIST." in text_of(unknown)
    assert [row[4] for row in tables_of(unknown)[1].rows] == ["98.00 %", "no run", "no run"]
    setup = Chapter(STUDY, "", STUDY.find_runs(tmp_path / "a", "mnist"), unknown).setup
    assert setup.startswith("**Setup:** Fashion-MNIST and MNIST; hidden layers")
    yes = analysis(tmp_path / "b", scores, {SHALLOW: 0.97, TANH: 0.98, DEEP: 0.99}, train=0.92)
    assert (
        "**Yes:** on digits six ReLU layers, Adam, augmentation is best (99.00 %), on clothing six ReLU"
        in text_of(yes)
    )
    assert "significantly better), A keeps place 3; B keeps place 2; C keeps place 1." in text_of(yes)
    assert (
        "**Clothing is harder to fit:** the highest training accuracy is 92.0 % on clothing, 99.0 % on digits, the "
        "highest test accuracy 90.0 % and 99.0 %." in text_of(yes)
    )
    no = analysis(tmp_path / "c", scores, {SHALLOW: 0.99, TANH: 0.98, DEEP: 0.97}, train=1.0)
    assert "**No:** on digits one ReLU layer, Nadam is best (99.00 %)" in text_of(no)
    assert "There the best for digits reaches 80.00 ± 0.28 %." in text_of(no)
    assert "significantly better), A falls from place 1 to 3; B keeps place 2; C rises from place 3 to 1." in text_of(
        no
    )
    assert "**Clothing is no harder to fit here:**" in text_of(no)
    level = analysis(tmp_path / "d", two_seeds(0.9, 0.85, 0.901), {SHALLOW: 0.99, TANH: 0.98, DEEP: 0.97})
    assert "**It is level with the best:** on digits one ReLU layer" in text_of(level)
    assert "significantly better), A keeps place 1; B falls from place 2 to 3; C rises from place 3 to 1." in text_of(
        level
    )


def test_half_a_point_on_a_single_seed_is_no_lead(tmp_path: Path) -> None:
    close = analysis(tmp_path / "a", {(SHALLOW, 0): 0.8, (TANH, 0): 0.804})
    assert close.facts["groups"][SHALLOW]["level_with"] == [TANH]
    assert "On a single seed, differences below 0.5 points mean nothing." in text_of(close)
    apart = analysis(tmp_path / "b", {(SHALLOW, 0): 0.8, (TANH, 0): 0.806})
    assert apart.facts["groups"][SHALLOW]["level_with"] == []


def test_the_classes_are_those_of_a_slow_loop(tmp_path: Path) -> None:
    guess = {0: [0] * 10 + [1] * 9 + [0] + [2] * 2 + [1] * 8, 1: [0] * 10 + [1] * 10 + [2] * 8 + [0] * 2}
    for seed, answers in guess.items():
        directory = made(tmp_path / "transfer" / str(seed), SHALLOW, seed, 0.7)
        np.savez(directory / "predictions.npz", y_true=TRUTH, y_pred=answers, class_names=CLASSES)
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    shares = [
        [sum(answers[i] == label for i in range(30) if TRUTH[i] == label) / 10 for label in range(3)]
        for answers in guess.values()
    ]
    means = [(shares[0][label] + shares[1][label]) / 2 for label in range(3)]
    assert list(found.facts["groups"][SHALLOW]["recall"].values()) == pytest.approx(means)
    points = drawn(found, "transfer_classes").axes[0].lines[0]
    np.testing.assert_allclose(points.get_xdata(), sorted(means))
    assert "Shirt has the lowest recall (50.0 %)" in text_of(found)
    assert "Without a completed run: three tanh layers, RMSprop and six ReLU layers, Adam, augm" in text_of(found)


def test_the_curves_are_means_over_the_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        scores = [0.1 * (seed + 1) * epoch for epoch in range(6)]
        made(tmp_path / "transfer" / str(seed), DEEP, seed, 0.7, val_accuracy=scores)
    accuracy, loss = drawn(STUDY.analyse(STUDY.find_runs(tmp_path, "mnist")), "transfer_curves").axes
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [0, 0.15, 0.3, 0.45, 0.6, 0.75])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.6, 0.5, 0.4, 0.35, 0.3, 0.28])


def test_a_run_that_diverged_is_counted_and_left_out(tmp_path: Path) -> None:
    made(tmp_path / "transfer" / "0", DEEP, 0, 0.7)
    words = ["+experiment=transfer", f"+experiment/transfer={SHALLOW}", "dataset=fashion_mnist"]
    make_run(tmp_path / "transfer" / "1", words, {"train_loss": [9.0]}, {"status": "diverged"})
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    assert "1 diverged run is left out." in text_of(found)
    assert len(tables_of(found)[1].rows) == 1


def test_the_shipped_model_is_explained_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "**Why less than the shipped model's 91.57 %**" in text_of(analysis(tmp_path / "a", {(DEEP, 0): 0.8}))
    monkeypatch.setattr(transfer.paths, "home", lambda: tmp_path)
    assert "Why less" not in text_of(analysis(tmp_path / "b", {(DEEP, 0): 0.8}))


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*transfer"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    make_run(tmp_path / "transfer" / "0", [], {"train_loss": [0.5]})
    with pytest.raises(UserError, match="none of the three configurations"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_run_of_the_three(quick_studies: Path, tmp_path: Path) -> None:
    found = STUDY.analyse(STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True))
    assert "This is the small version" in text_of(found)
    with (quick_studies / "multirun_outputs" / "transfer-quick" / "leaderboard.csv").open() as file:
        board = {row["experiment/transfer"]: row["test_accuracy"] for row in csv.DictReader(file)}
    assert board == {name: str(found.facts["groups"][name]["test_accuracy"].mean) for name in NAMES}
    for block in found.blocks:
        if isinstance(block, Picture):
            block.draw().savefig(tmp_path / "figure.png")
