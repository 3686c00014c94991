"""The study of the search: it is the search of the README, and its text, axes and importances follow the trials."""

import random
from pathlib import Path

import numpy as np
import pytest
from answers import drawn, picture_of, pictures_of, tables_of, text_of
from made_trials import ADAM, PARAMETERS, SGD, make_search, parameter
from runs import run

from mlp.base.errors import UserError
from mlp.report import style
from mlp.report.axes import Axis, axes
from mlp.report.blocks import Analysis
from mlp.report.figures.parallel import ParallelCoordinates
from mlp.report.importance import interchangeable, permutation_importance
from mlp.report.studies.hyperparameter_search import HyperparameterSearch, explained
from mlp.report.trials import Parameter, read_parameters, read_search

STUDY = HyperparameterSearch()
README = ("-m", "search=tpe", "search.trials=1", "search.name=digits", "-d", "digits", "tracker=none")


def analysis(root: Path, trials: list[dict[str, object]], **described: str) -> Analysis:
    make_search(root / "digits", trials, **described)
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


@pytest.mark.parametrize(
    ("first", "experiment"),
    [pytest.param("README", "hyperparameter_search", marks=pytest.mark.slow), ("file", "global_performance")],
)
def test_the_file_and_the_command_of_the_readme_are_one_search(tmp_path: Path, first: str, experiment: str) -> None:
    words = (f"+experiment={experiment}", "dataset=digits", "search.trials=1", "tracker=none")
    order = [README, words] if first == "README" else [words, README]
    assert "1 trial to run" in run(tmp_path, *order[0]).out
    assert "Search digits in multirun_outputs/digits is complete" in run(tmp_path, *order[1]).out
    search = read_search(tmp_path / "multirun_outputs" / "digits")
    assert [t.state for t in search.trials] == ["done"]
    found = STUDY.analyse(STUDY.find_runs(tmp_path / "multirun_outputs", "digits"))
    assert found.facts["ranked"][0]["number"] == 0
    for picture in pictures_of(found):
        picture.draw()


def test_the_best_is_the_completed_trial_with_the_highest_validation_accuracy(tmp_path: Path) -> None:
    found = analysis(tmp_path, [
        {"varied": SGD, "val": 0.5, "test": 0.9},
        {"varied": ADAM, "val": 0.8, "test": 0.7},
        {"varied": SGD, "val": 0.99, "test": 0.99, "state": "pruned"},
        {"varied": SGD, "state": "failed", "reason": "the loss became NaN"},
        {"varied": SGD, "state": "lost", "reason": "interrupted"},
    ])  # fmt: skip
    text = text_of(found)
    said = "**Trial 1, with 80.00 % validation accuracy and 70.00 % test accuracy:** Adam, learning rate 0.001"
    assert said in text
    assert "**4 runs:** a search by the tree-structured Parzen estimator (TPE) of 4 points, of which 2 ran to" in text
    assert "1 was stopped by the median pruner and 1 failed. 1 failed with: the loss became NaN." in text
    assert found.headline is not None
    assert found.headline.number == "80.00 % validation accuracy"
    # 143 or 144 validation images of 1438: sqrt(0.8 * 0.2 / 144) = 3.33 points, and 30 points are more than two.
    assert "No other run is within two standard errors (one is 3.33 points, on 144 validation images)." in text
    assert "for the 2 best the test accuracy is 15.00 points higher than the validation accuracy on average" in text
    table = tables_of(found)[0]
    assert [row[:3] for row in table.rows] == [["trial 1", "80.00 %", "70.00 %"], ["trial 0", "50.00 %", "90.00 %"]]


def test_runs_within_two_standard_errors_are_not_significantly_different(tmp_path: Path) -> None:
    found = analysis(
        tmp_path, [{"varied": SGD, "val": 0.78, "test": 0.82}, {"varied": ADAM, "val": 0.8, "test": 0.86}]
    )
    assert (
        "1 other run is within two standard errors (one is 3.33 points, on 144 validation images), so not"
        in text_of(found)
    )
    assert "test accuracy is 5.00 points higher than the validation accuracy on average." in text_of(found)


