"""The studies in W&B: everything that a study can hold, published offline and read back from the files of its run;
and online, to a server that answers as W&B's does."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb_file
from forks import python
from made_runs import make_run
from PIL import Image
from wandb_server import answering_server, environment

# `python -m mlp.report` with studies made by hand, which read the runs of a real experiment.
PROGRAM = """
import sys
import numpy as np
from mlp.base.errors import UserError
from mlp.report import __main__, style
from mlp.report import build
from mlp.report.blocks import Analysis, Confusion, Fold, Gallery, Histogram, Lines, Picture, Table
from mlp.report.studies.study import Study

def draw():
    figure = style.new_figure(5, 3)
    figure.subplots().plot([1, 2])
    return figure

class Made(Study):
    name, title, question, seconds = "made", "Tags <b> & more", "Which is better, and why?", 1
    experiment = "loss_comparison"

    def analyse(self, found):
        return Analysis(
            blocks=[
                "The **first** is ahead: 1 < 2.",
                Fold("In detail"),
                Picture("made_figure", draw, "What *it* shows."),
                Table(["optimizer", "accuracy"], [["sgd", "97.69 ± 0.10 %"], ["adam", "a|b"]], "Of two seeds."),
                Table(["class"], [["7"]]),
                Fold(),
                "The last words.",
                "References: A. Author: A work, 1999.",
            ],
            facts={"accuracy/sgd": np.float64(0.25), "counts": np.array([1, 2]), "best": "sgd", "none": np.nan},
            charts=[
                Lines("loss/sgd", np.array([1.0, 2.0, 3.0]),
                      {"seed 0": [1.0, 0.5, 0.25], "seed 3": np.array([2.0, np.nan, np.inf])}, "epoch"),
                Histogram("weights", np.array([4, 0, 2]), np.array([-1.0, -0.5, 0.0, 1.5])),
                Confusion("matrix", np.array([0, 0, 0, 2, 2]), np.array([0, 0, 2, 2, 0], np.uint8),
                          ("cat", "dog", "emu")),
                Gallery("mistakes", ["image", "true", "share"],
                        [[np.full((8, 6), 200, np.uint8), "cat", np.float32(0.5)],
                         [np.full((4, 5, 3), 100, np.uint8), "dog", 1]]),
            ],
        )

class Unanswered(Made):
    name = "unanswered"
    def analyse(self, found):
        raise UserError("too few runs")

class Broken(Made):
    name = "broken"
    def analyse(self, found):
        return Analysis(["Text."], {}, [Histogram("wrong", np.array([1, 2]), np.array([0.0, 1.0]))])

build.STUDIES = (Made(), Unanswered(), Broken())
hidden, *arguments = sys.argv[1:]
if hidden:
    sys.modules[hidden] = None  # as if this package were not installed
