"""The study of dead neurons: counts as worked by hand, a text that follows them, figures that show them."""

from pathlib import Path

import numpy as np
import pytest
from answers import pictures_of, tables_of, text_of
from made_runs import make_run

from mlp.base.errors import UserError
from mlp.report.blocks import Analysis, Histogram, Picture
from mlp.report.studies.dead_neurons import DeadNeurons
from mlp.training.diagnostics.dead_units import GEOMETRIC, LINEAR

STUDY = DeadNeurons()
SAMPLES = 100
WIDTHS = (4, 2)


def units(activation: str, *looks: list[list[int]], stuck: int = 0, saturated: int = 0) -> dict[str, np.ndarray]:
    """A file of counts: each look has for each layer how many samples move each unit; -1 where there is none.

    Of tanh, the first `stuck` units of the first layer are at the end of their range for every sample in the last
    look, and in each layer `saturated` samples saturate each unit.
    """
    nonzero = np.array([[layer + [-1] * (max(WIDTHS) - len(layer)) for layer in look] for look in looks])
    near, flat = np.full((2, *nonzero.shape), -1)
    edges = GEOMETRIC if activation == "relu" else LINEAR
    if activation == "tanh":
        near[nonzero >= 0], flat[nonzero >= 0] = saturated, 0
        flat[-1, 0, :stuck] = SAMPLES
    counts = np.zeros((*nonzero.shape[:2], len(edges) - 1), np.int64)
    counts[:, :, 30] = np.where(nonzero > 0, nonzero, 0).sum(axis=-1)
    return {
        "step": np.arange(len(looks)) * 10,
        "samples": np.full(len(looks), SAMPLES),
        "nonzero": nonzero,
        "saturated": near,
        "flat": flat,
        "counts": counts,
        "edges": np.broadcast_to(edges, (*nonzero.shape[:2], len(edges))),
    }


def trace(late: list[float]) -> dict[str, np.ndarray]:
    """Gradient norms of three layers: 1 at first, then those of `late`, twice, in the first layer."""
    norms = np.ones((10, 3))
    norms[-2:, 0] = late
    return {"step": np.array([1, *range(10, 100, 10)]), "norms": norms}


ALIVE = [[60, 50, 40, 100], [50, 50]]
ONE_DEAD = [[60, 0, 40, 100], [50, 50]]
LAYER_DEAD = [[0, 0, 0, 7], [0, 0]]


def add(root: Path, activation: str, optimizer: str, rate: float, score: float, *looks: list[list[int]],
        late: tuple[float, float] = (0.5, 0.5), seed: int = 0, curve: list[float] | None = None,
        **more: int) -> None:  # fmt: skip
    directory = root / "dead_neurons-digits"
    number = len(list(directory.glob("*")))
    make_run(
        directory / str(number),
        ["dataset=digits", f"activation={activation}", f"optimizer={optimizer}", f"optimizer.learning_rate={rate}",
         f"seed={seed}"],
        {"val_accuracy": curve or [0.5] * (len(looks) - 2) + [score]},
        dead_units=units(activation, *looks, **more),
        gradient_trace=trace(list(late)),
    )  # fmt: skip


def analysis(root: Path) -> Analysis:
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def killing(root: Path) -> Analysis:
    """Adam at the high rate kills, whatever the activation; SGD does not."""
    add(root, "relu", "sgd", 0.1, 0.97, ALIVE, ALIVE, ALIVE)
    add(root, "relu", "adam", 0.1, 0.1, ALIVE, ONE_DEAD, LAYER_DEAD, late=(0.0, 0.0))
    add(root, "relu", "adam", 0.001, 0.96, ALIVE, ONE_DEAD, ALIVE)
    add(root, "tanh", "adam", 0.1, 0.12, ALIVE, ALIVE, ALIVE, stuck=3, saturated=90, late=(0.0, 0.25))
    return analysis(root)


