"""`python -m mlp.report COMMAND`: draw again what runs left behind."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlp import paths, streams
from mlp.errors import UserError, unknown


def draw_run(args: argparse.Namespace) -> list[Path]:
    from mlp.report import run_plots  # matplotlib: not for --help

    return run_plots.draw_run(args.run_dir)


def draw_augmented(args: argparse.Namespace) -> list[Path]:
    from mlp.config.files import canonical
    from mlp.data import Augmentation, Dataset
    from mlp.report import augmented
    from mlp.report.read import build_option

    dataset = build_option("dataset", canonical("dataset", args.dataset), Dataset)
    augmentation = build_option("augment", canonical("augment", args.name), Augmentation)
    return augmented.draw(dataset, augmentation, args.name, args.out)


def build_studies(args: argparse.Namespace) -> list[Path]:
    from mlp.report import build

    return build.report(args.only, dataset_name(args.dataset), args.quick, not args.no_run, args.out)


def publish_studies(args: argparse.Namespace) -> list[Path]:
    from mlp.report.publish import publish

    publish(args.only, dataset_name(args.dataset), args.quick, args.out, args.project, args.entity)
    return []


def dataset_name(given: str) -> str:
    """The option of conf/dataset that is meant. Raises UserError."""
    from mlp.config.files import canonical, options

    name = canonical("dataset", given)
    if name not in options("dataset"):
        raise UserError(unknown("dataset", given, options("dataset")))
    return name


def main(argv: Sequence[str] | None = None) -> int:
    streams.prepare()
    parser = argparse.ArgumentParser(paths.command("report"), description="Draw plots from the files of runs.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    purpose = "draw the plots of one run again: RUN_DIR/plots/*.png"
    run = commands.add_parser("run", help=purpose, description=purpose)
    run.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a directory that a training run wrote")
    run.set_defaults(draw=draw_run)

    purpose = "draw ten images and what an augmentation makes of them"
    images = commands.add_parser("augment", help=purpose, description=purpose)
    images.add_argument("name", metavar="NAME", help="an option of conf/augment")
    images.add_argument("-d", "--dataset", default="mnist", help="the images (default mnist)")
    images.add_argument("out", metavar="FILE.png", type=Path, help="where the picture goes")
    images.set_defaults(draw=draw_augmented)

    which = argparse.ArgumentParser(add_help=False)
    only = "only these: names of conf/experiment, with blanks or commas between them"
    which.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help=only)
    which.add_argument("-d", "--dataset", default="mnist", help="what they are about (default mnist)")
    which.add_argument("--quick", action="store_true", help="a small version, in about two minutes")
    which.add_argument("--out", default="report", metavar="DIR", type=Path, help="where it goes (default report)")

    purpose = "run what the ten studies miss, and write report.md and index.html"
    studies = commands.add_parser("studies", parents=[which], help=purpose, description=purpose)
    studies.add_argument("--no-run", action="store_true", help="train nothing; say which runs are missing")
    studies.set_defaults(draw=build_studies)

    purpose = "upload the studies that have runs to W&B as a report; offline: say what that would be"
    online = commands.add_parser("publish", parents=[which], help=purpose, description=purpose)
    online.add_argument("--project", default="numpy-mlp", help="of W&B (default numpy-mlp)")
    online.add_argument("--entity", help="user or team in W&B (default: your own)")
    online.set_defaults(draw=publish_studies)

    args = parser.parse_args(argv)
    try:
        written: list[Path] = args.draw(args)
    except (UserError, OSError) as error:  # OSError: no permission, no space, a file where a folder should be
        print(f"error: {error}", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on.", file=sys.stderr)
        return 130
    if written:
        print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
