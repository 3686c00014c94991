"""MNIST and Fashion-MNIST are read exactly, from several sources, and damage is reported."""

import gzip
import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlp.base.errors import UserError
from mlp.data import MNIST, FashionMNIST, Samples, idx
from mlp.data.idx import IDXDataset

DATA = Path(__file__).parents[1] / "data"
MANIFEST = json.loads((DATA / "manifest.json").read_text())
KINDS = [MNIST, FashionMNIST]
pytestmark = pytest.mark.usefixtures("no_other_data")


def idx_md5(samples: Samples) -> tuple[str, str]:
    """MD5 of the IDX files that a decoded part must have come from."""
    images = struct.pack(">4B3I", 0, 0, 8, 3, len(samples.x), 28, 28) + samples.x.tobytes()
    labels = struct.pack(">4BI", 0, 0, 8, 1, len(samples.y)) + samples.y.astype(np.uint8).tobytes()
    return hashlib.md5(images).hexdigest(), hashlib.md5(labels).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_content_is_the_published_one(kind: type[IDXDataset]) -> None:
    expected = {file: entry["content_md5"] for file, entry in MANIFEST[kind.name].items()}
    train, _ = kind().split(np.random.default_rng(0))
    assert idx_md5(train) == (
        expected["train-images-idx3-ubyte.gz"],
        expected["train-labels-idx1-ubyte.gz"],
    )
    assert idx_md5(kind().test()) == (
        expected["t10k-images-idx3-ubyte.gz"],
        expected["t10k-labels-idx1-ubyte.gz"],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_manifest_describes_the_archives(kind: type[IDXDataset]) -> None:
    folder = DATA / kind.name
    assert sorted(MANIFEST[kind.name]) == sorted(path.name for path in folder.glob("*.gz"))
    for file, entry in MANIFEST[kind.name].items():
        archive = (folder / file).read_bytes()
        assert (len(archive), hashlib.md5(archive).hexdigest()) == (entry["bytes"], entry["md5"])
        content = gzip.decompress(archive)
        assert len(content) == entry["content_bytes"]
        assert hashlib.md5(content).hexdigest() == entry["content_md5"]


def test_mnist_has_its_known_class_counts() -> None:
    train, validation = MNIST().split(np.random.default_rng(0))
    test = MNIST().test()
    counts = np.bincount(train.labels) + np.bincount(validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_fashion_mnist_has_the_same_count_in_every_class() -> None:
    train, validation = FashionMNIST().split(np.random.default_rng(0))
    assert np.bincount(train.labels).tolist() == [5400] * 10
    assert np.bincount(validation.labels).tolist() == [600] * 10
    assert np.bincount(FashionMNIST().test().labels).tolist() == [1000] * 10


def test_first_training_picture_is_a_five() -> None:
    """The corner of the pen stroke, as shown in many tutorials."""
    train, _ = MNIST(validation_fraction=0).split(np.random.default_rng(0))
    picture = train.x[0].reshape(28, 28)
    assert train.y[0] == 5
    assert picture[5, 12:24].tolist() == [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    assert train.inputs(0, 1)[0, 5 * 28 + 21] == 1.0


def test_parts_stay_unsigned_bytes_and_share_their_memory() -> None:
    train, validation = MNIST(validation_fraction=0.25).split(np.random.default_rng(0))
    assert (len(train), len(validation)) == (45_000, 15_000)
    assert train.x is validation.x
    assert train.x.shape == (60_000, 784)
    assert train.x.dtype == np.uint8
    assert train.x.flags.c_contiguous
    assert train.y.dtype == train.rows.dtype == np.int64
    assert not set(train.rows) & set(validation.rows)


def linked(folder: Path, *patterns: str, name: str = "mnist") -> Path:
    folder.mkdir(parents=True)
    for pattern in patterns or ("*.gz",):
        for file in (DATA / name).glob(pattern):
            (folder / file.name).symlink_to(file)
    return folder


def test_test_files_that_are_missing_are_said_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_nothing(tmp_path, monkeypatch)
    linked(tmp_path / "data" / "mnist", "train-*")
    monkeypatch.setattr(idx, "REPOSITORY_DATA", tmp_path / "data")
    with pytest.raises(UserError, match="t10k-images"):
        MNIST().split(np.random.default_rng(0))


def test_a_split_knows_the_checksums_of_both_parts() -> None:
    dataset, other = MNIST(), MNIST()
    dataset.split(np.random.default_rng(0))
    other.test()
    assert dataset.sha256.keys() == {"train", "test"}
    assert dataset.sha256["test"] == other.sha256["test"] != dataset.sha256["train"]


def test_a_folder_that_is_given_and_does_not_exist_is_refused(tmp_path: Path) -> None:
    MNIST().test()  # in the cache, which does not matter
    with pytest.raises(UserError, match=r"dataset\.data_dir=\S*/nowhere does not exist"):
        MNIST(data_dir=str(tmp_path / "nowhere"))


def test_a_folder_that_is_given_must_hold_the_files_of_both_parts(tmp_path: Path) -> None:
    folder = linked(tmp_path / "mine", "train-*")
    with pytest.raises(UserError, match=r"dataset\.data_dir=\S*/mine does not hold t10k-images-idx3-ubyte\[\.gz\]"):
        MNIST(data_dir=str(folder))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_that_is_given_is_read_whatever_the_cache_holds(tmp_path: Path, part: str) -> None:
    for fill in (MNIST().load, FashionMNIST().load):
        fill(part)  # type: ignore[operator]
    folder = linked(tmp_path / "mine", name="fashion_mnist")
    with pytest.raises(UserError, match=r"mine/train-images-idx3-ubyte\.gz is damaged or another dataset"):
        MNIST(data_dir=str(folder)).load(part)  # type: ignore[arg-type]
    right = linked(tmp_path / "right")
    np.testing.assert_array_equal(MNIST(data_dir=str(right)).load("test")[1], MNIST().load("test")[1])


def test_a_damaged_test_file_of_a_given_folder_is_noticed_before_the_training(folder: Path) -> None:
    damaged_by(flip, plain(folder))
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte is damaged"):
        MNIST(data_dir=str(folder)).split(np.random.default_rng(0))


def test_a_cache_file_of_the_right_name_with_other_content_is_not_believed(tmp_path: Path) -> None:
    expected = MNIST().load("test")[0].copy()
    (path,) = (tmp_path / "cache").glob("mnist-t10k-images*")
    content = path.read_bytes()
    path.write_bytes(content[:5000] + b"!" + content[5001:])
    np.testing.assert_array_equal(MNIST().load("test")[0], expected)
    np.save(path, np.zeros((10_000, 28, 28), np.uint8))
    np.testing.assert_array_equal(MNIST().load("test")[0], expected)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data_dir with the files of MNIST, to be damaged."""
    folder = tmp_path / "mine" / "mnist"
    folder.mkdir(parents=True)
    for file in (DATA / "mnist").glob("*.gz"):
        shutil.copy(file, folder)
    return folder


def damaged_by(change: Callable[[bytearray], object], path: Path) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 4


@pytest.mark.parametrize("file", ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("damage", [cut, flip, bytearray.clear])
def test_damaged_archive_is_named_with_the_way_to_mend_it(
    folder: Path, file: str, damage: Callable[[bytearray], object]
) -> None:
    damaged_by(damage, folder / file)
    with pytest.raises(UserError) as error:
        MNIST(data_dir=str(folder.parent)).test()
    assert str(error.value).startswith(str(folder / file))
    assert "git checkout -- data" in str(error.value)


def plain(folder: Path) -> Path:
    """Unpack the images, whose checksum then no longer guards them."""
    archive = folder / "t10k-images-idx3-ubyte.gz"
    path = archive.with_suffix("")
    path.write_bytes(gzip.decompress(archive.read_bytes()))
    archive.unlink()
    return path


def set_magic(content: bytearray) -> None:
    content[3] = 1


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flip, "is damaged or another dataset: the MD5 of x_test is"),
        (set_magic, "begins with '00000801 00002710 0000001c 0000001c', not '00000803 00002710"),
        (lambda content: content.__delitem__(-1), "holds less than 7840016 bytes"),
        (lambda content: content.append(0), "holds more than 7840016 bytes"),
    ],
)
def test_damage_in_a_plain_file_is_described(folder: Path, damage: Callable[[bytearray], object], what: str) -> None:
    path = plain(folder)
    damaged_by(damage, path)
    with pytest.raises(UserError) as error:
        MNIST(data_dir=str(folder.parent)).test()
    assert str(path) in str(error.value)
    assert what in str(error.value)


def test_fashion_in_the_place_of_digits_is_noticed(folder: Path) -> None:
    shutil.copy(DATA / "fashion_mnist" / "t10k-images-idx3-ubyte.gz", folder)
    with pytest.raises(UserError, match="another dataset"):
        MNIST(data_dir=str(folder.parent)).test()


def test_plain_files_are_read_and_data_dir_may_be_the_folder_itself(folder: Path) -> None:
    plain(folder)
    assert len(MNIST(data_dir=str(folder)).test()) == 10_000


def use_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the cache nor the repository's data."""
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    monkeypatch.setattr(idx, "REPOSITORY_DATA", tmp_path / "nowhere")
