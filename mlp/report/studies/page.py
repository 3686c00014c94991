"""The report as Markdown, and as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

from mlp.report.studies.study import Block, Picture, Table

if TYPE_CHECKING:
    from mlp.report.studies.build import Chapter

TITLE = "Ten studies of a multi-layer perceptron"
STYLE = Path(__file__).with_name("page.css")
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def provenance(chapter: Chapter) -> str:
    """Runs, seeds, time and machine of a chapter, in one line."""
    runs = chapter.found.runs
    if not runs:
        return ""
    seeds = sorted({run.seed for run in runs})
    seconds = sum(float(run.summary.get("total_seconds", 0)) for run in runs)
    environment: Mapping[str, Any] = runs[0].summary.get("environment", {})
    processor, cores = environment.get("processor", "unknown processor"), environment.get("cores", "?")
    days = sorted({str(run.summary.get("started", ""))[:10] for run in runs})
    return (
        f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} on {chapter.found.dataset}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}, {seconds:.0f} s of one core in all; "
        f"{processor}, {cores} cores, NumPy {environment.get('numpy', '?')}; {' to '.join({days[0]: 0, days[-1]: 0})}"
    )


def introduction(made: Sequence[Chapter], dataset: str) -> str:
    answered = sum(chapter.analysis is not None for chapter in made)
    return (
        f"{answered} of {len(made)} studies are answered, on {dataset}. Every number below comes from "
        "the files of the runs; the command beside a figure makes them again."
    )


def markdown(made: Sequence[Chapter], dataset: str) -> str:
    """report.md: the same content, with its figures in figures/."""
    parts = [f"# {TITLE}", introduction(made, dataset)]
    parts += ["\n".join(f"- [{c.study.title}](#{c.study.name})" for c in made)]
    for number, chapter in enumerate(made, 1):
        parts += [f'<a id="{chapter.study.name}"></a>', f"## {number}. {chapter.study.title}"]
        parts += [f"*{chapter.study.question}*", f"```\n{chapter.command}\n```"]
        if chapter.analysis is None:
            parts.append(f"Not answered: {chapter.problem}")
            continue
        parts += [block_markdown(block) for block in chapter.analysis.blocks]
        parts += [references(chapter), provenance(chapter)]
    return "\n\n".join(part for part in parts if part) + "\n"


def block_markdown(block: Block) -> str:
    if isinstance(block, Picture):
        return f"![{block.name.replace('_', ' ')}](figures/{block.name}.png)\n\n{block.caption}"
    if isinstance(block, Table):
        rows = [block.header, ["---"] * len(block.header), *block.rows]
        lines = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
        return f"{lines}\n\n{block.caption}".rstrip()
    return block


def html(made: Sequence[Chapter], dataset: str, figures: Path) -> str:
    """index.html: style and figures are inside it."""
    links = "".join(f'<li><a href="#{c.study.name}">{escape(c.study.title)}</a></li>' for c in made)
    chapters = "".join(_chapter(number, chapter, figures) for number, chapter in enumerate(made, 1))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{TITLE}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body>"
        f'<nav><a class="home" href="#top">{TITLE}</a><ol>{links}</ol></nav>\n'
        f'<main id="top"><h1>{TITLE}</h1><p>{escape(introduction(made, dataset))}</p>{chapters}</main>'
        "</body></html>\n"
    )


def _chapter(number: int, chapter: Chapter, figures: Path) -> str:
    study = chapter.study
    if chapter.analysis is None:
        body = f'<p class="problem">Not answered: {escape(chapter.problem)}</p>'
    else:
        body = "".join(_html(block, chapter, figures) for block in chapter.analysis.blocks)
        body += MARKDOWN.render(references(chapter))
    return (
        f'\n<section id="{study.name}"><h2><span>{number}</span> {escape(study.title)}</h2>'
        f'<p class="question">{escape(study.question)}</p>{body}'
        f'<p class="provenance"><code>{escape(chapter.command)}</code><br>{escape(provenance(chapter))}</p></section>'
    )


def _html(block: Block, chapter: Chapter, figures: Path) -> str:
    if isinstance(block, Picture):
        image = base64.b64encode((figures / f"{block.name}.png").read_bytes()).decode()
        return (
            f'<figure><img src="data:image/png;base64,{image}" alt="{escape(block.name.replace("_", " "))}">'
            f"<figcaption>{_joined(MARKDOWN.renderInline(block.caption))}<code>{escape(chapter.command)}</code></figcaption>"
            "</figure>"
        )
    if isinstance(block, Table):
        head = _row(block.header, "th")
        body = "".join(_row(row, "td") for row in block.rows)
        caption = f"<caption>{_joined(MARKDOWN.renderInline(block.caption))}</caption>" if block.caption else ""
        return f'<div class="table"><table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table></div>'
    return _joined(MARKDOWN.render(block))


def _joined(text: str) -> str:
    """HTML whose lines do not break between a number and its unit, spread or power, nor inside `4 & 9`."""
    return re.sub(
        r"(?<=[\d)]) (?=[%±×])|(?<=[±×]) (?=\d)|(?<=\b\w) (?=&amp; \w\b)|(?<=\b\w &amp;) (?=\w\b)", "\u00a0", text
    )


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{_joined(MARKDOWN.renderInline(cell))}</{tag}>' for cell in cells)}</tr>"


def references(chapter: Chapter) -> str:
    works = chapter.study.references
    return f"References: {'; '.join(works)}." if works else ""
