"""python -m mlp.search: reads a search, also while it runs, changes nothing in it, and says what is wrong."""

import contextlib
import csv
import fcntl
import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import made_searches
import pytest
import runs
from conftest import ROOT, Command
from forks import python
from made_searches import trial
from optuna.trial import TrialState

from mlp.searches import results
from mlp.searches.__main__ import main


def command(cwd: Path, *words: str) -> runs.Ended:
    """`python -m mlp.search` in `cwd`, in this process, which has imported Optuna already."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code: object = 0
        try:
            main(words)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return runs.Ended(code, out.getvalue(), err.getvalue())


def test_a_long_line_goes_on_below_its_last_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results.sys, "stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", "60")
    varied = {"overrides": [f"{name}=0.5" for name in ("lr", "beta", "optimizer")]}
    states = [trial({"lr": 0.5}, state=TrialState.RUNNING, **varied), trial({"lr": 0.5}, 0.5, **varied)]
    lines = results.show(made_searches.search(tmp_path, states)).splitlines()
    at = lines.index("running: trial 0 since 2026-01-02 03:04:05  lr=0.5 beta=0.5")
    assert lines[at + 1] == "    optimizer=0.5"  # its last column begins too far right
    assert all(line == line.rstrip() and len(line) <= 60 for line in lines)


def test_the_program_says_the_same_as_the_function(digits_search: Path, tmp_path: Path) -> None:
    for words in (["show", str(digits_search)], ["show", "nowhere"]):
        ended = python("-m", "mlp.search", *words, cwd=tmp_path)
        assert runs.Ended(ended.returncode, ended.stdout, ended.stderr) == command(tmp_path, *words)


def test_a_reader_that_has_seen_enough_is_no_error(digits_search: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "mlp.search", "show", str(digits_search)]
    ended = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=writing, stderr=subprocess.PIPE,
        timeout=300, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_show_prints_the_ranks_and_why_trials_failed(digits_search: Path, tmp_path: Path) -> None:
    ended = command(tmp_path, "show", str(digits_search))
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "small: 2 done, 1 failed"
    assert lines[2].split()[:2] == ["1", "1"]  # the larger learning rate
    assert "optimizer.learning_rate=0.1" in lines[2]
    assert "±" in lines[2]
    assert any(line.startswith("failed: trial 2: the training loss became") for line in lines)


def test_a_search_is_found_by_its_name_too(digits_search: Path, tmp_path: Path) -> None:
    (tmp_path / "multirun_outputs").symlink_to(digits_search.parent)
    ended = command(tmp_path, "show", digits_search.name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("small: 2 done, 1 failed")


def test_show_prints_as_many_rows_as_it_is_asked_for(digits_search: Path, tmp_path: Path) -> None:
    out = command(tmp_path, "show", str(digits_search), "--top", "1").out
    assert "optimizer.learning_rate=0.1" in out
    assert "optimizer.learning_rate=0.001" not in out
    assert "and 1 more" in out


def test_best_says_how_to_train_it_again_and_that_gives_the_same_model(
    digits_search: Path, tmp_path: Path, train: Command
) -> None:
    ended = command(tmp_path, "best", str(digits_search))
    assert ended.code == 0, ended.err
    assert "small: trial 1 is the best" in ended.out
    again = next(line for line in ended.out.splitlines() if line.startswith("Again: "))
    program, script, *words = shlex.split(again.removeprefix("Again: "))
    assert (program, script) == ("python", "train.py")
    train(*words, "hydra.run.dir=again", check=True)
    runs.assert_same_bits(runs.best_model(tmp_path / "again"), runs.best_model(digits_search / "1" / "seed_0"))


def test_install_copies_the_winner_byte_by_byte(digits_search: Path, tmp_path: Path) -> None:
    to = tmp_path / "elsewhere" / "new"
    for words, root in ((["--install"], tmp_path), (["--install", "--to", str(to)], to)):
        ended = command(tmp_path, "best", str(digits_search), *words)
        assert ended.code == 0, ended.err
        for name in ("best_model.npy", "best_config.json"):
            assert (root / name).read_bytes() == (digits_search / "1" / "seed_0" / name).read_bytes()
    assert f"Installed: {to / 'best_model.npy'}" in ended.out


def test_best_alone_copies_nothing(digits_search: Path, tmp_path: Path) -> None:
    command(tmp_path, "best", str(digits_search))
    assert list(tmp_path.iterdir()) == []


def test_report_writes_the_page_and_the_table_again(digits_search: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(digits_search, tmp_path / "copy")
    table = (directory / "leaderboard.csv").read_text()
    for name in ("leaderboard.csv", "search.html"):
        (directory / name).unlink()
    ended = command(tmp_path, "report", "copy")
    assert (ended.code, ended.out) == (0, "copy/leaderboard.csv\ncopy/search.html\n")
    assert (directory / "leaderboard.csv").read_text() == table
    assert (directory / "search.html").read_text().endswith("</html>\n")
    with (directory / "leaderboard.csv").open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["1", "0", "2"]


def test_a_search_that_runs_is_read_without_waiting_and_without_a_change(tmp_path: Path) -> None:
    told = {1: 0.25, 2: 0.5}
    made_searches.search(
        tmp_path,
        [
            trial({"lr": 0.1}, 0.75),
            trial({"lr": 0.2}, state=TrialState.RUNNING, told=told),
            trial({"lr": 0.3}, state=TrialState.WAITING),
            trial({"lr": 0.3}, None, TrialState.PRUNED, told, reason="pruned after epoch 2"),
            trial({"lr": 0.3}, None, TrialState.PRUNED, {1: 0.1}, reason="pruned after epoch 1"),
            trial({"lr": 0.4}, reason="out of memory"),
            trial({"lr": 0.5}, reason="out of memory"),
            trial({"lr": 0.6}, lost=True, reason="its worker was killed"),
        ],
    )
    journal = tmp_path / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 5, "half a li')  # somebody is writing
    before = journal.read_bytes()
    with (tmp_path / "journal.log.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = {words: command(tmp_path, words, ".") for words in ("show", "best", "report")}
    assert {one.code for one in ended.values()} == {0}, ended
    assert journal.read_bytes() == before
    out = ended["show"].out
    assert "made: 1 done, 1 running, 2 pruned, 2 failed, 1 waiting" in out
    assert "running: trial 1 since 2026-01-02 03:04:05, epoch 2: 0.5  lr=0.2" in out
    assert "stopped by the pruner: 1 after epoch 1, 1 after epoch 2" in out
    assert "failed: trials 5, 6: out of memory  lr=0.4" in out
    assert "lost: trial 7: its worker was killed (run again under another number)  lr=0.6" in out


def mistake(cwd: Path, *words: str) -> str:
    """The message of a command that must fail as a user's mistake does."""
    ended = command(cwd, *words)
    assert (ended.code, ended.out) == (2, ""), ended
    assert "Traceback" not in ended.err
    return ended.err


