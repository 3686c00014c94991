"""Microseconds per training step: this project beside PyTorch, JAX, scikit-learn and plain NumPy. See README.md.

python benchmarks/compare.py                            the table
python benchmarks/compare.py --check                    do all contenders compute the same?
"""

import argparse
import dataclasses
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from contenders.protocol import SIZES, Task

from mlp.base.environment import describe
from mlp.base.files import write_json
from mlp.base.naming import by_name, subclasses
from mlp.data import MNIST, Samples
from mlp.data.batches import Batches
from mlp.nn import MLP, Optimizer
from mlp.nn.losses import one_hot

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

SEED = 2
WARM_UP_ROUNDS = 1  # allocates, compiles
REST = 0.1  # seconds until the extra threads of the contender before have stopped spinning
ROUNDS = 11
QUICK_STEPS, QUICK_ROUNDS = 20, 3
CHECK_STEPS, CHECK_EPOCHS = 10, 5
# Of the losses in --check, relative. float32 agrees to 1e-5 mostly; but where rounding switches a single ReLU,
# the first steps of Adam and RMSprop, as long for a tiny gradient as for a large one, make 1e-2 of it.
TOLERANCE = {"float32": 5e-2, "float64": 1e-9}
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A module in contenders/, and which of its forms."""

    module: str
    variant: str = ""
    peer: bool = True  # runs in the peers' environment
    learns: bool = True
    adam_tolerance: float = 0.0  # in --check, where it is wider than TOLERANCE


CONTENDERS = {
    "ours": Entry("ours", peer=False),
    "matmul-only": Entry("matmul_only", peer=False, learns=False),
    "numpy-preallocated": Entry("numpy_preallocated", peer=False),
    "numpy-naive": Entry("numpy_naive", peer=False),
    "pytorch-eager": Entry("pytorch", "eager"),
    "pytorch-fused": Entry("pytorch", "fused"),
    "pytorch-compiled": Entry("pytorch", "compiled"),
    "jax": Entry("jax_scan"),
    "scikit-learn": Entry("scikit_learn", adam_tolerance=2e-2),  # adds epsilon before the bias correction
}


class LeftOut(Exception):
    """A contender cannot take part: something is not installed, or it lacks the optimizer."""


class Failed(Exception):
    """A contender ended when it should have answered."""


class Child:
    """A contender in a process of its own, which works only between a question and its answer."""

    def __init__(self, name: str, python: str, task: Task, folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        entry = CONTENDERS[name]
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(task.threads))
        task = dataclasses.replace(task, variant=entry.variant)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, "-m", "contenders", entry.module, json.dumps(dataclasses.asdict(task))],
                cwd=HERE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # it holds nothing that is worth a goodbye
        self.process.communicate()

    def versions(self) -> str:
        """Wait until it is ready. Raises LeftOut if it will not be."""
        answer = self._answer()
        if "missing" in answer:
            raise LeftOut(answer["missing"])
        return str(answer["ready"])

    def train(self) -> float:
        """One epoch. Returns the seconds it took."""
        self._ask("go 1")
        return float(self._answer()["seconds"])

    def weights(self, path: Path) -> dict[str, np.ndarray]:
        """What it has learned so far, by way of the file `path` (.npz)."""
        self._ask(f"weights {path}")
        self._answer()
        with np.load(path) as saved:
            return dict(saved)

    def _ask(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failed()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failed(self) -> Failed:
        last_words = self.log.read_text().strip().splitlines()[-1:]
        return Failed(f"exit code {self.process.wait()}: {''.join(last_words) or 'no message'}")


class Comparison:
    """Starts contenders on equal terms and asks them in turn."""

    def __init__(self, names: Sequence[str], peers_python: str, threads: int, folder: Path) -> None:
        self.names, self.peers_python, self.threads, self.folder = names, peers_python, threads, folder
        self.left_out: list[str] = []
        self.failed: list[str] = []
        self.versions: dict[str, str] = {}
        self.x, self.y = MNIST().load("train")
        np.save(folder / "images.npy", self.x)
        np.save(folder / "labels.npy", self.y)
        network = MLP(SIZES[0], SIZES[-1], list(SIZES[1:-1]), dtype="float64", rng=np.random.default_rng(SEED))
        np.savez(folder / "weights.npz", **network.get_weights())  # type: ignore[arg-type]

    def most_steps(self, batch: int) -> int:
        """Whole batches in the training set: every step of a comparison has a full one."""
        return len(self.x) // batch

    def time(self, optimizer: str, batch: int, steps: int, rounds: int) -> dict[str, list[float]]:
        """Microseconds per step in each round, by contender. A round is an epoch of `steps` steps for each."""
        times: dict[str, list[float]] = {name: [] for name in self.names}
        with ExitStack() as stack:
            children = self._start(stack, self._task(optimizer, batch, steps))
            for turn in range(WARM_UP_ROUNDS + rounds):
                for child in children:
                    with self._or_without(child.name):
                        time.sleep(REST if self.threads > 1 else 0)
                        seconds = child.train()
                        if turn >= WARM_UP_ROUNDS:
                            times[child.name].append(seconds / steps * 1e6)
        return {name: values for name, values in times.items() if len(values) == rounds}

    def check(self, optimizer: str, batch: int, dtype: str) -> dict[str, list[float]]:
        """Each contender's loss on 1,000 images after each of the epochs, all from the same weights and batches."""
        orders = self.folder / "orders.npy"
        np.save(orders, self._orders(batch, CHECK_STEPS, CHECK_EPOCHS))
        judge = MLP(SIZES[0], SIZES[-1], list(SIZES[1:-1]), dtype="float64")
        X, T = self.x[:1000] / MNIST.divisor, one_hot(self.y[:1000], SIZES[-1])
        losses: dict[str, list[float]] = {}
        with ExitStack() as stack:
            task = self._task(optimizer, batch, CHECK_STEPS)
            task = dataclasses.replace(task, dtype=dtype, orders=str(orders))
            for child in self._start(stack, task):
                with self._or_without(child.name):
                    losses[child.name] = []
                    for _ in range(CHECK_EPOCHS):
                        child.train()
                        weights = child.weights(self.folder / "answer.npz")
                        for i, layer in enumerate(judge.layers):
                            layer.W, layer.b = weights[f"W{i}"], weights[f"b{i}"]
                        losses[child.name].append(judge.loss.value(judge.forward(X), T))
        return {name: values for name, values in losses.items() if len(values) == CHECK_EPOCHS}

    def _task(self, optimizer: str, batch: int, steps: int) -> Task:
        """What every contender gets. The coefficients are the defaults of our own optimizer."""
        arguments = inspect.signature(by_name(Optimizer, optimizer)).parameters
        return Task(
            images=str(self.folder / "images.npy"),
            labels=str(self.folder / "labels.npy"),
            weights=str(self.folder / "weights.npz"),
            samples=steps * batch,
            batch=batch,
            optimizer=optimizer,
            coefficients={
                n: a.default for n, a in arguments.items() if n not in ("weight_decay", "decoupled_weight_decay")
            },
            dtype="float32",
            threads=self.threads,
            seed=SEED,
        )

    def _orders(self, batch: int, steps: int, epochs: int) -> np.ndarray:
        """The rows that our own Batches will draw, (epochs, steps, batch): it is shown row numbers for images."""
        rows = np.arange(steps * batch)
        numbers = Samples(rows[:, None].astype(np.float64), np.zeros_like(rows), rows, divisor=1.0)
        batches = Batches(numbers, 1, batch, np.random.default_rng(SEED), np.dtype(np.float64))
        drawn = [X[:, 0].astype(np.int64) for _ in range(epochs) for X, *_ in batches.epoch()]
        return np.reshape(drawn, (epochs, steps, batch))

    def _start(self, stack: ExitStack, task: Task) -> list[Child]:
        """One after the other, so that none disturbs another."""
        children = []
        for name in self.names:
            python = self.peers_python if CONTENDERS[name].peer else sys.executable
            with self._or_without(name):
                child = stack.enter_context(Child(name, python, task, self.folder))
                self.versions[name] = child.versions()
                children.append(child)
        return children

    @contextmanager
    def _or_without(self, name: str) -> Iterator[None]:
        """Where a contender leaves or fails, note the reason once and go on without it."""
        try:
            yield
        except (LeftOut, Failed) as error:
            notes = self.left_out if isinstance(error, LeftOut) else self.failed
            if (note := f"{name}: {error}") not in notes:
                notes.append(note)


