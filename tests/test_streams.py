"""A program whose standard streams the caller has closed does its work all the same, and writes nothing elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python
from runs import finish, start, summary
from searches import DIRECTORY, SMALL, assert_whole

ONE = [pytest.param(closed, marks=pytest.mark.slow) for closed in ("<&-", ">&-", "2>&-")]
CLOSED = [*ONE, "<&- >&- 2>&-"]


def shell(place: Path, program: str, closed: str) -> int:
    command = f'exec "{sys.executable}" {program} {closed}'
    return subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, timeout=300, check=False).returncode


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
    code = "import subprocess, sys; from mlp.base import streams; streams.protect(); "
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


FULL = "No space left on device"
#: Leads the standard output to the file in the first argument, and runs the program `mlp` with the others.
ONTO = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_WRONLY), 1)
sys.argv = ["mlp", *sys.argv[2:]]
from mlp.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words",
    ["--version", "--help", "train --help", "-sc install=bash", "train --cfg job", "search --help", "data list",
     "report run --help", "inference --help", "inference -d digits -mp {model}", "search best {search}",
     "train -d digits -e 1 plots=false tracker=none hydra.run.dir=run"],
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_one_message(tmp_path: Path, words: str, digits_search: Path) -> None:
    given = words.format(search=digits_search, model=digits_search / "0" / "seed_0" / "best_model.npy").split()
    ended = python("-c", ONTO, "/dev/full", *given, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, f"Error: the output could not be written: {FULL}\n")
    if "hydra.run.dir=run" in given:
        assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize("switch", [[], ["-u"]])
def test_it_is_one_message_of_any_program(switch: list[str]) -> None:
    code = "from mlp.base import streams\nwith streams.program(): print(1, flush=True)"
    with open("/dev/full", "w") as full:
        command = [sys.executable, *switch, "-c", code]
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, f"Error: the output could not be written: {FULL}\n")


ENDS = [
    ("raise UserError('no such thing')", 2, "Error: no such thing\n"),
    ("raise UserError('\\x1b[31m\\u202e\\x07 é')", 2, "Error: \\x1b[31m\\u202e\\x07 é\n"),
    ("raise PermissionError(13, 'Permission denied', '/secret')", 1, "Error: Permission denied: /secret\n"),
    ("raise IsADirectoryError(21, 'Is a directory', '/x')", 2, "Error: Is a directory: /x\n"),
    ("raise MemoryError", 1, "Error: not enough memory: smaller layers, batches or data need less\n"),
    ("raise KeyboardInterrupt", 130, "Interrupted.\n"),
    ("os.kill(os.getpid(), 15)", 143, "Interrupted.\n"),
    ("atexit.register(os.kill, os.getpid(), 15)", 143, ""),
    ("atexit.register(os.kill, os.getpid(), 2)", 130, ""),
    ("sys.exit(5)", 5, ""),
    ("", 0, ""),
]


@pytest.mark.parametrize(("ending", "code", "message"), ENDS, ids=[ending for ending, *_ in ENDS])
def test_a_program_ends_with_one_message_and_its_exit_code(
    tmp_path: Path, ending: str, code: int, message: str
) -> None:
    """What a signal finds in the last milliseconds is at its end too."""
    program = "import os, sys, atexit\nfrom mlp.base import streams\nfrom mlp.base.errors import UserError\n"
    ended = python("-c", f"{program}with streams.program(): {ending or 'pass'}", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (code, message)


def test_characters_that_a_terminal_lacks_are_no_error(tmp_path: Path) -> None:
    code = "from mlp.base import streams\nwith streams.program(): print('µ \\udce9')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    assert ended.stdout == b"\\xb5 \\udce9\n"


@pytest.mark.parametrize("program", [["inference.py"], ["-m", "mlp.search", "--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(program: list[str]) -> None:
    command = [sys.executable, *program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