def test_counts_are_those_worked_by_hand(tmp_path: Path) -> None:
    found = killing(tmp_path)
    groups = found.facts["groups"]
    sgd, adam, tanh = groups["relu/sgd/0.1"], groups["relu/adam/0.1"], groups["tanh/adam/0.1"]
    assert sgd["dead_units"].mean == 0
    assert adam["dead_units"].mean == 5
    assert [dead.mean for dead in adam["dead_per_layer"]] == [3, 2]
    assert sgd["zero_outputs"] == pytest.approx(1 - 350 / 600)
    assert adam["zero_outputs"] == pytest.approx(593 / 600)
    assert tanh["saturated_outputs"] == pytest.approx(0.9)
    assert tanh["stuck_units"].mean == 3
    assert tanh["without_gradient"] == 0.5
    rows = {(row[0], row[1], row[2]): row[3:] for row in tables_of(found)[0].rows}
    assert rows["ReLU", "Adam", "0.1"] == ["3, 2", "98.8 %", "", "", "0", "100 %", "10.00 %"]
    assert rows["tanh", "Adam", "0.1"] == ["0, 0", "41.7 %", "90.0 %", "3", "0.12", "50 %", "12.00 %"]


def test_what_dies_and_why_is_told(tmp_path: Path) -> None:
    said = text_of(killing(tmp_path))
    assert "With SGD at 0.1, none of the 6 ReLU units was dead at any count in 2 epochs." in said
    assert (
        "**Yes: with Adam at 0.1, 5 of the 6 ReLU units (83.3 %) output exactly zero for every one of the 100 "
        "training images.**" in said
    )
    assert (
        "Dead units per layer with Adam at 0.1: 3 and 2 of 4 and 2 after 2 epochs; none before the first step, 1 "
        "after the first epoch." in said
    )
    assert "Adam at 0.001 leaves 0 dead: with Adam the high rate kills more." in said
    assert "No tanh unit was zero for every image at any count." in said
    assert "With SGD at 0.1 ReLU reaches" not in said  # there is no tanh beside it
    assert "**With Adam at 0.1 both stall: 10.0 % (ReLU) and 12.0 % (tanh) at the end.**" in said
    assert "At exactly −1 or 1 in float32 for every image: 3 of 6 tanh units with Adam at 0.1." in said
    assert "saturate until theirs is tiny:" in said
    assert "16.7 % are dead after the first epoch, 83.3 % at the end." in said
    assert "is 1 at the first step and exactly zero at every recorded step in the last fifth of the steps" in said
    assert (
        "90.0 % of the outputs are beyond ±0.99, and the gradient falls from 1 to 0.12 (median), zero at 50 %" in said
    )
    # 0.1 times a norm of 1, over the square root of 4 x 2 weights.
    assert "SGD at the same rate moves a weight by 0.035 (root mean square) and leaves 0 units dead." in said
    assert "√(2 / (4 + 2)) = 0.577" in said


def test_the_text_follows_numbers_that_say_the_opposite(tmp_path: Path) -> None:
    add(tmp_path, "relu", "sgd", 0.1, 0.8, ALIVE, ALIVE, ALIVE)
    add(tmp_path, "relu", "sgd", 0.001, 0.8, ONE_DEAD, ONE_DEAD, ONE_DEAD)
    add(tmp_path, "tanh", "sgd", 0.1, 0.8, ALIVE, ALIVE, ONE_DEAD)
    said = text_of(analysis(tmp_path))
    assert "**No: with SGD at 0.1, none of the 6 ReLU units was dead" in said
    assert "SGD at 0.001" not in said  # the high rate has killed none, which is no comparison
    assert "No tanh unit was zero" not in said
    assert "At exactly" not in said
    assert "With Adam" not in said
    assert "both stall" not in said
    assert "*Too large a step*" not in said  # no unit died
    assert "*Fewer units:*" not in said
    assert "*Tanh:* its derivative" in said  # it does not saturate


