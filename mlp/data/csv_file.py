"""The user's own tables, as CSV files."""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn, TextIO

import numpy as np

from mlp.base.errors import UserError, unknown
from mlp.data.cache import cached
from mlp.data.user_data import LARGEST, MOST_OUTPUTS, OwnData, Part, as_integer, is_integer, some_of
from mlp.nn import checks

LABELS = ("label", "labels", "class", "target", "y")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
FIRST_ROWS = 21  # that tell the delimiter, and whether there is a header
LONGEST_LINE, LONGEST_LABEL = 2**24, 1000  # characters
MOST_BYTES, MOST_ROWS, MOST_VALUES = 2**28, 10_000_000, 50_000_000  # of a file when unpacked; 600 MB while it is read
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
PIXEL = re.compile(r"(pixel|px)[ _]?\d+|\d+x\d+", re.IGNORECASE)  # the names of Kaggle's digits and of their kin


@dataclass(frozen=True)
class Layout:
    """How a file is written, from its first rows."""

    delimiter: str
    width: int
    names: tuple[str, ...]  # of the header; empty without one
    texts: tuple[int, ...]  # columns that hold texts

    def column(self, i: int) -> str:
        return f"column {self.names[i]!r}" if self.names else f"column {i} (the first is 0)"

    def index(self, key: str, wanted: str | int) -> int:
        """The column that a user names: by its header, else by its number. Raises UserError."""
        name = str(wanted)
        if self.names.count(name) == 1:
            return self.names.index(name)
        if is_integer(name) and -self.width <= as_integer(name) < self.width:
            return as_integer(name) % self.width
        if name in self.names:
            raise UserError(f"{key}: the header has {name!r} twice; say its number, the first is 0")
        raise UserError(unknown(key, name, self.names if 0 < self.width <= 20 and self.names else [self.columns()]))

    def columns(self) -> str:
        return some_of([repr(name) for name in self.names]) or f"0 ... {self.width - 1}"


