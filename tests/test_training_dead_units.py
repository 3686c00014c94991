"""What is counted of hidden units: the same as in a slow loop, without a trace in the training."""

import math
from pathlib import Path

import numpy as np
import pytest
from networks import lively

from mlp.data import Samples
from mlp.nn import MLP, Adam, BatchNorm, Constant, ReLU, Sigmoid, Tanh
from mlp.nn.types import Array
from mlp.training import Run, Trainer, random_streams
from mlp.training.callbacks import MetricsFile
from mlp.training.diagnostics import dead_units
from mlp.training.diagnostics.dead_units import DeadUnits
from mlp.training.run import Callback

FEATURES, CLASSES, N = 6, 3, 50


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_units, "ROWS_AT_ONCE", 20)


def some_samples() -> Samples:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (2 * N, FEATURES)).astype(np.uint8)
    return Samples(x, rng.integers(0, CLASSES, 2 * N), np.sort(rng.permutation(2 * N)[:N]), 255.0)


TRAIN = some_samples()
NOTHING = Samples(TRAIN.x, TRAIN.y, np.empty(0, np.int64), 255.0)


def run_of(network: MLP, directory: Path, *callbacks: Callback) -> Run:
    run = Run(directory, {}, network, Adam(0.01), Constant(), random_streams(0), list(callbacks))
    run.train = TRAIN
    return run


def look(network: MLP, directory: Path) -> dict[str, Array]:
    """The one row of a run that is at its start."""
    callback = DeadUnits()
    run = run_of(network, directory, callback)
    callback.on_run_start(run)
    super(DeadUnits, callback).on_epoch_end(run)
    with np.load(directory / "dead_units.npz") as file:
        assert [len(file[name]) for name in file.files] == [1] * len(file.files)
        return {name: file[name][0] for name in file.files}


def outputs(network: MLP, activation: str) -> list[list[list[float]]]:
    """Of each hidden layer: for every sample the output of every unit, by loops over numbers."""
    f = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh, "sigmoid": lambda z: (1 + math.tanh(z / 2)) / 2}[
        activation
    ]
    rows = [[TRAIN.x[r][k] / 255 for k in range(FEATURES)] for r in TRAIN.rows]
    layers = []
    for layer in network.layers[:-1]:
        W, b = layer.W, layer.b
        rows = [[f(sum(x[k] * W[k, j] for k in range(len(W))) + b[j]) for j in range(len(b))] for x in rows]
        layers.append(rows)
    return layers


def padded(table: list[list[int]]) -> list[list[int]]:
    width = max(map(len, table))
    return [row + [-1] * (width - len(row)) for row in table]


def test_units_of_relu_are_counted_as_by_a_loop(tmp_path: Path) -> None:
    network = lively(FEATURES, CLASSES, [7, 4], rng=np.random.default_rng(1))
    network.layers[0].b[2] = -1000  # dead
    network.layers[0].b[5] = 1000  # never zero
    found, layers = look(network, tmp_path), outputs(network, "relu")
    expected = [[sum(row[j] != 0 for row in rows) for j in range(len(rows[0]))] for rows in layers]
    assert (expected[0][2], expected[0][5]) == (0, N)
    assert found["nonzero"].tolist() == padded(expected)
    assert (found["saturated"] == -1).all()
    assert (found["flat"] == -1).all()
    assert (found["step"], found["samples"]) == (0, N)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_saturated_outputs_are_counted_as_by_a_loop(name: str, tmp_path: Path) -> None:
    activation = {"tanh": Tanh, "sigmoid": Sigmoid}[name]()
    network = lively(FEATURES, CLASSES, [7, 4], activation=activation, rng=np.random.default_rng(1))
    network.layers[0].W *= 6
    network.layers[0].b[:3] = 3, -1000, 1000  # often saturated, and saturated so far that the derivative is 0
    low = {"tanh": -1.0, "sigmoid": 0.0}[name]
    border = {"tanh": 0.99, "sigmoid": 0.995}[name]
    found, layers = look(network, tmp_path), outputs(network, name)
    near = [[sum(h > border or h < low + 1 - border for h in column) for column in zip(*rows, strict=True)]
            for rows in layers]  # fmt: skip
    there = [[sum(h in (low, 1.0) for h in column) for column in zip(*rows, strict=True)] for rows in layers]
    assert 0 < near[0][0] < N
    assert there[0][1:3] == [N, N]
    assert found["saturated"].tolist() == padded(near)
    assert found["flat"].tolist() == padded(there)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_the_histogram_holds_every_output_that_is_not_zero(name: str, tmp_path: Path) -> None:
    activation = {"relu": ReLU, "tanh": Tanh}[name]()
    network = lively(FEATURES, CLASSES, [7, 4], activation=activation, rng=np.random.default_rng(1))
    network.layers[0].b[3] = 1e6  # beyond the last edge where there are no bounds
    found = look(network, tmp_path)
    for rows, counts, edges in zip(outputs(network, name), found["counts"], found["edges"], strict=True):
        expected = [0] * len(counts)
        for h in (h for row in rows for h in row if h != 0):
            inside = [i for i in range(len(counts)) if edges[i] <= h < edges[i + 1]]
            expected[inside[0] if inside else -1] += 1
        assert counts.tolist() == expected


