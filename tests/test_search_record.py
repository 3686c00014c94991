"""A record that is damaged, lost or of another host: nothing starts anew, and nobody waits in silence."""

import json
import re
import shutil
import socket
from pathlib import Path

import optuna
import pytest
from conftest import Command
from runs import Ended, run, start, wait_until
from searches import assert_whole, states, trials

from hydra_trials.errors import SearchError
from hydra_trials.queue import Queue
from hydra_trials.search import Search

ALIVE = 4e9  # a sign of life that is not long ago
WORDS = ("-m", "-d", "digits", "-e", "1", "model.hidden_sizes=8", "tracker=none", "search.name=s", "-o", "sgd,adam")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a search of two trials was run."""
    place = tmp_path_factory.mktemp("search")
    run(place, *WORDS)
    return place


@pytest.fixture
def search(done: Path, tmp_path: Path) -> Path:
    """The directory of a copy of it."""
    shutil.copytree(done / "multirun_outputs", tmp_path / "multirun_outputs")
    return tmp_path / "multirun_outputs" / "s"


def content(directory: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and "running" not in path.parts
    }


def refused(search: Path, *more: str) -> str:
    """Continue a search, which is refused in one message; nothing changes."""
    before = content(search)
    ended: Ended = run(search.parents[1], *WORDS, *more, code=2)
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert ended.out == ""
    assert content(search) == before
    return ended.err


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_damaged_line_is_refused(search: Path, number: int) -> None:
    journal = search / "journal.log"
    lines = journal.read_text().splitlines(keepends=True)
    lines[number] = lines[number][:20] + "\n"
    journal.write_text("".join(lines))
    said = refused(search)
    assert "the record of the search in" in said
    assert "is damaged: JSONDecodeError" in said
    assert "Restore it from a copy, or choose another name for the search" in said


@pytest.mark.parametrize("content", ["{}", "[]", "{"])
def test_a_damaged_definition_is_refused(search: Path, content: str) -> None:
    (search / "search.json").write_text(content)
    assert "search.json is damaged" in refused(search)


@pytest.mark.parametrize("key", ["name", "objectives", "storage", "space"])
def test_a_part_of_the_definition_of_a_wrong_type_is_named(search: Path, key: str) -> None:
    facts = json.loads((search / "search.json").read_text())
    (search / "search.json").write_text(json.dumps({**facts, key: 3}))
    with pytest.raises(SearchError, match=f"search.json is damaged: its {key} is missing or of a wrong type"):
        Search(search)


@pytest.mark.parametrize("name", ["journal.log", "search.json"])
def test_a_folder_in_the_place_of_a_file_is_a_mistake(search: Path, name: str) -> None:
    (search / name).unlink()
    (search / name).mkdir()
    assert str(search / name) in refused(search)


def test_half_a_last_line_is_what_a_kill_leaves(search: Path) -> None:
    with (search / "journal.log").open("a") as journal:
        journal.write('{"op_code":4,"work')
    assert "is complete: nothing is left to run" in run(search.parents[1], *WORDS).out


def test_a_lost_or_emptied_journal_is_refused(search: Path) -> None:
    journal = search / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"")
    assert "it holds no search s" in refused(search)
    second = [line for line in lines if b'"op_code":4' in line][1]  # creates the trial
    journal.write_bytes(b"".join(line for line in lines if line != second and b'"trial_id":1' not in line))
    assert states(trials(search)) == ["COMPLETE"]
    with pytest.raises(SearchError, match="by which trial 1 has not begun, though its run is here"):
        Search(search)
    begun = next(number for number, line in enumerate(lines) if b'"op_code":6' in line)
    journal.write_bytes(b"".join(lines[:begun]))
    assert states(trials(search)) == ["WAITING", "WAITING"]
    with pytest.raises(SearchError, match="by which trial 0 has not begun, though its run is here"):
        Search(search)
    journal.unlink()
    assert "has lost its journal.log" in refused(search)


def test_runs_without_a_search_are_not_run_over(search: Path) -> None:
    (search / "search.json").unlink()
    (search / "journal.log").unlink()
    assert "holds runs of trials (0 to 1), but no search.json" in refused(search)


def killed(search: Path, host: str, *begun: int) -> None:
    """Make a copy of a search one in which `host` began the trials `begun`, and did not end them."""
    kept = []
    for line in (search / "journal.log").read_text().splitlines():
        entry = json.loads(line)
        if entry.get("trial_id") in begun:
            if entry["op_code"] == 6 and entry["state"] != 0:
                continue  # its end
            if "host" in entry.get("user_attr", {}):
                entry["user_attr"]["host"] = host
            if "alive" in entry.get("user_attr", {}):
                entry["user_attr"]["alive"] = ALIVE + entry["trial_id"]
        kept.append(json.dumps(entry, separators=(",", ":")))
    (search / "journal.log").write_text("\n".join(kept) + "\n")
    assert [trial.number for trial in trials(search) if not trial.state.is_finished()] == list(begun)


def test_a_directory_that_was_moved_on_one_host_goes_on_at_once(search: Path) -> None:
    killed(search, f"{socket.gethostname()}:/elsewhere/multirun_outputs/s", 1)
    assert "2 done" in run(search.parents[1], *WORDS).out
    assert_whole(search, 2)


def test_another_host_is_named_and_taken_over_when_that_is_asked_for(search: Path, train: Command) -> None:
    killed(search, "container-1:/data/s", 1)
    done = train(*WORDS, "search.take_over=true", check=True)
    assert (done.stderr, "Note" in done.stdout) == ("", False)
    found = assert_whole(search, 2)
    assert [trial.state for trial in found] == [optuna.trial.TrialState.COMPLETE] * 2


def test_without_that_it_says_what_it_waits_for(search: Path) -> None:
    killed(search, "container-1:/data/s", 0, 1)
    assert Queue(search).other_hosts() == {"container-1:/data/s": (2, ALIVE + 1 + 600)}
    out, err = search.parents[1] / "out", search.parents[1] / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = start(search.parents[1], *WORDS, stdout=stdout, stderr=stderr, start_new_session=True)
        try:
            wait_until(process, lambda: err.read_text().endswith("\n"))
        finally:
            process.terminate()
            process.communicate(timeout=300)
    note = err.read_text().splitlines()[0]
    assert re.fullmatch(
        r"Note: container-1:/data/s runs 2 trials, or was killed while it did\. If it gives no sign of life by "
        r"\d\d:\d\d:\d\d, 10 minutes after the last one, they will run here\. .* search\.take_over=true\.",
        note,
    )
    assert "Note" not in out.read_text()
