"""The user's own arrays are taken in the usual shapes, and every mistake in them is named."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mlp.base.errors import UserError
from mlp.data import NPZ

Arrays = dict[str, np.ndarray]


def good(rng: np.random.Generator) -> Arrays:
    return {
        "x_train": rng.normal(size=(60, 5)),
        "y_train": np.arange(60) % 3,
        "x_test": rng.normal(size=(12, 5)),
        "y_test": np.arange(12) % 3,
    }


@pytest.fixture
def arrays() -> Arrays:
    return good(np.random.default_rng(0))


def save(tmp_path: Path, arrays: Arrays) -> str:
    np.savez(tmp_path / "mine.npz", **arrays)
    return str(tmp_path / "mine.npz")


def test_features_are_used_as_they_are(tmp_path: Path, arrays: Arrays) -> None:
    dataset = NPZ(path=save(tmp_path, arrays))
    assert (dataset.num_features, dataset.num_classes, dataset.image_shape) == (5, 3, ())
    assert dataset.class_names == ("0", "1", "2")
    train, validation = dataset.split(np.random.default_rng(0))
    assert (len(train), len(validation)) == (54, 6)
    np.testing.assert_array_equal(train.inputs(dtype=np.float64), arrays["x_train"][train.rows])
    np.testing.assert_array_equal(dataset.test().inputs(dtype=np.float64), arrays["x_test"])
    np.testing.assert_array_equal(dataset.test().labels, arrays["y_test"])


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (4, 4, 3), (2, 3, 4, 5)])
def test_pictures_of_any_shape_are_flattened_and_bytes_are_divided_by_255(
    tmp_path: Path, arrays: Arrays, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    arrays["x_train"] = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
    arrays["x_test"] = rng.integers(0, 256, (12, *shape), dtype=np.uint8)
    dataset = NPZ(path=save(tmp_path, arrays))
    test = dataset.test()
    assert dataset.image_shape == shape
    assert dataset.num_features == np.prod(shape)
    assert test.x.dtype == np.uint8
    expected = arrays["x_test"].reshape(12, -1) / 255
    np.testing.assert_allclose(test.inputs(), expected, rtol=1e-6)


def one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[y]


@pytest.mark.parametrize(
    "form",
    [
        lambda y: y[:, None],
        one_hot,
        lambda y: y.astype(np.uint8),
        lambda y: y.astype(float),
        lambda y: y.astype(np.float16),
        lambda y: one_hot(y) > 0,
    ],
)
def test_labels_come_in_several_forms(tmp_path: Path, arrays: Arrays, form) -> None:  # type: ignore[no-untyped-def]
    expected = arrays["y_test"]
    arrays |= {"y_train": form(arrays["y_train"]), "y_test": form(arrays["y_test"])}
    dataset = NPZ(path=save(tmp_path, arrays))
    assert dataset.num_classes == 3
    assert dataset.test().y.dtype == np.int64
    np.testing.assert_array_equal(dataset.test().labels, expected)


def test_one_hot_width_counts_the_classes_even_without_samples(tmp_path: Path, arrays: Arrays) -> None:
    arrays["y_train"] = np.eye(7)[arrays["y_train"]]
    assert NPZ(path=save(tmp_path, arrays)).num_classes == 7


def test_two_classes_of_true_and_false_are_enough(tmp_path: Path, arrays: Arrays) -> None:
    arrays |= {"y_train": arrays["y_train"] > 0, "y_test": arrays["y_test"] > 0}
    assert NPZ(path=save(tmp_path, arrays)).test().labels.sum() == 8


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float16, np.bool_, ">f4"])
def test_other_numbers_become_floats(tmp_path: Path, arrays: Arrays, dtype: object) -> None:
    arrays |= {key: arrays[key].astype(dtype) for key in ("x_train", "x_test")}  # type: ignore[call-overload]
    test = NPZ(path=save(tmp_path, arrays)).test()
    assert test.x.dtype == np.float32
    np.testing.assert_array_equal(test.inputs(), arrays["x_test"].astype(np.float32))


def test_arrays_in_fortran_order_are_laid_out_by_rows(tmp_path: Path, arrays: Arrays) -> None:
    arrays["x_train"] = np.asfortranarray(arrays["x_train"])
    x = NPZ(path=save(tmp_path, arrays)).load("train")[0]
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, arrays["x_train"])


def nan_in_row_7(arrays: Arrays) -> None:
    arrays["x_train"][7, 2] = np.nan


def infinity_in_test(arrays: Arrays) -> None:
    arrays["x_test"][3, 0] = np.inf


MISTAKES = {
    "missing test array": (lambda a: a.pop("y_test"), "has no array y_test. It has: x_train, y_train, x_test"),
    "missing arrays": (lambda a: [a.pop(k) for k in ("x_train", "y_train")], "no array x_train, y_train"),
    "lengths differ": (lambda a: a.update(y_train=a["y_train"][:-1]), "x_train (60, 5) and y_train (59,)"),
    "test lengths": (lambda a: a.update(x_test=a["x_test"][1:]), "x_test (11, 5) and y_test (12,)"),
    "NaN": (nan_in_row_7, "x_train has NaN or infinity in row 7"),
    "infinity": (infinity_in_test, "x_test has NaN or infinity in row 3"),
    "negative label": (lambda a: a.update(y_train=a["y_train"] - 1), "Got -1 in row 0"),
    "fractional label": (lambda a: a.update(y_train=a["y_train"] + 0.5), "y_train must hold integers from 0"),
    "NaN label": (lambda a: a.update(y_train=np.full(60, np.nan)), "Got nan in row 0"),
    "huge label": (lambda a: a.update(y_train=a["y_train"] + 10**9), "from 0 to 65535. Got 1000000000"),
    "names for training only": (lambda a: a.update(y_train=a["y_train"].astype(str)), "y_train is <U21 and y_test"),
    "bytes": (lambda a: a.update(y_train=np.full(60, b"cat")), "must hold integers or texts. Got |S3"),
    "one name": (lambda a: a.update(y_train=np.full(60, "cat"), y_test=np.full(12, "cat")), "only the class cat"),
    "empty name": (lambda a: a.update(y_train=np.resize(["", "a"], 60), y_test=np.full(12, "a")), "'' is no name"),
    "unseen name": (
        lambda a: a.update(y_train=np.resize(["b", "a"], 60), y_test=np.full(12, "c")),
        "y_test has classes that y_train lacks: c",
    ),
    "names do not fit": (
        lambda a: a.update(class_names=np.array(["a", "b"])),
        "class_names must be 3 different names, for the classes 0, 1, 2. Got 2: a, b",
    ),
    "name twice": (lambda a: a.update(class_names=np.array(["a", "b", "a"])), "must be 3 different names"),
    "shifted numbers": (
        lambda a: a.update(class_names=np.array([1, 2, 3])),
        "class_names must be the labels in the desired order or, for numbers, other names",
    ),
    "table of names": (lambda a: a.update(class_names=np.array([["a", "b", "c"]])), "Got <U1 (1, 3)"),
    "one class of two": (lambda a: a.update(y_train=np.ones(60, int), y_test=np.ones(12, int)), "only the class 1"),
    "not one-hot": (lambda a: a.update(y_train=np.ones((60, 3))), "y_train is (60, 3) but not one-hot"),
    "probabilities": (lambda a: a.update(y_train=np.full((60, 2), 0.5)), "not one-hot"),
    "labels of labels": (lambda a: a.update(y_train=np.zeros((60, 2, 2))), "Got (60, 2, 2)"),
    "scalar labels": (lambda a: a.update(y_train=np.array(1)), "y_train () must have the same length"),
    "one class": (lambda a: a.update(y_train=np.zeros(60, int)), "only the class 0"),
    "test features": (lambda a: a.update(x_test=np.zeros((12, 4))), "samples of x_test are (4,), those of x_train ("),
    "transposed test": (
        lambda a: a.update(x_train=np.zeros((60, 8, 8, 3)), x_test=np.zeros((12, 3, 8, 8))),
        "the samples of x_test are (3, 8, 8), those of x_train (8, 8, 3)",
    ),
    "flat test": (
        lambda a: a.update(x_train=np.zeros((60, 4, 4)), x_test=np.zeros((12, 16))),
        "the samples of x_test are (16,), those of x_train (4, 4)",
    ),
    "beyond float32": (
        lambda a: a["x_train"].__setitem__((4, 1), -1e300),
        "x_train has numbers beyond float32, whose largest is 3.4e+38 (scale the features), in row",
    ),
    "indices": (
        lambda a: a.update(y_train=6000 * a["y_train"], y_test=6000 * a["y_test"]),
        "y_train has 3 different labels, the largest 12,000: 12,001 classes, nearly all of them empty. "
        "np.unique(y, return_inverse=True)[1] numbers the labels 0, 1, ...",
    ),
    "a class for each sample": (
        lambda a: a.update(x_train=np.zeros((5000, 5)), y_train=np.arange(5000)),
        "y_train has 5,000 classes; at most 4,096 are possible",
    ),
    "one-hot of other width": (
        lambda a: a.update(y_train=np.eye(7)[a["y_train"]], y_test=np.eye(5)[a["y_test"]]),
        "y_test is one-hot over 5 classes, y_train over 7",
    ),
    "unseen class": (lambda a: a.update(y_test=np.arange(12) % 5), "classes that y_train lacks: 3, 4"),
    "scales differ": (lambda a: a.update(x_test=np.ones((12, 5), np.uint8)), "x_train is float64 and x_test uint8"),
    "no samples": (lambda a: a.update(x_train=np.zeros((0, 5)), y_train=np.zeros(0)), "Got (0, 5)"),
    "no features": (lambda a: a.update(x_train=np.zeros((60, 0))), "Got (60, 0)"),
    "one dimension": (lambda a: a.update(x_train=np.zeros(60)), "must be (samples, features ...)"),
    "complex": (lambda a: a.update(x_train=np.zeros((60, 5), complex)), "must hold numbers. Got complex128"),
    "objects": (lambda a: a.update(x_train=np.zeros((60, 5), object)), "cannot be read: an array of type object"),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named(tmp_path: Path, arrays: Arrays, mistake, message: str) -> None:  # type: ignore[no-untyped-def]
    mistake(arrays)
    path = save(tmp_path, arrays)
    with pytest.raises(UserError) as error:
        NPZ(path=path)
    assert str(error.value).startswith(path)
    assert message in str(error.value)


def test_missing_test_array_is_noticed_before_training(tmp_path: Path, arrays: Arrays) -> None:
    del arrays["x_test"]
    with pytest.raises(UserError, match="no array x_test"):
        NPZ(path=save(tmp_path, arrays))


def test_split_is_the_same_whatever_the_test_arrays_are(tmp_path: Path, arrays: Arrays) -> None:
    first, _ = NPZ(path=save(tmp_path, arrays)).split(np.random.default_rng(0))
    arrays |= {"x_test": 1e3 * arrays["x_test"][:3], "y_test": np.array([2, 2, 0])}
    second, _ = NPZ(path=save(tmp_path, arrays)).split(np.random.default_rng(0))
    for name in ("x", "y", "rows"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(("train", "test"), [((4, 5), (4, 5, 1)), ((1, 4, 5), (4, 5)), ((5,), (5, 1))])
def test_axes_of_length_1_make_no_difference(
    tmp_path: Path, arrays: Arrays, train: tuple[int, ...], test: tuple[int, ...]
) -> None:
    x = np.random.default_rng(1).normal(size=(72, int(np.prod(train))))
    arrays |= {"x_train": x[:60].reshape(60, *train), "x_test": x[60:].reshape(12, *test)}
    np.testing.assert_array_equal(NPZ(path=save(tmp_path, arrays)).load("test")[0], x[60:])


def test_classes_without_samples_are_noted(tmp_path: Path, arrays: Arrays) -> None:
    assert NPZ(path=save(tmp_path, arrays)).notes() == []
    arrays |= {"y_train": arrays["y_train"] + 1, "y_test": arrays["y_test"] + 1}
    dataset = NPZ(path=save(tmp_path, arrays))
    assert dataset.num_classes == 4
    (note,) = dataset.notes()
    assert note.startswith("y_train has no sample of class 0, yet the network has an output for each of 4 classes")
    arrays["y_train"] = np.eye(25)[arrays["y_train"]]
    (note,) = NPZ(path=save(tmp_path, arrays)).notes()
    assert "of classes 0, 4, 5, 6, 7, 8, 9, 10, 11, 12 ..., yet" in note


@pytest.mark.parametrize(("dtype", "said"), [(np.uint8, False), (np.int64, True), (np.float32, True)])
def test_pixels_that_are_not_scaled_are_noted(tmp_path: Path, arrays: Arrays, dtype: type, said: bool) -> None:
    pixels = {key: np.resize(np.arange(256), arrays[key].shape).astype(dtype) for key in ("x_train", "x_test")}
    notes = NPZ(path=save(tmp_path, arrays | pixels)).notes()
    assert [note for note in notes if "pixels" in note] == [
        "x_train goes from 0 to 255 and is taken as it is; pixels that are stored as uint8 are divided by 255"
    ] * said


def test_labels_with_gaps_are_refused_beyond_ten_classes_for_each_label(tmp_path: Path, arrays: Arrays) -> None:
    for largest, allowed in ((29, True), (30, False)):  # 30 or 31 classes, 3 labels
        gaps = {key: np.where(arrays[key] == 2, largest, arrays[key]) for key in ("y_train", "y_test")}
        path = save(tmp_path, arrays | gaps)
        if allowed:
            assert NPZ(path=path).num_classes == 30
        else:
            with pytest.raises(UserError, match="31 classes, nearly all of them empty"):
                NPZ(path=path)


def test_a_test_part_of_one_class_is_no_mistake(tmp_path: Path, arrays: Arrays) -> None:
    arrays |= {"y_train": np.arange(60), "x_test": arrays["x_test"][:1], "y_test": np.array([59])}
    assert NPZ(path=save(tmp_path, arrays)).test().labels.tolist() == [59]


def test_the_checksum_is_that_of_the_content_not_of_the_file(tmp_path: Path, arrays: Arrays) -> None:
    def checksums() -> dict[str, str]:
        dataset = NPZ(path=str(tmp_path / "mine.npz"))
        dataset.split(np.random.default_rng(0))
        return dataset.sha256

    save(tmp_path, arrays)
    before = checksums()
    assert sorted(before) == ["test", "train"]
    np.savez_compressed(tmp_path / "mine.npz", **{**arrays, "y_train": arrays["y_train"].astype(np.uint8), "more": 1})
    assert checksums() == before
    for key in arrays:
        changed = {name: array.copy() for name, array in arrays.items()}
        changed[key][-1] = changed[key][0]
        save(tmp_path, changed)
        part = key.partition("_")[2]
        assert {name for name, value in checksums().items() if value != before[name]} == {part}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an .npz file, or is cut short"),
        (b"x_train,y_train\n1,2\n", "is not an .npz file"),
        (b"\x80\x04cos\nsystem\n(S'touch executed'\ntR.", "is not an .npz file"),
        (b"\x93NUMPY\x01\x00", "is not an .npz file"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        NPZ(path=str(path))
    assert f"{path} {message}" in str(error.value)


def test_texts_without_characters_are_not_counted_without_end(tmp_path: Path, arrays: Arrays) -> None:
    path = save(tmp_path, arrays)
    with zipfile.ZipFile(path, "a") as archive, archive.open("class_names.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<U0", "fortran_order": False, "shape": (2**40,)})
    with pytest.raises(UserError, match="needs 1,099,511,627,776 bytes, 0 are there"):
        NPZ(path=path)


def test_truncated_and_damaged_files_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    path = Path(save(tmp_path, arrays))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short"):
        NPZ(path=str(path))
    damaged = bytearray(whole)
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"cannot be read: Bad CRC-32 for file 'x_train\.npy'"):
        NPZ(path=str(path))


def test_missing_file_and_missing_path_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.npz does not exist"):
        NPZ(path=str(tmp_path / "none.npz"))
    with pytest.raises(UserError, match="does not exist, or is not a file"):
        NPZ(path=str(tmp_path))
    with pytest.raises(UserError, match=r"dataset\.path=FILE\.npz"):
        NPZ()


def test_a_share_of_each_class_is_the_test_part_of_one_array(tmp_path: Path, arrays: Arrays) -> None:
    path = save(tmp_path, {"x": arrays["x_train"], "y": np.array(["b", "c", "a"])[arrays["y_train"]]})
    dataset = NPZ(path=path, test_fraction=0.2)
    assert dataset.class_names == ("a", "b", "c")
    (x, y), (x_test, y_test) = dataset.load("train"), dataset.load("test")
    assert np.bincount(y_test).tolist() == [4, 4, 4]
    rows = {row.tobytes(): "bca"[i % 3] for i, row in enumerate(arrays["x_train"])}
    found = [*zip(x, y, strict=True), *zip(x_test, y_test, strict=True)]
    assert {row.tobytes(): dataset.class_names[label] for row, label in found} == rows
    again = NPZ(path=path, test_fraction=0.2, class_names=["c", "b", "a"])
    np.testing.assert_array_equal(again.load("test")[0], x_test)
    np.testing.assert_array_equal(again.load("test")[1], 2 - y_test)


def test_there_is_one_test_part(tmp_path: Path, arrays: Arrays) -> None:
    with pytest.raises(UserError, match=r"has a test part, x_test and y_test: leave out dataset\.test_fraction=0\.2"):
        NPZ(path=save(tmp_path, arrays), test_fraction=0.2)
    one = {"x": arrays["x_train"], "y": arrays["y_train"]}
    with pytest.raises(UserError, match=r"give x_test and y_test, or hold out .* dataset\.test_fraction=0\.2"):
        NPZ(path=save(tmp_path, one))
    with pytest.raises(UserError, match=r"has no array x\. It has: y"):
        NPZ(path=save(tmp_path, {"y": one["y"]}), test_fraction=0.2)
    with pytest.raises(ValueError, match=r"test_fraction must be in \(0, 1\)\. Got 1"):
        NPZ(path=save(tmp_path, one), test_fraction=1)


def test_class_names_come_from_the_file_or_from_the_key(tmp_path: Path, arrays: Arrays) -> None:
    names = ["red", "green", "blue"]
    plain, named = save(tmp_path, arrays), {**arrays, "class_names": np.array(names)}
    assert NPZ(path=plain, class_names=names).class_names == ("red", "green", "blue")
    path = save(tmp_path, named)
    assert NPZ(path=path).class_names == NPZ(path=path, class_names=names).class_names == ("red", "green", "blue")
    with pytest.raises(UserError, match="has class_names of its own, red, green, blue: leave out"):
        NPZ(path=path, class_names=names[::-1])