def test_the_design_answers_what_matters_and_the_search_what_is_best(tmp_path: Path) -> None:
    draw = random.Random(0)
    design = [
        {"varied": {**ADAM, "training.batch_size": size, "optimizer.learning_rate": str(10 ** draw.uniform(-4, -2))},
         "val": {"16": 0.9, "32": 0.6, "64": 0.3}[size] + 0.0001 * draw.random()}
        for size in ("16", "32", "64") * 8
    ]  # fmt: skip
    make_search(tmp_path / "digits-design", design, sampler="quasi_random", pruner="none")
    found = analysis(
        tmp_path, [{"varied": SGD, "val": 0.95, "test": 0.9}, {"varied": SGD, "val": 0.1, "state": "pruned"}]
    )
    text = text_of(found)
    assert "**26 runs:** a search by the tree-structured Parzen estimator (TPE) of 2 points" in text
    assert (
        "a space-filling design (Sobol sequence) of 24 points, of which 24 ran to their end and none failed." in text
    )
    assert "**The batch size: it is first by the parallel coordinates and by the permutation importance.**" in text
    assert (
        "Follow the 6 strongest lines, the best quarter, back from the last axis to this one: they come from 6 "
        "of the 8 runs with 16, 0 of the 8 with 32 and 0 of the 8 with 64. In the same order, the median validation "
        "accuracy is 90.0 %, 60.0 % and 30.0 %." in text
    )
    assert "Each trial is a W&B run, in one group for each of the two;" in text
    # Three groups of eight in perfect order: the squares of the ranks within are 42 each, of 1150 in all.
    assert f"The batch size explains {100 * (1 - 3 * 42 / 21 / (1150 / 23)):.1f} % of the variance" in text
    assert next(iter(found.facts["importance"])) == "training.batch_size"
    assert "**Trial 0 of the search, with 95.00 % validation accuracy" in text
    assert found.headline is not None
    assert found.headline.answer.startswith("The batch size mattered most")
    # The best run of all is a line too, although it is of the search.
    assert "dashed green the best run of all, trial 0 of the search" in picture_of(found, "search_parallel").caption
    lines = {line.get_label(): line for line in drawn(found, "search_parallel").axes[0].lines}
    assert lines["trial 0 of the search"].get_color() == style.GREEN
    assert lines["trial 0 of the search"].get_ydata()[-1] == 1  # type: ignore[index]
    assert lines[f"design {found.facts['ranked'][1]['number']}"].get_color() == style.VERMILION
    data = picture_of(found, "search_parallel").draw.data()  # type: ignore[attr-defined]
    assert [line.get("slot") for line in data["lines"][:3]] == [2, None, None]
    for picture in pictures_of(found):
        picture.draw()


def test_a_first_place_within_the_errors_is_told(tmp_path: Path) -> None:
    draw = random.Random(0)
    trials = []
    for size, rate in [(size, rate) for size in ("16", "32", "64") for rate in ("0.001", "0.01", "0.1")] * 3:
        good = {"16": 0.2, "32": 0.1, "64": 0.0}[size] + {"0.001": 0.2, "0.01": 0.1, "0.1": 0.0}[rate]
        varied = {"optimizer.learning_rate": rate, "training.batch_size": size}
        trials.append({"varied": varied, "val": 0.4 + good + 0.001 * draw.random(), "test": 0.3})
    found = analysis(tmp_path, trials)
    first, second = [one["name"] for one in found.facts["importance"].values()][:2]
    assert {first, second} == {"batch size", "learning rate"}
    assert f"**The {first}, not significantly ahead of the {second}: it is first" in text_of(found)
    assert found.headline is not None
    assert (
        f"The {first} has the largest importance, not significantly ahead of the {second};" in found.headline.answer
    )
    # The ten best lie further above their test accuracy than the others: only that much can be due to the choice.
    falls = [100 * (sum(one["val_accuracy"] for one in own) / len(own) - 0.3)
             for own in (found.facts["ranked"][:10], found.facts["ranked"][10:])]  # fmt: skip
    said = (
        f"is {falls[0]:.2f} points lower than the validation accuracy on average; for the 17 other complete runs it"
    )
    assert f"{said} is {falls[1]:.2f} points lower" in text_of(found)


def test_what_an_axis_explains_is_worked_by_hand() -> None:
    # Ranks 1 to 4 have a variance of 5 / 3. Within the halves squares of 1 are left, on 4 - 2 degrees of freedom.
    accuracy = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.9}
    choice = Axis("c", "c", {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0}, ("a", "b"))
    assert explained(choice, accuracy) == pytest.approx(0.7)
    number = Axis("n", "n", {0: 0.0, 1: 0.5, 2: 9.0, 3: 9.5})
    assert explained(number, accuracy) == pytest.approx(0.7)
    assert explained(choice, dict.fromkeys(accuracy, 0.5)) is None
    assert explained(Axis("c", "c", {0: 0.0, 1: 0.0}, ("a",)), accuracy) is None


