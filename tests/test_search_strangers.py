"""The directory of a stranger's search: read without trust, in one message, and nothing comes of it elsewhere."""

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import made_searches
import optuna
import pytest
from made_searches import trial
from optuna.trial import TrialState
from runs import run
from test_search_commands import command

from hydra_trials.definition import Definition
from hydra_trials.errors import SearchError
from hydra_trials.journal import open_storage
from hydra_trials.migration import COMPLETE, Migration, newest
from hydra_trials.queue import Queue
from hydra_trials.space import Space
from mlp.searches import results
from mlp.searches.hooks import MlpSearch
from mlp.searches.page import render

MADE = [trial({"lr": 0.1, "optimizer": "sgd"}, 0.5), trial({"lr": 0.2}, state=TrialState.RUNNING, told={1: 0.5})]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made_searches.search(tmp_path / "s", MADE)
    return tmp_path / "s"


def refused(directory: Path) -> str:
    """The message with which all three commands refuse it, and leave it as it is."""
    before = {path.name: path.lstat().st_mtime_ns for path in directory.iterdir()}
    ended = [command(directory.parent, name, directory.name) for name in ("show", "best", "report")]
    assert {(one.code, one.out, one.err) for one in ended} == {(2, "", ended[0].err)}
    assert re.fullmatch(r"Error: .+\n", ended[0].err)
    assert {path.name: path.lstat().st_mtime_ns for path in directory.iterdir()} == before
    return ended[0].err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 5), ("objectives", []), ("objectives", ["a", "a"]), ("objectives", [5]), ("storage", 5),
        ("space", {"a": 5}), ("space", []), ("sampler", None), ("sampler", {"a": 1}), ("pruner", 1), ("fixed", "ab"),
        ("fixed", [1]), ("seeds", "3"), ("parameters", [{"key": "lr"}]), ("parameters", 5), ("study", []),
        ("constraints", {"a": "b"}),
        ("parameters", [{"key": "lr", "when": {}, "length": None, "distribution": {"name": "x", "attributes": {}}}]),
    ],
)  # fmt: skip
def test_a_description_of_wrong_types_is_refused(directory: Path, name: str, value: Any) -> None:
    path = directory / "search.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    assert f"its {name.removesuffix('s')}" in refused(directory)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'"x"', b"\xff\xfe{}", b"9" * 5000, b"{}"])
def test_a_description_that_is_none_is_refused(directory: Path, content: bytes) -> None:
    (directory / "search.json").write_bytes(content)
    assert "search.json is damaged" in refused(directory)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"value":0.5', '"value":"x"', "values that are not 1 numbers"),
        ('"value":0.5', '"value":NaN', "values that are not 1 numbers"),
        ('"value":0.5,"values":null', '"value":null,"values":[1,2]', "values that are not 1 numbers"),
        ('"intermediate_values":{"1":0.5}', '"intermediate_values":{"1":"x"}', "reported values that are no numbers"),
        ('"user_attrs":{"overrides"', '"user_attrs":{"seconds":"x","overrides"', "a wrong attribute seconds"),
        ('"overrides":["lr=0.1","optimizer=sgd"]', '"overrides":5', "a wrong attribute overrides"),
        ('"user_attrs":{"overrides":["lr=0.1","optimizer=sgd"]}', '"user_attrs":5', "attributes that are no mapping"),
        ('"system_attrs":{}', '"system_attrs":{"constraints":["x"]}', "a wrong system attribute constraints"),
        ('"directions":[2]', '"directions":[2,1]', "2 directions for 1 objectives"),
        ('"study_id":0,', "", "KeyError"),
        ('"op_code":4', '"op_code":[4]', "AssertionError"),
    ],
)
def test_a_record_of_wrong_types_is_refused(directory: Path, before: str, after: str, what: str) -> None:
    path = directory / "journal.log"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    message = refused(directory)
    assert "the record of the search in s is damaged: " in message
    assert what in message


@pytest.mark.parametrize("spread", ["x", None, [1], {"a": 1}, 10**400])
def test_a_spread_that_is_no_number_leaves_the_others_readable(directory: Path, spread: Any) -> None:
    path = directory / "journal.log"
    measured = f'"user_attrs":{{"val_accuracy":0.5,"val_accuracy_std":{json.dumps(spread)},"overrides"'
    path.write_text(path.read_text().replace('"user_attrs":{"overrides"', measured))
    ended = [command(directory.parent, name, directory.name) for name in ("show", "report")]
    assert [(one.code, one.err) for one in ended] == [(0, ""), (0, "")]
    assert "0.5000" in ended[0].out


