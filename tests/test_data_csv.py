"""Tables in CSV files are taken as people write them; what is ambiguous or wrong is named with its place."""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack.limits import in_child

from mlp.base.errors import UserError
from mlp.data import CSV

PLANTS = "length,width,species\n" + "".join(
    f"{1 + i % 7}.5,{i},{name}\n" for i, name in enumerate(["setosa", "iris b", "rosa"] * 10)
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))


def written(tmp_path: Path, content: str | bytes, name: str = "mine.csv") -> str:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(tmp_path / name)


def opened(tmp_path: Path, content: str | bytes, **options: Any) -> CSV:
    return CSV(path=written(tmp_path, content), **{"test_fraction": 0.2, **options})


def whole(dataset: CSV) -> list[tuple[list[float], str]]:
    """All samples with the names of their classes, sorted."""
    parts = [dataset.load("train"), dataset.load("test")]
    return sorted((x.tolist(), dataset.class_names[y]) for xs, ys in parts for x, y in zip(xs, ys, strict=True))


SAMPLES = sorted(([1.5 + i % 7, float(i)], name) for i, name in enumerate(["setosa", "iris b", "rosa"] * 10))

FORMS = {
    "as it is": PLANTS,
    "byte order mark": b"\xef\xbb\xbf" + PLANTS.encode(),
    "CRLF": PLANTS.replace("\n", "\r\n"),
    "CR": PLANTS.replace("\n", "\r"),
    "empty lines": "\n" + PLANTS.replace("\n", "\n\n") + "\n\n",
    "no end of line": PLANTS.rstrip(),
    "semicolons": PLANTS.replace(",", ";"),
    "tabs": PLANTS.replace(",", "\t"),
    "spaces": PLANTS.replace(",", " , "),
    "quotes": "".join(",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in PLANTS.splitlines()),
    "gzip": gzip.compress(PLANTS.encode()),
    "no header": PLANTS.partition("\n")[2],
    "labels first": "".join(",".join(line.split(",")[::-1]) + "\n" for line in PLANTS.splitlines()),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
def test_the_same_table_in_every_spelling(tmp_path: Path, content: str | bytes) -> None:
    dataset = opened(tmp_path, content)
    assert dataset.class_names == ("iris b", "rosa", "setosa")
    found = whole(dataset)
    if content is FORMS["labels first"]:
        found = sorted((x[::-1], name) for x, name in found)
    assert found == SAMPLES
    assert (len(dataset.load("train")[1]), dataset.divisor, dataset.image_shape) == (24, 1.0, ())


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "1"], ("1", "9", "10")),
        (["1.0", "2", "10.0"], ("1", "2", "10")),
        (["100000000000000001", "7", "100000000000000000"], ("7", "100000000000000000", "100000000000000001")),
        (["0", "6000", "-3"], ("-3", "0", "6000")),
        (["true", "false", "maybe"], ("false", "maybe", "true")),
        (["é, ü", "b", "C"], ("C", "b", "é, ü")),
        (["None", "NA", "1"], ("1", "NA", "None")),
    ],
)
def test_sorted_labels_are_the_classes(tmp_path: Path, labels: list[str], names: tuple[str, ...]) -> None:
    rows = "".join(f'{i}.5,"{labels[i % 3]}"\n' for i in range(30))
    dataset = opened(tmp_path, "a,label\n" + rows)
    assert dataset.class_names == names
    spelled = {label: label.removesuffix(".0") for label in labels}
    assert whole(dataset) == sorted(([i + 0.5], spelled[labels[i % 3]]) for i in range(30))


def pixels(rows: int = 40, columns: int = 64, name: str = "pixel", largest: int = 255) -> str:
    values = np.random.default_rng(0).integers(0, largest + 1, (rows, columns))
    values[0, 0], values[0, 1] = 0, largest
    header = ",".join(["label", *(f"{name}{i}" for i in range(columns))])
    return "\n".join([header, *(",".join(map(str, [i % 4, *row])) for i, row in enumerate(values.tolist()))])