def timing_table(results: list[dict[str, Any]], batches: Sequence[int]) -> list[list[str]]:
    """One row for each optimizer and contender, one column for each batch size."""
    cells = {(r["optimizer"], r["contender"], r["batch"]): _timing(r) for r in results}
    rows = dict.fromkeys((optimizer, contender) for optimizer, contender, _ in cells)
    head = ["optimizer", "contender", *(f"batch {batch}" for batch in batches)]
    return [head, *([*row, *(cells.get((*row, batch), "") for batch in batches)] for row in rows)]


def _timing(result: dict[str, Any]) -> str:
    t, ratio = result["microseconds"], result["ratio"]
    text = f"{t['median']:.0f} ({t['quartiles'][0]:.0f}..{t['quartiles'][1]:.0f})"
    return text if ratio is None else f"{text} {ratio:.2f}x"


def check_table(results: list[dict[str, Any]]) -> list[list[str]]:
    """One row for each optimizer, batch size and contender."""
    head = ["optimizer", "batch", "contender", "dtype", "loss", "differs by", ""]
    return [head] + [
        [
            r["optimizer"], str(r["batch"]), r["contender"], r["dtype"], f"{r['losses'][-1]:.7f}",
            f"{r['difference']:.1e}", "" if r["agrees"] else f"more than {r['tolerance']:g}",
        ]
        for r in results
    ]  # fmt: skip


