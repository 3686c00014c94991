"""The table of runs: on a terminal as wide as it, elsewhere whole, or as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from hydra_trials.files import escaped
from mlp.base.files import plain
from mlp.base.text import count, metric
from mlp.runs import read
from mlp.runs.select import Row, shown, value

COLUMNS = ("name", "state", "dataset", "changed", "val_accuracy", "test_accuracy", "seconds")
HEADERS = {"val_accuracy": "val acc", "test_accuracy": "test acc", "changed": "differs from the default"}
COLORS = {"running": 36, "completed": 32, "resumable": 33, "interrupted": 33, "failed": 31, "diverged": 31,
          "damaged": 31, "pruned": 2}  # fmt: skip
LEAST, LEAST_CHANGED = 8, 24  # characters of a column that is cut, and below which `changed` has a line of its own
SCORES = ("val_", "test_", "train_", "best_value", "seconds", "total_seconds")


def cell(row: Row, column: str) -> str:
    """What a row has in a column, as people read it."""
    found = value(row, column)
    if column == "state" and found == "running":
        text = f"running {row['epoch']}/{row['config'].get('training.epochs', '?')}"
    elif isinstance(found, Mapping):
        text = "  ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in found.items())
    elif column == "started":
        text = str(found or "").replace("T", " ").removesuffix("+00:00")
    elif isinstance(found, float) and column.startswith(SCORES):
        text = metric(column, round(found, 1) if column == "seconds" else found)
    else:
        text = "" if found is None else shown(found)
    return clean(text)


def _short(found: Any) -> str:
    return f"{found:.4g}" if isinstance(found, float) else shown(found)


def clean(text: str) -> str:
    """`text` in one line, with what would move the cursor of a terminal escaped."""
    return escaped(text).replace("\n", "\\n")


def table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    """Lines that fit the terminal, if there is one. Where it is narrow, `changed` has a line of its own."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    console = Console()
    colored = console.is_terminal and not console.no_color and console.color_system is not None
    if "dataset" in columns:  # has a column of its own
        rows = [{**row, "changed": {k: v for k, v in row["changed"].items() if k != "dataset"}} for row in rows]
    texts = {column: [HEADERS.get(column, column), *(cell(row, column) for row in rows)] for column in columns}
    widths = {column: max(map(cell_len, texts[column])) for column in columns}
    room = width - sum(widths[column] + 2 for column in columns if column != "changed")
    below = "changed" in columns and room < min(LEAST_CHANGED, widths["changed"])
    beside = [column for column in columns if not (below and column == "changed")]
    numbers = {c for c in columns if all(isinstance(value(row, c), int | float | None) for row in rows)}
    _fit(widths, beside, numbers, width)
    lines = []
    for number in range(len(rows) + 1):
        parts = []
        for column in beside:
            text = _cut(texts[column][number], widths[column], column)
            space = " " * (widths[column] - cell_len(text))
            if colored and number and column == "state":
                text = f"\x1b[{COLORS.get(rows[number - 1]['state'], 0)}m{text}\x1b[0m"
            parts.append(space + text if column in numbers else text + space)
        line = "  ".join(parts).rstrip()
        lines.append(f"\x1b[1m{line}\x1b[0m" if colored and not number else line)
        if below and number and texts["changed"][number]:
            lines.append(_cut(f"    {texts['changed'][number]}", width, "changed"))
    return "\n".join(lines)


def _fit(widths: dict[str, int], columns: Sequence[str], numbers: Container[str], width: int) -> None:
    """Take the widest columns of texts back until a line fits, or nothing is left to take."""
    cut = [column for column in columns if column not in numbers]
    while cut and sum(widths[column] + 2 for column in columns) - 2 > width:
        widest = max(cut, key=lambda column: widths[column])
        if widths[widest] <= LEAST:
            return
        widths[widest] -= 1


def _cut(text: str, width: int, column: str) -> str:
    """The beginning of a text; of a name its end, which tells it from others."""
    if cell_len(text) <= width:
        return text
    if column in ("name", "path"):
        while cell_len(text) > width - 1:
            text = text[1:]
        return f"…{text}"
    return set_cell_size(text, width - 1).rstrip() + "…"


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A header, and a line for each run; `changed` as text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(value(row, column)) for column in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return " ".join(f"{key}={shown(value)}" for key, value in found.items())
    return shown(found) if isinstance(found, list) else found


def as_json(rows: Sequence[Row], columns: Sequence[str] | None) -> str:
    """A list of objects: whole rows, or the `columns` of them."""
    chosen = rows if columns is None else [{column: value(row, column) for column in columns} for row in rows]
    return json.dumps(plain(list(chosen)), ensure_ascii=False, allow_nan=False, indent=1)


def ending(rows: Sequence[Row], found: int) -> str:
    """How many runs there are, and in which states."""
    states = Counter(row["state"] for row in rows)
    counted = ", ".join(f"{states[state]:,} {state}" for state in read.STATES if states[state])
    of = f"{len(rows):,} of " if 0 < len(rows) < found else ""
    return f"{of}{count(found, 'run')}: {counted}" if rows else f"0 of {count(found, 'run')}"
