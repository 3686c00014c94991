"""The report of the studies: what is missing is run or named, and one page holds everything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python
from made_runs import make_run
from runs import run
from test_report_page import Made, Page

from mlp.base.errors import UserError
from mlp.config.files import options
from mlp.report import build, templates
from mlp.report.blocks import Analysis
from mlp.report.studies import STUDIES
from mlp.report.studies.study import StudyRuns


def report(cwd: Path, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return python("-m", "mlp.report", "studies", *arguments, cwd=cwd, timeout=timeout, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}


def test_every_study_has_an_experiment_that_names_its_search() -> None:
    for study in STUDIES:
        assert study.name in options("experiment")
        assert study.directory(Path("runs"), "digits").parent == Path("runs")
        assert study.directory(Path("runs"), "digits", quick=True).name.endswith("-quick")
        assert study.seconds > 0
        assert study.title.startswith(f"2.{STUDIES.index(study) + 1} ")
        assert len(study.question) > 100


def test_a_study_from_nothing_and_again(tmp_path: Path) -> None:
    first = report(tmp_path, "--only", "loss_comparison", "-d", "digits", "--quick", "--out", "made/report")
    assert first.returncode == 0, first.stderr
    assert (
        "python train.py +experiment=loss_comparison dataset=digits training.epochs=2 seed=0 plots=false "
        "search.name=loss_comparison-digits-quick"
    ) in first.stdout
    assert "6 trials to run" in first.stdout
    page = (tmp_path / "made/report/index.html").read_bytes()
    again = report(tmp_path, "--only", "loss_comparison", "-d", "digits", "--quick", "--out", "made/report")
    assert "nothing is left to run" in again.stdout
    assert (tmp_path / "made/report/index.html").read_bytes() == page


@pytest.mark.slow
def test_what_an_experiment_runs_may_be_narrowed_under_another_name(tmp_path: Path) -> None:
    ended = run(tmp_path, "+experiment=loss_comparison", "-d", "digits", "-e", "1", "seed=0,1", "optimizer=adam",
                "search.name=other", "tracker=none")  # fmt: skip
    assert "other: 6 done" in ended.out


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_small_version_of_all_ten(quick_studies: Path) -> None:
    """On the digits; the transfer is about Fashion-MNIST all the same."""
    ended = json.loads((quick_studies / "ended.json").read_text())
    assert (ended["code"], ended["err"]) == (0, "")
    text = (quick_studies / "report/report.md").read_text()
    assert "10 of 10 studies are answered, on digits." in text
    assert "Not answered" not in text
    assert "nan" not in re.findall(r"\w+", text)
    page = Page((quick_studies / "report/index.html").read_text())
    studies = [study.name for study in STUDIES]
    assert [name for name in page.ids if name in studies] == studies
    figures = len(list((quick_studies / "report/figures").glob("*.png")))
    assert len(page.loaded) == figures + len(STUDIES)  # each answer has its picture in the table on top
    assert figures >= 20
    for study in STUDIES:  # word for word
        assert templates.quoted(study.question) in text
    assert text.count("<details>") == text.count("</details>") >= 7
    pasted = (quick_studies / "report/wandb.md").read_text()
    assert "<details>" not in pasted
    assert re.findall(r"figures/(\w+)\.png", pasted) == re.findall(r"!\[.*\]\(figures/(\w+)\.png\)", text)


def test_without_training_the_commands_are_named(tmp_path: Path) -> None:
    ended = report(tmp_path, "--only", "loss_comparison", "-d", "fashion", "--no-run")
    assert ended.returncode == 2
    ended = report(tmp_path, "--only", "loss_comparison", "-d", "fashion-mnist", "--no-run")
    assert ended.returncode == 2
    assert "python train.py +experiment=loss_comparison dataset=fashion_mnist" in ended.stdout
    assert ended.stderr.endswith(f"Error: no study could be answered from the runs in {tmp_path}/multirun_outputs\n")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "loss_comparson"], "study 'loss_comparson' is unknown; did you mean 'loss_comparison'?"),
        (["-d", "mnis"], "dataset 'mnis' is unknown; did you mean 'mnist'?"),
    ],
)
def test_a_wrong_name_is_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    ended = report(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_names_may_be_given_in_every_usual_way(tmp_path: Path) -> None:
    wanted = ["--only", "symmetry,transfer", "--only", "data_exploration"]
    ended = report(tmp_path, *wanted, "--no-run")
    commands = [line.split("=")[-1] for line in ended.stdout.splitlines() if "python train.py" in line]
    assert commands == ["data_exploration", "symmetry", "transfer"]
    assert ended.stdout.splitlines()[-1] == "All at once, and the report: python -m mlp.report studies"


def test_a_place_that_cannot_be_written_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ended = report(tmp_path, "--only", "loss_comparison", "-d", "digits", "--quick", "--out", "file/report")
    assert ended.returncode == 2
    assert ended.stderr == f"Error: --out must be a directory. Got file/report, and {tmp_path}/file is a file\n"
    assert ended.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reader_that_stops_reading_is_no_error() -> None:
    made = "import sys; from pathlib import Path; from mlp.report import __main__ as m; "
    made += "m.plot_run = lambda args: [Path(str(i)) for i in range(100_000)]; m.main(['run', 'x'])"
    command = [sys.executable, "-c", made]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


class Answering(Made):
    def analyse(self, found: StudyRuns) -> Analysis:
        return Analysis(["An answer."], {})


def test_an_analysis_that_fails_costs_no_other_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Made):
        def analyse(self, found: StudyRuns) -> Analysis:
            raise KeyError("val_accuracy")

    make_run(tmp_path / "loss_comparison-digits" / "0", ["dataset=digits"], {"val_loss": [1.0]})
    monkeypatch.setattr(build, "RUNS", tmp_path)
    failed, answered = build.chapters([Failing(), Answering()], "digits", quick=False)
    assert failed.problem == "its runs cannot be analysed: KeyError('val_accuracy')"
    assert answered.analysis is not None


def test_a_damaged_run_leaves_its_study_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = make_run(tmp_path / "loss_comparison-digits" / "0", ["dataset=digits"], {"val_loss": [1.0]})
    (run_dir / "summary.json").write_text("{")
    monkeypatch.setattr(build, "RUNS", tmp_path)
    study = next(study for study in STUDIES if study.name == "loss_comparison")
    with pytest.raises(UserError, match=r"summary\.json"):
        _ = study.find_runs(tmp_path, "digits").runs
    damaged, _ = build.chapters([study, Answering()], "digits", quick=False)
    assert damaged.analysis is None
    assert "summary.json is not a JSON object" in damaged.problem
    with pytest.raises(UserError, match="no study could be answered"):
        build.chapters([study], "digits", quick=False)
