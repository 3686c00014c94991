"""`mlp data COMMAND`: which datasets there are, and files of theirs for all programs of this user."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlp.base import paths, streams
from mlp.base.errors import ArgumentParser, UserError
from mlp.base.files import atomic_write
from mlp.data import CIFAR10, CSV, MNIST, NPZ, FashionMNIST, ImageFolder
from mlp.data.cache import imported
from mlp.data.user_data import OwnData

WITH_FILES = (MNIST, FashionMNIST, CIFAR10)
OWN: dict[str, type[OwnData]] = {"arrays": NPZ, "table": CSV, "pictures": ImageFolder}


def show(_: argparse.Namespace) -> list[str]:
    """list the datasets and where their files are"""
    lines = ["digits         comes with scikit-learn"]
    for kind in WITH_FILES:
        files = kind().files()
        place = str(files[0].parent) if files else "not on this machine: its first use downloads it"
        lines.append(f"{kind.name:14} {place}")
    return [
        *lines,
        *(f"{kind.name:14} your own {what}: {kind.needs.partition(': ')[2]}" for what, kind in OWN.items()),
    ]


def import_files(args: argparse.Namespace) -> list[str]:
    """check the files of MNIST, Fashion-MNIST or CIFAR-10 in a folder, and copy them to the user's cache"""
    wrong, lines = [], []
    if not args.directory.is_dir():
        raise UserError(f"{args.directory} {'is not a folder' if args.directory.exists() else 'does not exist'}")
    for kind in WITH_FILES:
        try:
            kind.files_in(args.directory)
            dataset = kind(data_dir=str(args.directory))
            dataset.split(np.random.default_rng(0))
        except UserError as error:  # MNIST and Fashion-MNIST have files of the same names
            wrong.append(f"{kind.name}: {error}")
            continue
        place = imported(kind.name)
        place.mkdir(parents=True, exist_ok=True)
        for path in dataset.files():
            with atomic_write(place / path.name) as file, path.open("rb") as source:
                shutil.copyfileobj(source, file)
        lines.append(f"{kind.name} is in {place}")
    if not lines:
        raise UserError("\n".join([f"{args.directory} holds no dataset that is known", *wrong]))
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Exits with 2 after a user's mistake, with 1 where something cannot be read or written."""
    with streams.program():
        args = _parser().parse_args(argv)
        print(streams.escaped("\n".join(args.run(args))))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(paths.command("data"), description="Datasets on this machine.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for name, run in (("list", show), ("import", import_files)):
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
    command.add_argument("directory", metavar="DIR", type=Path, help="a folder with the published files")
    return parser


if __name__ == "__main__":
    main()
