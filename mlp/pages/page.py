"""Templates of pages, and their data: a page is one file, fetches nothing and runs its own scripts only."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlp.base.files import plain

HERE = Path(__file__).parent
#: What draws tables and pictures; a page's own scripts follow. plotly.min.js is the bundle "cartesian" of 4.1.1.
PARTS = ("plotly.min.js", "figures.js", "parallel.js", "tabulator.min.js", "table.js")
PICTURES = PARTS[:3]  # of a page without Tabulator's tables


def environment(folder: Path) -> Environment:
    """Templates of `folder` and of this package; HTML has every value escaped, an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,  # a line that holds a statement and nothing else leaves no trace
        lstrip_blocks=True,
    )
    made.filters["as_json"] = as_json
    return made


def as_json(data: object) -> Markup:
    """`data` within a script element, which no text in it can end; NaN and infinities become null."""
    return Markup(json.dumps(plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def shell(*scripts: Path, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """What base.html.j2 needs: the scripts of a page that has `scripts` of its own beside `parts`, and the policy
    that lets a browser run these and nothing else, and fetch nothing."""
    texts = []
    if scripts:
        # `MathJaxConfig` keeps plotly.js from looking for a library that is not there.
        texts = ['window.PlotlyConfig = {MathJaxConfig: "local"};']
        texts += [path.read_text(encoding="utf-8") for path in (*(HERE / name for name in parts), *scripts)]
    tabulator = bool(scripts) and "tabulator.min.js" in parts
    return {"scripts": texts, "policy": content_security_policy(*texts), "tabulator": tabulator}


def content_security_policy(*scripts: str) -> str:
    """What a page may do, for its `<meta http-equiv="Content-Security-Policy" content="...">`: run these scripts of
    its own, as they are in it, use its own styles and pictures, and fetch nothing. The browser enforces it."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def column(name: str, values: Sequence[Any], title: str = "", kind: str = "") -> dict[str, Any]:
    """A column of a page's table: numbers to six digits; of texts and other values each once, and where it stands.

    Empty cells are None. `kind` is the group in which the page offers the column.
    """
    made: dict[str, Any] = {"name": name, "title": title or name, "kind": kind}
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return made | {"values": [value if isinstance(value, int) else rounded(value, 6) for value in values]}
    texts = [None if value is None else as_text(value) for value in values]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return made | {"texts": list(places), "at": [places[text] for text in texts]}


def as_text(value: Any) -> str:
    """A value of a configuration as its file writes it: `[128, 64]`, `true`, `null`."""
    if isinstance(value, Mapping | list | tuple | bool) or value is None:
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def rounded(value: float | None, digits: int) -> float | None:
    """`value` with so many significant digits."""
    return None if value is None else float(f"{value:.{digits}g}")
