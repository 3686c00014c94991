"""The program train.py, or `mlp train`. `--help` must answer quickly: what is slow is imported after it."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from mlp.base import blas, streams
from mlp.cli.flags import parser


def _folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of --config-dir, whose options `--help` lists too."""
    from mlp.cli.overrides import config_folders

    return config_folders(arguments, arguments)


def main(argv: Sequence[str] | None = None) -> float | None:
    """Run train.py. Exits with 2 after a user's mistake, 3 after divergence, 1 after other failures."""
    with streams.program():
        return _main(list(sys.argv[1:] if argv is None else argv))


def _main(arguments: list[str]) -> float | None:
    if {"-h", "--help"} & set(arguments):
        parser(folders=_folders(arguments)).print_help()
        return None
    blas.prepare()
    # What is imported is no garbage: not to search it during the imports and at the exit saves 30 ms.
    gc.disable()
    from mlp.cli.launch import launch

    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    return launch(arguments)
