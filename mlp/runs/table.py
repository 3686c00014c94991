"""The rows of many runs, through an index that remembers those whose files have not changed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mlp.base.paths import CONF, cache_directory
from mlp.report import read as files
from mlp.runs import read

FIXED = set(read.FIXED)
INDEX = "runs.sqlite"  # in the user's cache
LARGEST = 1e9  # bytes of it; then it begins anew, without the runs that are gone
MANY = 1000  # runs to be read, which takes a second: that is said


def rows(directories: Sequence[str | os.PathLike[str]] = ()) -> list[dict[str, Any]]:
    """A row for each run in and below `directories`, the newest first: see `mlp.runs.read.row`.

    What has been read stays in an index in the user's cache, and is read again when a file of the run has changed.
    The index is a copy: one that is missing, damaged, locked or not writable costs time and nothing else.
    """
    found = read.scan(directories)
    known = _load([os.path.realpath(directory) for directory in directories or read.PLACES])
    version = _version()
    fresh = [place for place, (_, stamp) in found.items() if known.get(place, ("",))[0] == f"{version} {stamp}"]
    result = dict(zip(fresh, _parsed([known[place][1] for place in fresh]), strict=False))
    new: dict[str, tuple[str, str]] = {}
    if (number := len(found) - len(result)) > MANY:
        print(f"Reading {number:,} new or changed runs; the next call is faster.", file=sys.stderr)
    for place, (path, stamp) in found.items():
        if (row := result.get(place)) is None:
            result[place] = row = read.ended_row(path)
            new[place] = f"{version} {stamp}", json.dumps(row)
        row["path"] = path
        if read.is_running(path):
            row["state"] = "running"
    _store(new, known.keys() - found.keys())
    return sorted(result.values(), key=lambda row: (str(row["started"] or ""), str(row["name"])), reverse=True)


def _version() -> str:
    """Changes whenever another row could be made of the same files: with the options of conf/ and the code."""
    content = hashlib.sha256()
    for path in (Path(read.__file__), Path(files.__file__), *sorted(CONF.rglob("*.yaml"))):
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def _parsed(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as they were stored; none if one of them is damaged. All at once, so that they share their keys."""
    try:
        rows: list[dict[str, Any]] = json.loads(f"[{','.join(texts)}]")
    except ValueError:
        rows = []
    whole = len(rows) == len(texts) and all(isinstance(row, dict) and row.keys() >= FIXED for row in rows)
    return rows if whole else []


@contextmanager
def _index() -> Iterator[sqlite3.Connection]:
    path = cache_directory() / INDEX
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size > LARGEST:
        path.unlink()
    with closing(sqlite3.connect(path, timeout=2)) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS runs (place TEXT PRIMARY KEY, stamp TEXT, row TEXT) WITHOUT ROWID"
        )
        yield database


def _load(roots: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What the index knows below `roots`: of each place the stamp of its files, and its row."""
    known: dict[str, tuple[str, str]] = {}
    try:
        with _index() as database:
            for root in roots:
                below = "SELECT place, stamp, row FROM runs WHERE place = ? OR (place > ? AND place < ?)"
                places = (root, f"{root.rstrip('/')}/", f"{root.rstrip('/')}0")  # 0 comes after /
                known |= {place: (str(stamp), str(row)) for place, stamp, row in database.execute(below, places)}
    except sqlite3.OperationalError:  # in use, or not ours to write
        return {}
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        with suppress(OSError):
            (cache_directory() / INDEX).unlink()  # damaged
        return {}
    except (OSError, RuntimeError, UnicodeEncodeError):  # no home directory; a folder whose name is no text
        return {}
    return known


def _is_text(place: str) -> bool:
    """Whether a path can be written down: file names may be any bytes."""
    try:
        place.encode()
    except UnicodeEncodeError:
        return False
    return True


def _store(new: Mapping[str, tuple[str, str]], gone: set[str]) -> None:
    if not new and not gone:
        return
    with suppress(OSError, RuntimeError, sqlite3.Error), _index() as database, database:
        database.executemany("DELETE FROM runs WHERE place = ?", [(place,) for place in gone])
        entries = [(place, *entry) for place, entry in new.items() if _is_text(place)]
        database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", entries)
