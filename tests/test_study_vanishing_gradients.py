"""The study of vanishing gradients: ratios as worked by hand, a text that follows them, figures that show them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import pictures_of, tables_of, text_of
from made_runs import make_run

from mlp.base.errors import UserError
from mlp.base.text import rounded
from mlp.report.blocks import Analysis, Picture
from mlp.report.figures.panels import binned
from mlp.report.statistics import MeanStd
from mlp.report.studies.vanishing_gradients import VanishingGradients

STUDY = VanishingGradients()
STEPS = [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]  # the last fifth: 90 and 100


def trace(start: list[float], end: list[float]) -> dict[str, np.ndarray]:
    """Norms that are `start` at the first step, `end` in the last fifth, and 0.02 in the first layer between."""
    norms = np.tile([0.02, *start[1:]], (len(STEPS), 1))
    norms[0], norms[-2:] = start, end
    return {"step": np.array(STEPS), "norms": norms}


def analysis(root: Path, *made: dict[str, Any]) -> Analysis:
    """Of runs with an activation, norms at the start and the end (a layer each), and a test accuracy."""
    for number, run in enumerate(made):
        depth = len(run["start"]) - 1
        make_run(
            root / "vanishing_gradients-digits" / str(number),
            ["dataset=digits", f"activation={run['activation']}", f"model.num_layers={depth}",
             f"seed={run.get('seed', 0)}"],
            {"val_accuracy": [run.get("early", 0.5), run["score"]]},
            {"test_accuracy": run["score"]},
            gradient_trace=trace(run["start"], run["end"]),
        )  # fmt: skip
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def run(activation: str, start: list[float], end: list[float], score: float, **more: float) -> dict[str, Any]:
    return {"activation": activation, "start": start, "end": end, "score": score, **more}


VANISHES = (
    run("sigmoid", [0.5, 1.0], [0.2, 0.2], 0.96, early=0.9),
    run("sigmoid", [0.001, 0.02, 0.4, 2.0], [0.3, 0.2, 0.2, 0.2], 0.93, early=0.6),
    run("relu", [2.0, 1.0], [0.3, 0.2], 0.97),
    run("relu", [0.4, 0.3, 0.2, 0.2], [0.6, 0.2, 0.2, 0.2], 0.97),
)


def test_ratios_and_factors_are_those_worked_by_hand(tmp_path: Path) -> None:
    found = analysis(tmp_path, *VANISHES)
    groups = found.facts["groups"]
    assert groups["sigmoid/1"]["ratio_at_start"].mean == pytest.approx(0.5)
    assert groups["sigmoid/3"]["ratio_at_start"].mean == pytest.approx(0.0005)
    assert groups["sigmoid/3"]["ratio_at_end"].mean == pytest.approx(1.5)
    assert groups["relu/3"]["first_layer_at_start"].mean == pytest.approx(0.4)
    # A thousandth in two layers is the root of it in each.
    said = "Each further sigmoid layer multiplies this ratio by 0.032 (0.5 with 1 hidden layer, 0.0005 with 3)."
    assert said in text_of(found)


def test_a_gradient_that_vanishes_and_comes_back_is_told_so(tmp_path: Path) -> None:
    said = text_of(analysis(tmp_path, *VANISHES))
    assert (
        "**Yes: at the first step, with 3 sigmoid layers, the gradient of the first layer is 0.0005 times that"
        in said
    )
    assert "Each further ReLU layer multiplies this ratio by 1 (2 with 1 hidden layer, 2 with 3)." in said
    assert "is 400 times larger with ReLU than with sigmoid (0.4 and 0.001)" in said
    assert "The ratio grows to 1.5 in the last fifth of the steps and passes a tenth at step 90 of 100." in said
    assert "**Sigmoid: depth costs 3.00 points of test accuracy, on one seed.**" in said
    assert "96.00 % with 1 hidden layer, 93.00 % with 3 after 2 epochs." in said
    assert "after epoch 1 the validation accuracy is 60.0 %, with 1 layer 90.0 %." in said
    assert "Adam makes up for part of it:" in said
    # 0.001 over the square root of 64 x 128 weights is 1.1e-5.
    assert "the first gradient per weight, 1.1 × 10⁻⁵, is 1100 times its ε." in said


def test_the_text_follows_numbers_that_say_the_opposite(tmp_path: Path) -> None:
    said = text_of(
        analysis(
            tmp_path,
            run("sigmoid", [1.0, 1.0], [0.2, 0.2], 0.90),
            run("sigmoid", [0.5, 0.5, 0.5], [0.2, 0.2, 0.2], 0.95),
            run("relu", [1.0, 1.0], [0.3, 0.2], 0.97),
            run("relu", [1e-9, 0.1, 0.2], [1e-9, 0.2, 0.2], 0.12),
        )
    )
    assert (
        "**No: with 2 sigmoid layers, the gradient of the first layer is 1 times that of the output layer.**" in said
    )
    assert "times smaller with ReLU than with sigmoid" in said
    assert "At the end the ratio is 5 × 10⁻⁹, still far from 1." in said
    assert "depth gains 5.00 points" in said
    assert "**ReLU: with 2 hidden layers it hardly learns.**" in said
    assert "Adam does not make up for the vanishing gradient:" in said
    assert "which shortens the step" in said


def test_a_difference_within_the_seeds_is_none(tmp_path: Path) -> None:
    said = text_of(
        analysis(
            tmp_path,
            *(run("sigmoid", [0.5, 1.0], [0.2, 0.2], 0.93 + 0.02 * seed, seed=seed) for seed in (0, 1)),
            *(run("sigmoid", [0.01, 0.02, 1.0], [0.2, 0.2, 0.2], 0.93, seed=seed) for seed in (0, 1)),
        )
    )
    assert "depth makes no significant difference" in said
    assert "ReLU than" not in said  # nothing to compare with


def test_a_single_depth_and_a_gradient_of_zero_are_no_reason_to_stop(tmp_path: Path) -> None:
    single = analysis(tmp_path / "one", run("relu", [0.5, 1.0], [0.2, 0.2], 0.9))
    assert "There are no finished runs with sigmoid." in text_of(single)
    assert "further ReLU layer" not in text_of(single)
    dead = analysis(
        tmp_path / "dead",
        run("relu", [0.0, 0.0], [0.0, 0.0], 0.1),
        run("relu", [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0.1),
    )
    assert "the gradient norm of the first is" not in text_of(dead)
    table = tables_of(dead)[0]
    assert table.rows[0][3] == "not defined"
    for found in (single, dead):
        for block in found.blocks:
            if isinstance(block, Picture):
                block.draw().canvas.draw()  # type: ignore[attr-defined]


def test_runs_without_a_result_are_left_out_and_counted(tmp_path: Path) -> None:
    make_run(
        tmp_path / "vanishing_gradients-digits" / "7",
        ["dataset=digits", "activation=sigmoid", "model.num_layers=1"],
        {"val_accuracy": [0.1]},
        {"status": "diverged", "test_accuracy": 0.5},
    )
    with pytest.raises(UserError, match="no finished runs"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    said = text_of(analysis(tmp_path, *VANISHES))
    assert "1 of the 5 runs ended without a result and is left out." in said


def test_the_figures_show_the_norms(tmp_path: Path) -> None:
    over_time, per_layer = (one.draw() for one in pictures_of(analysis(tmp_path, *VANISHES)))
    shallow, deep = over_time.axes
    assert [ax.get_title(loc="left") for ax in (shallow, deep)] == ["1 hidden layer", "3 hidden layers"]
    sigmoid, _ = deep.lines
    y = np.asarray(sigmoid.get_ydata())
    assert (y[0], y[1], y[-1]) == (0.001, 0.02, 0.3)
    _, deep, accuracy = per_layer.axes
    np.testing.assert_allclose(np.asarray(deep.lines[0].get_ydata()), [0.001, 0.02, 0.4, 2.0])
    np.testing.assert_allclose(np.asarray(deep.lines[1].get_ydata()), [0.3, 0.2, 0.2, 0.2])
    assert [tick.get_text() for tick in deep.get_xticklabels()] == ["1", "2", "3", "out"]
    np.testing.assert_allclose(np.asarray(accuracy.lines[0].get_ydata()), [0.96, 0.93])


def test_neighbouring_steps_become_one_point() -> None:
    step = np.array([1, 1000, 1010, 5000])
    x, low, middle, high = binned(step, np.array([[4.0, 1.0, 5.0, 0.0], [8.0, 2.0, 4.0, 0.0]]))
    assert x.tolist() == pytest.approx([1.0, 1004.987562])  # the zeros have no place on a logarithmic axis
    assert (low.tolist(), middle.tolist(), high.tolist()) == ([4, 1], [6, 3], [8, 5])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.000379, "0.00038"), (466.0, "470"), (1.0, "1"), (0, "0"), (-2.5e-9, "-2.5 × 10⁻⁹"), (np.nan, "not defined")],
)
def test_numbers_have_two_digits(value: float, shown: str) -> None:
    assert rounded(value) == shown
    assert MeanStd([value]).rounded() == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.42, 0.48], "0.45 ± 0.04"),
        ([1.6, 3.8], "2.7 ± 1.6"),
        ([1.5e-6, 1.7e-6], "(1.60 ± 0.14) × 10⁻⁶"),
        ([0.0, 2e-8], "(1.0 ± 1.4) × 10⁻⁸"),
        ([0.0, 0.0], "0"),
        ([1.0, np.nan], "not defined"),
    ],
)
def test_a_spread_has_the_digits_of_its_mean(values: list[float], shown: str) -> None:
    assert MeanStd(values).rounded() == shown


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_real_runs_are_answered_by_one_command(quick_studies: Path) -> None:
    said = (quick_studies / "report" / "report.md").read_text()
    assert "with 6 sigmoid layers, the gradient of the first layer is" in said
    assert "seed 0; 4 runs." in said
    found = STUDY.analyse(STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True))
    # The first row is the first step; what the study says of it is what the file holds.
    trace = np.load(
        quick_studies / "multirun_outputs" / "vanishing_gradients-digits-quick" / "1" / "gradient_trace.npz"
    )
    assert trace["step"][0] == 1
    first = trace["norms"][0]
    assert found.facts["groups"]["sigmoid/6"]["ratio_at_start"].mean == pytest.approx(first[0] / first[6])