def test_the_rate_that_is_judged_is_the_highest_of_relu(tmp_path: Path) -> None:
    add(tmp_path, "tanh", "sgd", 1, 0.8, ALIVE, ALIVE, ALIVE)
    add(tmp_path, "relu", "sgd", 0.1, 0.8, ALIVE, ALIVE, ALIVE)
    assert "There are no finished runs with ReLU" not in text_of(analysis(tmp_path))


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (
            [0.5, 0.508, 0.505, 0.505],
            "seed 0): from epoch 1 of 4 on its validation accuracy never exceeds that of epoch 1 by more than 2 "
            "points and stays between 50.0 % and 50.8 %, but not because of dead units",
        ),
        (
            [0.2, 0.9, 0.905, 0.9],
            "seed 0): from epoch 2 of 4 on its validation accuracy never exceeds that of epoch 2",
        ),
        (
            [0.2, 0.4, 0.6, 0.8],
            "**No ReLU run at 0.1 plateaus in the first half of the training;** the least accurate is run 0",
        ),
    ],
)
def test_the_run_that_is_flat_early_is_found(tmp_path: Path, curve: list[float], said: str) -> None:
    for rate in (0.1, 0.001):  # at the low rate it does not count
        add(tmp_path, "relu", "adam", rate, curve[-1] - (rate < 0.1), *[ALIVE] * 5, curve=curve)
    assert said in text_of(analysis(tmp_path))


def test_of_runs_with_dead_units_the_one_that_had_learned_is_compared_with_a_tanh_run_that_learns(
    tmp_path: Path,
) -> None:
    dead = [ALIVE, ONE_DEAD, LAYER_DEAD, LAYER_DEAD, LAYER_DEAD]
    add(tmp_path, "relu", "adam", 0.1, 0.1, *dead, curve=[0.1, 0.1, 0.1, 0.1])
    add(tmp_path, "relu", "adam", 0.1, 0.3, *dead, curve=[0.6, 0.3, 0.25, 0.3], seed=1, late=(0.0, 0.0))
    add(
        tmp_path,
        "tanh",
        "adam",
        0.1,
        0.1,
        *[ALIVE] * 5,
        curve=[0.1, 0.1, 0.1, 0.1],
        seed=1,
        saturated=90,
        late=(0.0, 0.0),
    )
    add(tmp_path, "tanh", "sgd", 0.1, 0.95, *[ALIVE] * 5, curve=[0.8, 0.9, 0.94, 0.95], seed=1)
    found = analysis(tmp_path)
    said = text_of(found)
    assert (
        "**Run 1 (ReLU, Adam at 0.1, seed 1): from epoch 2 of 4 on its validation accuracy never exceeds that of "
        "epoch 2 by more than 2 points and stays between 25.0 % and 30.0 %, above guessing" in said
    )
    assert "Before, it had reached 60.0 %. ReLU runs at 0.1" in said
    assert "biases alone" not in said  # the output layer's weights move, too
    assert "with at least 10 % of the units dead: 2, of which 1 reached a plateau above guessing" in said
    assert "at the end; with SGD at 0.1 tanh reaches 95.0 %.**" in said
    assert "tanh units saturate until theirs is rounded to zero:" in said
    assert [line.get_label() for line in pictures_of(found)[0].draw().axes[0].lines] == [
        "ReLU, Adam at 0.1, run 1", "tanh, Adam at 0.1, run 2", "tanh, SGD at 0.1, run 3", "guessing",
    ]  # fmt: skip


def test_a_run_that_never_learned_is_told_so(tmp_path: Path) -> None:
    add(tmp_path, "relu", "adam", 0.1, 0.1, ALIVE, ONE_DEAD, LAYER_DEAD, LAYER_DEAD, curve=[0.1, 0.1, 0.1])
    said = text_of(analysis(tmp_path))
    assert "stays at 10.0 %, no better than guessing (10.4 %), with 83.3 % of its hidden units dead.**" in said
    assert "It stalls before it has learned anything." in said
    assert "*Too large a step*" in said


