"""Initialisation and symmetry: the verdict follows the bits of the gradients, and the figure shows their norms."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from answers import pictures_of, tables_of, text_of
from made_runs import make_run
from runs import run

from mlp.base.errors import UserError
from mlp.nn import MLP, Adam, Tanh
from mlp.nn.schedules import Constant
from mlp.report.blocks import Analysis
from mlp.report.studies.study import StudyRuns
from mlp.report.studies.symmetry import Symmetry
from mlp.training.diagnostics.neuron_gradients import NeuronGradients
from mlp.training.run import Run

STUDY = Symmetry()
EXPERIMENT = "+experiment=symmetry", "dataset=digits", "tracker=none"

#: Of three neurons with two weights each, at two steps; (rows, d_in, neurons). The first is all zero.
SAME = np.array([np.zeros((2, 3)), [[3.0, 3.0, 3.0], [4.0, 4.0, 4.0]]])
DIFFERENT = np.array([[[3.0, 1.0, 2.0], [4.0, 1.0, 2.0]], [[6.0, 0.0, 5.0], [8.0, 2.0, 12.0]]])


def made(
    root: Path,
    activation: str,
    init: str,
    grad_W: np.ndarray | None,
    called: tuple[int, ...] = (0, 1, 2, 3),
    distinct: int = 1,
    seed: int = 0,
    score: float | None = 0.5,
) -> None:
    """A run whose biases have no gradient; `grad_W` None: it diverged at once, `score` None: later."""
    arrays = {}
    if grad_W is not None:
        width = {"distinct": [distinct] * len(grad_W), "width": [8] * len(grad_W)}
        step = np.arange(1, len(grad_W) + 1)
        width["loss"] = np.linspace(3, 1, len(grad_W)).tolist()
        biases = {"grad_b": np.zeros(grad_W.shape[::2], grad_W.dtype)}
        arrays["neuron_gradients"] = {"step": step, "grad_W": grad_W, **biases, **width}
    if grad_W is not None and score is not None:
        labels = {"y_true": np.array([0, 0, 1, 2]), "y_pred": np.array(called)}
        arrays["predictions"] = {**labels, "class_names": np.array(list("abcd"))}
    directory = root / "symmetry-digits" / str(len(list(root.glob("*/*"))))
    options = [f"init={init}", f"activation={activation}", f"seed={seed}"]
    make_run(directory, ["+experiment=symmetry", "dataset=digits", *options], {"val_accuracy": [0.5]},
             {"test_accuracy": score}, **arrays)  # fmt: skip
    if score is None:
        (directory / "summary.json").write_text('{"status": "diverged"}')


def analysis(root: Path) -> Analysis:
    return STUDY.analyse(STUDY.find_runs(root, "digits"))


def test_identical_gradients_are_called_so_and_zero_ones_zero(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", SAME)
    made(tmp_path, "relu", "zeros", np.zeros((2, 2, 3)))
    found = analysis(tmp_path)
    assert "**From zeros the gradients of the 3 neurons are identical at every step, bit for bit.**" in text_of(found)
    assert (
        "With sigmoid they agree in all 64 bits of their 3 numbers; the first that is not zero comes in step 2. "
        "The same holds for all 8 neurons of the layer."
    ) in text_of(found)
    assert "With ReLU they are exactly zero in the whole layer of 8: it learns nothing." in text_of(found)
    assert found.facts["cases"]["sigmoid/zeros"]["identical"]
    assert not found.facts["cases"]["sigmoid/zeros"]["zero"]
    assert found.facts["cases"]["relu/zeros"]["zero"]
    assert found.facts["cases"]["relu/zeros"]["first_step"] is None


def test_one_bit_in_one_number_of_one_step_is_a_difference(tmp_path: Path) -> None:
    grad_W = SAME.copy()
    grad_W[1, 0, 2] = np.nextafter(3.0, 4.0)
    made(tmp_path, "sigmoid", "zeros", grad_W)
    found = analysis(tmp_path)
    assert not found.facts["cases"]["sigmoid/zeros"]["identical"]
    assert "**not identical**: from step 2 on they differ, by up to 1e-16 of the largest one" in text_of(found)
    assert "rounding errors" in text_of(found)
    assert tables_of(found)[0].rows[0][2] == "not identical"


def test_minus_zero_is_not_zero_to_the_last_bit(tmp_path: Path) -> None:
    grad_W = SAME.copy()
    grad_W[0, 0, 1] = -0.0
    made(tmp_path, "sigmoid", "zeros", grad_W)
    assert not analysis(tmp_path).facts["cases"]["sigmoid/zeros"]["identical"]


def test_a_broken_symmetry_is_not_called_rounding(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", DIFFERENT)
    found = text_of(analysis(tmp_path))
    # Step 2: the second weight's gradients are 8, 2 and 12, ten apart, and 12 is the largest of all.
    assert "from step 1 on they differ, by up to 0.8 of the largest one, more than rounding" in found


def test_groups_within_the_layer_are_reported_though_the_first_neurons_agree(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", SAME.astype(np.float32), distinct=5)
    found = analysis(tmp_path)
    assert "they agree in all 32 bits" in text_of(found)
    assert "The 8 neurons of the layer have up to 5 different gradients" in text_of(found)
    assert tables_of(found)[0].rows[0][3] == "5 of 8"


def test_one_seed_of_two_that_differs_is_enough(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", SAME, seed=0, score=0.2)
    made(tmp_path, "sigmoid", "zeros", DIFFERENT, seed=1, score=0.4)
    found = analysis(tmp_path)
    assert not found.facts["cases"]["sigmoid/zeros"]["identical"]
    assert tables_of(found)[0].rows[0][6] == "30.00 ± 14.14 %"


def test_the_figure_shows_the_norms_and_shares_the_scale_with_what_is_zero(tmp_path: Path) -> None:
    made(tmp_path, "relu", "zeros", np.zeros((2, 2, 3)))
    made(tmp_path, "relu", "xavier", DIFFERENT)
    found = analysis(tmp_path)
    zeros, xavier = pictures_of(found)[0].draw().axes
    lines = [line for line in xavier.lines if line.get_linestyle() != "None"]
    norms = [[5, 10], [np.sqrt(2), 2], [np.sqrt(8), 13]]
    np.testing.assert_allclose([np.asarray(line.get_ydata(), float) for line in lines], norms)
    widths = [line.get_linewidth() for line in zeros.lines if line.get_linestyle() != "None"]
    assert len(widths) == 3
    assert all(outer > inner for outer, inner in itertools.pairwise(widths))
    assert zeros.get_ylim() == xavier.get_ylim()
    assert (zeros.get_title("left"), xavier.get_title("left")) == (
        "ReLU, zeros: all zero",
        "ReLU, Xavier: all different",
    )


def test_the_bits_are_those_of_the_weight_that_moves_most(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", SAME.astype(np.float32))
    made(tmp_path, "sigmoid", "xavier", DIFFERENT.astype(np.float32))
    rows = tables_of(analysis(tmp_path))[1].rows
    # 4 = 2^2: exponent 127 + 2 = 129, which is 0 10000001 000...; 8 and 12 = 1.5 * 2^3 likewise.
    assert rows[0] == ["1", "4", "`40800000`", "8", "`41000000`"]
    assert rows[2] == ["3", "4", "`40800000`", "12", "`41400000`"]


def test_the_cost_is_told_from_accuracy_and_predictions(tmp_path: Path) -> None:
    made(tmp_path, "relu", "zeros", np.zeros((2, 2, 3)), called=(1, 1, 1, 1), score=0.25)
    made(tmp_path, "relu", "xavier", DIFFERENT, score=0.9)
    made(tmp_path, "sigmoid", "zeros", SAME, called=(0, 0, 2, 0), score=0.5)
    made(tmp_path, "sigmoid", "xavier", DIFFERENT, score=0.4)
    found = text_of(analysis(tmp_path))
    assert "From zeros the network predicts only 1 of 4 classes with ReLU and 2 of 4 classes with sigmoid." in found
    table = tables_of(analysis(tmp_path))[0]
    assert [row[6:] for row in table.rows[:2]] == [["25.00 %", "1 of 10"], ["90.00 %", "4 of 10"]]
    assert table.caption.endswith("Always naming the most frequent class is right for 50.00 %.")
    # The loss of the batches is 3 and 1 in the two steps of all runs.
    assert (
        "Loss of the first and the last ten steps: 2.000 and 2.000 with ReLU (from Xavier's weights 2.000)" in found
    )
    assert "while the neurons have no gradient; 2.000 and" in found
    assert "while the neurons share one gradient." in found


def test_the_losses_of_both_are_drawn_where_they_were_recorded(tmp_path: Path) -> None:
    made(tmp_path, "relu", "zeros", np.zeros((2, 2, 3)))
    made(tmp_path, "relu", "xavier", DIFFERENT)
    figure = pictures_of(analysis(tmp_path))[1].draw()
    assert [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines] == [[3, 1], [3, 1]]
    for file in tmp_path.rglob("neuron_gradients.npz"):
        arrays = dict(np.load(file))
        np.savez(file, **{name: array for name, array in arrays.items() if name != "loss"})
    assert "Loss of the first" not in text_of(analysis(tmp_path))


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_the_theory_claims_a_step_only_if_it_was_measured(tmp_path: Path, first: int) -> None:
    grad_W = np.zeros((5, 2, 3))
    grad_W[first:] = 1
    made(tmp_path, "sigmoid", "zeros", grad_W)
    assert ("hidden layer 1 of 3 at step 4, as measured" in text_of(analysis(tmp_path))) == (first == 3)


def test_runs_that_diverged_are_named_and_nothing_is_claimed_of_them(tmp_path: Path) -> None:
    made(tmp_path, "sigmoid", "zeros", None, score=None)
    made(tmp_path, "sigmoid", "xavier", np.full((1, 2, 3), np.nan), score=None)
    found = analysis(tmp_path)
    assert "With sigmoid no gradients were kept" in text_of(found)
    assert [row[6] for row in tables_of(found)[0].rows] == ["diverged", "diverged"]
    pictures_of(found)[0].draw()


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*symmetry-digits"):
        analysis(tmp_path)


def test_the_callback_keeps_the_first_steps_of_one_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = MLP(4, 3, [6, 5], activation=Tanh(), rng=rng)
    state = Run(tmp_path, {}, network, Adam(), Constant(), {})
    callback = NeuronGradients(layer=2, neurons=3, steps=2)
    callback.on_run_start(state)
    expected = []
    for step in range(1, 5):
        network.loss_and_gradients(rng.normal(size=(7, 4)).astype(np.float32), np.eye(3, dtype=np.float32)[[0] * 7])
        state.step = step
        state.batch_loss = 0.5 * step
        expected.append((network.grad[24 : 24 + 30].reshape(6, 5).copy(), network.layers[1].grad_b.copy()))
        callback.on_batch_end(state)
    callback.on_epoch_end(state)
    with np.load(tmp_path / "neuron_gradients.npz") as file:
        assert file["step"].tolist() == [1, 2]
        assert file["loss"].tolist() == [0.5, 1.0]
        assert file["distinct"].tolist() == file["width"].tolist() == [5, 5]
        for row, (grad_W, grad_b) in enumerate(expected[:2]):
            assert file["grad_W"][row].tobytes() == np.ascontiguousarray(grad_W[:, :3]).tobytes()
            assert file["grad_b"][row].tobytes() == grad_b[:3].tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 3}, "layer must be <= 2, the number of hidden layers. Got 3"),
        ({"layer": 2, "neurons": 6}, "neurons must be <= 5, the width of hidden layer 2. Got 6"),
    ],
)
def test_a_layer_or_neuron_that_does_not_exist_is_refused(
    tmp_path: Path, arguments: dict[str, int], message: str
) -> None:
    state = Run(tmp_path, {}, MLP(4, 3, [6, 5]), Adam(), Constant(), {})
    with pytest.raises(UserError, match=message):
        NeuronGradients(**arguments).on_run_start(state)


def test_real_runs_confirm_the_theory(tmp_path: Path) -> None:
    run(tmp_path, *EXPERIMENT, "training.epochs=1", "init=zeros,xavier", "activation=sigmoid,relu")
    directory = tmp_path / "multirun_outputs" / "symmetry-digits"
    found: StudyRuns = STUDY.find_runs(directory.parent, "digits")
    facts = STUDY.analyse(found).facts["cases"]
    assert facts["sigmoid/zeros"]["identical"]
    assert facts["sigmoid/zeros"]["first_step"] == 4
    assert facts["relu/zeros"]["zero"]
    assert facts["sigmoid/xavier"]["distinct"] == 64
    assert found.runs[0].arrays("neuron_gradients.npz")["step"].tolist() == list(range(1, 22))


def test_a_resumed_run_has_the_gradients_of_one_that_was_not_interrupted(tmp_path: Path) -> None:
    options = (*EXPERIMENT, "hydra.mode=RUN", "init=xavier", "activation=tanh", "model.hidden_sizes=[16]")
    run(tmp_path, *options, "training.epochs=3", "hydra.run.dir=whole")
    run(tmp_path, *options, "training.epochs=1", "hydra.run.dir=parts")
    run(tmp_path, "resume=parts", "training.epochs=3")
    with (
        np.load(tmp_path / "whole/neuron_gradients.npz") as whole,
        np.load(tmp_path / "parts/neuron_gradients.npz") as parts,
    ):
        assert whole["step"].tolist() == list(range(1, 51))
        for name in whole.files:
            assert whole[name].tobytes() == parts[name].tobytes(), name