@pytest.mark.parametrize("name", ["show", "best", "report"])
def test_a_directory_without_a_search_is_refused(name: str, tmp_path: Path) -> None:
    assert mistake(tmp_path, name, ".") == "Error: . holds no search: it has no search.json\n"
    assert "holds no search" in mistake(tmp_path, name, "not/there")


@pytest.mark.parametrize(
    ("name", "damage"),
    [("search.json", b"{"), ("search.json", b"[]"), ("search.json", b"{}"), ("journal.log", b"nonsense\nmore\n"),
     ("journal.log", b""), ("journal.log", b'{"op_code": 99}\n{}\n')],
)  # fmt: skip
def test_a_damaged_record_is_one_message(name: str, damage: bytes, tmp_path: Path) -> None:
    made_searches.search(tmp_path, [trial({"lr": 0.1}, 0.5)])
    (tmp_path / name).write_bytes(damage)
    message = mistake(tmp_path, "show", ".")
    assert message.count("\n") == 1
    assert "damaged" in message


@pytest.mark.parametrize("words", [[], ["--install"]])
def test_without_a_completed_trial_there_is_no_best_one(words: list[str], tmp_path: Path) -> None:
    made_searches.search(tmp_path, [trial({"lr": 0.1}, reason="no")])
    assert mistake(tmp_path, "best", ".", *words) == "Error: . has no completed trial yet\n"
    assert "1 failed" in command(tmp_path, "show", ".").out


def test_a_winner_whose_model_is_gone_is_not_installed(tmp_path: Path) -> None:
    made_searches.search(tmp_path, [trial({"lr": 0.1}, 0.5)])
    assert "has no best_model.npy" in mistake(tmp_path, "best", ".", "--install")
    (tmp_path / "0").mkdir(exist_ok=True)
    (tmp_path / "0" / "best_model.npy").write_text("of a pair whose configuration is gone")
    assert "has no best_config.json" in mistake(tmp_path, "best", ".", "--install")
    assert not (tmp_path / "best_model.npy").exists()


def test_a_wrong_number_of_rows_is_refused(tmp_path: Path) -> None:
    assert "must be an integer >= 1. Got 0" in mistake(tmp_path, "show", ".", "--top", "0")
