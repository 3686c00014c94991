"""What an answer is made of: texts, figures and tables for the report, and charts for Weights & Biases.

A study's template is Markdown, broken into lines wherever that reads well: a paragraph becomes one line. A sentence
that may be missing is put between `{% if %}` and `{% endif %}`, as an empty line would end the paragraph. A paragraph
that begins with an image or a table ends with its caption:

    ![loss over time](figures/loss_over_time.png)
    Lines are means over the seeds.

    | optimizer | accuracy |
    | --- | --- |
    {% for group in groups %}
    | {{ group.optimizer | cell }} | {{ group.accuracy.percent() }} |
    {% endfor %}
    Mean ± standard deviation.

The first paragraph is the headline, for the table of all answers: `Headline: key number | answer | name of a figure`.
What is between the paragraphs `<details><summary>Title</summary>` and `</details>` is folded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from mlp.report.read import Array


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when the report is written, and what the reader should see in it."""

    name: str  # of its file
    draw: Callable[[], Figure]
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of cells that are text already."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Fold:
    """What follows is shown on demand, under this title; the next one, without a title, ends it."""

    title: str = ""


@dataclass(frozen=True)
class Headline:
    """An answer in one row: its key number, a sentence, and the name of a figure."""

    number: str
    answer: str
    picture: str


@dataclass(frozen=True)
class Lines:
    """Several series over one x, for W&B: y is (len(x),)."""

    name: str
    x: Sequence[float]
    ys: Mapping[str, Sequence[float]]
    xname: str

    @classmethod
    def of_means(cls, name: str, x: Array, tables: Mapping[str, Array], xname: str = "epoch") -> Lines:
        """The means over the runs of tables (runs, len(x))."""
        return cls(name, x.tolist(), {label: rows.mean(axis=0).tolist() for label, rows in tables.items()}, xname)


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, for W&B: one edge more than counts."""

    name: str
    counts: Array
    edges: Array


@dataclass(frozen=True)
class Confusion:
    """True and predicted classes, (n,) each, for W&B."""

    name: str
    y_true: Array
    y_pred: Array
    class_names: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """A table with pictures, for W&B: a cell is a text, a number, or an image (h, w) or (h, w, 3) of bytes."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


Block = str | Picture | Table | Fold  # a text is Markdown
Chart = Lines | Histogram | Confusion | Gallery
Figures = Mapping[str, Callable[[], Figure]]  # what draws a figure, by the name of its file


@dataclass(frozen=True)
class Analysis:
    """What a study has found.

    `blocks` in reading order; `facts` are the values that its text is made of; `charts` go to W&B, beside the
    pictures and tables.
    """

    blocks: Sequence[Block]
    facts: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    headline: Headline | None = None


def parse(markdown: str, figures: Figures) -> tuple[list[Block], Headline | None]:
    """The blocks of a filled template, and its headline; each figure is drawn by the one of its name in `figures`."""
    first, *paragraphs = [p for paragraph in re.split(r"\n\s*\n", markdown) if (p := paragraph.strip())] or [""]
    headline = None
    if first.startswith("Headline: "):
        headline = Headline(
            *(part.strip() for part in _joined(first.splitlines()).removeprefix("Headline: ").split("|"))
        )
    elif first:
        paragraphs.insert(0, first)
    return [_block(paragraph.splitlines(), figures) for paragraph in paragraphs], headline


def _block(lines: list[str], figures: Figures) -> Block:
    lines = [line.strip() for line in lines]
    if image := re.fullmatch(r"!\[.*\]\(figures/(\w+)\.png\)", lines[0]):
        return Picture(image[1], figures[image[1]], _joined(lines[1:]))
    if fold := re.fullmatch(r"<details><summary>(.+)</summary>|</details>", lines[0]):
        return Fold(fold[1] or "")
    if lines[0].startswith("|"):
        header, _, *rows = [_cells(line) for line in lines if line.startswith("|")]
        return Table(header, rows, _joined([line for line in lines if not line.startswith("|")]))
    return _joined(lines)


def _joined(lines: list[str]) -> str:
    """One line, or one for each item of a list, with the blanks of prose: one between words, none before a comma."""
    text = "\n".join(" ".join(line.split()) for line in lines)
    text = re.sub(r"\n(?!- )", " ", text)
    return re.sub(r" +(?=[,;.:](\s|$))", "", text)


def _cells(line: str) -> list[str]:
    """The cells of a row; a bar that belongs to a text is written as in Markdown: `\\|`."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def markdown(block: Block) -> str:
    """A block in report.md, with its figure in figures/."""
    if isinstance(block, Picture):
        return f"![{block.name.replace('_', ' ')}](figures/{block.name}.png)\n\n{block.caption}".rstrip()
    if isinstance(block, Table):
        lines = "\n".join(map(_row, [block.header, ["---"] * len(block.header), *block.rows]))
        return f"{lines}\n\n{block.caption}".rstrip()
    if isinstance(block, Fold):
        return f"<details><summary>{block.title}</summary>" if block.title else "</details>"
    return block


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"


def cell(value: Any) -> str:
    """A text in a cell of a Markdown table."""
    return str(value).replace("|", "\\|")