def test_the_gradient_of_a_dead_unit_is_exactly_zero_and_of_no_other(tmp_path: Path) -> None:
    network = lively(FEATURES, CLASSES, [7, 4], rng=np.random.default_rng(1))
    network.layers[1].b[2] = -1000
    dead = look(network, tmp_path)["nonzero"][1, :4] == 0
    targets = np.eye(CLASSES)[TRAIN.labels]
    network.loss_and_gradients(TRAIN.inputs(dtype=np.float64), targets)
    layer = network.layers[1]
    assert dead.tolist() == ((layer.grad_W == 0).all(axis=0) & (layer.grad_b == 0)).tolist()
    assert dead[2]
    assert not dead.all()


def trained(directory: Path, *callbacks: Callback) -> Run:
    """Two epochs of a network with everything that a look could disturb: running statistics, dropout, momentum."""
    directory.mkdir()
    random = random_streams(0)
    network = MLP(FEATURES, CLASSES, [5, 8], normalization=BatchNorm(), dropout=0.3, rng=random["init"])
    run = Run(directory, {}, network, Adam(0.01), Constant(), random, [*callbacks, MetricsFile()])
    Trainer(epochs=2, batch_size=8).fit(run, TRAIN, NOTHING)
    return run


def test_training_is_the_same_to_the_last_bit_with_and_without_it(tmp_path: Path) -> None:
    plain, watched = trained(tmp_path / "plain"), trained(tmp_path / "watched", DeadUnits())
    assert plain.network.state.tobytes() == watched.network.state.tobytes()
    assert plain.network.grad.tobytes() == watched.network.grad.tobytes()
    for name, generator in plain.random.items():
        assert generator.bit_generator.state == watched.random[name].bit_generator.state
    drop = ("seconds", "samples_per_second")
    for row, other in zip(plain.history, watched.history, strict=True):
        assert {k: v for k, v in row.items() if k not in drop} == {k: v for k, v in other.items() if k not in drop}
    with np.load(tmp_path / "watched" / "dead_units.npz") as file:
        assert file["step"].tolist() == [0, 7, 14]  # before the first step, and after each epoch
        assert file["nonzero"].shape == (3, 2, 8)
        assert (file["nonzero"][:, 0, 5:] == -1).all()
        assert (file["nonzero"][:, 0, :5] >= 0).all()


def test_a_resumed_run_goes_on_with_its_rows(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", DeadUnits())
    again = DeadUnits()
    run.epoch, run.step = 1, 7  # as after a checkpoint of the first epoch
    again.on_run_start(run)
    run.epoch, run.step = 2, 14
    with np.load(run.directory / "dead_units.npz") as file:
        before = {name: file[name] for name in file.files}
    again.on_epoch_end(run)
    with np.load(run.directory / "dead_units.npz") as file:
        for name, values in before.items():
            np.testing.assert_array_equal(file[name], values, name)


def test_a_network_without_hidden_layers_has_nothing_to_count(tmp_path: Path) -> None:
    callback = DeadUnits()
    run = run_of(MLP(FEATURES, CLASSES, []), tmp_path, callback)
    callback.on_run_start(run)
    callback.on_epoch_end(run)
    assert not (tmp_path / "dead_units.npz").exists()