class CSV(OwnData):
    """A table with a row for each sample: numbers, and a column of labels. A second file is the test part, or
    `test_fraction` of the rows. UTF-8, plain or .gz; comma, semicolon or tab; with a header or without.

    The labels are in `label_column`, a name or a number (0 is the first, -1 the last); by default in the column
    called label, labels, class, target or y, else in the only one that holds texts. Their sorted values are the
    classes. Numbers are divided by `divide_by`; `image_shape` makes pictures of them. By default columns that are
    called pixel0, pixel1 ... or 1x1, 1x2 ... and whose number is a square are pictures, and those that go from 0 to
    255 in whole numbers are divided by 255; everything else is used as it is.
    """

    name = "csv"
    needs = "a file: dataset.path=FILE.csv, and dataset.test_path=FILE.csv or dataset.test_fraction=0.2"

    def __init__(
        self,
        validation_fraction: float = 0.1,
        path: str | None = None,
        test_path: str | None = None,
        test_fraction: float | None = None,
        label_column: str | int | None = None,
        ignore_columns: Sequence[str | int] = (),
        class_names: Sequence[str | int] | None = None,
        header: bool | None = None,
        delimiter: Literal["comma", "semicolon", "tab"] | None = None,
        image_shape: Sequence[int] | None = None,
        divide_by: float | None = None,
    ) -> None:
        super().__init__(validation_fraction, path, test_fraction, class_names)
        if divide_by is not None:
            checks.number("divide_by", divide_by, gt=0)
        self._check_test_part(test_path, "dataset.test_path=FILE.csv")
        paths = [self._path, *([Path(test_path).expanduser()] if test_path else [])]
        layout, *others = (read_layout(file, header, delimiter) for file in paths)
        if others and (others[0].names, others[0].width) != (layout.names, layout.width):
            raise UserError(
                f"{paths[1]} has not the columns of {self._path}: {others[0].width}, {some_of(others[0].names)}; not "
                f"{layout.width}, {some_of(layout.names)}. Both need the same header, or none, and the labels"
            )
        self._layout, self._label = layout, self._label_column(layout, label_column)
        ignored = {layout.index("dataset.ignore_columns", column) for column in ignore_columns}
        self._columns = [i for i in range(layout.width) if i not in ignored and i != self._label]
        if unnamed := [i for i in self._columns if layout.names and not layout.names[i]]:
            raise self._error(
                f"column {unnamed[0]} has no name, as the index that pandas writes. dataset.ignore_columns="
                f"[{unnamed[0]}] leaves it out"
            )
        if not self._columns or self._label in ignored:
            raise self._error("dataset.ignore_columns leaves no features, or takes the labels away")
        columns = self._label, tuple(self._columns)
        tables = [read_table(*file, *columns) for file in zip(paths, (layout, *others), strict=True)]
        self._keep(self._spelled(tables), layout.column(self._label), str(paths[-1]))
        self._scale(self._parts["train"][0], image_shape, divide_by)

    def _scale(self, x: np.ndarray, image_shape: Sequence[int] | None, divide_by: float | None) -> None:
        """Whether the features x (n, d) are pixels: the shape of a picture, and what they are divided by."""
        self._said, self._range = (image_shape is not None, divide_by is not None), (x.min(), x.max())
        names, side = self._layout.names, math.isqrt(x.shape[1])
        pixels = [PIXEL.fullmatch(names[i]) for i in self._columns] if names else [None]
        numbers = [tuple(map(int, re.findall(r"\d+", pixel[0]))) for pixel in pixels if pixel]
        if image_shape is None and all(pixels) and side**2 == x.shape[1] and numbers == sorted(numbers):
            image_shape = (side, side)
        self.image_shape = tuple(image_shape or ())
        if image_shape is not None and (min(image_shape, default=0) < 1 or math.prod(image_shape) != x.shape[1]):
            raise self._error(f"image_shape {list(image_shape)} does not fit the {x.shape[1]} features")
        if names and not self.image_shape:
            self.feature_names = tuple(names[i] for i in self._columns)
        are_bytes = x.dtype == np.uint8 and self._range == (0, 255)
        self.divisor = float(divide_by or (255 if self.image_shape and are_bytes else 1))

    def notes(self) -> list[str]:
        x, _ = self._parts["train"]
        low, high = self._range
        notes = [*super().notes(), f"the labels are in {self._layout.column(self._label)} of {self._path.name}"]
        if self.image_shape and not all(self._said):
            notes.append(
                f"the other columns are pictures, {' x '.join(map(str, self.image_shape))} pixels from {low:g} to "
                f"{high:g}, divided by {self.divisor:g} (dataset.image_shape, dataset.divide_by)"
            )
        elif (low, high, self.divisor) == (0, 255, 1):
            notes.append("the features go from 0 to 255 and are taken as they are; dataset.divide_by=255 scales them")
        steps = np.diff(x[:3].astype(np.float32), axis=0)
        for i in np.flatnonzero((steps == 1).all(axis=0) & (len(x) > 2)):
            if (np.diff(x[:, i].astype(np.float32)) != 1).any():
                continue
            column = self._columns[i]
            notes.append(
                f"{self._layout.column(column)} counts the rows; dataset.ignore_columns=[{column}] leaves it out"
            )
        return notes

    def _spelled(self, tables: list[Part]) -> list[Part]:
        """The same tables, their labels spelled alike: as integers where all are numbers."""
        found = {str(text) for _, texts in tables for text in np.unique(texts)}
        if all(map(is_integer, found)):
            spelled = {text: str(as_integer(text)) for text in found}
            return [(x, np.array([spelled[text] for text in texts.tolist()])) for x, texts in tables]
        if all(map(NUMBER.fullmatch, found)):
            raise self._error(f"labels are integers or texts, not numbers with fractions: {some_of(sorted(found))}")
        return tables

    def _label_column(self, layout: Layout, wanted: str | int | None) -> int:
        key = "dataset.label_column"
        if wanted is not None:
            return layout.index(key, wanted)
        named = [i for i, name in enumerate(layout.names) if name.lower() in LABELS]
        if len(found := named or layout.texts) == 1:
            return found[0]
        raise self._error(
            f"which column has the labels? {key}=NAME, or its number: 0 is the first, -1 the last. It has "
            f"{layout.columns()}"
        )


