"""The page of a report and its Markdown: whole, safe, and the same."""

import base64
import io
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import browser
import pytest
from conftest import ROOT
from jinja2 import UndefinedError
from made_runs import make_run
from matplotlib.figure import Figure
from PIL import Image

from mlp.base.text import listed
from mlp.report import build, style, templates
from mlp.report.blocks import Analysis, Fold, Headline, Picture, Table, parse
from mlp.report.build import Chapter
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns


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


NUMBERS = ["9.5 %", "10.25 ± 1 %", "-", "1.2 × 10⁻³"]
WEBP = "data:image/webp;base64,"


def square() -> Figure:
    figure = style.new_figure(2, 2)
    figure.subplots().plot([0, 1])
    return figure


def chapters(tmp_path: Path) -> list[Chapter]:
    study = Made()
    make_run(tmp_path / "loss_comparison-digits" / "0", ["dataset=digits", "seed=7"], {"val_loss": [1.0]})
    found = study.find_runs(tmp_path, "digits")
    numbers = Table(["number"], [[number] for number in NUMBERS])
    table = Table(["name", "a | b"], [["<i>x</i>", "1 | 2"]], "What it *says*.")
    blocks = [
        "Some **text**, 1 < 2.",
        Picture("square", square, "A line."),
        Fold("More"),
        "In detail.",
        Fold(),
        numbers,
        table,
    ]
    analysis = Analysis(blocks, {}, headline=Headline("7 %", "**yes** | no", "square"))
    return [Chapter(study, "python train.py 'a b'", found, analysis), Chapter(study, "c", found, None, "no runs")]


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    build.write(chapters(tmp_path), "digits", tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert [address[:23] for address in page.loaded] == [WEBP] * 2  # the preview, and the figure
    with Image.open(io.BytesIO(base64.b64decode(page.loaded[1][23:]))) as shown:
        saved = Image.open(tmp_path / "out" / "figures" / "square.png").convert("RGB")
        assert shown.tobytes() == saved.tobytes()
    text, scripts = text.split('<script type="application/json" id="data">')
    assert "url(" not in text
    assert "<script" not in text
    assert re.search("default-src 'none'; script-src ('sha256-[^']{44}' ?){5};", unescape(text))
    (panel,) = json.loads(scripts.split("</script>")[0])["square"]["panels"]
    assert [(one["x"], one["y"]) for one in panel["series"]] == [([0, 1], [0, 1])]  # the line of the picture
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
    text = text.split('<script type="application/json" id="data">')[0]
    assert [link for link in page.links if not link.startswith("#")] == []
    assert [cell for cell in page.cells if cell in (HOSTILE, *LINKS)] == [HOSTILE, *LINKS]
    assert "<script" not in text
    assert "<img" not in text


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
                address for address in tab.requests if address.startswith(WEBP)
            }
            assert tab.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
            images = "[...document.images].map(image => image.complete && image.naturalWidth > 0)"
            assert tab.evaluate(images) == [True, True] * (
                page.parent.name == "made"
            )  # in the answers, in its chapter
            if page.parent.name == "made":
                tab.wait_for("document.querySelector('figure .drawing svg.main-svg')")
                shown = "[...document.querySelectorAll('figure > img, .drawing')].map(one => one.offsetHeight > 0)"
                assert tab.evaluate(shown) == [False, True]
                tab.call("Emulation.setEmulatedMedia", media="print")
                assert tab.evaluate(shown) == [True, False]  # on paper the picture
                tab.call("Emulation.setEmulatedMedia", media="screen")
                cells = "document.querySelector('table:not(.answers)').querySelectorAll('td')"
                first = f"[...{cells}].map(td => td.innerText.replace(/\u00a0/g, ' '))"
                click = "document.querySelector('table:not(.answers) th button').click()"
                for order in ([3, 0, 1, 2], [1, 0, 3, 2], [0, 1, 2, 3]):  # up, down, as it was
                    tab.evaluate(click)
                    assert tab.evaluate(first) == [NUMBERS[i] for i in order]
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(tmp_path / "index.html")
        assert HOSTILE in tab.evaluate("document.body.innerText")
        tab.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'bad = 1'}))"
        )
        assert tab.evaluate("typeof bad") == "undefined"
        assert "Content Security Policy" in str(tab.complaints)


def bar() -> Figure:
    figure = style.new_figure(2, 2)
    figure.subplots().bar([0], [1])
    return figure


def four_panels() -> Figure:
    figure = style.new_figure(8, 2)
    for i, ax in enumerate(figure.subplots(1, 4)):
        ax.plot([1, 2], [0.04, 0.4], "D", label=f"runs ({i // 2})", color=style.BLUE)
        ax.set_yscale("log")
        if not i:
            ax.legend()
    return figure


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_drawn_panels_stand_and_are_marked_as_in_their_picture(tmp_path: Path) -> None:
    made, _ = chapters(tmp_path)
    blocks = [Picture("four", four_panels, "Four."), Picture("fixed", bar, "One.")]
    build.write([replace(made, analysis=Analysis(blocks, {}))], "digits", tmp_path)
    with browser.tab(tmp_path / "profile") as tab:
        for width, columns in ((1400, 4), (900, 2), (400, 1)):
            tab.open(tmp_path / "index.html", width)
            found = tab.evaluate("getComputedStyle(document.querySelector('.grid')).gridTemplateColumns")
            assert len(found.split()) == columns, width
        legends = "[...document.querySelectorAll('.grid .legend')].map(legend => legend.innerText)"
        assert tab.evaluate(legends) == ["runs (0)", "runs (0)", "runs (1)", "runs (1)"]
        assert tab.evaluate("document.querySelectorAll('.legend path[d^=\"M0-4.2\"]').length") == 4  # diamonds
        tab.wait_for("document.querySelector('.grid .ytick')")
        first = "document.querySelector('.grid .js-plotly-plot')"
        ticks = f"[...{first}.querySelectorAll('.ytick')].map(tick => tick.textContent)"
        assert tab.evaluate("document.getElementById('hint').textContent").startswith("1 of the 2 figures")
        assert tab.evaluate(ticks) == ["0.05", "0.1", "0.2"]


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
