"""MLPClassifier beside scikit-learn's own: test accuracy, CPU time and epochs of `fit`, over several seeds.

    python benchmarks/estimators.py                        # digits and 10,000 images of MNIST, ten seeds
    python benchmarks/estimators.py --data digits --seeds 3 --hidden 64 32

Both get the parameters that they share (128 neurons, ReLU, Adam, batches of 200) and are as they come otherwise. A
seed draws the training samples and is the `random_state`; the contenders take turns on each. CPU time, on one BLAS
thread, is what other programs on the machine disturb least.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlp.base import blas

blas.prepare()  # as train.py does, before NumPy is imported

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.neural_network import MLPClassifier as Theirs  # noqa: E402

from mlp import MLPClassifier as Ours  # noqa: E402
from mlp.base import environment  # noqa: E402
from mlp.data import MNIST  # noqa: E402

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, x_test, y_train, y_test


def digits(seed: int) -> Parts:
    """1,347 samples to train on, 450 to test."""
    x, y = load_digits(return_X_y=True)
    return tuple(train_test_split(x / 16, y, random_state=seed, stratify=y))


def mnist(seed: int) -> Parts:
    """10,000 of the training images, and the whole test set."""
    source = MNIST()
    (x, y), (x_test, y_test) = source.load("train"), source.load("test")
    x, _, y, _ = train_test_split(x, y, train_size=10_000, random_state=seed, stratify=y)
    return x / source.divisor, x_test / source.divisor, np.asarray(y), np.asarray(y_test)


DATA: dict[str, Callable[[int], Parts]] = {"digits": digits, "mnist": mnist}
CONTENDERS = {
    f"{name}, {dtype}": (kind, dtype)
    for dtype in ("float64", "float32")
    for name, kind in (("ours", Ours), (f"scikit-learn {sklearn.__version__}", Theirs))
}


def measure(kind: Any, dtype: str, parts: Parts, **parameters: Any) -> dict[str, float]:
    """Fit once; return accuracy on the test samples, CPU seconds, epochs and milliseconds of an epoch."""
    x, x_test, y, y_test = parts
    model = kind(**parameters)
    x = x.astype(dtype)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    seconds = time.process_time() - started
    return {
        "accuracy": 100 * model.score(x_test.astype(dtype), y_test),
        "seconds": seconds,
        "epochs": model.n_iter_,
        "ms per epoch": 1000 * seconds / model.n_iter_,
    }


def cell(runs: list[dict[str, float]], name: str, digits: int) -> str:
    """Mean and sample standard deviation."""
    values = [run[name] for run in runs]
    spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
    return f"{np.mean(values):.{digits}f} ± {spread:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--hidden", type=int, nargs="+", default=[128], help="neurons of each hidden layer")
    parser.add_argument("--max_iter", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write every single figure to this file")
    options = parser.parse_args()
    everything: dict[str, list[dict[str, float]]] = {}
    print("| data | early_stopping | contender | test accuracy % | CPU s | epochs | ms per epoch |")
    print("|---|---|---|---|---|---|---|")
    for data in options.data:
        for early_stopping in (False, True):
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
            for seed in range(options.seeds):
                parts = DATA[data](seed)
                for name, (kind, dtype) in CONTENDERS.items():
                    parameters = {
                        "hidden_layer_sizes": tuple(options.hidden),
                        "max_iter": options.max_iter,
                        "early_stopping": early_stopping,
                        "random_state": seed,
                    }
                    runs[name].append(measure(kind, dtype, parts, **parameters))
            for name, of_contender in runs.items():
                columns = zip(("accuracy", "seconds", "epochs", "ms per epoch"), (2, 2, 0, 1), strict=True)
                cells = [cell(of_contender, column, places) for column, places in columns]
                print(f"| {data} | {early_stopping} | {name} | {' | '.join(cells)} |", flush=True)
                everything[f"{data}, early_stopping={early_stopping}, {name}"] = of_contender
    machine = environment.describe()
    print(f"\n{machine['processor']}; NumPy {machine['numpy']}, {machine['blas_threads']} BLAS thread(s)")
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