def read_layout(path: Path, header: bool | None, delimiter: str | None) -> Layout:
    """Delimiter, header and columns of text of a file, by its first rows. Raises UserError for what is ambiguous."""
    found: dict[str, list[tuple[int, list[str]]]] = {}  # lines and their cells
    for mark in DELIMITERS if delimiter is None else [delimiter]:
        with opened(path) as file:
            found[mark] = list(islice(_rows(file, DELIMITERS[mark]), FIRST_ROWS))
    if not any(found.values()):
        raise UserError(f"{path} is empty")
    widths = {mark: [len(row) for _, row in rows] for mark, rows in found.items()}
    fitting = [mark for mark in found if min(widths[mark]) == max(widths[mark]) > 1]
    if len(chosen := fitting or [mark for mark in found if max(widths[mark]) > 1]) != 1:
        what = f"could be {' or '.join(chosen)}" if chosen else "is none of comma, semicolon and tab"
        raise UserError(f"{path}: the delimiter {what}: dataset.delimiter=comma, semicolon or tab says which")
    rows = found[chosen[0]]
    for line, row in rows:
        _check_width(path, line, row, len(rows[0][1]))
    first, *rest = ([cell.strip() for cell in row] for _, row in rows)
    if not rest:
        raise UserError(f"{path} has one row only, no samples")
    numeric = [i for i in range(len(first)) if (cells := _present(rest, i)) and all(map(NUMBER.fullmatch, cells))]
    if header is None:
        named = [i for i in numeric if not NUMBER.fullmatch(first[i])] or {c.lower() for c in first} & set(LABELS)
        valued = [first[i] for i in numeric if NUMBER.fullmatch(first[i])]
        numbers = [as_integer(text) for text in valued if is_integer(text)]
        counting = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(valued)))
        if (named and valued) or counting:
            raise UserError(
                f"{path}: the first row, {some_of(first)}, could be a header or a sample: dataset.header=true or "
                f"false says which"
            )
        header = bool(named) or not valued
    texts = [i for i in range(len(first)) if i not in numeric and _present(rest, i)]
    return Layout(DELIMITERS[chosen[0]], len(first), tuple(first) if header else (), tuple(texts))


