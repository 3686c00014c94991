"""`python -m mlp.search COMMAND`: what a search has found, also while it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlp.base import paths, streams
from mlp.base.errors import ArgumentParser, UserError, positive_integer

if TYPE_CHECKING:
    from hydra_trials.search import Search

SEARCHES = Path("multirun_outputs")


def show(args: argparse.Namespace) -> str:
    """Print the leaderboard, and the running, pruned and failed trials."""
    from mlp.searches import results

    return results.show(_open(args), args.top)


def best(args: argparse.Namespace) -> str:
    """Print the best trial, its scores, and the command that repeats it."""
    from mlp.searches import results

    search = _open(args)
    winner = search.best()
    if winner is None:
        raise UserError(f"{args.directory} has no completed trial yet")
    names = dict.fromkeys((*search.objectives, *results.MEASURED))
    among = f", the first of the Pareto front of {len(search.objectives)} objectives"
    name = " ".join(search.name.split())
    copies = results.install(search, winner, args.to) if args.install else []
    lines = [
        f"{name}: trial {winner.number} is the best" + (among if len(search.objectives) > 1 else ""),
        *(f"  {name} {results.score(search, winner, name)}" for name in names),
        f"Varied: {search.point(winner) or 'nothing'}",
        f"Directory: {results.directory(search, winner) or 'not on this machine'}",
        f"Again: {results.repeat(search, winner)}",
        *(f"Installed: {copy}" for copy in copies),
    ]
    return "\n".join(lines)


def report(args: argparse.Namespace) -> str:
    """Write leaderboard.csv and search.html from the current state."""
    from mlp.searches import page, results

    search = _open(args)
    return "\n".join(map(str, (results.write_leaderboard(search), page.write_page(search))))


def _open(args: argparse.Namespace) -> Search:
    """The search of a directory, whoever made that: only the command line names a database."""
    from hydra_trials.journal import open_storage
    from hydra_trials.search import Search

    directory, url = args.directory, args.storage
    if not directory.exists() and (SEARCHES / directory).is_dir():
        directory = SEARCHES / directory
    return Search(directory, None if url is None else open_storage(directory, url, reading=True))


def main(argv: Sequence[str] | None = None) -> None:
    """Exits with 2 after a user's mistake, with 1 where something cannot be read or written."""
    with streams.program():
        args = _parser().parse_args(argv)
        print(streams.escaped(args.say(args)))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(paths.command("search"), description="Show the results of a search.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for say in (show, best, report):
        command = commands.add_parser(say.__name__, help=say.__doc__, description=say.__doc__)
        command.set_defaults(say=say)
        command.add_argument("directory", metavar="DIR", type=Path, help="multirun_outputs/NAME, or NAME")
        database = "read this database instead of the journal in DIR"
        command.add_argument("--storage", metavar="URL", help=database)
        if say is show:
            rows = "rows of the leaderboard (default 10)"
            command.add_argument("--top", metavar="N", type=positive_integer, default=10, help=rows)
        elif say is best:
            command.add_argument(
                "--install", action="store_true", help="copy its best_model.npy and best_config.json"
            )
            place = "where to (default: this directory)"
            command.add_argument("--to", metavar="ROOT", type=Path, default=Path(), help=place)

    return parser


if __name__ == "__main__":
    main()
