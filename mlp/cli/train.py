"""The program train.py, or `mlp train`. `--help` must answer quickly: what is slow is imported after it."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from mlp.base import blas, streams
from mlp.cli.flags import asks_for_help, parser
from mlp.cli.overrides import config_folders


@streams.program()
def main(argv: Sequence[str] | None = None) -> float | None:
    """Run train.py. Exits with 2 after a user's mistake, 3 after divergence, 1 after other failures."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if asks_for_help(arguments):
        parser(folders=config_folders(arguments, arguments)).print_help()
        return None
    blas.prepare()
    # What is imported is no garbage: not to search it during the imports and at the exit saves 30 ms.
    gc.disable()
    from mlp.cli.hydra_main import launch

    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    return launch(arguments)
