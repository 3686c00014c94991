"""The report of the studies: what is missing is run or named, and one page holds everything."""

import base64
import html
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import browser
import pytest
from conftest import ROOT
from forks import python
from jinja2 import UndefinedError
from made_runs import make_run
from matplotlib.figure import Figure
from runs import run

from mlp.base.errors import UserError
from mlp.config.files import options
from mlp.report import build, style, templates
from mlp.report.blocks import Analysis, Fold, Headline, Picture, Table, parse
from mlp.report.build import Chapter
from mlp.report.statistics import MeanStd
from mlp.report.studies import STUDIES
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed

pytestmark = pytest.mark.timeout(120)


def report(cwd: Path, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return python("-m", "mlp.report", "studies", *arguments, cwd=cwd, timeout=timeout, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}


class Page(HTMLParser):
    """What a browser would load, link to and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [str(values[name]) for name in ("src", "srcset", "data") if name in values]
        self.links += [str(values["href"])] if tag == "a" else []
        self.loaded += [str(values["href"])] if tag == "link" and values["href"] != "data:," else []
        self.ids += [str(values["id"])] if "id" in values else []
        if tag not in ("meta", "img", "br", "link", "hr"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


class Made(Study):
    """A study whose answer is made up."""

    name, title, question, seconds = "loss_comparison", "A <title> & more", "Is 1 < 2?", 1.0

    def analyse(self, found: StudyRuns) -> Analysis:
        raise NotImplementedError


def square() -> Figure:
    figure = style.new_figure(2, 2)
    figure.subplots().plot([0, 1])
    return figure


def chapters(tmp_path: Path) -> list[Chapter]:
    study = Made()
    make_run(tmp_path / "loss_comparison-digits" / "0", ["dataset=digits", "seed=7"], {"val_loss": [1.0]})
    found = study.find_runs(tmp_path, "digits")
    table = Table(["name", "a | b"], [["<i>x</i>", "1 | 2"]], "What it *says*.")
    blocks = [
        "Some **text**, 1 < 2.",
        Picture("square", square, "A line."),
        Fold("More"),
        "In detail.",
        Fold(),
        table,
    ]
    analysis = Analysis(blocks, {}, headline=Headline("7 %", "**yes** | no", "square"))
    return [Chapter(study, "python train.py 'a b'", found, analysis), Chapter(study, "c", found, None, "no runs")]


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    build.write(chapters(tmp_path), "digits", tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert [address[:22] for address in page.loaded] == ["data:image/png;base64,"] * 2  # the preview, and the figure
    image = base64.b64decode(page.loaded[1][22:])
    assert image == (tmp_path / "out" / "figures" / "square.png").read_bytes()
    assert "url(" not in text
    assert "<script" not in text
    assert "default-src 'none'; script-src 'none'" in unescape(text)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.cells[1:3] == ["7\u00a0% yes | no", ""]
    assert page.cells[-2:] == ["<i>x</i>", "1 | 2"]
    assert "Some <strong>text</strong>, 1 &lt; 2." in text
    assert "A &lt;title&gt; &amp; more" in text
    assert "Not answered: no runs" in text
    assert "seed 7; 1 run." in text
    assert "<details><summary>More</summary>\n<p>In detail.</p>\n\n</details>" in text


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
LINKS = ("[a](https://example.org)", "![b](https://example.org/b.png)", "[c](//example.org)", "<https://example.org>")


def hostile(tmp_path: Path) -> Path:
    """The page of a study whose names come from a stranger's files."""
    made, _ = chapters(tmp_path / "runs")
    study, found = made.study, replace(made.found, dataset=HOSTILE)
    table = Table([HOSTILE], [[HOSTILE], *([link] for link in LINKS)], HOSTILE)
    analysis = Analysis([HOSTILE, *LINKS, "[d](javascript:alert(3))", table], {})
    build.write(
        [Chapter(study, HOSTILE, found, analysis), Chapter(study, "c", found, None, HOSTILE)], HOSTILE, tmp_path
    )
    return tmp_path / "index.html"


def test_texts_of_strangers_are_shown_and_lead_nowhere(tmp_path: Path) -> None:
    text = hostile(tmp_path).read_text()
    page = Page(text)
    assert page.loaded == []
    assert [link for link in page.links if not link.startswith("#")] == []
    assert [cell for cell in page.cells if cell in (HOSTILE, *LINKS)] == [HOSTILE, *LINKS]
    assert "<script" not in text
    assert "<img" not in text
    policy = "default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; img-src data: blob:;"
    assert f'http-equiv="Content-Security-Policy" content="{html.escape(policy)}'.replace("&#x27;", "&#39;") in text


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_a_browser_shows_both_kinds_of_pages_and_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    build.write(chapters(tmp_path), "digits", tmp_path / "made")
    for page in (tmp_path / "made" / "index.html", hostile(tmp_path)):
        with browser.tab(tmp_path / page.parent.name / "profile") as tab:
            tab.open(page)
            assert tab.complaints == []
            assert set(tab.requests) - {page.resolve().as_uri()} <= {
                address for address in tab.requests if address.startswith("data:image/png;base64,")
            }
            assert tab.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
            images = "[...document.images].map(image => image.complete && image.naturalWidth > 0)"
            assert tab.evaluate(images) == [True, True] * (
                page.parent.name == "made"
            )  # in the answers, in its chapter
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(tmp_path / "index.html")
        assert HOSTILE in tab.evaluate("document.body.innerText")
        tab.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'bad = 1'}))"
        )
        assert tab.evaluate("typeof bad") == "undefined"
        assert "Content Security Policy" in str(tab.complaints)


