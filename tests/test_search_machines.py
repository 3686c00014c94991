"""Machines that share nothing but a database work on one search together."""

import re
from pathlib import Path

import pytest
import runs
from conftest import Command

from hydra_trials.passwords import without_password

SEARCH = (
    "-m", "-d", "digits", "-e", "3", "-sz", "16", "-o", "sgd,momentum,nag,adam,nadam,rmsprop", "tracker=none",
    "search.name=shared", "search.workers=1",
)  # fmt: skip


def told(place: Path, name: str) -> set[str]:
    """The trials that have a directory on this machine."""
    return {path.parent.name for path in (place / name / "multirun_outputs" / "shared").glob("*/summary.json")}


@pytest.mark.slow
def test_two_that_begin_at_once_run_every_point_once(tmp_path: Path) -> None:
    storage = f"search.storage=sqlite:///{tmp_path}/study.db"
    machines = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        machines.append(runs.start(tmp_path / name, *SEARCH, storage))
    ended = [runs.finish(machine) for machine in machines]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert any("shared: 6 done" in one.out for one in ended)  # the one that ends last sees all
    one, two = told(tmp_path, "one"), told(tmp_path, "two")
    assert not one & two
    assert len(one | two) == 6
    again = runs.run(tmp_path / "one", *SEARCH, storage)
    assert "is complete: nothing is left to run" in again.out
    assert "shared: 6 done" in again.out


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense://me@host", "Can't load plugin: sqlalchemy.dialects:nonsense"),
        ("postgres://me:hush@127.0.0.1/x", "Can't load plugin: sqlalchemy.dialects:postgres"),
        ("sqlite:////nowhere/study.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_message(url: str, reason: str, train: Command) -> None:
    done = train(*SEARCH, f"search.storage={url}")
    assert done.returncode == 2
    shown = re.escape(without_password(url))
    assert re.fullmatch(rf"Error: the storage '{shown}' cannot be opened: .*{re.escape(reason)}.*\n", done.stderr)
    assert "hush" not in done.stderr
