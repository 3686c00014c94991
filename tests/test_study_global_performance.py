"""Training against test accuracy: the rule of over-fitting, what the text says of it, and a point for every run."""

from pathlib import Path

import numpy as np
import pytest
from answers import pictures_of, tables_of, text_of
from made_trials import ADAM, SGD, make_search

from mlp.report.blocks import Analysis
from mlp.report.studies.global_performance import GlobalPerformance, larger
from mlp.report.studies.hyperparameter_search import HyperparameterSearch

STUDY = GlobalPerformance()


def analysis(root: Path, trials: list[dict[str, object]]) -> Analysis:
    make_search(root / "digits", trials)
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def test_it_shares_the_runs_of_the_search() -> None:
    search = HyperparameterSearch()
    for dataset, quick in (("mnist", False), ("digits", True)):
        assert STUDY.overrides(dataset, quick) == search.overrides(dataset, quick)
        assert STUDY.directory(Path(), dataset, quick) == search.directory(Path(), dataset, quick)
        assert STUDY.experiments == search.experiments
    assert STUDY.directory(Path(), "mnist") == Path("mnist")
    assert STUDY.directory(Path(), "mnist", quick=True, experiment="search_design") == Path("mnist-design-quick")
    assert STUDY.overrides("mnist", quick=True, experiment="search_design") == [
        "+experiment=search_design", "search.trials=8", "training.epochs=1", "plots=false",
        "search.name=mnist-design-quick",
    ]  # fmt: skip


def test_overfitted_runs_are_counted_and_listed_and_those_without_a_measurement_named(tmp_path: Path) -> None:
    found = analysis(tmp_path, [
        {"varied": SGD, "train": 1.0, "test": 0.9, "val_loss": [0.4, 0.5]},
        {"varied": ADAM, "train": 0.9, "test": 0.9},
        {"varied": ADAM, "train": 1.0, "test": 0.85, "state": "pruned"},
        {"varied": ADAM, "train": 0.4, "test": 0.3},
        {"varied": ADAM, "test": 0.9, "state": "pruned"},
        {"varied": ADAM, "state": "failed"},
    ])  # fmt: skip
    text = text_of(found)
    # What has hardly learned is none of them, however wide its gap.
    assert "**2 of the 3 runs with high training accuracy are over-fitted:**" in text
    assert "that of trial 2, with 100.00 % on the training images, 85.00 % on the test images, 15.00 points" in text
    assert "The lowest test accuracy among them is 85.00 %; the highest of all runs is 90.00 %." in text
    assert "High means at least 90 % of the highest training accuracy of all runs, that is 90.0 %." in text
    assert "In 1 of the 2 over-fitted runs the validation loss ended more than 5 % above its lowest" in text
    assert found.headline is not None
    assert found.headline.number == "15.00 points"
    assert "**All 4 runs are in the plot; 1 was pruned.**" in text
    assert "2 trials (pruned and failed) without both accuracies are not shown: trial 4 and trial 5." in text
    assert "90.0 % to 90.0 %: mean gap +0.00 points; 40.0 % to 40.0 %: mean gap +10.00 points." in text
    assert "Too few to compare: 3 runs with high training accuracy." in text
    # Of 1797 digits 359 or 360 are for the test and a tenth of the others for validation; 64 pixels.
    assert f"have 1,000 to 1,002 parameters; {2 * 1294 + 64:,} suffice" in text
    table = tables_of(found)[0]
    assert table.rows == [
        ["trial 2", "100.00 %", "85.00 %", "15.00", "0 %"],
        ["trial 0", "100.00 %", "90.00 %", "10.00", "25 %"],
    ]


