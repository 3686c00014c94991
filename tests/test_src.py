"""The course's paths: src/ has what its skeleton promises, plays the grader's checks, and starts in both ways."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from forks import python

SRC = ROOT / "src"
FLAGS = ["-d", "digits", "-sz", "16", "8", "-nhl", "2", "-a", "tanh", "-wi", "xavier", "-s", "3"]


@pytest.fixture(scope="module")
def course() -> Iterator[Any]:
    """The modules of src/ as a grader imports them; the root's train and inference have the same names."""
    kept = {name: sys.modules.pop(name) for name in ("train", "inference") if name in sys.modules}
    sys.path.insert(0, str(SRC))
    names = [
        *("train", "inference", "utils.data_loader", "ann.neural_network", "ann.activations", "ann.neural_layer"),
        *("ann.objective_functions", "ann.optimizers"),
    ]
    try:
        yield {name.rpartition(".")[2]: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(SRC))
        for name in ("train", "inference", *[n for n in sys.modules if n.partition(".")[0] in ("ann", "utils")]):
            sys.modules.pop(name, None)
        sys.modules.update(kept)


@pytest.fixture
def net(course: dict[str, ModuleType]) -> Any:
    return course["neural_network"].NeuralNetwork(course["train"].parse_arguments(FLAGS))


def test_arguments_are_named_like_the_long_flags(course: dict[str, ModuleType]) -> None:
    line = "-d Mnist -e 3 -b 32 -l mse -o nadam -lr 1e-3 -wd 0 -nhl 2 -sz 128,64 -a ReLU -w_i xavier -wp p -mp m.npy"
    found = vars(course["train"].parse_arguments(line.split()))
    wanted = {
        "dataset": "Mnist", "epochs": 3, "batch_size": 32, "loss": "mse", "optimizer": "nadam", "learning_rate": 1e-3,
        "weight_decay": 0.0, "num_layers": 2, "hidden_size": [128, 64], "activation": "ReLU", "weight_init": "xavier",
        "wandb_project": "p", "model_path": "m.npy", "momentum": None,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_whole_arrays_and_single_entries_of_a_layer_can_be_set(net: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, 64))
    for layer in net.layers:
        layer.W = rng.normal(size=layer.W.shape)
        layer.b[...] = 0.1
    net.layers[0].W[2, 3] = 7.0
    H = X
    for layer in net.layers[:-1]:
        H = np.tanh(H @ layer.W + layer.b)
    logits = H @ net.layers[-1].W + net.layers[-1].b
    np.testing.assert_allclose(net.forward(X), logits, rtol=1e-12)
    assert net.layers[0].W[2, 3] == 7.0


def test_gradients_agree_with_finite_differences_and_stay_on_the_network(net: Any) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(6, 64)), rng.integers(0, 10, 6)

    def loss() -> float:
        Z = net.forward(X)
        Z = Z - Z.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(6), y]))

    grad_W, grad_b = net.backward(y, net.forward(X))
    assert net.grad_W is grad_W
    assert net.grad_b is grad_b
    for i, layer in enumerate(reversed(net.layers)):  # index 0 is the last layer
        for array, gradient in ((layer.W, grad_W[i]), (layer.b, grad_b[i])):
            place = tuple(int(rng.integers(0, n)) for n in array.shape)
            before = array[place]
            array[place] = before + 1e-6
            above = loss()
            array[place] = before - 1e-6
            numeric = (above - loss()) / 2e-6
            array[place] = before
            assert gradient[place] == pytest.approx(numeric, abs=1e-7)


def test_a_part_of_the_weights_leaves_the_others(net: Any) -> None:
    before = net.get_weights()
    net.set_weights({"W1": before["W1"] + 1, "b0": before["b0"].reshape(1, -1) - 1})
    after = net.get_weights()
    np.testing.assert_array_equal(after["W1"], before["W1"] + 1)
    np.testing.assert_array_equal(after["b0"], before["b0"] - 1)
    for name in set(before) - {"W1", "b0"}:
        np.testing.assert_array_equal(after[name], before[name])
    net.set_weights({"W0": np.ones((2, 10)), "b0": np.zeros(10), "W1": np.ones((10, 3)), "b1": np.zeros(3)})
    assert net.sizes == [2, 10, 3]
    with pytest.raises(ValueError, match="b0 must have shape"):
        net.set_weights({"W0": np.ones((5, 5))})


