"""CIFAR-10 is read from where Keras puts it, and its pickles execute nothing."""

import os
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_model_file_hostile import Calls

from mlp.base.errors import UserError
from mlp.data import CIFAR10

ROWS = 20
LAYOUTS = [
    "cifar-10-batches-py-target/cifar-10-batches-py",  # Keras 3.6 and later
    "cifar-10-batches-py/cifar-10-batches-py",
    "cifar-10-batches-py",  # Keras 2
]


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    monkeypatch.setitem(sys.modules, "keras", None)


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """What cPickle of Python 2 wrote for such a dictionary: the published files, byte for byte in structure."""

    def string(content: bytes) -> bytes:
        short = len(content) < 256
        return (b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content))) + content

    def integer(value: int) -> bytes:
        return b"M" + struct.pack("<H", value)

    rows, width = data.shape
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    kind = b"cnumpy\ndtype\n" + string(b"u1") + b"K\0K\1\x87R(K\3" + string(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + string(b"b") + b"\x87R(K\1"
        + integer(rows) + integer(width) + b"\x86" + kind + b"K\0tb\x89" + string(data.tobytes()) + b"tb"
    )  # fmt: skip
    return b"\x80\2}(" + string(b"labels") + numbers + string(b"data") + array + b"u."


def python3_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    return pickle.dumps({b"data": data, b"labels": labels}, protocol=2)


WRITERS = [python2_pickle, python3_pickle]


def batch(number: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (ROWS, 3072), dtype=np.uint8), [i % 10 for i in range(ROWS)]


def write_batches(folder: Path, writer=python2_pickle) -> Path:  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True)
    for number, name in enumerate(["test_batch", *(f"data_batch_{i}" for i in range(1, 6))]):
        (folder / name).write_bytes(writer(*batch(number)))
    return folder


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
@pytest.mark.parametrize("writer", WRITERS)
def test_the_files_of_these_tests_are_what_an_unrestricted_reader_reads(writer) -> None:  # type: ignore[no-untyped-def]
    data, labels = batch(0)
    read = pickle.loads(writer(data, labels), encoding="bytes")
    np.testing.assert_array_equal(read[b"data"], data)
    assert read[b"labels"] == labels


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_are_found_where_keras_unpacks_them(tmp_path: Path, layout: str, writer) -> None:  # type: ignore[no-untyped-def]
    write_batches(tmp_path / ".keras" / "datasets" / layout, writer)
    train, validation = CIFAR10(validation_fraction=0.1).split(np.random.default_rng(0))
    test = CIFAR10().test()
    assert (len(train), len(validation), len(test)) == (90, 10, 20)
    assert train.x.shape == (100, 3072)
    assert train.x.flags.c_contiguous
    assert train.x.dtype == np.uint8
    assert train.y.tolist() == [i % 10 for i in range(ROWS)] * 5
    for part, row, (data, labels) in ((train, 47, batch(3)), (test, 7, batch(0))):
        picture = part.x[row].reshape(32, 32, 3)
        planes = data[7].reshape(3, 32, 32)
        for colour in range(3):
            np.testing.assert_array_equal(picture[:, :, colour], planes[colour])
        assert part.y[row] == labels[7]


def test_keras_home_and_data_dir_are_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batches(tmp_path / "elsewhere" / "datasets" / LAYOUTS[0])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    assert len(CIFAR10().test()) == ROWS
    monkeypatch.delenv("KERAS_HOME")
    mine = write_batches(tmp_path / "mine" / "cifar-10-batches-py")
    assert len(CIFAR10(data_dir=str(mine)).test()) == len(CIFAR10(data_dir=str(mine.parent)).test()) == ROWS


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    folder = write_batches(tmp_path / "mine")
    before = np.array(CIFAR10(data_dir=str(folder)).test().x)
    (folder / "test_batch").write_bytes(python2_pickle(*batch(9)))
    os.utime(folder / "test_batch", ns=(0, 0))
    assert not np.array_equal(CIFAR10(data_dir=str(folder)).test().x, before)


