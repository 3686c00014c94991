"""search.html: all that a search has found, on one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from mlp.search.study import Search


def write_page(search: Search) -> Path:
    """Write search.html into the search's directory; return its path."""
    raise NotImplementedError
