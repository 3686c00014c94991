"""A program whose standard streams the caller has closed does its work all the same, and writes nothing elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from runs import finish, start, summary
from searches import DIRECTORY, SMALL, assert_whole

ONE = [pytest.param(closed, marks=pytest.mark.slow) for closed in ("<&-", ">&-", "2>&-")]
CLOSED = [*ONE, "<&- >&- 2>&-"]


def shell(place: Path, program: str, closed: str) -> int:
    command = f'exec "{sys.executable}" {program} {closed}'
    return subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, timeout=120, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_a_search_finds_the_same_without_them(tmp_path: Path, closed: str) -> None:
    words = " ".join([*SMALL, "-o", "sgd,adam"])
    assert shell(tmp_path, f'"{ROOT / "train.py"}" {words}', closed) == 0
    found = assert_whole(tmp_path / DIRECTORY, 2)
    assert [trial.params for trial in found] == [{"optimizer": "sgd"}, {"optimizer": "adam"}]
    assert all(json.loads(line) for line in (tmp_path / DIRECTORY / "journal.log").read_text().splitlines())


@pytest.mark.parametrize("program", ["-m mlp.search show {}", "-m mlp.search best {}"])
def test_reading_a_search_ends_well_without_them(digits_search: Path, program: str) -> None:
    assert shell(ROOT, program.format(f'"{digits_search}"'), ">&- 2>&-") == 0


def test_programs_that_are_started_have_streams_too() -> None:
    code = "import subprocess, sys; from mlp import streams; streams.prepare(); "
    code += "sys.exit(subprocess.call(sys.argv[1:]))"
    child = "import sys; print(1); print(2, file=sys.stderr); sys.exit(sys.stdout is None or sys.stderr is None)"
    command = f'exec "{sys.executable}" -c "{code}" "{sys.executable}" -c "{child}" >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, check=False).returncode == 0


def test_a_mistake_keeps_its_exit_code_without_them(tmp_path: Path) -> None:
    assert shell(tmp_path, f'"{ROOT / "train.py"}" -o adm', ">&- 2>&-") == 2
    assert shell(tmp_path, f'"{ROOT / "inference.py"}" -o adm', ">&- 2>&-") == 2


@pytest.mark.parametrize("words", [(*SMALL, "-o", "sgd,adam"), ("-d", "digits", "-e", "2", "tracker=none")])
def test_work_goes_on_when_the_reader_of_its_output_has_left(tmp_path: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    process = start(tmp_path, *words, f"hydra.run.dir={tmp_path / 'run'}", stdout=writing)
    os.close(writing)
    os.close(reading)
    ended = finish(process)
    assert (ended.code, ended.err) == (0, "")
    if "-m" in words:
        assert_whole(tmp_path / DIRECTORY, 2)
    else:
        assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize("switch", [[], ["-u"]])
def test_other_failures_of_a_stream_are_told(switch: list[str]) -> None:
    code = "from mlp import streams; streams.prepare(); print(1, flush=True)"
    with open("/dev/full", "w") as full:
        command = [sys.executable, *switch, "-c", code]
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert "OSError: [Errno 28]" in ended.stderr


@pytest.mark.parametrize("program", [["inference.py"], ["-m", "mlp.search", "--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(program: list[str]) -> None:
    command = [sys.executable, *program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_scores_that_cannot_be_written_are_one_message(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "inference.py"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"Error: [Errno 28] No space left on device\n")