def read_table(path: Path, layout: Layout, label: int, columns: tuple[int, ...]) -> Part:
    """Numbers (n, columns), uint8 where they are whole and from 0 to 255, else float32, and labels (n,) as texts."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise _too_large(path, f"{size:,} bytes")
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    name = "csv-1-" + hashlib.sha256(repr((content, layout, label, columns)).encode()).hexdigest()
    parsed = functools.cache(lambda: _parse(path, layout, label, columns))
    x = cached(f"{name}-x", (None, len(columns)), lambda: parsed()[0], kinds="uf")
    return x, cached(f"{name}-y", (len(x),), lambda: parsed()[1], kinds="U")


def _too_large(path: Path, size: str) -> UserError:
    return UserError(
        f"{path} has {size}; at most {MOST_BYTES:,} bytes, {MOST_ROWS:,} rows and {MOST_VALUES:,} values are read. "
        f"Take a part of it, or make an .npz file of it: dataset=npz"
    )


def _check_size(path: Path, width: int) -> None:
    """Raise UserError for more than is read, before it is: a small .gz may unpack to anything."""
    size = rows = length = 0
    with opened(path) as file:
        while some := file.buffer.read(2**20):
            size += len(some)
            rows += (ends := max(some.count(b"\n"), some.count(b"\r")))
            length = 0 if ends else length + len(some)  # of the line, about
            if length > 4 * LONGEST_LINE:  # bytes of so many characters
                raise UserError(f"{path} cannot be read: a row has more than {LONGEST_LINE:,} characters")
            if size > MOST_BYTES:
                raise _too_large(path, f"more than {MOST_BYTES:,} bytes when unpacked")
            if rows > MOST_ROWS or rows * width > MOST_VALUES + width:  # with a header
                raise _too_large(path, f"more than {rows - 1:,} rows of {width:,} values")


def _parse(path: Path, layout: Layout, label: int, columns: tuple[int, ...]) -> Part:
    _check_size(path, layout.width)
    codes: dict[str, int] = {}

    def code(text: str) -> int:
        if len(codes) > MOST_OUTPUTS:
            raise ValueError
        return codes.setdefault(text.strip(), len(codes))

    converters: dict[int | str, Callable[[str], int]] = {i: lambda _: 0 for i in {*range(layout.width)} - {*columns}}
    converters[label] = code
    try:
        with opened(path) as file, np.errstate(over="ignore"):  # what becomes infinite is refused below
            if layout.names:
                next(_rows(file, layout.delimiter))
            table = np.loadtxt(
                file, np.float32, None, layout.delimiter, converters, ndmin=2, encoding=None, quotechar='"'
            )
    except ValueError as error:
        if len(codes) > MOST_OUTPUTS:
            raise UserError(
                f"{path}: {layout.column(label)} has more than {MOST_OUTPUTS:,} classes; so many are possible. "
                f"dataset.label_column=NAME says where the labels are"
            ) from error
        _refuse(path, layout, label, columns, str(error))
    longest = max(map(len, codes))
    if longest > LONGEST_LABEL or 4 * longest * len(table) > MOST_BYTES:
        raise UserError(f"{path}: {layout.column(label)} has labels, and one of them {longest:,} characters")
    x: np.ndarray = np.ascontiguousarray(table[:, list(columns)])
    if not np.isfinite(x).all() or any(text.lower() in ("", "nan") for text in codes):
        _refuse(path, layout, label, columns, "not all are numbers")
    if x.min() >= 0 and x.max() <= 255 and (x == (as_bytes := x.astype(np.uint8))).all():
        x = as_bytes
    return x, np.array(list(codes))[table[:, label].astype(np.int64)]


def _refuse(path: Path, layout: Layout, label: int, columns: tuple[int, ...], reason: str) -> NoReturn:
    """Find the first cell that is no number, and say which it is."""
    with opened(path) as file:
        for number, row in islice(_rows(file, layout.delimiter), bool(layout.names), None):
            line = f"{path}, line {number}"
            _check_width(path, number, row, layout.width)
            if row[label].strip().lower() in ("", "nan"):
                raise UserError(f"{line}: the label is missing ({layout.column(label)})")
            for i in columns:
                cell = row[i].strip()
                if cell.lower() in MISSING:
                    raise UserError(f"{line}: a value is missing in {layout.column(i)}: fill it in, or drop the row")
                if not NUMBER.fullmatch(cell):
                    comma = "; numbers need a decimal point" if re.fullmatch(r"-?\d+,\d+", cell) else ""
                    raise UserError(
                        f"{line}: {cell[:40]!r} in {layout.column(i)} is no number{comma}. Features are numbers: "
                        f"code the texts, or leave the column out with dataset.ignore_columns=[{i}]"
                    )
                if abs(float(cell)) > LARGEST:
                    raise UserError(f"{line}: {cell[:40]} in {layout.column(i)} is beyond float32: scale the column")
    raise UserError(f"{path} cannot be read: {reason}")


def _check_width(path: Path, line: int, row: Sequence[str], width: int) -> None:
    if len(row) != width:
        raise UserError(f"{path}, line {line}: {len(row)} columns, not {width}")


def _present(rows: Sequence[Sequence[str]], i: int) -> list[str]:
    """The cells of a column that are there."""
    return [row[i] for row in rows if row[i].lower() not in MISSING]


def _rows(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that are not empty, each with the number of its last line. Raises csv.Error for one that
    would fill the memory, by a long line or, between quotation marks, by many."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        while line := file.readline(LONGEST_LINE):
            if (length := length + len(line)) >= LONGEST_LINE:
                raise csv.Error(f"a row has more than {LONGEST_LINE:,} characters")
            yield line

    for row in (reader := csv.reader(lines(), delimiter=delimiter)):
        length = 0
        if row:
            yield reader.line_num, row


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The text of a file, .gz or plain. Raises UserError where it cannot be read."""
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        with (gzip.open if packed else open)(path, "rb") as binary:
            lines = enumerate(iter(lambda: binary.readline(LONGEST_LINE), b""), 1)
            line = next((i for i, line in lines if line != line.decode("utf-8", "ignore").encode()), 1)
        raise UserError(f"{path}, line {line}, is not UTF-8 text: save it as UTF-8") from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
