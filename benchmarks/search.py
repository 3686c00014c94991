"""How long the same 24 trials take, here and with hydra-optuna-sweeper, two at a time.

    python benchmarks/search.py                     # MNIST, three times each; a quarter of an hour on an idle machine
    python benchmarks/search.py --repeats 1 --dataset digits

The trials are a grid of 12 lengths, 1 to 30 epochs, and 2 seeds: of two that start together the longer one keeps the
other waiting where a sweeper works in batches. Each runs `train.py` as it is, without tracking, one BLAS thread. The
peer runs them with its grid sampler and hydra-joblib-launcher, in the environment of requirements-peers-search.txt:

    python3.11 -m venv .venv-peers-search
    .venv-peers-search/bin/pip install -r benchmarks/requirements-peers-search.txt

A trial is at work from its first file to its last, plots included. Idle is what is left of the two workers' time
between the first file of the first trial and the last file of the last; wall is the time of the whole command.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
EPOCHS = (3, 24, 1, 10, 2, 30, 8, 4, 16, 6, 20, 12)  # in no order: the peer draws its own
POINTS = (f"training.epochs={','.join(map(str, EPOCHS))}", "seed=0,1")
OURS = ("search.name=s", f"search.workers={WORKERS}", "hydra.sweep.dir=runs")
PEER = ("hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra/launcher=joblib", "hydra.sweep.dir=runs",
        f"hydra.launcher.n_jobs={WORKERS}", f"hydra.sweeper.n_jobs={WORKERS}",
        f"hydra.sweeper.n_trials={2 * len(EPOCHS)}", "hydra.sweeper.direction=maximize")  # fmt: skip
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-peers-search" / "bin" / "python")
    options = parser.parse_args()
    fixed = (f"dataset={options.dataset}", "model.hidden_sizes=32", "tracker=none", *POINTS)
    contenders = {"ours": (sys.executable, OURS)}
    if options.peers_python.exists():
        contenders["hydra-optuna-sweeper"] = (str(options.peers_python), PEER)
    else:
        print(f"{options.peers_python} is not there: ours alone. --help says how to install the peer.")
    load = os.getloadavg()
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(options.repeats):
        for name, (python, own) in contenders.items():
            results[name].append(measure([python, str(ROOT / "train.py"), "-m", *fixed, *own]))
    print(f"{'':22}{'wall s':>22}{'idle %':>22}   median (least - most) of {options.repeats}")
    for name, pairs in results.items():
        walls, idles = zip(*pairs, strict=True)
        print(f"{name:22}{spread(walls):>22}{spread([100 * idle for idle in idles]):>22}")
    if len(results) == 2:
        ours, peer = (statistics.median(wall for wall, _ in pairs) for pairs in results.values())
        print(f"\nThe peer takes {peer / ours:.2f} times as long.")
    print(f"{2 * len(EPOCHS)} trials, {WORKERS} at a time, on {options.dataset}. Load at the start: {load[0]:.1f}.")
    print(
        f"Ours: optuna {version('optuna')}, hydra-core {version('hydra-core')}. Peer: {peers(options.peers_python)}"
    )


def spread(values: list[float] | tuple[float, ...]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} - {max(values):.1f})"


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds of a command that runs all trials, and the share of its workers' time that was idle."""
    with tempfile.TemporaryDirectory(prefix="search-") as place:
        started = time.time()
        ended = subprocess.run(
            command, cwd=place, env={**os.environ, **dict.fromkeys(THREADS, "1")}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        wall = time.time() - started
        spans = [span(path) for path in Path(place, "runs").iterdir() if (path / "summary.json").exists()]
    if ended.returncode or len(spans) != 2 * len(EPOCHS):
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}, {len(spans)} trials\n{ended.stdout}")
    busy = sum(end - begin for begin, end in spans)
    phase = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return wall, 1 - busy / (WORKERS * phase)


def span(run: Path) -> tuple[float, float]:
    """When a run wrote its first file and its last."""
    times = [path.stat().st_mtime for path in run.rglob("*") if path.is_file()]
    return min(times), max(times)


def peers(python: Path) -> str:
    """The versions of the peer's environment."""
    if not python.exists():
        return "not there"
    names = ("hydra-optuna-sweeper", "optuna", "hydra-joblib-launcher", "joblib")
    program = "from importlib.metadata import version; import sys; [print(n, version(n)) for n in sys.argv[1:]]"
    listed = subprocess.run([python, "-c", program, *names], capture_output=True, text=True, check=True)
    return ", ".join(listed.stdout.splitlines())


if __name__ == "__main__":
    main()
