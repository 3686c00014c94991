"""The program `mlp`: one name for all programs, as an installed package has them."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from mlp.base import blas, streams
from mlp.base.errors import UserError, unknown

#: Each command: the module that has its `main(argv)`, and what it does.
COMMANDS = {
    "train": ("mlp.cli.train", "train a network, or search over many (-m)"),
    "inference": ("mlp.cli.inference", "evaluate a saved model on a test set"),
    "runs": ("mlp.runs.__main__", "list, show, compare, verify and remove runs"),
    "search": ("mlp.searches.__main__", "show the results of a search, install its best model"),
    "report": ("mlp.report.__main__", "redraw plots, make the report of the ten studies, publish it"),
    "summary": ("mlp.tools.summary", "show the layers of a network, their shapes and parameters"),
    "profile": ("mlp.tools.profile", "show where the time of a training step goes"),
    "data": ("mlp.data.__main__", "list the datasets and their sources, import the files of one"),
}


@streams.program()
def main(argv: Sequence[str] | None = None) -> None:
    """Run `mlp COMMAND ...`. Exits as the command does; with 2 where there is no such command."""
    blas.prepare()  # before a command imports NumPy
    command, *arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
    elif command == "--version":
        print(f"mlp {importlib.metadata.version('numpy-mlp')}")
    elif command in ("-sc", "--shell-completion"):
        _complete(command, arguments)
    elif command in COMMANDS:
        importlib.import_module(COMMANDS[command][0]).main(arguments)
    else:
        raise UserError(unknown("command", command, list(COMMANDS)))


def _complete(switch: str, arguments: list[str]) -> None:
    """`eval "$(mlp -sc install=bash)"` installs Hydra's completion, which asks with -sc query=bash.

    Commands are completed here, the options of training by Hydra, files by the shell.
    """
    line = os.environ.get("COMP_LINE", "").split(" ")
    if "query=bash" in arguments and len(line) <= 2:
        print("\n".join(name for name in COMMANDS if name.startswith(line[-1])))
    elif "query=bash" not in arguments or line[1] == "train":
        os.environ["COMP_LINE"] = left = " ".join([line[0], *line[2:]])
        os.environ["COMP_POINT"] = str(len(left))
        importlib.import_module(COMMANDS["train"][0]).main([switch, *arguments])


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: mlp COMMAND ...",
            "",
            "A multi-layer perceptron in NumPy, and the experiments around it.",
            "",
            "commands:",
            *(f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()),
            "",
            "mlp COMMAND --help explains a command; mlp --version prints the version.",
            'Completion in bash: eval "$(mlp -sc install=bash)"',
        ]
    )
