"""`python -m mlp.runs COMMAND`, or `mlp runs COMMAND`: all runs below outputs/ and multirun_outputs/."""

from __future__ import annotations

import argparse
import logging
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlp.base import paths, streams
from mlp.base.errors import ArgumentParser, UserError, positive_integer


def list_runs(args: argparse.Namespace) -> str:
    """list runs, newest first: state, differences from the default, scores"""
    from mlp.runs import listing, read, select
    from mlp.runs.table import rows

    found = rows(args.directories)
    chosen = select.chosen(found, args.where)
    known = select.Columns(found)
    columns = [known[name] for name in args.columns.split(",")] if args.columns else None
    if args.sort:
        down = args.sort.startswith("-")  # as the page's address says it
        chosen = select.ordered(chosen, known[args.sort.removeprefix("-")], args.reverse != down)
    elif args.reverse:
        chosen = chosen[::-1]
    chosen = chosen[: args.number]
    if args.json:
        return listing.as_json(chosen, columns)
    if args.csv:
        return listing.as_csv(chosen, columns or known.names)
    if not found:
        return f"No run below {read.places(args.directories)}."
    board = listing.table(chosen, columns or listing.COLUMNS) + "\n\n" if chosen else ""
    return board + listing.ending(chosen, len(found))


def show_run(args: argparse.Namespace) -> str:
    """show a run: scores, curves, files, differences from the default, the command that repeats it"""
    from mlp.runs import detail, select

    return detail.show(select.lookup([args.run], args.among, args.where)[0])


def compare_runs(args: argparse.Namespace) -> str:
    """show the differences between runs: configuration, results, data, weights, environment"""
    from mlp.runs import detail, select

    if len(args.runs) < 2:
        raise UserError(f"compare takes two runs or more. Got {args.runs[0]}")
    found = select.lookup(args.runs, args.among, args.where)
    lines = [detail.compare(found)]
    if args.plot is not None:
        lines.append(f"\nCurves: {detail.plot(found, args.plot)}")
    return "\n".join(lines)


def verify_run(args: argparse.Namespace) -> str:
    """repeat a run and compare the bits of its metrics and weights; exit code 1 if they differ"""
    from mlp.config.user_classes import allow
    from mlp.runs import select, verify

    allow(args.allow)
    row, logger = select.lookup([args.run], args.among, args.where)[0], logging.getLogger("mlp")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its messages are about a folder that will not stay
    try:
        text, same = verify.verify(row, args.epochs)
    finally:
        logger.setLevel(level)
    args.code = 0 if same else 1
    return text


def page_runs(args: argparse.Namespace) -> str:
    """write one HTML page of all runs, to sort, filter and compare; it needs no server or network"""
    from mlp.base.text import count
    from mlp.runs import page, read, select
    from mlp.runs.table import rows

    chosen = select.chosen(rows(args.directories), args.where)
    if not chosen:
        condition = f" with {args.where}" if args.where else ""
        raise UserError(f"no run below {read.places(args.directories)}{condition}")
    written = page.page(chosen, args.out)
    opened = not args.open or webbrowser.open(written.absolute().as_uri())
    failed = "" if opened else ". No browser was found to open it with."
    return f"{written}: {count(len(chosen), 'run')}, {written.stat().st_size / 1e6:.1f} MB{failed}"


def rm(args: argparse.Namespace) -> str:
    """remove runs, or only their checkpoints, but no running one and no best trial; needs --yes"""
    from mlp.runs import remove

    return remove.rm(_chosen(args), args.checkpoints, args.yes and not args.dry_run)


def archive(args: argparse.Namespace) -> str:
    """pack runs into FOLDER/NAME.tar.gz and remove their directories; same rules as rm"""
    from mlp.runs import remove

    return remove.archive(_chosen(args), args.to, args.yes and not args.dry_run)


def _chosen(args: argparse.Namespace) -> list[dict[str, Any]]:
    from mlp.runs import select
    from mlp.runs.table import rows

    if args.runs:
        found = select.lookup(args.runs, args.among, args.where)
        return list({row["path"]: row for row in found}.values())
    if args.where is None:
        raise UserError('which runs? Give their names, or --where, such as --where "state=pruned"')
    return select.chosen(rows(args.among), args.where)


