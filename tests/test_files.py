"""Files are written whole or not at all."""

import json
import logging
import multiprocessing
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hydra_trials.files import LogFile
from mlp.base.files import atomic_write, plain, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "content"), [("wb", b"new\r\n\0"), ("w", "new\nñ")])
def test_a_new_file_and_a_replaced_one_hold_what_was_written(tmp_path: Path, mode: str, content: bytes | str) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        with atomic_write(path, mode) as file:
            file.write(content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
        assert names(tmp_path) == ["file"]


def test_the_old_content_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new" * 10_000)
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new" * 10_000


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", ["old", None])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException], before: str | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_text(before)

    def fail() -> None:
        with atomic_write(path, "w") as file:
            file.write("half of i")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == (["file"] if before else [])
    assert not before or path.read_text() == before


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_of_the_system_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, function, fail)

    def write() -> None:
        with atomic_write(path, "w") as file:
            file.write("new")

    with pytest.raises(OSError, match="No space left"):
        write()
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, object]] = []
    replace = os.replace

    def recorded(source: Path, target: Path) -> None:
        calls.append(("replace", target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(("fsync", os.fstat(descriptor).st_size)))
    monkeypatch.setattr(os, "replace", recorded)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"12345")
    assert calls == [("fsync", 5), ("replace", tmp_path / "file")]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_permissions_are_those_that_open_would_give(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "file") as file:
            file.write(b"new")
        (tmp_path / "reference").write_bytes(b"new")
        assert os.umask(umask) == umask  # still the same
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "reference")}
    assert modes == {0o666 & ~umask}


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), atomic_write(tmp_path / "nowhere" / "file"):
        pass


def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (path := tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError) as error, atomic_write(path):
        pass
    assert error.value.filename == str(path)


def test_a_log_that_cannot_be_opened_is_told_once_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "train.log").mkdir()
    with closing(LogFile(str(path))) as log:
        for text in ("one", "two"):
            log.emit(logging.makeLogRecord({"msg": text}))
        path.rmdir()
        log.emit(logging.makeLogRecord({"msg": "three"}))
    assert capsys.readouterr().err == f"Warning: {path} could not be written: Is a directory\n"
    assert path.read_text() == "three\n"


def write_often(path: Path, letter: str) -> None:
    for _ in range(100):
        with atomic_write(path, "w") as file:
            file.write(letter * 50_000)


def test_of_many_writers_at_once_a_reader_sees_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a" * 50_000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(path, letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {"a" * 50_000, "b" * 50_000}
    assert names(tmp_path) == ["file"]


def test_json_is_strict_and_numbers_of_numpy_are_plain(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"),
        "infinities": [np.inf, -np.inf],
        "nested": {"deep": (np.float32("nan"), 1)},
        "float32": np.float32(0.5),
        "int64": np.int64(3),
        "bool": np.bool_(True),
        "array": np.array([[1.0, np.nan], [2.0, 3.0]]),
        "path": Path("a/b"),
        "text": "ñ",
        "none": None,
        5: "an integer key",
    }
    write_json(tmp_path / "file.json", value)
    text = (tmp_path / "file.json").read_text(encoding="utf-8")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "nan": None,
        "infinities": [None, None],
        "nested": {"deep": [None, 1]},
        "float32": 0.5,
        "int64": 3,
        "bool": True,
        "array": [[1.0, None], [2.0, 3.0]],
        "path": "a/b",
        "text": "ñ",
        "none": None,
        "5": "an integer key",
    }
    assert text.endswith("}\n")


def test_json_keeps_every_bit_of_a_float(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    write_json(tmp_path / "file.json", values)
    read = json.loads((tmp_path / "file.json").read_text())
    assert [value.hex() for value in read] == [value.hex() for value in values]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path, value: object) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_json(path, {"value": value})
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


def test_plain_does_not_change_what_it_is_given() -> None:
    value = {"a": [float("nan"), (1, 2)]}
    assert plain(value) == {"a": [None, [1, 2]]}
    assert isinstance(value["a"][1], tuple)


def test_json_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    code = "import sys; from mlp.base.files import write_json; write_json(sys.argv[1], chr(0xF1))"
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.json")], env=env, check=True)
    assert (tmp_path / "file.json").read_bytes() == '"ñ"\n'.encode()
