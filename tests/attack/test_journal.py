"""The record of a search cut off at every byte, and written by processes that are killed all the time."""

import json
import os
import random
import signal
import time
from pathlib import Path

import made_searches
import optuna
import pytest
from made_searches import trial
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from runs import fork

from hydra_trials.errors import SearchError
from hydra_trials.journal import open_storage
from hydra_trials.search import Search

pytestmark = pytest.mark.slow

WRITERS, KILLS = 8, 300


def facts(search: Search) -> list[object]:
    return [(one.number, one.state, one.values, one.params, one.user_attrs) for one in search.trials()]


@pytest.mark.timeout(900)
def test_a_journal_that_is_cut_off_anywhere_has_all_its_whole_lines(tmp_path: Path) -> None:
    """What follows is written after them, and Optuna itself reads it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made_searches.search(tmp_path, [trial({"lr": 0.1, "optimizer": "sgd"}, 0.5), trial({"lr": 0.2}, 0.7)])
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    expected, told = None, b""
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        lines = whole[:end].rpartition(b"\n")[0]
        if not lines:
            with pytest.raises(SearchError, match=r"it holds no search|is damaged"):
                Search(tmp_path)
            continue
        if lines != told:  # a further line: this is what there is now
            path.write_bytes(lines + b"\n")
            expected, told = facts(Search(tmp_path)), lines
            path.write_bytes(whole[:end])
        found = Search(tmp_path)
        assert facts(found) == expected, end
        if end % 7 == 0:
            found.study.enqueue_trial({"lr": 0.5})
            assert all(json.loads(line) for line in path.read_bytes().splitlines())
            storage = JournalStorage(JournalFileBackend(str(path)))
            assert len(optuna.load_study(study_name="made", storage=storage).trials) == len(expected or ()) + 1


def write_trials(directory: Path, writer: int) -> None:
    """Begin and end trials for ever; each that is told is acknowledged in a file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name="s", storage=open_storage(directory, None), load_if_exists=True)
    acknowledged = os.open(directory / f"told-{writer}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        one = study.ask()
        one.set_user_attr("writer", writer)
        study.tell(one, float(one.number))
        os.write(acknowledged, b"%d\n" % one.number)


@pytest.mark.timeout(900)
def test_writers_that_are_killed_lose_no_trial_that_was_told(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "journal.log"
    children: dict[int, int] = {}
    try:
        for kill in range(WRITERS + KILLS):
            writer = kill if kill < WRITERS else rng.randrange(WRITERS)
            if writer in children:
                os.kill(children[writer], signal.SIGKILL)
                assert os.waitstatus_to_exitcode(os.waitpid(children.pop(writer), 0)[1]) == -signal.SIGKILL
            if (child := os.fork()) == 0:
                try:
                    write_trials(tmp_path, writer)
                finally:
                    os._exit(1)
            children[writer] = child
            time.sleep(rng.uniform(0.0, 0.1))
            if kill % 50 == 49:  # a journal of all of it would take long to read at each start
                for other in children.values():
                    os.kill(other, signal.SIGKILL)
                    os.waitpid(other, 0)
                children.clear()
                assert_nothing_lost(tmp_path)
                path.unlink()
                for told in tmp_path.glob("told-*"):
                    told.unlink()
    finally:
        for child in children.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert_nothing_lost(tmp_path)


def assert_nothing_lost(directory: Path) -> None:
    """Every acknowledged trial is complete in the record, with its value; who writes next mends what is torn."""
    study = optuna.load_study(study_name="s", storage=open_storage(directory, None))
    found = study.trials
    for told in directory.glob("told-*"):
        for number in map(int, told.read_text().split()):
            assert (found[number].state, found[number].values) == (TrialState.COMPLETE, [float(number)])
            assert found[number].user_attrs == {"writer": int(told.name.removeprefix("told-"))}
    assert sum(len(told.read_text().split()) for told in directory.glob("told-*")) > 0
    assert fork(lambda: study.tell(study.ask(), 1.0))() == 0
    assert all(json.loads(line) for line in (directory / "journal.log").read_bytes().splitlines())
