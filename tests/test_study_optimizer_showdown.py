"""The optimizer showdown: all begin alike, and text and figures follow the losses."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from answers import drawn, pictures_of, tables_of, text_of
from made_runs import make_run
from runs import run

from mlp.base.errors import UserError
from mlp.config.compose import compose
from mlp.config.resolve import resolve
from mlp.experiment import Components
from mlp.report.blocks import Analysis
from mlp.report.statistics import MeanStd
from mlp.report.studies.optimizer_showdown import OPTIMIZERS, OptimizerShowdown

STUDY = OptimizerShowdown()
Losses = Mapping[tuple[str, float, int], Sequence[float]]  # by optimizer, learning rate and seed


def analysis(root: Path, losses: Losses, first: Mapping[str, float] | None = None, **tests: float) -> Analysis:
    """Of runs with these losses; `first` are norms of the first gradient, `tests` accuracies, by optimizer."""
    for number, ((optimizer, rate, seed), values) in enumerate(losses.items()):
        trace = {"step": np.array([1, 1000]), "norms": np.array([[(first or {}).get(optimizer, 1.0)] * 4, [2.0] * 4])}
        make_run(
            root / "optimizer_showdown-digits" / str(number),
            [
                "dataset=digits",
                "model.hidden_sizes=[128,128,128]",
                f"optimizer={optimizer}",
                f"optimizer.learning_rate={rate}",
                f"seed={seed}",
            ],
            {"train_loss": values},
            {
                "test_accuracy": tests.get(optimizer, 0.5),
                "status": "completed" if math.isfinite(values[-1]) else "diverged",
            },
            gradient_trace=trace,
        )
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def test_initial_weights_depend_on_the_seed_and_not_on_the_optimizer() -> None:
    def theta(optimizer: str, seed: int) -> np.ndarray:
        return Components.build(resolve(compose([f"optimizer={optimizer}", f"seed={seed}"]))).network.theta

    reference = theta("sgd", 0)
    for optimizer in OPTIMIZERS:
        assert theta(optimizer, 0).tobytes() == reference.tobytes()
    assert np.any(theta("adam", 1) != reference)


def test_real_runs_of_one_seed_begin_with_the_same_gradients(tmp_path: Path) -> None:
    run(tmp_path, "+experiment=optimizer_showdown", "dataset=digits", "optimizer=sgd,nadam", "seed=0", "tracker=none",
        "optimizer.learning_rate=1e-2,1e-1", "training.epochs=1", "model.hidden_sizes=[8,8,8]")  # fmt: skip
    found = STUDY.analyse(STUDY.find_runs(tmp_path / "multirun_outputs", "digits"))
    assert "their first gradients have the same norms in all 4 runs" in text_of(found)
    assert set(found.facts["groups"]) == {"sgd/0.01", "sgd/0.1", "nadam/0.01", "nadam/0.1"}
    for one in pictures_of(found):
        one.draw()


def test_runs_that_do_not_begin_alike_are_told(tmp_path: Path) -> None:
    losses = {("sgd", 0.1, 0): [1.0, 0.5], ("adam", 0.1, 0): [1.0, 0.4]}
    assert "have the same norms in all 2 runs" in text_of(analysis(tmp_path / "a", losses))
    text = text_of(analysis(tmp_path / "b", losses, first={"adam": 1.001}))
    assert "**The runs of one seed do not begin alike**" in text
    for trace in (tmp_path / "a").rglob("gradient_trace.npz"):
        trace.unlink()
    assert "was not recorded" in text_of(STUDY.analyse(STUDY.find_runs(tmp_path / "a", "digits")))


def test_the_lowest_loss_wins_whoever_has_it(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", {("sgd", 0.1, 0): [1.0, 0.5], ("adam", 0.1, 0): [0.9, 0.7]}, sgd=0.8, adam=0.9)
    text = text_of(found)
    assert "**SGD: its training loss after 2 epochs is 0.5**, ahead of Adam with 0.7." in text
    assert "After epoch 1 Adam leads (0.9)." in text
    assert "**Here SGD is ahead of Adam.**" in text
    assert "One seed does not show how much of the order is chance." in text
    assert "the highest is that of Adam, 90.00 %." in text
    found = analysis(tmp_path / "b", {("sgd", 0.1, 0): [0.9, 0.7], ("adam", 0.1, 0): [1.0, 0.5]}, sgd=0.8, adam=0.9)
    assert "**Adam: its training loss after 2 epochs is 0.5**" in text_of(found)
    assert "Here Adam reaches 0.5, SGD 0.7, each at its best rate" in text_of(found)
    assert found.headline is not None
    assert (found.headline.number, found.headline.picture) == ("training loss 0.5", "optimizer_showdown")


def test_a_lead_within_the_spread_of_the_seeds_is_a_tie(tmp_path: Path) -> None:
    losses = {("sgd", 0.1, 0): [0.5], ("sgd", 0.1, 1): [0.6], ("adam", 0.1, 0): [0.57], ("adam", 0.1, 1): [0.59],
              ("nag", 0.1, 0): [0.8], ("nag", 0.1, 1): [0.8]}  # fmt: skip
    text = text_of(analysis(tmp_path, losses))
    assert (
        "after 1 epoch is 0.55 ± 0.07**, ahead of Adam with 0.580 ± 0.014; Adam is not significantly slower." in text
    )
    assert "**Here Adam and SGD do not differ significantly.**" in text
    assert "**From fast to slow: SGD, Adam and NAG**" in text
    assert "One seed does" not in text


def test_each_counts_at_its_best_rate_and_a_diverged_rate_never_does(tmp_path: Path) -> None:
    found = analysis(tmp_path, {
        ("sgd", 0.001, 0): [1.0, 0.9], ("sgd", 0.1, 0): [0.8, 0.3],
        ("adam", 0.001, 0): [0.9, 0.6], ("adam", 0.1, 0): [3.0, 2.3],
        ("nag", 0.001, 0): [0.5, 0.4], ("nag", 0.1, 0): [0.1, math.nan],
        ("rmsprop", 0.001, 0): [math.nan, math.nan], ("rmsprop", 0.1, 0): [math.inf, math.inf],
    })  # fmt: skip
    assert found.facts["best"] == {"sgd": "sgd/0.1", "nag": "nag/0.001", "adam": "adam/0.001"}
    text = text_of(found)
    assert "**SGD with a learning rate of 0.1: its training loss after 2 epochs is 0.3**" in text
    assert "RMSprop diverged at every rate." in text
    assert "At 0.001 NAG has the lowest loss (0.4); RMSprop diverged in 1 of 1 runs." in text
    assert "Adam has learned next to nothing; NAG diverged in 1 of 1 runs" in text
    assert "The best rate of SGD, NAG and Adam is at the end of the range" in text
    figure = drawn(found, "optimizer_rates")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["0.9", "0.3", "0.4", "1 of 1\ndiverged", "1 of 1\ndiverged", "1 of 1\ndiverged", "0.6", "2.3"]
    assert len(figure.axes[0].patches) == 3


def test_theory_is_beside_what_was_measured(tmp_path: Path) -> None:
    losses = {("sgd", 0.001, 0): [0.1], ("sgd", 0.1, 0): [0.2], ("adam", 0.001, 0): [0.2], ("adam", 0.1, 0): [0.1],
              ("nadam", 0.001, 0): [0.4], ("nadam", 0.1, 0): [0.3]}  # fmt: skip
    text = text_of(analysis(tmp_path / "a", losses))
    assert "Measured: at 0.1 SGD ends at a loss of 0.2, at 0.001 of 0.1." in text
    assert "Nadam 0.3, Adam 0.1 (Nadam is higher)." in text
    assert "RMSprop has no correction" not in text  # it was not run
    # Norms of 1 in layers of 128 x 128 and of 128 x 10 weights: the root of 12.8.
    assert "the gradient per weight differs 3.6-fold between layers" in text
    lower = {**losses, ("rmsprop", 0.1, 0): [0.05], ("adam", 1.0, 0): [2500.0]}
    assert "the loss of Adam blew up, to 2500." in text_of(analysis(tmp_path / "c", lower))
    # They differ in momentum, too: the losses are told, and no cause.
    assert "after epoch 1 (RMSprop 0.05, Adam 0.1) do not show what it does alone." in text_of(
        analysis(tmp_path / "b", lower)
    )


def test_curves_are_means_over_the_seeds_and_shares_of_the_lowest(tmp_path: Path) -> None:
    found = analysis(tmp_path, {("sgd", 0.1, 0): [1.0, 0.4], ("sgd", 0.1, 1): [3.0, 0.6],
                                ("adam", 0.1, 0): [1.0, 1.0], ("adam", 0.1, 1): [1.0, 1.0]})  # fmt: skip
    left, right = drawn(found, "optimizer_showdown").axes
    np.testing.assert_allclose([np.asarray(line.get_ydata()) for line in left.lines], [[2, 0.5], [1, 1]])
    np.testing.assert_allclose([np.asarray(line.get_ydata()) for line in right.lines], [[2, 1], [1, 2]])
    table = tables_of(found)[0]
    assert [row[:4] for row in table.rows] == [
        ["SGD", "0.1", "2.0 ± 1.4", "0.50 ± 0.14"],
        ["Adam", "0.1", "1 ± 0", "1 ± 0"],
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.04185, 0.04335], "0.0426 ± 0.0011"),
        ([0.2, 0.206], "0.203 ± 0.004"),
        ([0.5], "0.5"),
        ([10.0, 30.0], "20 ± 14"),
    ],
)
def test_a_spread_is_written_to_the_digits_that_count(values: list[float], words: str) -> None:
    assert MeanStd(values).plus_minus() == words


def test_where_all_diverged_there_is_no_winner(tmp_path: Path) -> None:
    found = analysis(tmp_path, {("sgd", 0.1, 0): [math.nan], ("sgd", 1.0, 0): [math.nan]})
    assert "**No optimizer has a learning rate" in text_of(found)
    for one in pictures_of(found):
        one.draw()


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*optimizer_showdown-digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
