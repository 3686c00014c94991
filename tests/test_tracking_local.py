"""Trackio, TensorBoard and MLflow: real runs in their own processes without a network, read back by their readers."""

import csv
import json
import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import runs
from forks import python

import mlp
from mlp.nn.metrics import confusion_matrix
from mlp.tracking import TensorBoardTracker

NAMES = ("mlflow", "tensorboard", "trackio")
WORDS = ("dataset=digits", "model.hidden_sizes=[8]", "training.epochs=2", "plots=false")

# A run of two epochs with a tracker, then a third epoch, twice, as after a kill before its checkpoint; every attempt
# to connect anywhere is noted and refused.
PROGRAM = """
import os, socket, sys
from pathlib import Path

asked = []
def connect(self, address):
    asked.append(address)
    raise OSError("there is no network")
socket.socket.connect = socket.socket.connect_ex = connect
import mlp

name, *words = sys.argv[1:]
about = (f"tracker={name}", "tracker.group=mine")  # a tracker that writes elsewhere is said again
mlp.train(*words, *about, directory="search/run", verbose=True)
checkpoint = Path("search/run/checkpoint.npz").read_bytes()
for _ in range(2):
    Path("search/run/checkpoint.npz").write_bytes(checkpoint)
    mlp.train("resume=search/run", "training.epochs=3", "plots=true", *about, directory="search/run", verbose=True)
heavy = [module for module in ("torch", "tensorflow", "jax") if module in sys.modules]
assert not asked and not heavy, (asked, heavy)
"""


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"needs the package {name}: pip install -e '.[{name}]'")


def tracked(place: Path, name: str, *words: str) -> Path:
    """The directory of a run that `name` has tracked; what it printed is beside it."""
    variables = {"TRACKIO_DIR": str(place / "trackio"), "HF_TOKEN": "hf_" + "0" * 30}
    done = python("-c", PROGRAM, name, *WORDS, *words, cwd=place, env={**os.environ, **variables})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    (place / "printed").write_text(done.stdout)
    return place / "search/run"


