"""The page of all runs: a table to sort, filter and tick, and pictures of what is ticked, in one HTML file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mlp.base.arrays import read_npz
from mlp.base.errors import UserError
from mlp.base.files import check_directory, write_text
from mlp.base.text import count, listed
from mlp.pages.page import as_text, column, environment, rounded, shell
from mlp.report.read import Array, confusion, read_metrics

HERE = Path(__file__).parent
PAGE = "runs.html"
SCRIPTS = ("runs.js", "pictures.js", "controls.js")
FILES = ("train.log", "summary.json", "metrics.csv", "plots/curves.png", "plots/confusion_normalised.png")
ABOUT = ("name", "state", "started", "dataset", "search", "seconds", "epoch")  # columns that every run has
SHOWN = ("name", "state", "dataset", "changed", "val_accuracy", "test_accuracy", "epoch", "seconds", "files")
VALUES = 1_500_000  # of all curves together, about 10 MB: with more runs there are fewer points to a curve
COLUMNS = 16  # of metrics.csv, as many as a network of five layers has
CELLS = 1_000_000  # of all confusion matrices together


def page(rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Write the page of the runs `rows`, as `mlp.runs.read.row` gives them, to `out`; return it. Links are relative
    to it. Raises UserError where `out` is a directory, or in none."""
    if out.is_dir():
        raise UserError(f"--out must be a file. Got the directory {out}; did you mean {out / PAGE}?")
    if not out.parent.is_dir():
        raise UserError(f"--out must be a file in a directory that is there. Got {out}, and there is no {out.parent}")
    environment_ = environment(HERE)
    environment_.filters |= {"count": count, "listed": listed}
    text = environment_.get_template("page.html.j2").render(
        **shell(*(HERE / name for name in SCRIPTS)), **content(rows, out.absolute().parent)
    )
    write_text(out, text.encode("utf-8", "backslashreplace").decode())  # names of files that are no UTF-8
    return out


def content(rows: Sequence[Mapping[str, Any]], beside: Path) -> dict[str, Any]:
    """What the page says and holds, by the names of the template."""
    paths = [quote(os.fsencode(os.path.relpath(row["path"], beside))) for row in rows]  # names may have any bytes
    most = max(20, min(500, VALUES // (COLUMNS * len(rows))))  # points of a curve
    problems: list[str] = []
    curves = [_curves(Path(row["path"]), most, problems) for row in rows]
    matrices, left_out = _matrices([Path(row["path"]) for row in rows], problems)
    columns, constant = _columns(rows)
    given = {one["name"] for one in columns}
    names = list(dict.fromkeys(name for series in curves for name in series))
    states = Counter(str(row["state"]) for row in rows)
    return {
        "runs": len(rows),
        "states": [f"{number:,} {state}" for state, number in states.most_common()],
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}",
        "most": most,
        "thinned": sum(series.get("thinned", False) for series in curves),
        "left_out": left_out,
        "problems": problems,
        "data": {
            "columns": columns,
            "constant": constant,
            "shown": [name for name in SHOWN if name in given or name == "files"],
            "keys": [hashlib.sha256(path.encode()).hexdigest()[:10] for path in paths],
            "paths": paths,
            "files": {
                "names": FILES,
                "of": [[i for i, name in enumerate(FILES) if (Path(row["path"]) / name).is_file()] for row in rows],
            },
            "changed": _changed(rows),
            "curves": {
                "names": [name for name in names if name != "thinned"],
                "of": [[series.get(name) for name in names if name != "thinned"] for series in curves],
            },
            "matrices": matrices,
        },
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The columns of the table: about the run, its numbers, and the configuration where it differs between runs;
    and the configuration that all have alike."""
    numbers = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in ABOUT and isinstance(value, int | float) and not isinstance(value, bool)
    )
    columns = [column(name, [_about(row, name) for row in rows], kind="run") for name in ABOUT]
    written = [" ".join(f"{_key(key)}={as_text(value)}" for key, value in row["changed"].items()) for row in rows]
    columns.append(column("changed", written, "differs from the default", kind="run"))
    columns += [column(name, [row.get(name) for row in rows], kind="score") for name in numbers]
    taken = {one["name"] for one in columns}
    constant: dict[str, str] = {}
    configs = [_config(row) for row in rows]
    for key in dict.fromkeys(key for config in configs for key in config):
        values = [config.get(key) for config in configs]
        if len({*map(as_text, values)}) > 1:
            if key not in taken:
                columns.append(column(key, values, kind="configuration"))
        else:
            constant[key] = as_text(values[0])
    empty = [one for one in columns if not any(value is not None for value in one.get("values") or one["texts"])]
    return [one for one in columns if one not in empty], constant


def _about(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    return str(value).replace("T", " ") if name == "started" and value is not None else value


def _config(row: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration by dotted keys; a group is named by its option, as `optimizer`: `adam`, not by its class."""
    config = {_key(key): "null" if value is None else value for key, value in row["config"].items()}
    shadowed = {f"{key}._target_" for key in config}
    return {key: value for key, value in config.items() if key not in shadowed}


def _key(key: str) -> str:
    return key.removeprefix("choices.")


def _changed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which keys of its configuration each run has changed from the default, each name stored once."""
    names = list(dict.fromkeys(_key(key) for row in rows for key in row["changed"]))
    places = {name: i for i, name in enumerate(names)}
    return {"names": names, "of": [[places[_key(key)] for key in row["changed"]] for row in rows]}


def _curves(run: Path, most: int, problems: list[str]) -> dict[str, Any]:
    """The columns of metrics.csv with at most `most` rows, evenly spread; "time" is the seconds since the start."""
    path = run / "metrics.csv"
    if not path.is_file():
        return {}
    try:
        check_directory(run, [path.name])
        table = read_metrics(path)
    except (UserError, OSError) as error:
        problems.append(str(error))
        return {}
    epochs = len(table["epoch"])
    kept = np.unique(np.linspace(0, max(0, epochs - 1), min(most, epochs)).round().astype(int))
    series: dict[str, Any] = {"thinned": epochs > most}
    for name in ("epoch", "step"):
        if name in table:
            series[name] = [int(value) for value in table[name][kept]]
    if "seconds" in table:
        series["time"] = _short(np.cumsum(table["seconds"])[kept])
    others = (name for name in table if name not in ("epoch", "step", "seconds", "samples_per_second"))
    return series | {name: _short(table[name][kept]) for name in others}


def _short(values: Array) -> list[float | None]:
    return [rounded(float(value), 4) if np.isfinite(value) else None for value in values]


def _matrices(runs: Sequence[Path], problems: list[str]) -> tuple[dict[str, Any], int]:
    """The confusion matrices on the test set, row by row, until they are `CELLS` together; how many are left out."""
    classes: dict[tuple[str, ...], int] = {}
    found: list[dict[str, Any] | None] = []
    cells = left_out = 0
    for run in runs:
        path, matrix = run / "predictions.npz", None
        if path.is_file() and cells >= CELLS:
            left_out += 1
        elif path.is_file():
            try:
                check_directory(run, [path.name])
                arrays = read_npz(path)
                names = tuple(map(str, arrays["class_names"]))
                flat = confusion(arrays).ravel().tolist()
            except (UserError, OSError) as error:
                problems.append(str(error))
            except (ValueError, IndexError, KeyError, TypeError, MemoryError) as error:
                problems.append(f"{path}: {type(error).__name__}: {error}")
            else:
                cells += len(flat)
                matrix = {"classes": classes.setdefault(names, len(classes)), "cells": flat}
        found.append(matrix)
    return {"classes": list(classes), "of": found}, left_out