def test_pixels_of_kaggle_are_pictures_of_bytes(tmp_path: Path) -> None:
    dataset = opened(tmp_path, pixels())
    x, _ = dataset.load("train")
    assert (x.dtype, dataset.image_shape, dataset.divisor) == (np.uint8, (8, 8), 255.0)
    assert dataset.notes() == [
        "the labels are in column 'label' of mine.csv",
        "the other columns are pictures, 8 x 8 pixels from 0 to 255, divided by 255 (dataset.image_shape, "
        "dataset.divide_by)",
    ]


@pytest.mark.parametrize(
    ("content", "options", "shape", "divisor"),
    [
        (pixels(name="column"), {}, (), 1),
        (pixels(name="column"), {"image_shape": [4, 16]}, (4, 16), 255),
        (pixels(name="column"), {"divide_by": 255}, (), 255),
        (pixels(largest=16), {}, (8, 8), 1),
        (pixels(largest=16), {"divide_by": 16}, (8, 8), 16),
        (pixels(columns=63), {}, (), 1),
        (pixels().replace("pixel9,", "pixel90,"), {}, (), 1),  # not in the order of a picture
        (pixels(columns=48), {"image_shape": [4, 4, 3], "divide_by": 100.5}, (4, 4, 3), 100.5),
    ],
)
def test_scale_and_shape_are_taken_only_where_they_are_clear(
    tmp_path: Path, content: str, options: dict[str, Any], shape: tuple[int, ...], divisor: float
) -> None:
    dataset = opened(tmp_path, content, **options)
    assert (dataset.image_shape, dataset.divisor) == (shape, divisor)
    x = dataset.load("test")[0]
    np.testing.assert_allclose(dataset.test().inputs(dtype=np.float64), x / divisor)


def test_what_goes_from_0_to_255_and_is_not_scaled_is_noted(tmp_path: Path) -> None:
    assert "dataset.divide_by=255 scales them" in opened(tmp_path, pixels(name="column")).notes()[-1]


def test_a_column_that_counts_the_rows_is_noted(tmp_path: Path) -> None:
    dataset = opened(tmp_path, PLANTS)
    assert dataset.notes() == ["the labels are in column 'species' of mine.csv"]  # the training part has gaps
    train = CSV(path=str(tmp_path / "mine.csv"), test_path=str(tmp_path / "mine.csv"))
    assert train.notes()[1] == "column 'width' counts the rows; dataset.ignore_columns=[1] leaves it out"
    left = CSV(path=str(tmp_path / "mine.csv"), test_path=str(tmp_path / "mine.csv"), ignore_columns=["width"])
    assert left.num_features == 1


def test_columns_are_ignored_whatever_they_hold(tmp_path: Path) -> None:
    content = ",name,a,y\n" + "".join(f"{i},n{i},{i}.5,{'ab'[i % 2]}\n" for i in range(20))
    dataset = opened(tmp_path, content, ignore_columns=[0, "name"])
    assert whole(dataset) == sorted(([i + 0.5], "ab"[i % 2]) for i in range(20))


def test_the_test_part_is_the_same_share_of_each_class_and_of_a_seed_of_its_own(tmp_path: Path) -> None:
    one, two = opened(tmp_path, PLANTS), opened(tmp_path, PLANTS, class_names=["setosa", "rosa", "iris b"])
    assert np.bincount(one.load("test")[1]).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(one.load("test")[0], two.load("test")[0])
    assert one.load("train")[0].shape == (24, 2)
    assert not {tuple(x) for x in one.load("train")[0]} & {tuple(x) for x in one.load("test")[0]}


def test_a_second_file_is_the_test_part(tmp_path: Path) -> None:
    test = written(tmp_path, "length;width;species\n9;8;rosa\n7;6;rosa\n", "test.csv")
    dataset = CSV(path=written(tmp_path, PLANTS), test_path=test)
    x, y = dataset.load("test")
    assert (x.tolist(), y.tolist(), len(dataset.load("train")[1])) == ([[9, 8], [7, 6]], [1, 1], 30)


def test_class_names_order_the_labels_or_name_the_numbers(tmp_path: Path) -> None:
    ordered = opened(tmp_path, PLANTS, class_names=["setosa", "rosa", "iris b"])
    assert ordered.class_names == ("setosa", "rosa", "iris b")
    assert whole(ordered) == SAMPLES
    numbered = opened(
        tmp_path, "a,y\n" + "".join(f"{i}.5,{i % 2 + 1}\n" for i in range(20)), class_names=["one", "two"]
    )
    assert whole(numbered) == sorted(([i + 0.5], ("one", "two")[i % 2]) for i in range(20))


