"""`mlp runs`: every run directory as a row, found again through an index, filtered, compared, verified, removed."""

import fcntl
import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_runs import METRICS, at_work, listed_run, make_run, said

from mlp.base.errors import UserError
from mlp.cli.overrides import to_hydra
from mlp.experiment.directory import locked
from mlp.runs import read, table

pytestmark = pytest.mark.usefixtures("runs_folder")


@pytest.mark.parametrize(
    ("status", "files", "state"),
    [
        ("completed", ("checkpoint.npz",), "completed"),
        ("pruned", (), "pruned"),
        ("diverged", (), "diverged"),
        ("interrupted", ("checkpoint.npz",), "resumable"),
        ("interrupted", (), "interrupted"),
        ("failed", ("checkpoint.npz",), "resumable"),
        ("failed", (), "failed"),
        (None, ("checkpoint.npz",), "resumable"),  # killed
    ],
)
def test_a_row_says_how_a_run_ended(status: str | None, files: tuple[str, ...], state: str) -> None:
    run = listed_run("run", status=status)
    if status is None:
        (run / "summary.json").unlink()
    for name in files:
        (run / name).touch()
    assert read.row(run)["state"] == state
    with at_work(run):
        assert read.row(run)["state"] == "running"


def test_who_looks_at_a_lock_is_no_run_and_stops_none(monkeypatch: pytest.MonkeyPatch) -> None:
    run = listed_run("run")
    looker = os.open(run, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    assert not read.is_running(run)
    with pytest.raises(UserError, match="is being written by another process"), locked(run):
        pass
    monkeypatch.setattr("mlp.experiment.directory.time.sleep", lambda _: os.close(looker))
    with locked(run):
        assert read.is_running(run)


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ((), {}),
        (("seed=3", "tracker=none", "plots=false"), {"seed": 3}),
        (("optimizer=sgd",), {"optimizer": "sgd"}),  # whose own learning rate is no difference
        (("optimizer=sgd", "optimizer.learning_rate=0.5"), {"optimizer": "sgd", "optimizer.learning_rate": 0.5}),
        (("optimizer_options.beta1=0.8", "training.epochs=3"), {"optimizer.beta1": 0.8, "training.epochs": 3}),
        (("augment=mixup", "model.hidden_sizes=[8,4]"), {"augment": "mixup", "model.hidden_sizes": [8, 4]}),
        (
            (*to_hydra(["augment=[erasing,mixup]"]), "augment.steps.mixup.mixup=0.5"),
            {"augment": "[erasing,mixup]", "augment.steps.mixup.mixup": 0.5},
        ),
    ],
)
def test_a_row_has_what_differs_from_the_default(overrides: tuple[str, ...], changed: dict[str, Any]) -> None:
    row: dict[str, Any] = read.row(listed_run("run", *overrides))
    assert row["changed"] == {"dataset": "digits", **changed}
    assert row["config"]["optimizer"] == changed.get("optimizer", "adam")


def test_a_row_has_names_times_and_numbers() -> None:
    listed_run("2026-01-31/12-00-00-1a2b3c", total_seconds=12.5, test_f1=0.25, environment={"cores": 2})
    make_run(Path("multirun_outputs/mine/7/seed_1"), ["dataset=digits"], METRICS)
    (Path("multirun_outputs/mine") / "search.json").write_text("{}")
    trial_row, single = sorted(table.rows(), key=lambda row: row["search"] is None)
    assert (trial_row["name"], trial_row["search"]) == ("mine/7/seed_1", "mine")
    wanted = {"name": "2026-01-31/12-00-00-1a2b3c", "path": "outputs/2026-01-31/12-00-00-1a2b3c", "search": None,
              "state": "completed", "dataset": "digits", "seconds": 12.5, "epoch": 2, "test_f1": 0.25}  # fmt: skip
    assert {key: single[key] for key in wanted} == wanted
    assert "cores" not in single


def test_a_run_that_goes_on_has_the_scores_of_its_best_epoch() -> None:
    run = listed_run("run")
    (run / "summary.json").unlink()
    (run / "best_config.json").write_text(json.dumps({"val_accuracy": 0.5, "learning_rate": 0.1, "best_epoch": 1}))
    with (run / "metrics.csv").open("a") as file:
        file.write("3,0.0")  # cut off by a kill
    row = read.row(run)
    assert (row["val_accuracy"], row["best_epoch"], row["epoch"], row["seconds"]) == (0.5, 1, 2, None)
    assert "learning_rate" not in row
    assert str(row["started"]).startswith("20")