def test_what_is_no_finite_number_is_a_choice() -> None:
    (axis,) = axes([Parameter("k")], {n: {"k": word} for n, word in enumerate(("2", "", "inf", "2"))})
    assert (axis.choices, axis.values) == (("", "2", "inf"), {0: 1.0, 1: 0.0, 2: 2.0, 3: 1.0})
    lists = axes([Parameter("k")], {0: {"k": "[]"}, 1: {"k": "[3, 4]"}})
    assert [axis.values for axis in lists] == [{0: 0.0, 1: 2.0}, {0: 0.0, 1: 7.0}]


def test_few_trials_have_no_importance_and_none_completed_no_best(tmp_path: Path) -> None:
    found = analysis(tmp_path / "few", [{"varied": SGD, "val": 0.5}])
    assert "**Not computed from 1 complete run:**" in text_of(found)
    assert [one.name for one in pictures_of(found)] == ["search_parallel", "search_history"]
    for picture in pictures_of(found):
        picture.draw()
    found = analysis(tmp_path / "none", [{"varied": SGD, "val": 0.5, "state": "pruned"}], sampler="random")
    assert "independent draws of 1 point, of which 0 ran to their end, 1 was stopped by the median pruner" in text_of(
        found
    )
    assert found.headline is None
    assert "there is no best configuration yet" in text_of(found)


def test_without_runs_or_table_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    make_search(tmp_path / "digits", [{"varied": SGD, "val": 0.5}])
    (tmp_path / "digits" / "leaderboard.csv").unlink()
    with pytest.raises(UserError, match=r"leaderboard.csv is missing: python -m mlp.search report"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))


def test_axes_are_numbers_choices_and_sums_of_lists() -> None:
    made = {axis.name: axis for axis in axes(read_parameters({"parameters": PARAMETERS}), {4: SGD, 7: ADAM})}
    assert list(made) == [
        "optimizer",
        "learning_rate",
        "beta1",
        "batch_size",
        "length of hidden_sizes",
        "sum of hidden_sizes",
    ]
    assert made["optimizer"].choices == ("sgd", "adam")
    assert made["batch_size"].choices == ("32", "64")
    assert made["learning_rate"].values == {4: 0.1, 7: 0.001}
    assert made["learning_rate"].log
    assert not made["beta1"].log
    assert made["beta1"].values == {7: 0.9}
    assert made["length of hidden_sizes"].values == {4: 1, 7: 2}
    assert made["sum of hidden_sizes"].values == {4: 64, 7: 96}
    assert made["learning_rate"].place(0.01) == pytest.approx(0.5)  # the middle of two decades
    assert [made["learning_rate"].text(tick) for tick in made["learning_rate"].ticks()] == ["0.001", "0.01", "0.1"]


def test_lists_of_names_are_choices(tmp_path: Path) -> None:
    lists = ["[relu,tanh]", "[sigmoid]"]
    trials = [{"varied": {"model.activations": words}, "val": 0.5 + 0.1 * i} for i, words in enumerate(lists)]
    parameters = [parameter("model.activations", *lists)]
    search = read_search(make_search(tmp_path / "digits", trials, parameters=parameters))
    (axis,) = axes(search.parameters, {trial.number: trial.varied for trial in search.trials})
    assert (axis.choices, axis.values) == (tuple(lists), {0: 0, 1: 1})
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    assert "**Trial 1, with 60.00 % validation accuracy" in text_of(found)
    assert "activations sigmoid" in text_of(found)


def test_a_search_that_says_its_space_in_words_only_is_read(tmp_path: Path) -> None:
    trials = [{"varied": SGD, "val": 0.5}, {"varied": ADAM, "val": 0.6}]
    search = read_search(make_search(tmp_path, trials, parameters=None))
    points = {trial.number: trial.varied for trial in search.trials}
    made = {axis.name: axis for axis in axes(search.parameters, points)}
    assert made["optimizer"].choices == ("adam", "sgd")
    assert made["learning_rate"].values == {0: 0.1, 1: 0.001}
    assert made["learning_rate"].log
    assert not made["batch_size"].log
    assert made["sum of hidden_sizes"].values == {0: 64, 1: 96}