ROWS = "".join(f"{i}.5,{i}.25,{'ab'[i % 2]}\n" for i in range(30))
MISTAKES: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "nothing": (b"", {}, "mine.csv is empty"),
    "only empty lines": ("\n\n\n", {}, "mine.csv is empty"),
    "only a header": ("a,b,label\n", {}, "has one row only, no samples"),
    "one column": ("a\n1\n2\n", {}, "the delimiter is none of comma, semicolon and tab"),
    "short row": ("a,b,label\n" + ROWS + "1,a\n", {}, "mine.csv, line 32: 2 columns, not 3"),
    "long row": ("a,b,label\n" + ROWS + "1,2,a,4\n", {}, "mine.csv, line 32: 4 columns, not 3"),
    "missing": ("a,b,label\n" + ROWS + "1,,a\n", {}, "line 32: a value is missing in column 'b'"),
    "NaN": ("a,b,label\n" + ROWS + "1,NaN,a\n", {}, "line 32: a value is missing in column 'b'"),
    "question mark": (ROWS + "1,?,a\n", {}, "line 31: a value is missing in column 1 (the first is 0)"),
    "missing label": ("a,b,label\n" + ROWS + "1,2, \n", {}, "line 32: the label is missing (column 'label')"),
    "missing at once": ("a,b,label\n,2,a\n" + ROWS, {}, "line 2: a value is missing in column 'a'"),
    "text": ("a,b,label\n" + ROWS + "1,red,a\n", {}, "line 32: 'red' in column 'b' is no number. Features are"),
    "column of text": (
        "a,colour,label\n" + "".join(f"{i},red,{i % 2}\n" for i in range(9)), {},
        "line 2: 'red' in column 'colour' is no number. Features are numbers: code the texts, or leave the column "
        "out with dataset.ignore_columns=[1]",
    ),
    "decimal comma": ("a;b;label\n" + '"1,5";2;a\n"2,5";3;b\n', {"delimiter": "semicolon"}, "need a decimal point"),
    "decimal commas": ("1,5;2\n2,5;3\n", {}, "the delimiter could be comma or semicolon: dataset.delimiter="),
    "infinity": ("a,b,label\n" + ROWS + "1,inf,a\n", {}, "line 32: 'inf' in column 'b' is no number"),
    "beyond float32": ("a,b,label\n" + ROWS + "1,-1e300,a\n", {}, "line 32: -1e300 in column 'b' is beyond float32"),
    "beyond float64": ("a,b,label\n" + ROWS + "1e999,1,a\n", {}, "line 32: 1e999 in column 'a' is beyond float32"),
    "Windows-1252": (("a,b,label\n" + ROWS + "1,2,caf\xe9\n").encode("cp1252"), {}, "line 32, is not UTF-8 text"),
    "UTF-16": (PLANTS.encode("utf-16"), {}, "line 1, is not UTF-8 text: save it as UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\xff", {}, "is not UTF-8 text"),
    "cut gzip": (gzip.compress(PLANTS.encode())[:60], {}, "cannot be read: Compressed file ended"),
    "a line without end": (gzip.compress(b"a,label\n" + b"1" * 2**24 + b",x\n"), {}, "a row has more than 16"),
    "a label without end": (f"a,label\n1,{'x' * 2000}\n2,y\n".encode(), {}, "one of them 2,000 characters"),
    "damaged gzip": (b"\x1f\x8b" + b"x" * 99, {}, "cannot be read: "),
    "numbers for names": ("0,1,2,3\n" + "1,2,3,0\n4,5,6,1\n" * 5, {}, "the first row, 0, 1, 2, 3, could be a header"),
    "a name among numbers": ("label,0,1\n1,5,6\n0,7,8\n", {}, "dataset.header=true or false says which"),
    "label y without header": ("1,2,y\n3,4,n\n5,6,y\n", {}, "could be a header or a sample"),
    "no idea of labels": ("a,b,c\n1,2,3\n4,5,6\n", {}, "which column has the labels? dataset.label_column=NAME, or"),
    "two names of labels": ("a,label,class\n1,2,3\n4,5,6\n", {}, "It has 'a', 'label', 'class'"),
    "unknown label column": (PLANTS, {"label_column": "specie"}, "did you mean 'species'?"),
    "number beyond": (PLANTS, {"label_column": 3}, "'3' is unknown"),
    "unknown among many": (pixels(), {"label_column": "pixle"}, "Allowed: 'label', 'pixel0', 'pixel1'"),
    "a line for Excel": ("sep=;\n" + PLANTS.replace(",", ";"), {}, "mine.csv, line 2: 3 columns, not 2"),
    "a comment": ("# mine\n" + PLANTS, {}, "mine.csv, line 2: 3 columns, not 1"),
    "white line": (PLANTS + "   \n", {}, "mine.csv, line 32: 1 columns, not 3"),
    "underscore": ("a,b,label\n" + ROWS + "1_000,3,a\n", {}, "'1_000' in column 'a' is no number"),
    "open quote": ("a,b,label\n" + ROWS + '1,2,"a\n1,2,a\n', {}, "is no name of a class"),
    "zero bytes": (b"\x00" * 5000, {}, "the delimiter is none of"),
    "short second row": ("a,b,label\n1,2\n" + ROWS, {}, "mine.csv, line 2: 2 columns, not 3"),
    "number too large for any type": ("1e999,1,a\n" + ROWS, {}, "line 1: 1e999 in column 0 (the first is"),
    "unknown ignored column": (PLANTS, {"ignore_columns": ["x"]}, "dataset.ignore_columns 'x' is unknown"),
    "labels ignored": (PLANTS, {"ignore_columns": ["species"]}, "takes the labels away"),
    "all ignored": (PLANTS, {"ignore_columns": [0, 1]}, "leaves no features"),
    "index of pandas": (
        ",a,label\n" + "".join(f"{i},{i}.5,{i % 2}\n" for i in range(9)), {},
        "column 0 has no name, as the index that pandas writes. dataset.ignore_columns=[0] leaves it out",
    ),
    "targets of a regression": ("a,y\n" + "".join(f"{i},{i}.5\n" for i in range(9)), {}, "numbers with fractions"),
    "one class": ("a,y\n" + "".join(f"{i}.5,x\n" for i in range(9)), {}, "has only the class x; two"),
    "a class for each row": ("a,y\n" + "".join(f"1,{i}\n" for i in range(5000)), {}, "has more than 4,096 classes"),
    "every class once": ("a,y\n1,x\n2,z\n", {}, "the test part has no samples"),
    "label with a line": ('a,y\n1,"x\nx"\n2,z\n3,z\n', {}, "'x\\nx' is no name of a class"),
    "too few names": (PLANTS, {"class_names": ["a", "b"]}, "must be 3 different names, for the classes iris b, rosa"),
    "other names for texts": (PLANTS, {"class_names": ["a", "b", "c"]}, "class_names must be the labels in the"),
    "shape": (PLANTS, {"image_shape": [2, 2]}, "image_shape [2, 2] does not fit the 2 features"),
    "no test part": (PLANTS, {"test_fraction": None}, "give dataset.test_path=FILE.csv, or hold out a share"),
    "two test parts": (PLANTS, {"test_path": "b.csv"}, "has a test part, dataset.test_path=FILE.csv: leave out"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named(tmp_path: Path, content: str | bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        opened(tmp_path, content, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("length,width\n1,2\n", "has not the columns of"),
        ("width,length,species\n1,2,rosa\n", "3, width, length, species; not 3, length, width, species"),
        ("1,2,rosa\n3,4,rosa\n", "Both need the same header, or none, and the labels"),
        ("length,width,species\n1,2,tulip\n", "classes that column 'species' lacks: tulip"),
        ("length,width,species\n1,2,7\n", "lacks: 7"),
        ("length,width,species\n1,x,rosa\n", "test.csv, line 2: 'x' in column 'width' is no number"),
        (None, "test.csv does not exist, or is not a file"),
    ],
)
def test_mistake_in_the_test_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    test = str(tmp_path / "test.csv") if content is None else written(tmp_path, content, "test.csv")
    with pytest.raises(UserError) as error:
        CSV(path=written(tmp_path, PLANTS), test_path=test)
    assert message in str(error.value)


def test_keys_settle_what_is_ambiguous(tmp_path: Path) -> None:
    numbers = "0,1,2,3\n" + "1,2,3,0\n4,5,6,1\n" * 5
    assert len(whole(opened(tmp_path, numbers, header=True, label_column="3"))) == 10
    assert len(whole(opened(tmp_path, numbers, header=False, label_column=-4))) == 11
    both = "size,what;who\n" + "1,a;b\n2,c;d\n" * 5
    with pytest.raises(UserError, match="delimiter could be comma or semicolon"):
        opened(tmp_path, both)
    assert opened(tmp_path, both, delimiter="comma").class_names == ("a;b", "c;d")


def test_a_first_sample_that_rises_is_no_header(tmp_path: Path) -> None:
    assert len(whole(opened(tmp_path, "1.5,2.5,3.5,4.5,a\n" + "1.5,2.5,9.5,4.5,b\n" * 9 + "0,0,0,0,a\n"))) == 11


def test_a_small_file_that_unpacks_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "loadtxt", lambda *_: pytest.fail("it was read"))
    for name, rows, count, message in (
        ("bytes", b"a,label\n1,x" + b" " * 2**16 + b"\n", 5_000, "more than 268,435,456 bytes when unpacked"),
        ("values", b"0" + b",0" * 9_999 + b"\n", 5_200, r"rows of 10,000 values; at most .* 50,000,000 values"),
        ("rows", b"0,1\n" * 5_000, 2_200, r"rows of 2 values; at most .* 10,000,000 rows"),
    ):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        packed = b"".join([*(packer.compress(rows) for _ in range(count)), packer.flush()])
        (path := tmp_path / f"{name}.csv").write_bytes(packed)
        assert len(packed) < 3_000_000
        with pytest.raises(UserError, match=message):
            CSV(path=str(path), test_fraction=0.5, label_column=1, header=False)
    (path := tmp_path / "large.csv").touch()
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match="a row has more than"):
        CSV(path=str(path), test_fraction=0.5)
    path.write_text("a,label\n" + "1,x\n2,y\n" * 20)
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match=r"has 1,099,511,627,776 bytes; at most 268,435,456 bytes"):
        CSV(path=str(path), test_fraction=0.5)


