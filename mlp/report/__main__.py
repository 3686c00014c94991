"""`python -m mlp.report COMMAND`: draw again what runs left behind."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlp.base import paths, streams
from mlp.base.errors import ArgumentParser
from mlp.config.files import canonical
from mlp.config.user_classes import allow


def plot_run(args: argparse.Namespace) -> list[Path]:
    """redraw the plots of a run: plots/*.png in its directory"""
    from mlp.report import run_plots  # matplotlib: not for --help
    from mlp.runs import select

    return run_plots.draw_run(select.directory(args.run))


def draw_augmented(args: argparse.Namespace) -> list[Path]:
    """draw ten images before and after an augmentation"""
    from mlp.data import Augmentation, Dataset
    from mlp.report import style
    from mlp.report.figures.wall import augmented
    from mlp.report.read import build_option

    dataset = build_option("dataset", canonical("dataset", args.dataset), Dataset)
    augmentation = build_option("augment", canonical("augment", args.name), Augmentation)
    figure = augmented(dataset, augmentation, f"augment={args.name} on {dataset.name}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    return [style.save(figure, args.out)]


def build_studies(args: argparse.Namespace) -> list[Path]:
    """run the missing experiments of the ten studies, and write index.html, report.md and wandb.md"""
    from mlp.report import build

    return build.report(args.only, canonical("dataset", args.dataset), args.quick, not args.no_run, args.out)


def publish_studies(args: argparse.Namespace) -> list[Path]:
    """upload the studies that have runs to W&B, with a report; offline, print what would be uploaded"""
    from mlp.report.publish import publish

    publish(args.only, canonical("dataset", args.dataset), args.quick, args.out, args.project, args.entity)
    return []


def main(argv: Sequence[str] | None = None) -> None:
    """Exits with 2 after a user's mistake, with 1 where something cannot be read or written."""
    with streams.program():
        args = _parser().parse_args(argv)
        try:
            allow(args.allow)
            written: list[Path] = args.draw(args)
        except KeyboardInterrupt:
            print("The same command continues.", file=sys.stderr)
            raise
        if written:
            print(streams.escaped("\n".join(map(str, written))))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(paths.command("report"), description="Plots and reports from the files of runs.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, draw: Callable[..., list[Path]], **more: Any) -> ArgumentParser:
        made = commands.add_parser(name, help=draw.__doc__, description=draw.__doc__, **more)
        made.set_defaults(draw=draw, allow=[])
        return made

    run = command("run", plot_run)
    run.add_argument("run", metavar="RUN", help="a path, a name or its unique beginning, last, or best")

    images = command("augment", draw_augmented)
    images.add_argument("name", metavar="NAME", help="an option of conf/augment")
    images.add_argument("-d", "--dataset", default="mnist", help="the images (default mnist)")
    images.add_argument("out", metavar="FILE.png", type=Path, help="the file to write")

    which = ArgumentParser(add_help=False)
    only = "only these studies, separated by spaces or commas"
    which.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help=only)
    own = "your module that defines studies; can be repeated"
    which.add_argument("--allow", metavar="MODULE", action="append", default=[], help=own)
    which.add_argument("-d", "--dataset", default="mnist", help="dataset of the studies (default mnist)")
    which.add_argument("--quick", action="store_true", help="a small version, in about two minutes")
    which.add_argument("--out", default="report", metavar="DIR", type=Path, help="output folder (default report)")

    studies = command("studies", build_studies, parents=[which])
    studies.add_argument("--no-run", action="store_true", help="train nothing; list the missing runs")

    online = command("publish", publish_studies, parents=[which])
    online.add_argument("--project", default="numpy-mlp", help="of W&B (default numpy-mlp)")
    online.add_argument("--entity", help="user or team in W&B (default: your own)")

    return parser


if __name__ == "__main__":
    main()
