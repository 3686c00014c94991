"""Evaluate a saved model: python inference.py [--model_path FILE] [-d DATASET] [--plots DIR]; see --help."""

from mlp.base import blas

blas.prepare()  # before NumPy is imported

from mlp.cli.inference import main  # noqa: E402
from mlp.inference import evaluate_model, load_model  # noqa: E402

__all__ = ["evaluate_model", "load_model", "main"]

if __name__ == "__main__":
    main()