def test_a_name_of_two_lines_is_shown_in_one(directory: Path) -> None:
    description = json.loads((directory / "search.json").read_text())
    (directory / "search.json").write_text(
        json.dumps({"study": description["name"], **description, "name": "two\nlines"})
    )
    said = command(directory.parent, "show", directory.name)
    assert said.out.startswith("two lines: "), said.err


def link(path: Path, outside: Path) -> None:
    shutil.move(path, outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("name", ["search.json", "journal.log"])
def test_links_out_of_it_and_pipes_are_not_followed(directory: Path, name: str, tmp_path: Path) -> None:
    link(directory / name, tmp_path / "elsewhere")
    assert "is a link that leads out of s" in refused(directory)
    (directory / name).unlink()
    os.mkfifo(directory / name)
    assert "is a device or a pipe" in refused(directory)
    (directory / name).unlink()
    (directory / name).symlink_to(tmp_path / "nowhere")
    assert re.search("is a link to nothing|has lost its journal.log", refused(directory))
    assert not (tmp_path / "nowhere").exists()


def test_the_trials_of_others_are_not_taken_for_its_own(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("best_model.npy", "best_config.json", "config.yaml", "summary.json"):
        (outside / name).write_text("secret")
    (directory / "0").symlink_to(outside)
    assert "has no best_model.npy" in command(tmp_path, "best", "s", "--install").err
    (directory / "0").unlink()
    shutil.copytree(outside, directory / "0")
    link(directory / "0" / "best_model.npy", tmp_path / "elsewhere")
    message = command(tmp_path, "best", "s", "--install").err
    assert "is a link that leads out of s: it is not installed" in message
    assert not (tmp_path / "best_model.npy").exists()
    os.mkfifo(directory / "multirun.yaml")  # nobody waits for it
    assert command(tmp_path, "show", "s").code == 0
    assert "hydra" not in render(made_searches.Search(directory)).partition("</head>")[2].partition("<script")[0]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n"


@pytest.mark.parametrize(
    "text",
    [BOMB, "hydra: 5", "hydra: {overrides: {task: 5, hydra: [a]}}", "!!python/object/apply:os.getcwd []", "\0", "["],
)
def test_how_it_was_started_is_unknown_where_that_is_no_plain_yaml(directory: Path, text: str) -> None:
    (directory / "multirun.yaml").write_text(text)
    assert results.command(made_searches.Search(directory)) is None


def test_what_started_it_is_not_resolved(directory: Path) -> None:
    words = "hydra: {overrides: {hydra: [], task: ['a=${oc.env:HOME}', '<b>']}}"
    (directory / "multirun.yaml").write_text(words)
    search = made_searches.Search(directory)
    assert "'a=${oc.env:HOME}' '<b>'" in str(results.command(search))
    assert "&lt;b&gt;" in render(search)


def test_a_database_is_named_by_its_reader_and_only_read(directory: Path, tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    url = f"sqlite:///{database}"
    path = directory / "search.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"storage": f"sqlite:///{database}?password=hush"}))
    message = refused(directory)
    assert f"is recorded in 'sqlite:///{database}', as its search.json says" in message
    assert "--storage URL" in message
    for words, reason in (([url], "unable to open database file"), (["nonsense"], "must be a URL"), ([""], "")):
        ended = command(tmp_path, "show", "s", "--storage", *words)
        assert (ended.code, ended.out) == (2, "")
        assert reason in ended.err
    assert not database.exists()
    database.touch()
    assert "it holds no studies of Optuna" in command(tmp_path, "show", "s", "--storage", url).err
    assert database.stat().st_size == 0


def test_a_search_goes_on_only_where_the_command_line_says(directory: Path, tmp_path: Path) -> None:
    path = directory / "search.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"storage": f"sqlite:///{tmp_path}/study.db"}))
    (tmp_path / "multirun_outputs").mkdir()
    shutil.move(directory, tmp_path / "multirun_outputs" / "s")
    words = ("-m", "-d", "digits", "-e", "1", "tracker=none", "search.name=s", "-o", "sgd,adam")
    for more in ((), ("search.dry_run=true",)):
        assert "To continue there, give search.storage=URL" in run(tmp_path, *words, *more, code=2).err
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize("name", ["running", "2", "journal.log.lock", "workers/0", "workers/0/train.log"])
def test_a_search_writes_in_its_own_directory_only(directory: Path, name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (directory / name).parent.mkdir(exist_ok=True, parents=True)
    to_outside = partial(os.symlink, outside)
    for make, what in ((to_outside, "a link that leads out of the search"), (os.mkfifo, "a device or a pipe")):
        (directory / name).unlink(missing_ok=True)
        make(directory / name)
        with pytest.raises(SearchError, match=f"{name} is {what}"):
            Queue.open(directory, Definition("made", Space([]), (), "tpe", 3, ("val_accuracy",), ("maximize",)))
    assert not outside.exists()


@pytest.mark.parametrize("described", [5, {}, {"space": {}, "parameters": [{"key": 5}]}])
def test_the_definition_in_a_record_is_checked_too(directory: Path, described: Any) -> None:
    (directory / "search.json").unlink()
    study = optuna.load_study(study_name="made", storage=open_storage(directory, None))
    study.set_user_attr(COMPLETE, described)
    with pytest.raises(SearchError, match=r"in the definition of made, its (name|objectives)"):
        Queue.open(directory, Definition("made", Space([]), (), "tpe", 3, ("val_accuracy",), ("maximize",)))


@pytest.mark.parametrize("line", ["{", "5", '{"op_code":0,"worker_id":"x","study_name":5}', "\\xff"])
def test_a_search_does_not_begin_in_a_damaged_record(directory: Path, line: str) -> None:
    (directory / "search.json").unlink()
    with (directory / "journal.log").open("r+b") as file:
        after = file.read()
        file.seek(0)
        file.write(f"{line}\n".encode() + after)
    with pytest.raises(SearchError, match=r"the record of the search in .* is damaged: "):
        Queue.open(directory, Definition("made", Space([]), (), "tpe", 3, ("val_accuracy",), ("maximize",)))


def test_a_trial_whose_values_cannot_be_is_not_taken_over(tmp_path: Path) -> None:
    made = [trial({"lr": 0.1}, 0.5, point=0)]
    directory = made_searches.search(tmp_path / "s", made).directory
    path = directory / "journal.log"
    path.write_text(path.read_text().replace('"params":{"lr":0.1}', '"params":{"lr":"x"}'))
    definition = Definition("made", Space([]), (), "tpe", 3, ("val_loss",), ("minimize",), accept_mismatch=True)
    with pytest.raises(SearchError, match=r"the record of the search in .* is damaged: ValueError: 'x'"):
        Queue.open(directory, definition)


def test_a_study_that_is_numbered_beyond_all_numbers_is_another_one(directory: Path) -> None:
    storage = open_storage(directory, None)
    name = f"made@{'9' * 5000}"
    optuna.create_study(storage=storage, study_name=name).set_user_attr(COMPLETE, {})
    assert newest(storage, "made") == "made"


def test_results_behind_a_link_are_not_taken_for_those_of_a_trial(tmp_path: Path) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "s"
    outside.mkdir()
    (outside / "summary.json").write_text('{"status": "completed", "val_f1": 0.75}')
    definition = Definition("s", Space([]), (), "tpe", 1, ("val_f1",), ("maximize",), seeds=2, hooks=MlpSearch())
    for number in range(2):
        shutil.copytree(outside, directory / "0" / f"seed_{number}")
    done = trial({}, 0.5)
    done.number = 0
    migration = Migration(directory, definition.described(), definition)
    assert migration.measured(done) == [0.75]
    shutil.rmtree(directory / "0" / "seed_1")
    (directory / "0" / "seed_1").symlink_to(outside)
    assert migration.measured(done) is None


def test_a_directory_that_cannot_be_written_is_read(directory: Path) -> None:
    directory.chmod(0o500)
    try:
        ended = command(directory.parent, "show", "s")
        assert (ended.code, ended.err) == (0, "")
        assert {path.name for path in directory.iterdir()} == {"search.json", "journal.log", "journal.log.lock"}
    finally:
        directory.chmod(0o700)
