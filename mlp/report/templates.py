"""The templates of the report: Markdown for the studies, HTML with every value escaped for the pages."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

from mlp.base import text
from mlp.pages.page import content_security_policy, environment
from mlp.report.blocks import Fold, Picture, Table, cell, markdown
from mlp.report.statistics import differ, difference

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
# Names from files may be in it: what leads elsewhere stays text.
MARKDOWN.validateLink = lambda url: re.match(r"(?!/)[\w./#-]+$", url) is not None  # type: ignore[method-assign]


def render(template: Path, **values: Any) -> str:
    """A template filled with `values`; a name that is not among them is an error."""
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> Environment:
    made = environment(folder)
    words = (
        text.capital, text.comma, text.count, text.listed, text.number, text.option_name, text.percent, text.points,
        text.rounded, text.setting_name, text.share, text.thousands,
    )  # fmt: skip
    for filter_ in (*words, cell, markdown, quoted, html, inline_html):
        made.filters[filter_.__name__] = filter_
    made.tests["picture"] = lambda block: isinstance(block, Picture)
    made.tests["table"] = lambda block: isinstance(block, Table)
    made.tests["fold"] = lambda block: isinstance(block, Fold)
    made.tests["finite"] = math.isfinite
    made.tests["differing_from"] = differ
    made.globals["difference"] = difference
    made.globals["content_security_policy"] = content_security_policy
    return made


def quoted(source: str) -> str:
    """Markdown as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in source.splitlines())


def html(source: str) -> Markup:
    """Markdown as HTML; tags in it are shown as they are written."""
    return Markup(_unbroken(MARKDOWN.render(source)))


def inline_html(source: str) -> Markup:
    """Markdown without paragraphs, for captions and cells."""
    return Markup(_unbroken(MARKDOWN.renderInline(source)))


def _unbroken(page: str) -> str:
    """HTML whose lines do not break between a number and its unit, spread or power, nor inside `4 & 9`."""
    return re.sub(
        r"(?<=[\d)]) (?=[%±×])|(?<=[±×]) (?=\d)|(?<=\b\w) (?=&amp; \w\b)|(?<=\b\w &amp;) (?=\w\b)", "\u00a0", page
    )
