"""`mlp runs`: runs are chosen, listed, shown, compared, verified, removed, packed and sent."""

import csv
import io
import json
import re
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_runs import METRICS, at_work, listed_run, make_run, said
from made_searches import search, trial

import mlp
from mlp.runs import listing, select, table
from mlp.runs.detail import sparkline

pytestmark = pytest.mark.usefixtures("runs_folder")

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


def test_a_wrong_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    message = said(capsys, "lst", code=2)
    assert message.startswith(
        "Error: command 'lst' is unknown; did you mean 'list'? Allowed: archive, compare, list, "
    )


@pytest.mark.usefixtures("three")
def test_the_list_is_sorted_cut_and_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    def names(*words: str) -> list[str]:
        return [row["name"][-6:] for row in json.loads(said(capsys, "list", "--json", *words))]

    assert names() == ["aaa111", "bbb222", "abc333"]  # newest first
    assert names("--sort", "val_accuracy") == ["aaa111", "bbb222", "abc333"]
    assert names("--sort", "val_accuracy", "-r", "-n", "2") == ["abc333", "bbb222"]
    assert names("--sort=-val_accuracy", "-n", "2") == ["abc333", "bbb222"]
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
    listed_run("day/" + "n" * 90 + "-日本語\x1b[2J", "seed=9")
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
        ("outputs", r"outputs is no run, but a folder with 3 of them\. .* --in outputs --where EXPR"),
        ("aaa112", r"no run below .* is called 'aaa112' or begins so \(did you mean 'aaa111'\?\)"),
    ]:
        assert re.match(f"Error: {message}", said(capsys, "show", name, code=2))
    assert said(capsys, "show", "best", "--where", "state=pruned", code=2).startswith("Error: no completed run")
    assert "there is no run 'last' below" in said(capsys, "show", "last", "--where", "seed=99", code=2)


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
        metrics = three[0] / "metrics.csv"
        rows = metrics.read_text()
        metrics.write_text(rows.splitlines()[0] + "\n")
        text = said(capsys, "send", "trackio", "--project", "other")
        assert "day/10-00-00-aaa111: not sent, its metrics.csv has no epoch" in text
        assert "1 of 3 runs sent" in text
        metrics.write_text(rows)
        assert "2 of 3 runs sent" in said(capsys, "send", "trackio", "--project", "mine")
        text = said(capsys, "send", "trackio", "--project", "mine")
    assert text.count("is there already") == 2
    assert "day/08-00-00-abc333: not sent, it is running" in text
    (path,) = (tmp_path / "trackio").glob("mine*.db")
    with closing(sqlite3.connect(path)) as database:
        names = {name for (name,) in database.execute("SELECT DISTINCT run_name FROM metrics")}
        logged = [json.loads(row) for (row,) in database.execute("SELECT metrics FROM metrics")]
    assert names == {"day/10-00-00-aaa111", "day/09-00-00-bbb222"}
    assert [row["train_loss"] for row in logged if row.get("epoch") == 2] == [1.0, 1.0]
    assert sorted(row["results/val_accuracy"] for row in logged if "results/val_accuracy" in row) == [0.8, 0.9]