__main__.main(["publish", "--dataset", "digits", "--out", "out", *arguments])
"""
SETUP = (
    "**Setup:** digits; hidden layers 128-128-128; activation ReLU; init Xavier; loss cross-entropy; optimizer Adam; "
    "learning rate 0.001; batch size 64; epochs 10; seeds 0 and 3; 2 runs."
)
COMMAND = "python train.py +experiment=loss_comparison dataset=digits"


@dataclass
class Published:
    """A `publish` that has ended."""

    place: Path
    process: subprocess.CompletedProcess[str]

    @property
    def lines(self) -> list[str]:
        return self.process.stdout.splitlines()

    @cached_property
    def file(self) -> Path:
        (file,) = wandb_file.find(self.place / "out")
        return file

    @cached_property
    def content(self) -> wandb_file.WandbFile:
        return wandb_file.read(self.file)

    @cached_property
    def logged(self) -> dict[str, Any]:
        """The one row of the history."""
        (row,) = self.content.history
        return row

    def path(self, key: str) -> Path:
        """The file of a text, a figure or a table."""
        return self.file.parent / "files" / self.logged[key]["path"]

    def table(self, key: str) -> dict[str, Any]:
        return json.loads(self.path(key).read_text())  # type: ignore[no-any-return]


def publish(place: Path, *arguments: str, hidden: str = "", **variables: str) -> Published:
    """Publish the studies made by hand, from two runs made by hand."""
    for number, seed in enumerate((3, 0)):
        overrides = ["dataset=digits", f"seed={seed}"]
        metrics = {"val_loss": [1.0, 0.5]}
        directory = place / "multirun_outputs" / "loss_comparison-digits" / str(number)
        make_run(directory, overrides, metrics, {"total_seconds": 4})
    process = python("-c", PROGRAM, hidden, *arguments, cwd=place, env=environment(place, **variables))
    return Published(place, process)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Published:
    place = tmp_path_factory.mktemp("offline")
    return publish(place, "--project", "course", "--entity", "someone", "--only", "made", "unanswered")


def test_offline_it_says_what_it_would_upload_and_how(offline: Published) -> None:
    assert offline.process.returncode == 0, offline.process.stderr
    first, made, paste, advice, command = offline.lines
    assert paste == "The text to paste into a report by hand: out/wandb.md"
    assert "*Insert figures/made_figure.png here" in (offline.place / "out" / "wandb.md").read_text()
    assert first == "W&B is offline (not logged in)"
    assert made == "  made: 3 texts, 1 figure, 2 tables, 4 charts, 4 numbers"
    assert advice.startswith("Not uploaded: 1 of 1. Online (wandb login; no WANDB_MODE=offline) the same command ")
    assert command == f"wandb sync {offline.file.parent}"
    assert offline.process.stderr == "unanswered is left out: too few runs\n"


def test_the_upload_command_is_one_that_wandb_takes(offline: Published) -> None:
    name, verb, *folders = shlex.split(offline.lines[-1])
    program = [sys.executable, "-m", name, verb, "--dry-run", *folders]
    said = subprocess.run(program, env=environment(offline.place), capture_output=True, text=True, check=True)
    assert "Would sync 1 run" in said.stderr
    assert offline.file.name in said.stderr


def test_the_run_is_labelled(offline: Published) -> None:
    run = offline.content.run
    assert (run.project, run.entity, run.run_group, run.job_type, run.display_name, run.notes, list(run.tags)) == (
        "course", "someone", "report", "study", "made", "Which is better, and why?", ["digits"],
    )  # fmt: skip
    config = {name: value for name, value in offline.content.config.items() if name != "_wandb"}
    assert config == {"dataset": "digits", "command": COMMAND, "seeds": [0, 3], "runs": 2, "quick": False}
    assert offline.content.exit_code == 0


def test_facts_are_the_summary(offline: Published) -> None:
    expected = {"accuracy/sgd": 0.25, "counts": [1, 2], "best": "sgd", "none": None}
    assert expected.items() <= offline.content.summary.items()


def test_every_part_has_a_key_of_its_own(offline: Published) -> None:
    assert {key for key in offline.logged if key[0] != "_"} == {
        "text", "figures/made_figure", "tables/1", "tables/2", "charts/loss/sgd_table", "charts/weights",
        "charts/matrix_table", "charts/mistakes",
    }  # fmt: skip


def test_the_text_is_html_with_the_captions_in_their_places(offline: Published) -> None:
    assert offline.logged["text"]["_type"] == "html-file"
    page = offline.path("text").read_text()
    assert "://" not in page  # nothing is fetched from elsewhere
    body = re.sub(r"\s*<.*?>\s*", "\n", page[page.index("<body>") :]).replace("\n\n", "\n")
    assert re.sub(r"\n+", "\n", body).strip().splitlines() == [
        "Tags &lt;b&gt; &amp; more", "Which is better, and why?",
        "Setup:", SETUP[11:], "The", "first", "is ahead: 1 &lt; 2.", "In detail",
        "Figure made_figure.", "What", "it", "shows.", "Table 1.", "Of two seeds.", "Table 2.", "The last words.",
        "References: A. Author: A work, 1999.", COMMAND,
        "2 runs in 8 s of one core; a processor, 2 cores, NumPy 2.4; 2026-01-02",
    ]  # fmt: skip


def test_a_figure_is_the_picture_as_it_was_drawn(offline: Published) -> None:
    record = offline.logged["figures/made_figure"]
    assert (record["_type"], record["width"], record["height"]) == ("image-file", 600, 360)
    assert record["caption"] == "What *it* shows."
    with Image.open(offline.path("figures/made_figure")) as image:
        assert image.size == (600, 360)
    drawn = offline.place / "out" / "figures" / "made_figure.png"
    assert offline.path("figures/made_figure").read_bytes() == drawn.read_bytes()


def test_tables_hold_their_cells(offline: Published) -> None:
    assert offline.table("tables/1") == {
        "columns": ["optimizer", "accuracy"], "data": [["sgd", "97.69 ± 0.10 %"], ["adam", "a|b"]],
    }  # fmt: skip
    assert offline.table("tables/2") == {"columns": ["class"], "data": [["7"]]}


def test_lines_are_a_line_series_of_the_finite_points(offline: Published) -> None:
    assert offline.table("charts/loss/sgd_table") == {
        "columns": ["step", "lineKey", "lineVal"],
        "data": [[1, "seed 0", 1.0], [2, "seed 0", 0.5], [3, "seed 0", 0.25], [1, "seed 3", 2.0]],
    }
    chart = offline.content.config["_wandb"]["visualize"]["charts/loss/sgd"]["panel_config"]
    assert chart["panelDefId"] == "wandb/lineseries/v0"
    assert chart["stringSettings"] == {"title": "loss/sgd", "xname": "epoch"}


def test_a_histogram_keeps_its_counts_and_edges(offline: Published) -> None:
    record = offline.logged["charts/weights"]
    assert (record["_type"], record["values"], record["bins"]) == ("histogram", [4, 0, 2], [-1.0, -0.5, 0.0, 1.5])


def test_a_confusion_matrix_is_counts_by_class_names(offline: Published) -> None:
    counts = {(true, guess): count for true, guess, count in offline.table("charts/matrix_table")["data"]}
    expected = {("cat", "cat"): 2, ("cat", "emu"): 1, ("emu", "emu"): 1, ("emu", "cat"): 1}
    assert {pair: count for pair, count in counts.items() if count} == expected
    assert len(counts) == 9  # with the class that never occurs
    chart = offline.content.config["_wandb"]["visualize"]["charts/matrix"]["panel_config"]
    assert chart["panelDefId"] == "wandb/confusion_matrix/v1"


def test_a_gallery_is_a_table_with_images(offline: Published) -> None:
    shown = offline.table("charts/mistakes")
    assert shown["columns"] == ["image", "true", "share"]
    assert [row[1:] for row in shown["data"]] == [["cat", 0.5], ["dog", 1]]
    # The images themselves are in the artifact of the table.
    (gallery,) = [a for a in offline.content.artifacts if "mistakes" in a.name]
    files = {entry.path: Path(entry.local_path) for entry in gallery.manifest.contents}
    rows = json.loads(files["charts/mistakes.table.json"].read_text())["data"]
    pixels = [np.array(Image.open(files[row[0]["path"]]).convert()) for row in rows]
    assert [(array.shape, set(array.ravel().tolist())) for array in pixels] == [((8, 6), {200}), ((4, 5, 3), {100})]


def test_all_files_are_below_the_folder_of_the_report(offline: Published) -> None:
    known = {offline.place / name for name in ("out", "multirun_outputs")}
    others = [path for path in offline.place.rglob("*") if path.is_file() and not known & set(path.parents)]
    assert [path for path in others if path.suffix != ".log" and "matplotlib" not in str(path)] == []


def test_switched_off_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    run = publish(tmp_path, WANDB_MODE="disabled")
    assert run.process.returncode == 2
    assert run.process.stderr.startswith("Error: W&B is switched off by WANDB_MODE or its settings")
    assert not (tmp_path / "out").exists()


def test_a_name_that_wandb_refuses_is_one_message(tmp_path: Path) -> None:
    run = publish(tmp_path, "--project", "a/b")
    assert (run.process.returncode, run.process.stdout) == (2, "")
    assert run.process.stderr.startswith("Error: project must be 1 to 128 characters")


def test_without_runs_it_names_the_commands_that_make_them(tmp_path: Path) -> None:
    words = ["publish", "--only", "loss_comparison", "-d", "digits"]
    said = python("-m", "mlp.report", *words, cwd=tmp_path, env=environment(tmp_path))
    assert said.returncode == 2
    assert f"  {COMMAND}\n" in said.stdout
    assert "Error: no study could be answered from the runs in" in said.stderr


def test_online_each_study_has_an_address_and_one_that_fails_costs_no_other(tmp_path: Path) -> None:
    with answering_server() as (url, received):
        only = ["--only", "broken", "made"]
        run = publish(tmp_path, *only, hidden="wandb_workspaces", WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
    first, made, _, advice = run.lines
    assert first == f"W&B is on {url}"
    assert re.fullmatch(rf"  made: 3 texts, .* 4 numbers {url}/someone/numpy-mlp/runs/\w+", made)
    assert advice.endswith("pip install wandb-workspaces, then publish again")
    assert run.process.stderr.splitlines() == [
        "broken is left out: ValueError: len(bins) must be len(histogram) + 1",
        "Error: not published: broken. See above",
    ]
    assert run.process.returncode == 2
    assert sorted(request["exitcode"] for request in received if request.get("complete")) == [0, 1]
    uploaded = {file for request in received for file in request.get("variables", {}).get("files", ())}
    assert {file.split("/")[1] for file in uploaded if file.startswith("media/")} == {"html", "images", "table"}


@pytest.mark.skipif(find_spec("wandb_workspaces") is None, reason="needs wandb-workspaces, the extra `report`")
def test_online_a_report_shows_texts_figures_tables_and_charts_in_order(tmp_path: Path) -> None:
    with answering_server() as (url, received):
        run = publish(tmp_path, "--only", "made", WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
    assert run.process.returncode == 0, run.process.stderr
    assert run.process.stderr == ""
    title = "Ten-studies-of-a-multi-layer-perceptron-on-digits"
    assert run.lines[-1] == f"report: {url}/someone/numpy-mlp/reports/{title}--v"
    assert run.lines[-2].startswith("Who may read the report is set in W&B")
    link = run.lines[-1].removeprefix("report: ")
    assert f"**Public W&B report:** {link}\n" in (tmp_path / "out" / "report.md").read_text()
    assert f'<a href="{link}">{link}</a>' in (tmp_path / "out" / "index.html").read_text()
    (view,) = [request["variables"] for request in received if "upsertView" in request.get("query", "")]
    assert (view["entityName"], view["projectName"]) == ("someone", "numpy-mlp")
    blocks = json.loads(view["spec"])["blocks"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    for grid in grids:  # every panel reads the run of its study, and no other
        (runs,) = grid["runSets"]
        (rule,) = runs["filters"]["filters"]
        assert (rule["key"], rule["op"]) == ({"section": "run", "name": "name"}, "IN")
        assert rule["value"] == [run.content.run.run_id]
    figure, charts = (grid["panelBankSectionConfig"]["panels"] for grid in grids)
    assert [(p["viewType"], p["config"]["mediaKeys"]) for p in figure] == [("Media Browser", ["figures/made_figure"])]
    assert [p["config"].get("panelDefId") for p in charts] == [
        "wandb/lineseries/v0", "wandb/confusion_matrix/v1", None,
    ]  # fmt: skip
    assert '"charts/loss/sgd_table"' in json.dumps(charts[0])
    assert '"charts/matrix_table"' in json.dumps(charts[1])
    assert '"charts/mistakes"' in json.dumps(charts[2])
    read = [("panels" if "metadata" in b else b.get("content") or b["children"][0]["text"]) for b in blocks]
    assert [part for part in read if part] == [
        "1 of 1 studies are answered, on digits. The text is generated from the files of the runs. Values are means "
        "± standard deviations over the seeds; a difference is significant when it exceeds two "
        "of its standard errors, paired by seed where both have the same seeds.",
        "Tags <b> & more", f"> Which is better, and why?\n\n{SETUP}", "The **first** is ahead: 1 < 2.", "In detail",
        "panels", "What *it* shows.",
        "| optimizer | accuracy |\n| --- | --- |\n| sgd | 97.69 ± 0.10 % |\n| adam | a\\|b |\n\nOf two seeds.",
        "| class |\n| --- |\n| 7 |", "The last words.", "References: A. Author: A work, 1999.", "panels",
        f"```\n{COMMAND}\n```\n\n2 runs in 8 s of one core; a processor, "
        f"2 cores, NumPy 2.4; 2026-01-02\n\nAll that was logged: [the run]({url}/someone/numpy-mlp/runs/"
        f"{run.content.run.run_id})",
    ]  # fmt: skip
