"""The study of dead neurons: counts as worked by hand, a text that follows them, figures that show them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from mlp.errors import UserError
from mlp.report.blocks import Analysis, Histogram, Picture, Table
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
        late: tuple[float, float] = (0.5, 0.5), seed: int = 0, **more: int) -> None:  # fmt: skip
    directory = root / "dead_neurons-digits"
    number = len(list(directory.glob("*")))
    make_run(
        directory / str(number),
        ["dataset=digits", f"activation={activation}", f"optimizer={optimizer}", f"optimizer.learning_rate={rate}",
         f"seed={seed}"],
        {"val_accuracy": [0.5] * (len(looks) - 2) + [score]},
        dead_units=units(activation, *looks, **more),
        gradient_trace=trace(list(late)),
    )  # fmt: skip


def analysis(root: Path) -> Analysis:
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def text(found: Analysis) -> str:
    return "\n".join(block for block in found.blocks if isinstance(block, str))


def table(found: Analysis) -> Any:
    return next(block for block in found.blocks if isinstance(block, Table)).rows


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
    rows = {(row[0], row[1], row[2]): row[3:] for row in table(found)}
    assert rows["ReLU", "adam", "0.1"] == ["3, 2", "98.8 %", "", "", "0", "100 %", "10.00 %"]
    assert rows["tanh", "adam", "0.1"] == ["0, 0", "41.7 %", "90.0 %", "3", "0.12", "50 %", "12.00 %"]


def test_what_dies_and_why_is_told(tmp_path: Path) -> None:
    said = text(killing(tmp_path))
    assert "**Dead ReLU units** at a learning rate of 0.1: 0.0 % with sgd and 83.3 % with adam." in said
    assert "At a learning rate of 0.1, none of the 6 ReLU units was dead at any count in 2 epochs." in said
    assert (
        "At a learning rate of 0.1, 5 of the 6 ReLU units (83.3 %) output exactly zero for every one of the 100 "
        "training images after 2 epochs: 3 and 2 of 4 and 2 in hidden layers 1 and 2. Before the first step none "
        "did, after the first epoch 1." in said
    )
    assert "0, 0 of" not in said
    assert "Of those of the first epoch 1 were no longer dead at the end." in said  # with adam at 0.001
    assert "With adam the high rate leaves more units dead than the low one." in said
    assert "No tanh unit was zero for every image at any count." in said
    assert "90.0 % with adam at 0.1, where 3 of 6 units are at exactly −1 or 1 in float32 for every image" in said
    assert "At ±1 the derivative 1 − h² is exactly zero" in said
    assert "exactly zero at every recorded step with ReLU and exactly zero at 50 % of the recorded steps" in said
    assert "Where all units of a hidden layer are dead, as at the end of a run with adam at 0.1" in said
    # 0.1 times a norm of 1, over the square root of 4 x 2 weights.
    assert "whose norm is 1: at 0.1 by 0.035 (root mean square)" in said
    assert "√(2 / (4 + 2)) = 0.577" in said
    assert "Zeros as such do no harm: with sgd at 0.1 42 % of the outputs of ReLU are zero, and 97.0 %" in said


def test_the_text_follows_numbers_that_say_the_opposite(tmp_path: Path) -> None:
    add(tmp_path, "relu", "sgd", 0.1, 0.8, ALIVE, ALIVE, ALIVE)
    add(tmp_path, "relu", "sgd", 0.001, 0.8, ONE_DEAD, ONE_DEAD, ONE_DEAD)
    add(tmp_path, "tanh", "sgd", 0.1, 0.8, ALIVE, ALIVE, ONE_DEAD)
    said = text(analysis(tmp_path))
    assert "at a learning rate of 0.1: 0.0 % with sgd." in said
    assert "With sgd the high rate leaves fewer units dead than the low one." in said
    assert "Before the first step 1 did, after the first epoch 1." in said
    assert "No tanh unit was zero" not in said
    assert "get no gradient either" not in said
    assert "Where all units" not in said
    assert "Adam's first step" not in said
    assert "Zeros as such" not in said  # no network has learnt enough to show it


def test_seeds_have_a_spread(tmp_path: Path) -> None:
    for seed, look in enumerate((ALIVE, ONE_DEAD)):
        add(tmp_path, "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE, look, seed=seed)
        add(tmp_path, "relu", "sgd", 0.001, 0.9, ALIVE, ALIVE, ALIVE, seed=seed)
    found = analysis(tmp_path)
    assert "At a learning rate of 0.1, 0.5 ± 0.7 of the 6 ReLU units (8.3 %)" in text(found)
    assert "0.5 ± 0.7 and 0 of 4 and 2 in hidden layers 1 and 2" in text(found)
    assert "about as many units dead as the low one" in text(found)
    assert table(found)[0][3] == "0.5, 0"


def test_the_figures_show_the_counts(tmp_path: Path) -> None:
    pictures = [block.draw() for block in killing(tmp_path).blocks if isinstance(block, Picture)]
    time, outputs, gradients = ({ax.get_title(loc="left"): ax for ax in figure.axes} for figure in pictures)
    layers = [np.asarray(line.get_ydata()).tolist() for line in time["ReLU, adam at 0.1"].lines]
    assert layers == [[0, 0.25, 0.75], [0, 0, 1.0]]
    assert np.asarray(time["ReLU, adam at 0.1"].lines[0].get_xdata()).tolist() == [0, 1, 2]
    assert [np.asarray(line.get_ydata()).tolist() for line in time["tanh, adam at 0.1"].lines] == [[0.9] * 3] * 2

    first, _ = outputs["ReLU, adam at 0.1"].patches
    values, edges, _ = first.get_data()  # type: ignore[attr-defined]
    (place,) = np.flatnonzero(np.isfinite(values))
    assert values[place] == pytest.approx(7 / 400)  # 7 of 4 units times 100 images
    assert edges[place] == pytest.approx(GEOMETRIC[30])
    labels = [t.get_text() for t in outputs["ReLU, adam at 0.1"].get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["layer 1, 98.2 % zero", "layer 2, 100.0 % zero"]

    relu, relu_zero, tanh, tanh_zero = gradients["adam at 0.1"].lines
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
    assert "There are no finished runs with ReLU." in text(found)
    add(tmp_path / "relu", "relu", "sgd", 0.1, 0.9, ALIVE, ALIVE)
    other = analysis(tmp_path / "relu")
    assert "tanh beside it" not in text(other)
    assert "in 1 epoch." in text(other)
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
    assert "1 of the 2 runs ended without a result and is left out." in text(analysis(tmp_path))


@pytest.mark.timeout(600)
def test_real_runs_are_answered_by_one_command(quick_studies: Path) -> None:
    said = (quick_studies / "report" / "report.md").read_text()
    assert "**Dead ReLU units** at a learning rate of 0.1:" in said
    assert "4 runs on digits, seed 0" in said
    found = STUDY.analyse(STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True))
    counts = np.load(quick_studies / "multirun_outputs" / "dead_neurons-digits-quick" / "1" / "dead_units.npz")
    dead = sum(int(n == 0) for layer in counts["nonzero"][-1] for n in layer)
    assert found.facts["groups"]["relu/adam/0.1"]["dead_units"].mean == dead
    assert counts["samples"][0] * 128 >= counts["nonzero"][0, 0].sum() > 0
