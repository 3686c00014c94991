"""Measure a saved model: python src/inference.py [--model_path FILE] [-d DATASET]; see --help.

Without --model_path, best_model.npy is looked for here, in src/, in models/ and at the root.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ann
from mlp.base import blas

blas.prepare()  # before NumPy is imported

from mlp.cli.flags import graded_namespace  # noqa: E402
from mlp.cli.inference import main as _main  # noqa: E402
from mlp.inference import evaluate_model, load_model  # noqa: E402

__all__ = ["evaluate_model", "load_model", "main", "parse_arguments"]

PLACES = (Path(), Path(__file__).parent, ann.ROOT / "models", ann.ROOT)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags by their long names (model_path, dataset, ...)."""
    return graded_namespace(sys.argv[1:] if argv is None else argv, "inference")


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure the model; logits, loss, accuracy, f1, precision and recall."""
    return _main(argv, PLACES)


if __name__ == "__main__":
    main()
