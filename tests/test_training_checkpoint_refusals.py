"""A file that is no checkpoint of this run is refused under the name, and never executed."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_file_hostile import Calls
from test_training_checkpoint import TRAIN, VALIDATION, new_run, trained

from mlp.base.errors import UserError
from mlp.nn import optimizers as optimizer_module
from mlp.training import Run, Trainer
from mlp.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint


def refused(run: Run, *parts: str) -> None:
    theta = run.network.theta.copy()
    with pytest.raises(UserError) as error:
        load_checkpoint(run)
    message = str(error.value)
    assert str(run.directory / CHECKPOINT) in message
    assert "\n" not in message
    for part in parts:
        assert part in message
    np.testing.assert_array_equal(run.network.theta, theta)


def test_of_another_network(tmp_path: Path) -> None:
    trained(tmp_path, hidden=8)
    refused(new_run(tmp_path, hidden=5), "belongs to another network", "83", "53")


def test_of_another_precision(tmp_path: Path) -> None:
    trained(tmp_path, dtype="float64")
    refused(new_run(tmp_path), "another network", "float64")


def test_of_another_optimizer(tmp_path: Path) -> None:
    trained(tmp_path, optimizer=optimizer_module.SGD())
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        load_checkpoint(new_run(tmp_path))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "cannot be read as a checkpoint"),
        (b"epoch,loss", "cannot be read as a checkpoint"),
        (b"PK\3\4", "cannot be read as a checkpoint"),
        (b"\x93NUMPY\1\0", "cannot be read as a checkpoint"),
        ("folder", "a directory; expected a file"),
        ("array", "checkpoint"),
        ("zip of text", "checkpoint"),
        ("other arrays", "not a checkpoint of this program"),
        ("other progress", "not a checkpoint of this program"),
    ],
    ids=str,
)
def test_that_is_none(tmp_path: Path, content: bytes | str, part: str) -> None:
    path = tmp_path / CHECKPOINT
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "zip of text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("progress", "not an array")
    elif content == "other arrays":
        np.savez(path, x_train=np.zeros(3))
    else:
        np.savez(path, theta=np.zeros(53, np.float32), progress=np.array("[1, 2]"))
    run = new_run(tmp_path)
    with pytest.raises(UserError) as error:
        load_checkpoint(run)
    assert str(path) in str(error.value)
    assert part in str(error.value)


def test_that_is_cut_off_anywhere(tmp_path: Path) -> None:
    trained(tmp_path)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / CHECKPOINT).write_bytes(whole[:length])
        refused(new_run(tmp_path))


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_with_a_flipped_bit_is_refused_or_the_same(tmp_path: Path, step: int) -> None:
    """The archive holds checksums of its content; what they do not cover must do no harm, nor raise anything else."""
    expected = trained(tmp_path)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    bits = [
        *range(0, 8 * 300, step),
        *map(int, np.random.default_rng(0).integers(8 * 300, 8 * len(whole), 1000 // step)),
    ]
    refusals = 0
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        run = new_run(tmp_path)
        try:
            load_checkpoint(run)
        except UserError:
            refusals += 1
            continue
        except Exception as error:
            raise AssertionError(f"bit {bit % 8} of byte {bit // 8}: {error!r}") from error
        assert run.network.theta.tobytes() == expected.network.theta.tobytes()
        assert run.epoch == expected.epoch
    assert refusals > len(bits) / 2


@pytest.mark.parametrize("name", ["theta", "progress", "optimizer.m", "something else"])
def test_with_a_program_inside_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    save_checkpoint(new_run(tmp_path))
    with np.load(tmp_path / CHECKPOINT) as file:
        arrays = dict(file)
    trap = np.empty((), object)
    trap[()] = Calls(Path.touch, tmp_path / "exploded")
    np.savez(tmp_path / CHECKPOINT, **{**arrays, name: trap})
    refused(new_run(tmp_path), "cannot be read as a checkpoint")
    assert not (tmp_path / "exploded").exists()


def test_that_is_a_bare_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(pickle.dumps(Calls(Path.touch, tmp_path / "exploded")))
    refused(new_run(tmp_path))
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Calls(Path.touch, tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()  # the trap works


def rewritten(directory: Path, changes: dict[str, Any] | None = None, **arrays: np.ndarray | None) -> None:
    """Write the checkpoint again, with other entries of its progress and other arrays; None takes one out."""
    with np.load(directory / CHECKPOINT) as file:
        found = dict(file)
    told = json.loads(found["progress"].item())
    for path, value in (changes or {}).items():
        *parents, name = path.split(".")
        node = told
        for parent in parents:
            node = node[int(parent) if isinstance(node, list) else parent]
        node[name] = value
    found |= {"progress": np.array(json.dumps(told)), **arrays}
    np.savez(directory / CHECKPOINT, **{name: array for name, array in found.items() if array is not None})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("epoch", value) for value in ("1", -5, 1.5, True, None, [], 3, 5, 10**400)],
        *[("step", value) for value in ("1", -1, 19, 21, 2.0)],
        *[("history", value) for value in ([{}], [], {}, None, "x", [1, 2, 3, 4])],
        *[("history.3.epoch", value) for value in (3, "4", None, [4])],
        *[("history.0.train_loss", value) for value in ("0.1", None, [], {})],
        *[("best_epoch", value) for value in (5, -1, "1", 1.0, None)],
        *[("best_value", value) for value in ("0.5", [], {})],
        *[("best_loss", value) for value in ("0.5", [])],
        *[("random", value) for value in ({}, [], None, {"init": 1})],
        *[("random.init", value) for value in ({}, None, "PCG64")],
        *[("random.init.bit_generator", value) for value in ("MT19937", None, "os.system")],
        *[("random.init.state", value) for value in ({}, None, {"state": 1}, {"state": 1, "inc": 2})],
        *[("random.init.state.state", value) for value in (-1, 2**128, 1.5, "1", None)],
        *[("random.init.state.inc", value) for value in (2, -1, 2**128 + 1)],
        *[("random.init.has_uint32", value) for value in (2, -1, None)],
        *[("random.init.uinteger", value) for value in (2**32, -1, 0.5)],
        *[("data_sha256", value) for value in ([], {"train": 5}, "x")],
    ],
    ids=str,
)
def test_with_progress_that_cannot_be(tmp_path: Path, path: str, value: Any) -> None:
    trained(tmp_path)
    rewritten(tmp_path, {path: value})
    refused(new_run(tmp_path), "not a checkpoint of this program")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        *[("best_state", array) for array in (None, np.zeros(52, "f4"), np.zeros((53, 1), "f4"), np.zeros(53))],
        *[("optimizer.M", array) for array in (None, np.zeros(52, "f4"), np.zeros(53), np.zeros(53, "c8"))],
        *[("optimizer.t", np.array(value)) for value in (-1, 1.5, 21, "3", [3], True)],
        *[("unknown", np.zeros(3)), ("optimizer.x", np.zeros(53, "f4")), ("average", np.zeros(53, "f4"))],
        *[("progress", np.array(value)) for value in ("[]", "5", "", "{", "[" * 10_000, 5)],
        ("state", np.zeros(53, "f4").view("i4")),
    ],
    ids=lambda value: str(value)[:30].replace("\n", ""),
)
def test_with_arrays_that_cannot_be(tmp_path: Path, name: str, array: np.ndarray | None) -> None:
    trained(tmp_path)
    rewritten(tmp_path, **{name: array})
    refused(new_run(tmp_path))


def test_with_the_average_of_a_run_that_has_one(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.config = {"training": {"ema_decay": 0.9}}
    Trainer(epochs=4, batch_size=10, ema_decay=0.9).fit(run, TRAIN, VALIDATION)
    resumed = new_run(tmp_path)
    resumed.config = run.config
    load_checkpoint(resumed)
    assert resumed.average is not None
    assert run.average is not None
    assert resumed.average.state.tobytes() == run.average.state.tobytes()
    for change in ({"average": None}, {"average.t": np.array(-1)}, {"average": np.zeros(3, "f4")}):
        rewritten(tmp_path, **change)
        resumed = new_run(tmp_path)
        resumed.config = run.config
        refused(resumed)
