"""The comparison of the losses: its text follows the numbers, and its figure shows them."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from mlp.errors import UserError
from mlp.report.studies.loss_comparison import LossComparison
from mlp.report.studies.study import Analysis, Picture, Table

STUDY = LossComparison()


def analysis(root: Path, scores: dict[tuple[str, int], float]) -> Analysis:
    """Of one optimizer; `scores` are test accuracies by loss and seed, and the validation accuracies of epoch 1."""
    for number, ((loss, seed), score) in enumerate(scores.items()):
        make_run(
            root / "loss_comparison-digits" / str(number),
            ["dataset=digits", "optimizer=sgd", f"loss={loss}", f"seed={seed}"],
            {"val_accuracy": [score, score], "val_loss": [1.0, 0.5], "grad_norm": [1.0, 1.0]},
            {"test_accuracy": score},
        )
    return STUDY.analyse(STUDY.findings(root, "digits"))


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
    assert found.facts["test_accuracy/sgd/cross_entropy"] == pytest.approx(0.85)
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


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss_comparison: no finished runs in .*loss_comparison-digits"):
        STUDY.analyse(STUDY.findings(tmp_path, "digits"))
