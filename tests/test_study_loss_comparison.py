"""The comparison of the losses: its text follows the numbers, and its figure shows them."""

from pathlib import Path

import numpy as np
import pytest
from answers import pictures_of, tables_of, text_of
from made_runs import make_run

from mlp.base.errors import UserError
from mlp.report.blocks import Analysis
from mlp.report.studies.loss_comparison import LossComparison

STUDY = LossComparison()


def analysis(
    root: Path, curves: dict[tuple[str, int], list[float]], norm: float = 1.0, optimizer: str = "sgd"
) -> Analysis:
    """Of one optimizer, with the gradient of cross-entropy `norm` times as long, beside what is there already.

    `curves` are training accuracies by loss and seed; the last one is the test accuracy, too.
    """
    there = len(list((root / "loss_comparison-digits").glob("*")))
    for number, ((loss, seed), curve) in enumerate(curves.items(), there):
        own = norm if loss == "cross_entropy" else 1.0
        make_run(
            root / "loss_comparison-digits" / str(number),
            ["dataset=digits", f"optimizer={optimizer}", f"loss={loss}", f"seed={seed}"],
            {"train_accuracy": curve, "train_loss": [1.0, 0.5], "grad_norm": [own, own]},
            {"test_accuracy": curve[-1]},
        )
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


CE, MSE, SSE = "cross_entropy", "mean_squared_error", "sum_squared_error"


def test_the_faster_loss_is_named_whichever_it_is(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", {(CE, 0): [0.91, 0.93], (MSE, 0): [0.7, 0.9]})
    said = (
        "**With SGD, cross-entropy:** cross-entropy reaches 90 % training accuracy after 1 epoch, MSE after 2 epochs."
    )
    assert said in text_of(found)
    assert "cross-entropy is 3.00 points of test accuracy ahead" in text_of(found)
    assert found.headline is not None
    assert found.headline.number == "1 epoch"
    never = text_of(analysis(tmp_path / "b", {(CE, 0): [0.7, 0.93], (MSE, 0): [0.7, 0.8], (MSE, 1): [0.7, 0.95]}))
    assert "cross-entropy reaches 90 % training accuracy after 2 epochs, MSE in 1 of 2 runs" in never
    other = text_of(analysis(tmp_path / "c", {(CE, 0): [0.7, 0.9], (MSE, 0): [0.92, 0.95]}))
    assert (
        "**With SGD, the squared error:** cross-entropy reaches 95 % training accuracy in none of 1 run, MSE" in other
    )
    assert "MSE is 5.00 points of test accuracy ahead" in other


def test_a_lead_within_the_spread_of_the_seeds_is_none(tmp_path: Path) -> None:
    found = analysis(
        tmp_path,
        {
            (CE, 0): [0.5, 0.9],
            (CE, 1): [0.5, 0.8],
            (MSE, 0): [0.5, 0.84],
            (MSE, 1): [0.5, 0.84],
            (SSE, 0): [0.5, 0.6],
        },
    )
    assert "**With SGD, neither:** cross-entropy reaches 80 %" in text_of(found)
    assert "the test accuracies do not differ significantly" in text_of(found)
    assert found.facts["optimizers"]["sgd"][CE]["test_accuracy"].mean == pytest.approx(0.85)
    table = tables_of(found)[0]
    assert [row[3:6] for row in table.rows[:2]] == [
        ["2 epochs", "50.00 ± 0.00 %", "85.00 ± 7.07 %"],
        ["2 epochs", "50.00 ± 0.00 %", "84.00 ± 0.00 %"],
    ]


def test_each_optimizer_has_the_highest_level_that_a_loss_reaches_in_all_its_runs(tmp_path: Path) -> None:
    analysis(tmp_path, {(CE, 0): [0.5, 0.86], (MSE, 0): [0.5, 0.7]})
    found = analysis(tmp_path, {(CE, 0): [0.86, 0.92], (MSE, 0): [0.86, 0.88]}, optimizer="adam")
    assert found.facts["levels"] == {"sgd": 0.85, "adam": 0.9}
    assert "90 % training accuracy after 2 epochs, MSE in none of 1 run." in text_of(found)
    assert "The level is a training accuracy of 85 % with SGD and 90 % with Adam." in tables_of(found)[0].caption


def test_the_curves_are_the_losses_over_the_loss_of_guessing(tmp_path: Path) -> None:
    found = analysis(tmp_path, {(CE, 0): [0.5, 0.9], (MSE, 0): [0.5, 0.8], (SSE, 0): [0.5, 0.8]})
    picture = pictures_of(found)[0]
    accuracies, losses = picture.draw().axes
    assert [np.asarray(line.get_ydata()).tolist() for line in accuracies.lines] == [
        [0.5, 0.9],
        [0.5, 0.8],
        [0.5, 0.8],
    ]
    cross_entropy, mean, total = (np.asarray(line.get_ydata()) for line in losses.lines)
    np.testing.assert_allclose(cross_entropy, np.array([1.0, 0.5]) / 2.302585, rtol=1e-6)
    # Of ten classes, each with probability 0.1: one is off by 0.9, nine by 0.1.
    np.testing.assert_allclose(mean, np.array([1.0, 0.5]) / ((0.81 + 9 * 0.01) / 10))
    np.testing.assert_allclose(total, np.array([1.0, 0.5]) / (0.81 + 9 * 0.01))


def test_whether_the_theory_of_the_smaller_gradient_holds_is_measured(tmp_path: Path) -> None:
    scores, level = {(CE, 0): [0.9, 0.9], (MSE, 0): [0.3, 0.9]}, {(CE, 0): [0.9, 0.9], (MSE, 0): [0.8, 0.9]}
    for place, sgd, adam, verdict in (
        ("a", scores, level, "less to it: after"),
        ("b", level, scores, "not here: after"),
    ):
        analysis(tmp_path / place, sgd, norm=5.0)
        why = text_of(analysis(tmp_path / place, adam, norm=4.0, optimizer="adam"))
        assert (
            "in epoch 1, the gradient of cross-entropy is 5 times that of the mean with SGD, and 4 times that of"
            in why
        )
        assert f"{verdict} epoch 1 cross-entropy leads MSE by" in why


def test_a_single_seed_claims_no_more(tmp_path: Path) -> None:
    found = analysis(tmp_path, {(CE, 0): [0.5, 0.9], (MSE, 0): [0.5, 0.8]})
    assert "one seed does not show chance" in text_of(found)
    assert "over the seeds" not in pictures_of(found)[0].caption


def test_runs_that_diverged_at_once_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "loss_comparison-digits"
    lost = ["dataset=digits", "optimizer=sgd", "loss=cross_entropy", "seed=9"]
    make_run(folder / "0", lost, {"val_loss": []}, {"status": "diverged"})
    alone = STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    assert "1 of the 1 runs ended without a result and is left out." in text_of(alone)
    assert not pictures_of(alone)
    found = analysis(tmp_path, {(CE, 0): [0.5, 0.9], (MSE, 0): [0.5, 0.8]})
    assert "1 of the 3 runs ended without a result and is left out." in text_of(found)
    assert found.facts["optimizers"]["sgd"][CE]["test_accuracy"].mean == pytest.approx(0.9)


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*loss_comparison-digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