def rows(directory: Path) -> list[dict[str, float]]:
    with (directory / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def confusion(directory: Path) -> list[list[int]]:
    with np.load(directory / "predictions.npz") as arrays:
        return confusion_matrix(arrays["y_true"], arrays["y_pred"], 10).tolist()


def numbers(directory: Path) -> dict[str, float]:
    return {k: v for k, v in runs.summary(directory).items() if isinstance(v, int | float)}


def weights_in_bins(directory: Path, edges: np.ndarray) -> list[int]:
    """How many of the first layer's last weights lie between the edges, counted by a sort."""
    weights = np.sort(runs.best_model(directory)["W0"].ravel())
    below = np.searchsorted(weights, edges[1:-1])
    return np.diff(below, prepend=0, append=weights.size).tolist()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracked(tmp_path_factory.mktemp("board"), "tensorboard")


@pytest.fixture(scope="module")
def trackio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracked(tmp_path_factory.mktemp("trackio"), "trackio")


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracked(tmp_path_factory.mktemp("flow"), "mlflow")


# TensorBoard


def events(directory: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return EventAccumulator(str(directory / "tensorboard")).Reload()


@needs("tensorboard")
def test_tensorboard_has_every_number_of_every_epoch_also_of_the_resumed_ones(board: Path) -> None:
    read = events(board)
    for name, column in transposed(rows(board)).items():
        logged = read.Scalars(name)
        assert [event.step for event in logged] == [1, 2, 3]
        np.testing.assert_array_equal(np.float32([event.value for event in logged]), np.float32(column))
    for name, value in numbers(board).items():
        assert read.Scalars(f"results/{name}")[-1].value == np.float32(value)


@needs("tensorboard")
def test_tensorboard_has_histograms_of_weights_and_gradients_of_every_layer(board: Path) -> None:
    tags = {tag for tag, kind in tensors(board).items() if kind == "histograms"}
    kinds = [f"{kind}/{part}{layer}" for kind in ("parameters", "gradients") for part in "Wb" for layer in (1, 2)]
    assert tags == set(kinds)
    last = tensor(board, "parameters/W1")
    assert last[:, 2].tolist() == weights_in_bins(board, np.append(last[:, 0], last[-1, 1]))
    assert last[:, 2].sum() == 64 * 8


@needs("tensorboard")
def test_tensorboard_has_the_configuration_as_hyper_parameters(board: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # of what comes with it
        from tensorboard.plugin_util import markdown_to_safe_html
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events(board).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["optimizer.learning_rate"].number_value == 1e-3
    assert values["dataset._target_"].string_value == "mlp.data.Digits"
    assert values["group"].string_value == "mine"
    assert values["training.epochs"].number_value == 2  # TensorBoard keeps the first; every start has a text
    first, *_, last = (event.tensor_proto.string_val[0].decode() for event in events(board).Tensors("configuration"))
    assert "|training.epochs|2|" in first.splitlines()
    assert "|training.epochs|3|" in last.splitlines()
    shown = markdown_to_safe_html(last)
    assert "<td>dataset._target_</td>" in shown
    assert "<td>[8]</td>" in shown


@needs("tensorboard")
def test_tensorboard_has_the_confusion_matrix_and_the_plots(board: Path) -> None:
    table = tensor(board, "confusion_matrix").item().decode().splitlines()
    counts = [[int(cell) for cell in line.strip("|").split("|")[1:]] for line in table[2:]]
    assert counts == confusion(board)
    for path in (board / "plots").glob("*.png"):
        image = events(board).Images(f"plots/{path.stem}")[-1]
        assert image.encoded_image_string == path.read_bytes()
        assert image.width > image.height / 10 > 10


def tensors(directory: Path) -> Mapping[str, str]:
    """Tag and plugin of all tensors."""
    read = events(directory)
    return {tag: read.SummaryMetadata(tag).plugin_data.plugin_name for tag in read.Tags()["tensors"]}


def tensor(directory: Path, tag: str) -> np.ndarray:
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(events(directory).Tensors(tag)[-1].tensor_proto)


def without_times(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an epoch that is trained again has alike."""
    return {name: value for name, value in row.items() if name not in ("seconds", "samples_per_second")}


def transposed(table: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in table] for name in table[0]}


@needs("tensorboard")
def test_epochs_that_are_trained_again_after_a_kill_replace_the_first_ones(tmp_path: Path) -> None:
    layer = SimpleNamespace(W=np.eye(3), b=np.zeros(3), grad_W=np.full((3, 3), np.nan), grad_b=np.ones(3))
    network = SimpleNamespace(layers=[layer])
    run = SimpleNamespace(directory=tmp_path, config={"seed": 1}, network=network, epoch=0, history=[], metrics={})

    def train(first: int, last: int, loss: float) -> None:
        its = TensorBoardTracker()
        its.on_run_start(run)
        for run.epoch in range(first, last + 1):
            run.metrics = {"epoch": run.epoch, "train_loss": loss}
            its.on_epoch_end(run)
        its.session.close()

    train(1, 3, 1.0)
    run.epoch, run.history = 1, [{"epoch": 1, "train_loss": 1.0}]  # the checkpoint was older than the last epoch
    train(2, 4, 2.0)
    logged = events(tmp_path).Scalars("train_loss")
    assert [(event.step, event.value) for event in logged] == [(1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)]


# Trackio


def database(directory: Path, query: str) -> list[tuple[Any, ...]]:
    (path,) = (directory.parent.parent / "trackio").glob("*.db")
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@needs("trackio")
def test_trackio_has_every_number_of_every_epoch_in_one_run(trackio: Path) -> None:
    found = database(trackio, "SELECT step, run_id, run_name, metrics FROM metrics ORDER BY id")
    assert {(identity, name) for _, identity, name, _ in found} == {
        ((trackio / "trackio_id.txt").read_text().split()[0], "search/run")
    }
    logged = [(step, json.loads(values)) for step, _, _, values in found]
    epochs = [(step, values) for step, values in logged if "train_loss" in values]
    assert [step for step, _ in epochs] == [1, 2, 3]
    expected = [{"steps" if name == "step" else name: v for name, v in row.items()} for row in rows(trackio)]
    assert [without_times(values) for _, values in epochs] == [without_times(row) for row in expected]
    results = [values for _, values in logged if "status" in values]
    assert len(results) == 3  # of all starts
    assert {name: results[-1][f"results/{name}"] for name in numbers(trackio)} == numbers(trackio)


@needs("trackio")
def test_trackio_has_histograms_the_confusion_matrix_and_the_plots(trackio: Path) -> None:
    found = [json.loads(row) for (row,) in database(trackio, "SELECT metrics FROM metrics ORDER BY id")]
    histogram = [row["parameters/W1"] for row in found if "parameters/W1" in row]
    assert len(histogram) == 3
    assert histogram[-1]["values"] == weights_in_bins(trackio, np.array(histogram[-1]["bins"]))
    table = found[-1]["confusion_matrix"]["_value"]
    assert [list(row.values())[1:] for row in table] == confusion(trackio)
    for path in (trackio / "plots").glob("*.png"):
        assert found[-1][f"plots/{path.stem}"]["_type"] == "trackio.image"


@needs("trackio")
def test_trackio_has_the_configuration_the_group_and_the_model_files(trackio: Path) -> None:
    ((config,),) = database(trackio, "SELECT config FROM configs")
    values = json.loads(config)
    assert (values["_Group"], values["optimizer.learning_rate"], values["model.hidden_sizes"]) == ("mine", 1e-3, [8])
    ((name, manifest),) = database(
        trackio, "SELECT name, manifest FROM artifact_versions JOIN artifacts ON artifacts.id = artifact_id "
        "ORDER BY version DESC LIMIT 1"
    )  # fmt: skip
    assert name == "model-" + (trackio / "trackio_id.txt").read_text().split()[0]
    for entry in json.loads(manifest):
        blob = next((trackio.parent.parent / "trackio").rglob(entry["digest"]))
        assert blob.read_bytes() == (trackio / entry["path"]).read_bytes()


# MLflow

READ_MLFLOW = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlruns/mlflow.db")
(run,) = client.search_runs([client.get_experiment_by_name("numpy-mlp").experiment_id])
history = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
           for name in run.data.metrics}
names = "model", "plots", "confusion_matrix.json"
files = {name: client.download_artifacts(run.info.run_id, name) for name in names}
json.dump([run.info.run_id, run.info.status, run.data.tags, run.data.params, history, files], sys.stdout)
"""


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_has_the_numbers_the_configuration_and_the_files_in_one_run(flow: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_MLFLOW], cwd=flow.parent.parent, capture_output=True, text=True,
        check=True, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    identity, status, tags, params, history, files = json.loads(done.stdout)
    assert (identity, status) == ((flow / "mlflow_id.txt").read_text().split()[0], "FINISHED")
    assert (tags["group"], tags["mlflow.runName"], tags["status"]) == ("mine", "search/run", "completed")
    for name, column in without_times(transposed(rows(flow))).items():
        assert history[name] == [[epoch, value] for epoch, value in enumerate(column, start=1)]
    for name, value in numbers(flow).items():
        assert history[f"results/{name}"][-1] == [0, value]
    assert (params["optimizer.learning_rate"], params["training.epochs"]) == ("0.001", "2")
    assert tags["training.epochs"] == "3"  # a parameter never changes
    assert "Note: MLflow keeps the parameter training.epochs=2; 3 is a tag." in printed(flow)
    table = json.loads(Path(files["confusion_matrix.json"]).read_text())
    assert [row[1:] for row in table["data"]] == confusion(flow)
    for path in [*flow.glob("best_*"), *(flow / "plots").glob("*.png")]:
        folder = "plots" if path.suffix == ".png" else "model"
        assert (Path(files[folder]) / path.name).read_bytes() == path.read_bytes()


@needs("mlflow")
def test_a_server_of_mlflow_that_is_not_there_is_one_warning_and_no_wait(tmp_path: Path) -> None:
    mlp.train(*WORDS, "tracker=mlflow", "tracker.tracking_uri=http://127.0.0.1:9", directory=tmp_path / "run")
    log = (tmp_path / "run/train.log").read_text()
    assert log.count("MLflowTracker") == 1
    assert "switched off; the run goes on. ConnectionError: no connection to http://127.0.0.1:9 (" in log
    assert len(rows(tmp_path / "run")) == 2


def printed(directory: Path) -> str:
    return (directory.parent.parent / "printed").read_text()