def test_runs_are_found_once_and_not_where_nobody_keeps_any(three: list[Path]) -> None:
    shutil.copytree(three[0], three[0] / "plots" / "copy")
    shutil.copytree(three[0], Path("outputs/.hidden"))
    Path("outputs/other").mkdir()
    Path("outputs/other/config.yaml").write_text("a: 1")  # of another program
    assert sorted(read.find()) == sorted(three)
    assert sorted(read.find(["outputs", "outputs/day/", Path.cwd() / "outputs"])) == sorted(three)
    assert read.find([three[0]]) == [three[0]]
    with pytest.raises(UserError, match=r"^nowhere is no folder"):
        read.find(["nowhere"])


HOSTILE = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "deep": "- " * 200_000,
    "deep brackets": "[" * 100_000,
    "deep lines": "".join(" " * level + "a:\n" for level in range(900)),
    "a list": "[1, 2]",
    "no YAML": "a: [b",
    "empty": "",
    "binary": "\x00\x01",
    "other types": "optimizer: 3\ndataset: null\nchoices: [1]",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_run_is_a_row_and_crashes_nothing(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed_run("good")
    (listed_run("bad") / "config.yaml").write_text(content)
    states = {row["name"]: row["state"] for row in table.rows()}
    assert states["outputs/good"] == "completed"
    assert states["outputs/bad"] in ("damaged", "completed")
    assert "good" in said(capsys, "list")
    if states["outputs/bad"] == "damaged":
        assert said(capsys, "show", "outputs/bad", code=2).startswith("Error: outputs/bad is damaged: ")


def test_names_may_be_any_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    good = listed_run("good")
    for name in (b"no text \xff", b"two\nlines", b"\x1b[2J"):
        shutil.copytree(good, os.fsdecode(b"outputs/" + name))
    assert len(table.rows()) == len(table.rows()) == 4
    for words in (("list",), ("list", "--csv"), ("compare", "outputs/good", "outputs/no"), ("show", "outputs/two")):
        text = said(capsys, *words)
        assert "\x1b" not in text or "--csv" in words
    assert {row["name"] for row in json.loads(said(capsys, "list", "--json"))} == {
        row["name"] for row in table.rows()
    }
    assert "\x1b" not in said(capsys, "show", "outputs/", code=2)


def test_a_damaged_summary_is_named_by_show(capsys: pytest.CaptureFixture[str]) -> None:
    (listed_run("bad") / "summary.json").write_text('{"status": ')
    assert table.rows()[0]["state"] == "damaged"
    assert re.match(
        r"Error: \S*bad is damaged: \S*bad/summary.json is not a JSON object", said(capsys, "show", "last", code=2)
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are read, not taken from the index."""
    original, seen = read.ended_row, []

    def counting(path: str) -> dict[str, object]:
        seen.append(str(path))
        return original(path)

    monkeypatch.setattr(read, "ended_row", counting)
    return seen


def test_the_index_spares_reading_what_has_not_changed(three: list[Path], counted: list[str]) -> None:
    before = table.rows()
    assert len(counted) == 3
    assert table.rows() == before
    assert table.rows([Path("outputs/day").absolute()])[0]["path"] == str(Path(three[0]).absolute())
    assert len(counted) == 3
    summary = json.loads((three[1] / "summary.json").read_text())
    (three[1] / "summary.json").write_text(json.dumps({**summary, "val_accuracy": 0.1}))
    shutil.rmtree(three[2])
    after = table.rows()
    assert [row["val_accuracy"] for row in after] == [0.8, 0.1]
    assert len(counted) == 4
    with closing(sqlite3.connect(Path("cache") / table.INDEX)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def _damage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _lie(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE runs SET row = '{\"state\": 1}'")


def _replace(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_damage, _lie, _replace])
@pytest.mark.usefixtures("three")
def test_a_spoiled_index_costs_time_only(counted: list[str], spoil: Any) -> None:
    before = table.rows()
    spoil(Path("cache") / table.INDEX)
    assert table.rows() == before
    assert len(counted) == 6
    table.rows()
    assert len(counted) == (9 if spoil is _replace else 6)  # else it is whole again


@pytest.mark.usefixtures("three")
def test_other_options_or_code_make_other_rows(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table.rows()
    monkeypatch.setattr(table, "_version", lambda: "other")
    table.rows()
    assert len(counted) == 6
