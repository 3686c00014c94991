"""Train a network: python src/train.py [flags] [group=option ...] [key=value ...]; see --help."""

import argparse
import sys
from collections.abc import Sequence

import ann  # noqa: F401 (finds the package mlp)
from mlp.cli.flags import graded_namespace
from mlp.cli.train import main as _main

__all__ = ["main", "parse_arguments"]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags by their long names (hidden_size, learning_rate, ...), as `NeuralNetwork` takes them."""
    return graded_namespace(sys.argv[1:] if argv is None else argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the flags say."""
    _main(argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
