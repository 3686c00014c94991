"""`mlp runs`: every run directory as a row, found again through an index, filtered, compared, verified, removed."""

import csv
import fcntl
import io
import json
import os
import re
import shutil
import sqlite3
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run
from made_searches import search, trial

import mlp
from mlp.base.errors import UserError
from mlp.experiment.directory import locked
from mlp.runs import listing, read, select, table
from mlp.runs.__main__ import main
from mlp.runs.detail import sparkline

METRICS = {"val_accuracy": [0.5, 0.75], "train_loss": [2.0, 1.0]}


@pytest.fixture(autouse=True)
def _index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def made(name: str, *overrides: str, **summary: Any) -> Path:
    facts = {"started": "2026-01-02T03:04:05+00:00", "epochs": 2, "best_epoch": 2, "val_accuracy": 0.75, **summary}
    return make_run(Path("outputs") / name, ["dataset=digits", *overrides], METRICS, facts)


@pytest.fixture
def three() -> list[Path]:
    """Three runs: the newest is sgd's, the best adam's; one was pruned."""
    return [
        made("day/10-00-00-aaa111", "optimizer=sgd", val_accuracy=0.8, started="2026-01-04T00:00:00+00:00"),
        made("day/09-00-00-bbb222", "seed=7", val_accuracy=0.9, started="2026-01-03T00:00:00+00:00"),
        made("day/08-00-00-abc333", "seed=8", "model.hidden_sizes=[64,32]", status="pruned", val_accuracy=0.99),
    ]


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What `mlp runs` prints: on stdout, or after a mistake on stderr."""
    ended = pytest.raises(SystemExit) if code else nullcontext()
    with ended as end:  # type: ignore[attr-defined]
        main(list(words))
    assert (end.value.code if code else 0) == code
    out, err = capsys.readouterr()
    return err if code == 2 else out


@contextmanager
def at_work(directory: Path) -> Iterator[None]:
    """As if a training, whose lock does not belong to this open file, were at work there."""
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


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
    run = made("run", status=status)
    if status is None:
        (run / "summary.json").unlink()
    for name in files:
        (run / name).touch()
    assert read.row(run)["state"] == state
    with at_work(run):
        assert read.row(run)["state"] == "running"


def test_who_looks_at_a_lock_is_no_run_and_stops_none() -> None:
    run = made("run")
    looker = os.open(run, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    assert not read.is_running(run)
    with pytest.raises(UserError, match="is being written by another process"), locked(run):
        pass
    threading.Timer(0.03, os.close, [looker]).start()
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
    ],
)
def test_a_row_has_what_differs_from_the_default(overrides: tuple[str, ...], changed: dict[str, Any]) -> None:
    row: dict[str, Any] = read.row(made("run", *overrides))
    assert row["changed"] == {"dataset": "digits", **changed}
    assert row["config"]["optimizer"] == changed.get("optimizer", "adam")


def test_a_row_has_names_times_and_numbers() -> None:
    made("2026-01-31/12-00-00-1a2b3c", total_seconds=12.5, test_f1=0.25, environment={"cores": 2})
    make_run(Path("multirun_outputs/mine/7/seed_1"), ["dataset=digits"], METRICS)
    (Path("multirun_outputs/mine") / "search.json").write_text("{}")
    trial_row, single = sorted(table.rows(), key=lambda row: row["search"] is None)
    assert (trial_row["name"], trial_row["search"]) == ("mine/7/seed_1", "mine")
    wanted = {"name": "2026-01-31/12-00-00-1a2b3c", "path": "outputs/2026-01-31/12-00-00-1a2b3c", "search": None,
              "state": "completed", "dataset": "digits", "seconds": 12.5, "epoch": 2, "test_f1": 0.25}  # fmt: skip
    assert {key: single[key] for key in wanted} == wanted
    assert "cores" not in single


def test_a_run_that_goes_on_has_the_scores_of_its_best_epoch() -> None:
    run = made("run")
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
    made("good")
    (made("bad") / "config.yaml").write_text(content)
    states = {row["name"]: row["state"] for row in table.rows()}
    assert states["outputs/good"] == "completed"
    assert states["outputs/bad"] in ("damaged", "completed")
    assert "good" in said(capsys, "list")
    if states["outputs/bad"] == "damaged":
        assert said(capsys, "show", "outputs/bad", code=2).startswith("Error: outputs/bad is damaged: ")


def test_names_may_be_any_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    good = made("good")
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
    (made("bad") / "summary.json").write_text('{"status": ')
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
    with sqlite3.connect(Path("cache") / table.INDEX) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def _damage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _lie(path: Path) -> None:
    with sqlite3.connect(path) as database:
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


WHERE = {
    "optimizer=sgd": [True, False, False],
    "optimizer=SGD or seed==7": [True, True, False],
    "not optimizer=sgd and val_accuracy>0.95": [False, False, True],
    "not (optimizer=sgd or state=pruned)": [False, True, False],
    "val_accuracy>=0.9": [False, True, True],
    "lr<0.01": [False, True, True],
    "learning_rate = 1e-1": [True, False, False],
    "hidden_sizes=[64,32]": [False, False, True],
    "hidden_sizes != '[64, 32]'": [True, True, False],
    "name~BBB2": [False, True, False],
    "started>2026-01-03T12": [True, False, False],
    "search=null and experiment=none and patience=null": [True, True, True],
    "augment=none and normalization!=batch_norm": [True, True, True],  # an option of this name, not nothing
    "search~n or augment=null": [False, False, False],
    "val_f1>0 or val_f1=null": [True, True, True],
    "val_f1!=0.5": [True, True, True],
    "decoupled_weight_decay=false": [True, True, True],
    "optimizer.beta1=0.9": [False, True, True],
}


@pytest.mark.parametrize(("expression", "expected"), WHERE.items())
@pytest.mark.usefixtures("three")
def test_where_chooses_runs(expression: str, expected: list[bool]) -> None:
    rows = table.rows()
    chosen = select.chosen(rows, expression)
    assert [row in chosen for row in rows] == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("optimzer=adam", r"column 'optimzer' is unknown \(did you mean 'optimizer'\?\)"),
        ("_target_=1", r"column '_target_' is unknown"),
        ("validation=0", r"column 'validation' is unknown"),
        ("", r"expected a column at its end"),
        ("seed=1 and", r"expected a column at its end"),
        ("seed", r"expected =, !=, <, <=, >, >= or ~ after 'seed'"),
        ("seed=", r"expected a value after seed="),
        ("(seed=1", r"a '\)' is missing"),
        ("seed=1)", r"expected 'and' or 'or' before '\)'"),
        ("seed>high", r"seed holds numbers: compare it with one, not with 'high'"),
        ("seed='1", r"\"'1\" is no part of one"),
        ("(" * 1500 + "seed=1", r"too many brackets"),
        ("seed=1 or " * 300, r"--where has 3,000 characters; at most 2,000"),
    ],
)
@pytest.mark.usefixtures("three")
def test_a_wrong_expression_is_refused(capsys: pytest.CaptureFixture[str], expression: str, message: str) -> None:
    assert re.match(rf"Error: .*{message}", said(capsys, "list", "--where", expression, code=2))


@pytest.mark.usefixtures("three")
def test_the_list_is_sorted_cut_and_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    def names(*words: str) -> list[str]:
        return [row["name"][-6:] for row in json.loads(said(capsys, "list", "--json", *words))]

    assert names() == ["aaa111", "bbb222", "abc333"]  # newest first
    assert names("--sort", "val_accuracy") == ["aaa111", "bbb222", "abc333"]
    assert names("--sort", "val_accuracy", "-r", "-n", "2") == ["abc333", "bbb222"]
    assert names("--sort", "optimizer.beta1") == ["bbb222", "abc333", "aaa111"]  # sgd has none
    assert names("--sort", "optimizer.beta1", "-r")[-1] == "aaa111"
    chosen = json.loads(said(capsys, "list", "outputs", "--json", "--columns", "lr,state", "--where", "seed=7"))
    assert chosen == [{"optimizer.learning_rate": 0.001, "state": "completed"}]
    lines = list(csv.DictReader(io.StringIO(said(capsys, "list", "--csv"))))
    assert [line["optimizer"] for line in lines] == ["sgd", "adam", "adam"]
    assert lines[2]["changed"] == "dataset=digits model.hidden_sizes=[64,32] seed=8"
    assert said(capsys, "list", "--where", "seed=7").endswith("1 of 3 runs: 1 completed\n")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.usefixtures("three")
def test_a_terminal_gets_lines_that_fit_it(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made("day/" + "n" * 90 + "-日本語\x1b[2J", "seed=9")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    text = said(capsys, "list")
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "\x1b[2J" not in text
    assert "\x1b[32mcompleted" in text
    assert max(map(listing.cell_len, plain.splitlines())) <= columns
    assert plain.count("hidden_sizes=[64,32]") == 1
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said(capsys, "list")


def test_runs_are_named_by_what_is_unique(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    def found(name: str, where: str | None = None) -> str:
        return str(select.lookup([name], (), where)[0]["name"])[-6:]

    assert [found(name) for name in ("last", "best", "day/09", "09", "bbb", "abc333")] == [
        "aaa111", "bbb222", "bbb222", "bbb222", "bbb222", "abc333",
    ]  # fmt: skip
    assert found(str(three[2])) == found("last", "state=pruned") == "abc333"
    for name, message in [
        ("a", r"'a' begins the names of 2 runs: day/10-00-00-aaa111, day/08-00-00-abc333. Give more of one"),
        ("aaa112", r"no run below .* is called 'aaa112' or begins so \(did you mean 'aaa111'\?\)"),
    ]:
        assert re.match(f"Error: {message}", said(capsys, "show", name, code=2))
    assert said(capsys, "show", "best", "--where", "state=pruned", code=2).startswith("Error: no completed run")
    assert "there is no such run below" in said(capsys, "show", "last", "--where", "seed=99", code=2)


def test_show_has_scores_curves_differences_and_commands(
    three: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (three[1] / "summary.json").write_text(
        json.dumps({"status": "interrupted", "reason": "KeyboardInterrupt", "environment": {"git": "abc123+changes"}})
    )
    (three[1] / "checkpoint.npz").touch()
    text = said(capsys, "show", "bbb")
    for line in (
        "day/09-00-00-bbb222: resumable after epoch 2 of 10: KeyboardInterrupt",
        "  seed=7",
        "train_loss      █▁  2 to 1",
        "Again: python train.py dataset=digits seed=7",
        "Continue: python train.py resume=outputs/day/09-00-00-bbb222",
        "Source: commit abc123, with changes that were not committed: the commit alone does not make it again",
    ):
        assert line in text.splitlines()
    assert re.search(r"^accuracy +0\.8000 +0\.5000$", said(capsys, "show", "aaa"), re.MULTILINE)  # val, test


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([1, 1, 1], 8, "▁▁▁"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([0, float("nan"), float("inf"), 1], 9, "▁  █"),
        ([], 5, ""),
    ],
)
def test_a_curve_in_characters(values: list[float], width: int, line: str) -> None:
    assert sparkline(values, width) == line


@pytest.mark.usefixtures("three")
def test_compare_shows_what_differs_and_draws_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "compare", "aaa", "bbb", "--plot", "plots/both.png")
    assert re.search(r"^  optimizer +sgd +adam$", text, re.MULTILINE)
    assert re.search(r"^  optimizer.beta1 +- +0.9$", text, re.MULTILINE)
    assert re.search(r"^  val_accuracy +0\.8000 +0\.9000$", text, re.MULTILINE)
    assert "model.hidden_sizes" not in text
    assert "Environment (3 alike): no difference" in text
    assert Path("plots/both.png").read_bytes().startswith(b"\x89PNG")
    assert "takes two runs or more" in said(capsys, "compare", "aaa", code=2)


def test_verify_trains_again_and_tells_the_first_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mlp.train("-d", "digits", "-e", "2", "schedule=cosine", "tracker=none", directory=tmp_path / "outputs/run")
    files = {path: path.stat().st_mtime_ns for path in run.directory.iterdir()}
    weights = run.summary["weights_sha256"][:12]
    assert f"The same bits: metrics of epochs 1 to 2, and the weights (SHA-256 {weights})" in said(
        capsys, "verify", "run"
    )
    assert "The same bits: metrics of epoch 1\n" in said(capsys, "verify", "run", "--epochs", "1")
    assert "--epochs must be at most 2" in said(capsys, "verify", "run", "--epochs", "3", code=2)
    assert {path: path.stat().st_mtime_ns for path in run.directory.iterdir()} == files
    lines = (run.directory / "metrics.csv").read_text().splitlines()
    wrong = lines[2].split(",")
    wrong[lines[0].split(",").index("val_loss")] = "0.5"
    (run.directory / "metrics.csv").write_text("\n".join([*lines[:2], ",".join(wrong), ""]))
    summary = {**run.summary, "weights_sha256": "0" * 64}
    summary["environment"]["numpy"] = "1.0"
    (run.directory / "summary.json").write_text(json.dumps(summary))
    text = said(capsys, "verify", "run", code=1)
    assert "Epoch 2 is the first that differs: val_loss 0.5 then, " in text
    assert f"The weights differ: SHA-256 000000000000 then, {weights} now" in text
    assert f"numpy: 1.0 then, {np.__version__} now" in text


def test_rm_says_what_it_would_do_and_never_takes_a_running_one(
    three: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("rm", "aaa"), ("rm", "--where", "seed>=0", "--yes", "--dry-run"), ("archive", "aaa")):
        assert "Nothing has been done. With --yes: " in said(capsys, *words)
    assert "which runs?" in said(capsys, "rm", "--yes", code=2)
    assert all(path.is_dir() for path in three)
    with at_work(three[0]):
        text = said(capsys, "rm", "--where", "seed!=8", "--yes")
    assert "keep day/10-00-00-aaa111: it is running" in text
    assert "remove day/09-00-00-bbb222: completed" in text
    assert [path.is_dir() for path in three] == [True, False, True]


def test_rm_checkpoints_keeps_those_that_are_needed(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (three[1] / "summary.json").write_text('{"status": "interrupted"}')
    for path in three:
        (path / "checkpoint.npz").write_bytes(b"x" * 2500)
    text = said(capsys, "rm", "--where", "seed>=0", "--checkpoints", "--yes")
    assert "keep day/09-00-00-bbb222: it is resumable and goes on from its checkpoint" in text
    assert text.endswith("Done: 2 runs, 5.0 kB.\n")
    assert [(path / "checkpoint.npz").exists() for path in three] == [False, True, False]
    assert all((path / "config.yaml").exists() for path in three)


def test_the_best_of_a_search_stays(capsys: pytest.CaptureFixture[str]) -> None:
    place = Path("multirun_outputs/mine")
    search(place, [trial({"lr": 0.1}, 0.5), trial({"lr": 0.2}, 0.9), trial({"lr": 0.3}, 0.7)])
    for name in ("0", "1/seed_0", "1/seed_1", "2"):
        make_run(place / name, ["dataset=digits"], METRICS)
    text = said(capsys, "rm", "--where", "search=mine", "--yes")
    assert re.findall(r"keep (\S+): it is the best of mine", text) == ["mine/1/seed_1", "mine/1/seed_0"]
    assert sorted(path.name for path in place.iterdir() if path.is_dir()) == ["1"]
    (place / "search.json").write_text("{")
    text = said(capsys, "rm", str(place / "1" / "seed_0"), "--yes")
    assert "nobody knows the best of its search" in text or "it is the best" in text
    assert (place / "1" / "seed_0").is_dir()


def test_an_archive_has_the_whole_run(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    content = {path.name: path.read_bytes() for path in three[0].iterdir()}
    said(capsys, "archive", "aaa", "--yes", "--to", "kept")
    assert not three[0].exists()
    with tarfile.open("kept/day_10-00-00-aaa111.tar.gz") as packed:
        packed.extractall("outputs", filter="data")
    assert {path.name: path.read_bytes() for path in three[0].iterdir()} == content
    text = said(capsys, "archive", "aaa", "--yes", "--to", "kept")  # it would replace the first
    assert "keep day/10-00-00-aaa111: kept/day_10-00-00-aaa111.tar.gz exists" in text
    assert three[0].is_dir()


def test_a_run_is_sent_to_trackio_once(
    three: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trackio")
    import trackio.utils

    monkeypatch.setattr(trackio.utils, "TRACKIO_DIR", tmp_path / "trackio")
    import trackio.sqlite_storage

    monkeypatch.setattr(trackio.sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")
    with at_work(three[2]):
        assert "2 of 3 runs sent" in said(capsys, "send", "trackio", "--project", "mine")
        text = said(capsys, "send", "trackio", "--project", "mine")
    assert text.count("is there already") == 2
    assert "day/08-00-00-abc333: not sent, it is running" in text
    (path,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(path) as database:
        names = {name for (name,) in database.execute("SELECT DISTINCT run_name FROM metrics")}
        logged = [json.loads(row) for (row,) in database.execute("SELECT metrics FROM metrics")]
    assert names == {"day/10-00-00-aaa111", "day/09-00-00-bbb222"}
    assert [row["train_loss"] for row in logged if row.get("epoch") == 2] == [1.0, 1.0]
    assert sorted(row["results/val_accuracy"] for row in logged if "results/val_accuracy" in row) == [0.8, 0.9]