def send(args: argparse.Namespace) -> str:
    """copy finished runs to a tracker"""
    from mlp.runs import select
    from mlp.runs.send import to_trackio
    from mlp.runs.table import rows

    return to_trackio(select.chosen(rows(args.directories), args.where), args.project)


def main(argv: Sequence[str] | None = None) -> None:
    """Exits with 2 after a user's mistake, with 1 where something cannot be read or written, or is not verified."""
    with streams.program():
        args = _parser().parse_args(argv)
        text, encoding = args.say(args), sys.stdout.encoding or "utf-8"  # names of runs may be any bytes
        print(text.encode(encoding, "backslashreplace").decode(encoding))
        if args.code:
            raise SystemExit(args.code)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(paths.command("runs"), description="Runs of this folder, or of others.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, say: Callable[[argparse.Namespace], str], **more: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=say.__doc__, description=say.__doc__, **more)
        made.set_defaults(say=say, code=0)
        return made

    def folders(parser: argparse.ArgumentParser, *name: str, **more: Any) -> None:
        help = "where to look for runs (default: outputs and multirun_outputs)"
        parser.add_argument(*name, metavar="DIR", type=Path, help=help, **more)

    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--where", metavar="EXPR", help='only these: "optimizer=adam and val_accuracy>0.97"')

    listed = command("list", list_runs, parents=[where])
    folders(listed, "directories", nargs="*")
    listed.add_argument(
        "--sort",
        metavar="COLUMN",
        help="sort by COLUMN, smallest first, or by -COLUMN, largest first (default: newest first)",
    )
    listed.add_argument("-r", "--reverse", action="store_true", help="reverse the order")
    listed.add_argument(
        "--columns", metavar="A,B,...", help="the columns, such as name,optimizer,learning_rate,val_f1"
    )
    listed.add_argument("-n", "--number", metavar="N", type=positive_integer, help="show at most N")
    form = listed.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON: all columns, or those of --columns")
    form.add_argument("--csv", action="store_true", help="print CSV: all columns, or those of --columns")

    among = argparse.ArgumentParser(add_help=False, parents=[where])
    folders(among, "--in", dest="among", action="append", default=[])
    run = "a path, a name or its unique beginning, last, or best (by validation accuracy)"

    shown = command("show", show_run, parents=[among])
    shown.add_argument("run", metavar="RUN", help=run)

    compared = command("compare", compare_runs, parents=[among])
    compared.add_argument("runs", metavar="RUN", nargs="+", help=run)
    compared.add_argument("--plot", metavar="FILE.png", type=Path, help="plot loss and accuracy of all runs")

    verified = command("verify", verify_run, parents=[among])
    verified.add_argument("run", metavar="RUN", help=run)
    verified.add_argument("--epochs", metavar="N", type=positive_integer, help="only the first N (default: all)")
    verified.add_argument("--allow", action="append", metavar="MODULE", default=[],
                          help="let its configuration use classes of your MODULE")  # fmt: skip

    paged = command("page", page_runs, parents=[where])
    folders(paged, "directories", nargs="*")
    paged.add_argument("--out", metavar="FILE.html", type=Path, default=Path("runs.html"), help="default: runs.html")
    paged.add_argument("--open", action="store_true", help="open it in the browser")

    for say in (rm, archive):
        gone = command(say.__name__, say, parents=[among])
        gone.add_argument("runs", metavar="RUN", nargs="*", help=f"{run}; none: all of --where")
        gone.add_argument("--yes", action="store_true", help="do it; without it, only print what would be done")
        gone.add_argument("--dry-run", action="store_true", help="only print what would be done, even with --yes")
        if say is rm:
            gone.add_argument("--checkpoints", action="store_true",
                              help="remove only checkpoint.npz, of finished runs")  # fmt: skip
        else:
            gone.add_argument("--to", metavar="FOLDER", type=Path, default=Path("archive"),
                              help="where the archives go (default: archive)")  # fmt: skip

    sent = command("send", send, parents=[where])
    sent.add_argument("tracker", metavar="TRACKER", choices=["trackio"], help="trackio")
    folders(sent, "directories", nargs="*")
    sent.add_argument("--project", default="numpy-mlp", help="of Trackio (default numpy-mlp)")

    return parser


if __name__ == "__main__":
    main()