def test_markdown_says_the_same(tmp_path: Path) -> None:
    build.write(chapters(tmp_path), "digits", tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    for part in (
        "Some **text**, 1 < 2.",
        "![square](figures/square.png)\n\nA line.",
        "| name | a \\| b |\n| --- | --- |\n| <i>x</i> | 1 \\| 2 |\n\nWhat it *says*.",
        "```\npython train.py 'a b'\n```",
        "> Is 1 < 2?",
        "| [A <title> & more](#loss_comparison) | **yes** \\| no | 7 % |",
        "<details><summary>More</summary>\n\nIn detail.\n\n</details>",
        "seed 7; 1 run.",
        "Not answered: no runs",
    ):
        assert part in text, part
    assert all((tmp_path / "out" / name).is_file() for name in re.findall(r"\]\((figures/[^)]+)\)", text))


def test_every_study_has_an_experiment_that_names_its_search() -> None:
    for study in STUDIES:
        assert study.name in options("experiment")
        assert study.directory(Path("runs"), "digits").parent == Path("runs")
        assert study.directory(Path("runs"), "digits", quick=True).name.endswith("-quick")
        assert study.seconds > 0
        assert study.title.startswith(f"2.{STUDIES.index(study) + 1} ")
        assert len(study.question) > 100


@pytest.mark.slow
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
    # What the experiment file runs may be narrowed on the command line, under another name.
    ended = run(tmp_path, "+experiment=loss_comparison", "-d", "digits", "-e", "1", "seed=0,1", "optimizer=adam",
                "search.name=other", "tracker=none")  # fmt: skip
    assert "other: 6 done" in ended.out


@pytest.mark.timeout(600)
def test_the_small_version_of_all_ten(quick_studies: Path) -> None:
    """On the digits; the transfer is about Fashion-MNIST all the same."""
    ended = json.loads((quick_studies / "ended.json").read_text())
    assert (ended["code"], ended["err"]) == (0, "")
    text = (quick_studies / "report/report.md").read_text()
    assert "10 of 10 studies are answered, on digits." in text
    assert "Not answered" not in text
    assert "nan" not in re.findall(r"\w+", text)
    page = Page((quick_studies / "report/index.html").read_text())
    assert [name for name in page.ids if name != "top"] == [study.name for study in STUDIES]
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


def test_numbers_keep_their_units_on_one_line(tmp_path: Path) -> None:
    made = chapters(tmp_path)
    assert made[0].analysis is not None
    text = "97.95 ± 0.10 % of `a 5 % b`, (1.6 ± 0.2) × 10⁻⁶, 4 & 9"
    made[0] = replace(made[0], analysis=Analysis([text, Table(["n"], [["3 %"]])], {}))
    build.write(made, "digits", tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "97.95\u00a0±\u00a00.10\u00a0% of" in page
    assert "(1.6\u00a0±\u00a00.2)\u00a0×\u00a010⁻⁶, 4\u00a0&amp;\u00a09" in page
    assert "<td>3\u00a0%</td>" in page
    assert "\u00a0" not in (tmp_path / "out" / "report.md").read_text()


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


TEMPLATE = """
Headline: {{ number // 125 - 1 }} % |
the answer | square

Some words
of {{ name }} ,
{% if number > 1 %}
broken
{% endif %}
into lines: {{ number | count("thing") }}.

<details><summary>More</summary>

- an item
  in two lines
- another

</details>

![a figure](figures/square.png)
What it
shows.

| name | value |
| --- | --- |
{% for value in values %}
| {{ value | cell }} | {{ loop.index }} |
{% endfor %}
Of {{ values | listed }}.
"""


def test_a_filled_template_becomes_texts_figures_and_tables(tmp_path: Path) -> None:
    (tmp_path / "made.md.j2").write_text(TEMPLATE)
    filled = templates.render(tmp_path / "made.md.j2", name="1 < 2", number=1000, values=["a|b", "c"])
    blocks, headline = parse(filled, {"square": square})
    assert headline == Headline("7 %", "the answer", "square")
    assert blocks == [
        "Some words of 1 < 2, broken into lines: 1,000 things.",
        Fold("More"),
        "- an item in two lines\n- another",
        Fold(),
        Picture("square", square, "What it shows."),
        Table(["name", "value"], [["a|b", "1"], ["c", "2"]], "Of a|b and c."),
    ]
    with pytest.raises(UndefinedError, match="values"):
        templates.render(tmp_path / "made.md.j2", name="", number=1)


def test_figures_of_the_templates_are_drawn_by_their_studies_and_have_names_of_their_own() -> None:
    templates_ = sorted((ROOT / "mlp" / "report" / "studies").glob("*.md.j2"))
    shown = {
        path: re.findall(r"^!\[.*\]\(figures/(\w+)\.png\)$", path.read_text(), re.MULTILINE) for path in templates_
    }
    names = [name for own in shown.values() for name in own]
    assert len(names) == len(set(names)) >= 8
    for path, own in shown.items():
        source = path.with_name(path.name.replace(".md.j2", ".py")).read_text()
        assert {name for name in own if f'"{name}"' not in source} == set()


def test_spreads_and_lists_in_words() -> None:
    assert MeanStd([0.5]).percent() == "50.00 %"
    assert MeanStd([0.4, 0.6]).percent(1) == "50.0 ± 14.1 %"
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