@pytest.mark.parametrize("place", ["whole file", "labels", "extra key"])
@pytest.mark.parametrize("how", ["os.system", "eval", "numpy.save"])
def test_malicious_pickle_executes_nothing(tmp_path: Path, place: str, how: str) -> None:
    marker = tmp_path / "executed.npy"
    attack = {
        "os.system": Calls(os.system, f"touch '{marker}'"),
        "eval": Calls(eval, f"open({str(marker)!r}, 'w').close()"),
        "numpy.save": Calls(np.save, str(marker), 0),
    }[how]
    data, labels = batch(0)
    content = {
        "whole file": attack,
        "labels": {b"data": data, b"labels": attack},
        "extra key": {b"data": data, b"labels": labels, b"x": attack},
    }[place]
    folder = write_batches(tmp_path / "mine")
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match="test_batch is not a batch of CIFAR-10: refused to load: the file wants"):
        CIFAR10(data_dir=str(folder)).test()
    assert not marker.exists()
    pickle.loads(pickle.dumps(attack, protocol=2))
    assert marker.exists(), "the attack must work against an unrestricted reader"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        python2_pickle(*batch(0))[:-1000],
        python2_pickle(batch(0)[0][:5], batch(0)[1]),
        python2_pickle(batch(0)[0], [10] * ROWS),
        pickle.dumps([1, 2], protocol=2),
        pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [0]}, protocol=2),
        pickle.dumps({b"data": batch(0)[0], b"fine_labels": batch(0)[1]}, protocol=2),
        pickle.dumps({b"data": batch(0)[0], b"labels": [1.7] * ROWS}, protocol=2),
        pickle.dumps({b"data": batch(0)[0], b"labels": [[1, 2]] * ROWS}, protocol=2),
        pickle.dumps({b"data": batch(0)[0].T, b"labels": batch(0)[1]}, protocol=2),
    ],
)
def test_damaged_batch_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_batches(tmp_path / "mine")
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(UserError, match=r"data_batch_3 is not a batch of CIFAR-10.*Unpack the archive again"):
        CIFAR10(data_dir=str(folder)).split(np.random.default_rng(0))


def test_missing_batch_is_named(tmp_path: Path) -> None:
    folder = write_batches(tmp_path / ".keras" / "datasets" / LAYOUTS[0])
    (folder / "data_batch_4").unlink()
    with pytest.raises(UserError, match=r"incomplete.*data_batch_4"):
        CIFAR10().split(np.random.default_rng(0))


@pytest.mark.parametrize("name", ["data_batch_4", "test_batch"])
def test_a_folder_that_is_given_must_hold_all_batches_itself(tmp_path: Path, name: str) -> None:
    write_batches(tmp_path / ".keras" / "datasets" / LAYOUTS[0])
    folder = write_batches(tmp_path / "mine")
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"dataset\.data_dir=\S*/mine does not hold {name}"):
        CIFAR10(data_dir=str(folder))
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        CIFAR10(data_dir=str(tmp_path / "nowhere"))


def test_a_test_batch_that_is_missing_is_said_before_the_training(tmp_path: Path) -> None:
    folder = write_batches(tmp_path / ".keras" / "datasets" / LAYOUTS[0])
    (folder / "test_batch").unlink()
    with pytest.raises(UserError, match="cifar10 is not in"):
        CIFAR10().split(np.random.default_rng(0))


def test_missing_everywhere_tells_the_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        CIFAR10().split(np.random.default_rng(0))
    for hint in (str(tmp_path / ".keras"), "pip install -e '.[keras]'", "dataset.data_dir=FOLDER"):
        assert hint in str(error.value)


@pytest.mark.parametrize("channels_first", [False, True])
def test_keras_is_asked_last(channels_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (ROWS, 32, 32, 3), dtype=np.uint8)
    x = pictures.transpose(0, 3, 1, 2) if channels_first else pictures
    y = np.arange(ROWS, dtype=np.uint8)[:, None] % 10
    module = SimpleNamespace(cifar10=SimpleNamespace(load_data=lambda: ((x, y), (x[:5], y[:5]))))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(datasets=module))
    test = CIFAR10().test()
    np.testing.assert_array_equal(test.x.reshape(-1, 32, 32, 3), pictures[:5])
    assert test.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(CIFAR10().split(np.random.default_rng(0))[0]) == 10  # ten classes of two, one of each held out