def test_seeds_have_a_spread(tmp_path: Path) -> None:
    for seed, look in enumerate((ALIVE, ONE_DEAD)):
        add(tmp_path, "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE, look, seed=seed)
        add(tmp_path, "relu", "sgd", 0.001, 0.9, ALIVE, ALIVE, ALIVE, seed=seed)
    found = analysis(tmp_path)
    assert "with SGD at 0.1, 0.5 ± 0.7 of the 6 ReLU units (8.3 %)" in text_of(found)
    assert "0.5 ± 0.7 and 0 of 4 and 2 after 2 epochs" in text_of(found)
    assert "SGD at 0.001 leaves 0 dead, not significantly different." in text_of(found)
    assert tables_of(found)[0].rows[0][3] == "0.5, 0"


def test_the_figures_show_the_counts(tmp_path: Path) -> None:
    pictures = [one.draw() for one in pictures_of(killing(tmp_path))]
    runs, outputs = ({ax.get_title(loc="left"): ax for ax in figure.axes} for figure in pictures)
    accuracies, silent, gradients = runs.values()
    assert [np.asarray(line.get_ydata()).tolist() for line in accuracies.lines[:2]] == [[0.5, 0.1], [0.5, 0.12]]
    dead, saturated = silent.lines
    np.testing.assert_allclose(np.asarray(dead.get_ydata()), [0, 1 / 6, 5 / 6])
    assert np.asarray(dead.get_xdata()).tolist() == [0, 1, 2]
    assert np.asarray(saturated.get_ydata()).tolist() == [0.9] * 3

    first, _ = outputs["ReLU, Adam at 0.1"].patches
    values, edges, _ = first.get_data()  # type: ignore[attr-defined]
    (place,) = np.flatnonzero(np.isfinite(values))
    assert values[place] == pytest.approx(7 / 400)  # 7 of 4 units times 100 images
    assert edges[place] == pytest.approx(GEOMETRIC[30])
    labels = [t.get_text() for t in outputs["ReLU, Adam at 0.1"].get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["layer 1, 98.2 % zero", "layer 2, 100.0 % zero"]

    relu, relu_zero, tanh, tanh_zero = gradients.lines
    assert np.asarray(relu.get_ydata()).tolist() == [1.0] * 8  # the zeros of the last two steps are crosses
    # The point of steps 70 and 80, whose gradients are 1 and 0, and that of step 90.
    assert np.asarray(relu_zero.get_xdata()).tolist() == pytest.approx([74.833148, 90])
    assert np.asarray(tanh.get_ydata())[-1] == 0.25
    assert np.asarray(tanh_zero.get_xdata()).tolist() == pytest.approx([74.833148])


def test_the_histograms_for_tracking_hold_all_outputs(tmp_path: Path) -> None:
    add(tmp_path, "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE)
    add(tmp_path, "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE, seed=1)
    (chart,) = (chart for chart in analysis(tmp_path).charts if isinstance(chart, Histogram))
    assert chart.counts.sum() == 2 * 350
    assert len(chart.edges) == len(chart.counts) + 1


def test_one_activation_alone_is_enough(tmp_path: Path) -> None:
    add(tmp_path / "tanh", "tanh", "sgd", 0.1, 0.9, ALIVE, ALIVE)
    found = analysis(tmp_path / "tanh")
    assert "**There are no finished runs with ReLU.**" in text_of(found)
    add(tmp_path / "relu", "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE)
    other = analysis(tmp_path / "relu")
    assert "**There is no tanh run of the same setting.**" in text_of(other)
    assert "in 1 epoch.**" in text_of(other)
    for block in (*found.blocks, *other.blocks):
        if isinstance(block, Picture):
            block.draw().canvas.draw()  # type: ignore[attr-defined]


def test_runs_without_their_counts_are_left_out_and_counted(tmp_path: Path) -> None:
    make_run(
        tmp_path / "dead_neurons-digits" / "0",
        ["dataset=digits", "optimizer=adam"],
        {"val_accuracy": [0.1]},
        {"status": "diverged"},
    )
    with pytest.raises(UserError, match="no finished runs"):
        analysis(tmp_path)
    add(tmp_path, "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE)
    assert "1 of the 2 runs ended without a result and is left out." in text_of(analysis(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_real_runs_are_answered_by_one_command(quick_studies: Path) -> None:
    said = (quick_studies / "report" / "report.md").read_text()
    assert "ReLU units" in said
    assert "epochs 1; seed 0; 4 runs." in said
    found = STUDY.analyse(STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True))
    counts = np.load(quick_studies / "multirun_outputs" / "dead_neurons-digits-quick" / "1" / "dead_units.npz")
    dead = sum(int(n == 0) for layer in counts["nonzero"][-1] for n in layer)
    assert found.facts["groups"]["relu/adam/0.1"]["dead_units"].mean == dead
    assert counts["samples"][0] * 128 >= counts["nonzero"][0, 0].sum() > 0