def test_softmax_and_losses_are_those_of_the_network(course: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(2)
    Z, y = rng.normal(size=(5, 10)) * 3, rng.integers(0, 10, 5)
    P = course["activations"].Softmax().forward(Z)
    loss = course["objective_functions"].CrossEntropy()
    assert loss.forward(y, Z) == pytest.approx(-np.log(P[np.arange(5), y]).mean(), rel=1e-12)
    np.testing.assert_allclose(loss.backward(), (P - np.eye(10)[y]) / 5, atol=1e-15)
    squares = course["objective_functions"].MeanSquaredError()
    assert squares.forward(y, Z) == squares.forward(np.eye(10)[y], Z)


@pytest.mark.parametrize(
    "name", ["ReLU", "Sigmoid", "Tanh", "Identity", "LeakyReLU", "ELU", "GELU", "Swish", "Softmax"]
)
def test_activations_have_forward_and_backward_and_leave_their_arguments(
    course: dict[str, ModuleType], name: str
) -> None:
    f = getattr(course["activations"], name)()
    Z = np.random.default_rng(3).normal(size=(3, 4))
    D, kept, h = np.ones((3, 4)) * [[1.0, 2.0, 3.0, 4.0]], Z.copy(), 1e-6
    f.forward(Z)
    gradient = f.backward(D)
    np.testing.assert_array_equal(Z, kept)
    for place in np.ndindex(Z.shape):
        step = np.zeros_like(Z)
        step[place] = h
        numeric = ((f.forward(Z + step) - f.forward(Z - step)) * D).sum() / (2 * h)
        assert gradient[place] == pytest.approx(numeric, abs=1e-8)
    assert f.forward(Z[0]).shape == (4,)


def test_data_are_pixels_between_zero_and_one_in_three_parts(course: dict[str, ModuleType]) -> None:
    (X, y), (X_val, y_val), (X_test, y_test) = course["data_loader"].load_data("digits", val_split=0.2)
    assert X.shape[1] == X_val.shape[1] == X_test.shape[1] == 64
    assert len(X_val) == len(y_val) == pytest.approx(0.2 * (len(X) + len(X_val)), abs=10)
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert set(y) == set(y_test) == set(range(10))
    args = course["train"].parse_arguments([])  # of a command line that names nothing
    assert len(course["data_loader"].load_data(args.dataset, args.val_split, args.seed)[0][1]) == 54_000


@pytest.mark.parametrize(
    "line",
    [
        "-o sgd -lr 0.1 -a sigmoid -wi random", "-o momentum -lr 0.05 -m 0.9 -a tanh", "-o nadam -lr 2e-3 -b 16",
        "-o rmsprop -lr 1e-3 -beta 0.9 -l mse", "-o adam -lr 1e-3 -beta1 0.9 -beta2 0.99 -sz 64",
        "-o nag -lr 0.05 -a relu -wd 1e-4",
        "-nhl 1 -sz 32 -wi zeros -o adam", "-nhl 3 -sz 32 16 8 -wi he", "-nhl 6 -sz 16 -a relu -wi xavier",
        "--loss=ce --val_split 0.2 -sz 128,128,128",
    ],
)  # fmt: skip
def test_ten_sets_of_hyperparameters_train_and_are_measured(
    course: dict[str, ModuleType], line: str, tmp_path: Path
) -> None:
    words = ["-d", "digits", "-e", "2", "--no_wandb", *line.split(), "-msp", "best_model.npy", "plots=false"]
    done = python(str(SRC / "train.py"), *words, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "best_config.json").read_text())
    inference, (_, _, (X, y)) = course["inference"], course["data_loader"].load_data("digits")
    weights = inference.load_model(str(tmp_path / "best_model.npy"))
    assert set(weights) == {f"{kind}{i}" for kind in "Wb" for i in range(config["num_layers"] + 1)}
    result = inference.evaluate_model(weights, X, y, config["activation"], config["loss"])
    assert set(result) == {"logits", "loss", "accuracy", "f1", "precision", "recall"}
    assert result["f1"] == pytest.approx(config["test_f1"])
    assert config["best_f1"] == config["test_f1"]


@pytest.mark.parametrize("place", [".", "src"])
def test_the_programs_run_without_an_installed_package_from_both_folders(tmp_path: Path, place: str) -> None:
    copy = tmp_path / "course"
    for name in ("mlp", "hydra_trials", "hydra_plugins", "conf", "src"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    program = "train.py" if place == "src" else "src/train.py"
    words = ["-d", "digits", "-e", "1", "--no_wandb", "-msp", str(copy / "src" / "best_model.npy"), "plots=false"]

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], cwd=copy / place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(program, *words)
    assert "on the test set of digits" in run(program.replace("train", "inference"))
    code = f"import sys; sys.path.insert(0, {str(copy / 'src')!r}); import ann, mlp; print(mlp.__file__)"
    assert run("-c", code).strip() == str(copy / "mlp" / "__init__.py")


def test_src_only_names_what_the_package_has() -> None:
    """Thin: no mathematics of its own but the softmax's Jacobian and one-hot rows."""
    lines = sum(len(path.read_text().splitlines()) for path in SRC.rglob("*.py"))
    assert lines < 300