@pytest.mark.parametrize(
    ("begin", "piece", "count", "message"),
    [
        (b"\xff", b"1" * 2**20, 1000, "line 1, is not UTF-8 text"),
        (b'a,"', b'\n","' * 2**18, 100, "a row has more than 16,777,216 characters"),
        (b"1,2,x\n3,4,y\n" * 20, b",1" * 2**19, 200, "a row has more than 16,777,216 characters"),
    ],
)
def test_a_row_without_an_end_is_refused_within_little_memory(
    tmp_path: Path, begin: bytes, piece: bytes, count: int, message: str
) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = [packer.compress(begin), *(packer.compress(piece) for _ in range(count)), packer.flush()]
    (path := tmp_path / "data.csv").write_bytes(b"".join(packed))
    ended = in_child(lambda: CSV(path=str(path), test_fraction=0.5), seconds=60, megabytes=400)
    assert message in ended.errors, ended


def test_labels_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    (path := tmp_path / "data.csv").write_text(f"a,label\n1,{'x' * 999}\n" + "1,y\n" * 70_000)
    with pytest.raises(UserError, match="has labels, and one of them 999 characters"):
        CSV(path=str(path), test_fraction=0.5)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist, or is not a file"):
        CSV(path=str(tmp_path), test_fraction=0.2)
    with pytest.raises(UserError, match=r"needs a file: dataset\.path=FILE\.csv"):
        CSV()


def test_a_table_is_parsed_once_and_a_changed_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    loadtxt = np.loadtxt
    monkeypatch.setattr(np, "loadtxt", lambda *words, **options: calls.append(1) or loadtxt(*words, **options))
    first = whole(opened(tmp_path, PLANTS))
    assert whole(opened(tmp_path, PLANTS)) == first
    assert len(calls) == 1
    changed = whole(opened(tmp_path, PLANTS.replace("1.5,0,", "7.5,0,")))
    assert len(calls) == 2
    assert changed != first