def test_a_line_of_the_parallel_coordinates_is_a_completed_trial(tmp_path: Path) -> None:
    search = read_search(make_search(tmp_path, [
        {"varied": {**SGD, "optimizer.learning_rate": "1"}, "val": 0.0},
        {"varied": ADAM, "val": 0.9},
        {"varied": {**ADAM, "optimizer.learning_rate": "0.01"}, "val": 0.99},
        {"varied": ADAM, "val": 0.95, "state": "pruned"},
    ]))  # fmt: skip
    ranked = [(trial.number, trial.scores["val_accuracy"]) for trial in search.ranked]
    points = {trial.number: trial.varied for trial in search.ranked}
    picture = ParallelCoordinates(axes(search.parameters, points), ranked, 1e-3, {n: f"trial {n}" for n in range(3)},
                                  dict.fromkeys(range(3), "a"))  # fmt: skip
    ax = picture().axes[0]
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 7}
    assert list(lines) == ["trial 0", "trial 1", "trial 2"]  # the best on top
    # Learning rates 1, 0.001, 0.01 between 0.001 and 1; errors 1, 0.1, 0.01 between 1 and 0.01.
    np.testing.assert_allclose([lines[f"trial {n}"][1] for n in range(3)], [1, 0, 1 / 3], atol=1e-12)
    np.testing.assert_allclose([lines[f"trial {n}"][-1] for n in range(3)], [0, 0.5, 1], atol=1e-12)
    assert lines["trial 0"][2] < -0.1  # has no beta1


def test_the_history_is_the_lowest_error_so_far(tmp_path: Path) -> None:
    scores = [0.5, 0.7, 0.6, 0.9, 0.8]
    found = analysis(tmp_path, [{"varied": SGD, "val": s, "state": "pruned" if s == 0.9 else "done"} for s in scores])
    figure = drawn(found, "search_history")
    lowest = next(line for line in figure.axes[0].lines if line.get_label() == "lowest so far")
    np.testing.assert_array_equal(lowest.get_xdata(), [0, 1, 2, 4])
    np.testing.assert_allclose(np.asarray(lowest.get_ydata()), [50, 30, 30, 20])
    low, high = figure.axes[0].get_ylim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_yticks()) >= 5  # within less than a decade
    crosses = next(line for line in figure.axes[0].lines if line.get_label() == "pruned")
    np.testing.assert_allclose([crosses.get_xdata(), crosses.get_ydata()], [[3], [10]])


def test_importance_finds_what_decides_and_nothing_else() -> None:
    draw = random.Random(0)
    points = {}
    for number in range(60):
        optimizer = draw.choice(["sgd", "adam"])
        rate = 10 ** draw.uniform(-2, 0) if optimizer == "sgd" else 10 ** draw.uniform(-4, -2)
        varied = {"optimizer": optimizer, "optimizer.learning_rate": str(rate)}
        points[number] = {**varied, "training.batch_size": draw.choice(["16", "32", "64"])}
    parameters = read_parameters({"parameters": PARAMETERS})
    # Decided by the batch size alone.
    found = permutation_importance(
        parameters, points, np.array([0.9 if p["training.batch_size"] == "16" else 0.5 for p in points.values()])
    )
    assert next(iter(found.by_key)) == "training.batch_size"
    assert found.by_key["training.batch_size"].is_significant
    assert found.by_key["training.batch_size"].increase > 10 * abs(found.by_key["optimizer"].increase)
    assert not found.by_key["optimizer.learning_rate"].is_significant
    # Decided by the optimizer alone: its rate, which tells which one it is, does not matter within one optimizer.
    found = permutation_importance(
        parameters, points, np.array([0.9 if p["optimizer"] == "sgd" else 0.5 for p in points.values()])
    )
    assert next(iter(found.by_key)) == "optimizer"
    assert found.by_key["optimizer"].increase > 10 * abs(found.by_key["optimizer.learning_rate"].increase)
    assert found.median_error == pytest.approx(
        0.4 * min(sum(p["optimizer"] == o for p in points.values()) for o in ("sgd", "adam")) / 60
    )


def test_values_are_exchanged_among_trials_that_made_the_same_choice() -> None:
    conditions = {p.key: p.conditions for p in read_parameters({"parameters": PARAMETERS})}
    assert conditions["optimizer.learning_rate"] == ("optimizer",)
    assert conditions["training.batch_size"] == ()
    assert interchangeable([SGD, ADAM, SGD], ["optimizer"]) == [[0, 2], [1], [0, 2]]
    assert interchangeable([SGD, ADAM, SGD], []) == [[0, 1, 2]] * 3