def test_where_none_is_overfitted_the_text_says_so(tmp_path: Path) -> None:
    found = analysis(
        tmp_path, [{"varied": SGD, "train": 0.9, "test": 0.95}, {"varied": ADAM, "train": 0.9, "test": 0.8999}]
    )
    text = text_of(found)
    assert "**None: no run is over-fitted.** The widest gap among those with high training" in text
    assert "accuracy, of trial 1, is 0.01 points" in text
    assert "**No over-fitting:** no run" in text
    assert "The over-fitted networks" not in text
    assert not tables_of(found)


def test_without_any_measurement_there_is_no_figure(tmp_path: Path) -> None:
    found = analysis(tmp_path, [{"varied": SGD, "val": 0.5}])
    assert found.blocks == ["None of the 1 trial has measured both accuracies."]


@pytest.mark.parametrize("longer", [True, False])
def test_what_goes_with_a_wide_gap_follows_the_runs_that_learned(tmp_path: Path, longer: bool) -> None:
    # All are over-fitted, as on a hard dataset; of those that did not learn none tells anything.
    over = {"train": 0.9, "test": 0.8, "curve": [0.5] * (6 if longer else 2)}
    rest = {"train": 0.85, "test": 0.8, "curve": [0.5] * (2 if longer else 6)}
    lost = {"varied": SGD, "train": 0.1, "test": 0.1, "curve": over["curve"]}
    found = analysis(tmp_path, [{"varied": ADAM, **over}] * 5 + [{"varied": SGD, **rest}] * 5 + [lost] * 9)
    text = text_of(found)
    first, second = ("6 against 2, more", "2 against 6, less")[:: 1 if longer else -1]
    assert "**All 10 runs with high training accuracy are over-fitted:**" in text
    assert f"epochs trained: median {first} in 100 % of the pairs" in text
    assert second not in text
    assert [found.facts["differences"]["optimizer Adam"][group]["sum"] for group in ("wide", "rest")] == [5, 0]
    assert ("the length of training agrees here" in text) == longer
    assert ("the length of training contradicts it here" in text) != longer


def test_the_runs_of_the_design_count_too(tmp_path: Path) -> None:
    make_search(tmp_path / "digits-design", [{"varied": ADAM, "train": 1.0, "test": 0.95}], sampler="quasi_random")
    found = analysis(tmp_path, [{"varied": SGD, "train": 0.9, "test": 0.9}])
    assert [run["name"] for run in found.facts["runs"]] == ["trial 0", "design 0"]
    text = text_of(found)
    assert "**1 of the 2 runs with high training accuracy is over-fitted:**" in text


def test_the_share_of_pairs_counts_equal_ones_half() -> None:
    a, b = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 3.0, 0.0])
    slow = 0.0
    for x in a:
        for y in b:
            slow += 1.0 if x > y else 0.5 if x == y else 0.0
    assert larger(a, b) == pytest.approx(slow / 12)


def test_every_measured_run_is_a_point_and_pruned_ones_are_hollow(tmp_path: Path) -> None:
    trials = [
        {"varied": SGD, "train": 0.5 + 0.05 * i, "test": 0.5 + 0.03 * i, "state": "pruned" if i % 3 == 0 else "done"}
        for i in range(10)
    ]
    found = analysis(tmp_path, trials)
    left, right = pictures_of(found)[0].draw().axes
    points = np.concatenate([np.asarray(marks.get_offsets()) for marks in left.collections])
    expected = [(0.5 + 0.05 * i, 0.5 + 0.03 * i) for i in range(10)]
    np.testing.assert_allclose(sorted(map(tuple, points)), expected)
    hollow = [marks for marks in left.collections if not len(marks.get_facecolor())]
    assert sum(len(marks.get_offsets()) for marks in hollow) == 4
    near = np.concatenate([np.asarray(marks.get_offsets()) for marks in right.collections])
    np.testing.assert_allclose(sorted(map(tuple, near)), [(0.9, 0.16), (0.95, 0.18)])
    assert right.get_title(loc="left") == "The 2 with at least 85.5 % training accuracy"
    assert right.xaxis.get_major_formatter()(0.905, 0) == "90.5"
