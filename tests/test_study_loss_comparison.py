"""The comparison of the losses: its text follows the numbers, and its figure shows them."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from mlp.errors import UserError
from mlp.report.blocks import Analysis, Picture, Table
from mlp.report.studies.loss_comparison import LossComparison

STUDY = LossComparison()


def analysis(root: Path, scores: dict[tuple[str, int], float], norm: float = 1.0, optimizer: str = "sgd") -> Analysis:
    """Of one optimizer, with the gradient of cross-entropy `norm` times as long, beside what is there already.

    `scores` are test accuracies by loss and seed, and the validation accuracies of epoch 1.
    """
    there = len(list((root / "loss_comparison-digits").glob("*")))
    for number, ((loss, seed), score) in enumerate(scores.items(), there):
        own = norm if loss == "cross_entropy" else 1.0
        make_run(
            root / "loss_comparison-digits" / str(number),
            ["dataset=digits", f"optimizer={optimizer}", f"loss={loss}", f"seed={seed}"],
            {"val_accuracy": [score, score], "val_loss": [1.0, 0.5], "grad_norm": [own, own]},
            {"test_accuracy": score},
        )
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def test_the_better_loss_is_named_whichever_it_is(tmp_path: Path) -> None:
    scores = {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.8}
    text = str(analysis(tmp_path / "a", scores).blocks[0])
    assert "cross-entropy is 10.00 points ahead" in text
    scores = {("cross_entropy", 0): 0.7, ("mean_squared_error", 0): 0.8}
    text = str(analysis(tmp_path / "b", scores).blocks[0])
    assert "the squared error is 10.00 points ahead" in text
    assert "cross-entropy is 10.0 points behind" in text


def test_a_lead_within_the_spread_of_the_seeds_is_none(tmp_path: Path) -> None:
    scores = {("cross_entropy", 0): 0.9, ("cross_entropy", 1): 0.8,
              ("mean_squared_error", 0): 0.84, ("mean_squared_error", 1): 0.84}  # fmt: skip
    found = analysis(tmp_path, scores)
    assert "do not differ by more than the seeds do" in str(found.blocks[0])
    assert found.facts["optimizers"]["sgd"]["cross_entropy"]["test_accuracy"].mean == pytest.approx(0.85)
    table = next(block for block in found.blocks if isinstance(block, Table))
    assert table.rows[0][4] == "85.00 ± 7.07 %"


def test_the_curves_are_the_losses_over_the_loss_of_guessing(tmp_path: Path) -> None:
    found = analysis(tmp_path, {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.8})
    picture = next(block for block in found.blocks if isinstance(block, Picture))
    _, losses = picture.draw().axes
    cross_entropy, squared = losses.lines
    np.testing.assert_allclose(np.asarray(cross_entropy.get_ydata()), np.array([1.0, 0.5]) / 2.302585, rtol=1e-6)
    # Of ten classes, each with probability 0.1: one is off by 0.9, nine by 0.1.
    np.testing.assert_allclose(np.asarray(squared.get_ydata()), np.array([1.0, 0.5]) / ((0.81 + 9 * 0.01) / 10))


def test_whether_the_theory_of_the_smaller_gradient_holds_is_measured(tmp_path: Path) -> None:
    scores = {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.3}
    level = {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.8}
    for place, sgd, adam, verdict in (("a", scores, level, "So it is here"), ("b", level, scores, "Not so here")):
        analysis(tmp_path / place, sgd, norm=5.0)
        why = str(analysis(tmp_path / place, adam, norm=4.0, optimizer="adam").blocks[-2])
        assert "gradient of the cross-entropy over that of the squared error: 5 with sgd and 4 with adam." in why
        assert f"{verdict}: after the first epoch the lead of cross-entropy is" in why


def test_a_single_seed_claims_no_more(tmp_path: Path) -> None:
    found = analysis(tmp_path, {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.8})
    assert "one seed, which does not show chance" in str(found.blocks[0])
    assert next(block for block in found.blocks if isinstance(block, Table)).caption == "One seed."
    assert "over the seeds" not in next(block for block in found.blocks if isinstance(block, Picture)).caption


def test_runs_that_diverged_at_once_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "loss_comparison-digits"
    lost = ["dataset=digits", "optimizer=sgd", "loss=cross_entropy", "seed=9"]
    make_run(folder / "0", lost, {"val_loss": []}, {"status": "diverged"})
    [text] = STUDY.analyse(STUDY.find_runs(tmp_path, "digits")).blocks
    assert text == "1 of the 1 runs ended without a result and is left out."
    found = analysis(tmp_path, {("cross_entropy", 0): 0.9, ("mean_squared_error", 0): 0.8})
    assert "1 of the 3 runs ended without a result and is left out." in found.blocks
    assert found.facts["optimizers"]["sgd"]["cross_entropy"]["test_accuracy"].mean == pytest.approx(0.9)


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*loss_comparison-digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
