"""The rows of many runs, through an index that remembers those whose files have not changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mlp.runs import read


def rows(directories: Sequence[str | os.PathLike[str]] = ()) -> list[dict[str, Any]]:
    """A row for each run in and below `directories`, the newest first: see `mlp.runs.read.row`."""
    found = [read.row(path) for path in read.find(directories)]
    return sorted(found, key=lambda row: (str(row["started"] or ""), str(row["name"])), reverse=True)