def markdown(table: list[list[str]]) -> str:
    """The rows, the first of them the head, as a table that is also readable as text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in table]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def time_all(comparison: Comparison, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for optimizer in arguments.optimizers:
        for batch in arguments.batches:
            steps = (
                min(QUICK_STEPS, comparison.most_steps(batch)) if arguments.quick else comparison.most_steps(batch)
            )
            print(f"{optimizer}, batch {batch}: {arguments.rounds} rounds of {steps} steps", file=sys.stderr)
            times = comparison.time(optimizer, batch, steps, arguments.rounds)
            medians = {name: float(np.median(values)) for name, values in times.items()}
            for name, values in times.items():
                statistics = {
                    "median": medians[name],
                    "quartiles": np.quantile(values, (0.25, 0.75)),
                    "min": min(values),
                    "max": max(values),
                    "rounds": values,
                }
                ratio = medians[name] / medians["ours"] if "ours" in medians else None
                results.append(
                    {
                        "optimizer": optimizer,
                        "batch": batch,
                        "contender": name,
                        "steps": steps,
                        "microseconds": statistics,
                        "ratio": ratio,
                    }
                )
    return results


def check_all(comparison: Comparison, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for optimizer in arguments.optimizers:
        for batch in arguments.batches:
            for dtype in TOLERANCE:
                losses = comparison.check(optimizer, batch, dtype)
                if "ours" not in losses:
                    continue  # it has failed, and the reason is told
                expected = np.array(losses["ours"])
                for name, values in losses.items():
                    difference = float(np.max(np.abs(values - expected) / expected))
                    own = CONTENDERS[name].adam_tolerance if optimizer == "adam" else 0.0
                    tolerance = max(TOLERANCE[dtype], own)
                    results.append(
                        {
                            "optimizer": optimizer,
                            "batch": batch,
                            "contender": name,
                            "dtype": dtype,
                            "losses": values,
                            "difference": difference,
                            "tolerance": tolerance,
                            "agrees": difference <= tolerance,
                        }
                    )
    return results


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    environment = ROOT / ".venv-peers" / "bin" / "python"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 64, 128, 512], metavar="N")
    names = [optimizer.name for optimizer in subclasses(Optimizer)]
    parser.add_argument(
        "--optimizers", nargs="+", choices=names, default=["adam"], metavar="NAME", help=", ".join(names)
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=list(CONTENDERS),
        metavar="NAME",
        help=", ".join(CONTENDERS),
    )
    parser.add_argument("--threads", type=int, default=1, help="threads, and cores, for each contender")
    parser.add_argument("--rounds", type=int, help="epochs of each contender; default: 11")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 20 steps: to see that it works")
    parser.add_argument("--check", action="store_true", help="compare the losses of 50 steps instead of the time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured")
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=environment if environment.exists() else Path(sys.executable),
        metavar="PATH",
        help="the interpreter that has the peers; default: .venv-peers/bin/python, else this one",
    )
    parsed = parser.parse_args(arguments)
    parsed.rounds = parsed.rounds or (QUICK_ROUNDS if parsed.quick else ROUNDS)
    most = 60_000 // CHECK_STEPS
    if not all(1 <= batch <= most for batch in parsed.batches):
        parser.error(f"--batches must be in 1..{most}")
    if not 1 <= parsed.threads <= len(cores()):
        parser.error(f"--threads must be in 1..{len(cores())}, the cores there are")
    if parsed.rounds < 1:
        parser.error("--rounds must be >= 1")
    if not parsed.peers_python.exists():
        parser.error(f"--peers-python {parsed.peers_python} does not exist")
    if parsed.check:
        parsed.contenders = [name for name in parsed.contenders if CONTENDERS[name].learns and name != "ours"]
        parsed.contenders.insert(0, "ours")
    return parsed


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def main() -> int:
    arguments = parse()
    machine = describe() | {"load": os.getloadavg()[0]}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[-arguments.threads :])  # the contenders inherit it
    with tempfile.TemporaryDirectory(prefix="mlp-benchmark-") as folder:
        python = str(arguments.peers_python.absolute())
        comparison = Comparison(arguments.contenders, python, arguments.threads, Path(folder))
        results = (check_all if arguments.check else time_all)(comparison, arguments)

    network = "-".join(map(str, SIZES))
    if arguments.check:
        print(
            f"Loss after {CHECK_STEPS * CHECK_EPOCHS} steps from the same weights on the same batches, {network}:\n"
        )
        print(markdown(check_table(results)))
    else:
        print(
            f"Microseconds per training step, {network}, ReLU, float32, cross-entropy, {arguments.threads} thread(s):"
        )
        print(f"median (quartiles) of {arguments.rounds} epochs, and the ratio to ours\n")
        print(markdown(timing_table(results, arguments.batches)))
    print(f"\n{machine['processor']}, {machine['cores']} cores, load {machine['load']:.1f} at the start")
    print(f"{machine['platform']}, Python {machine['python']}, NumPy {machine['numpy']} with {machine['blas']}")
    print(", ".join(dict.fromkeys(comparison.versions.values())))
    for word, notes in (("Left out", comparison.left_out), ("Failed", comparison.failed)):
        for note in notes:
            print(f"{word}: {note}")
    if arguments.json:
        settings = vars(arguments) | {"peers_python": None, "json": None}
        write_json(
            arguments.json,
            {
                "machine": machine,
                "settings": settings,
                "versions": comparison.versions,
                "results": results,
                "left_out": comparison.left_out,
                "failed": comparison.failed,
            },
        )
    return int(bool(comparison.failed) or not all(result.get("agrees", True) for result in results))


if __name__ == "__main__":
    sys.exit(main())
