"""What a whole run of train.py costs around its training steps: seconds by part, and memory by process.

    python benchmarks/overhead.py                          # the default run, five times each, tracked and untracked
    python benchmarks/overhead.py --repeats 3 -- -d fashion_mnist -b 128

Around the training loop is the wall time of the program without the loops over the batches of all epochs. The runs
take turns, each in a fresh directory; the first of each kind does not count. Memory is Linux' VmHWM, the most that a
process ever had resident, with the pages of the images that it shares with all others.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRACKING = {"tracked": [], "untracked": ["tracker=none"]}
#: The parts in their order; those between the first and the last are the `timing` of summary.json.
PARTS = {
    "start-up": "interpreter, imports, Hydra, checks of the configuration",
    "data": "the cached images mapped, the split drawn",
    "start": "start of the callbacks: first checkpoint, W&B",
    "validation": "the validation set, each epoch",
    "callbacks": "metrics.csv, best model, checkpoint, W&B, each epoch",
    "evaluation": "test, training and validation set, predictions.npz",
    "rest": "objects, files, environment, summary.json",
    "plots": "five pictures",
    "end": "W&B's results, exit",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs that count, of each kind")
    parser.add_argument("--json", type=Path, help="also write every single figure to this file")
    parser.add_argument("arguments", nargs="*", help="of train.py, after --")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in TRACKING}
    for repeat in range(options.repeats + 1):
        for kind, arguments in TRACKING.items():
            run = measure([*options.arguments, *arguments])
            if repeat:
                runs[kind].append(run)
    report(runs)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=2) + "\n")


def measure(arguments: list[str]) -> dict[str, float]:
    """Run train.py once; return seconds by part, and megabytes by process as `MB name`."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as place:
        command = [sys.executable, str(ROOT / "train.py"), "hydra.run.dir=run", *arguments]
        started = time.time()
        with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL) as process:
            memory = Memory(process.pid)
            memory.start()
            process.wait()
            ended = time.time()
            memory.join()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
        directory = Path(place, "run")
        summary = json.loads((directory / "summary.json").read_text())
        concluded = (directory / "summary.json").stat().st_mtime
        drawn = max((path.stat().st_mtime for path in directory.glob("plots/*.png")), default=concluded)
    timing, wall = summary["timing"], ended - started
    return {
        "wall": wall,
        "around": wall - timing["training"],
        "training": timing["training"],
        "callbacks per epoch %": 100 * timing["callbacks"] / (timing["training"] + timing["validation"]),
        "start-up": concluded - started - summary["total_seconds"],
        **{part: timing[part] for part in PARTS if part in timing},
        "rest": summary["total_seconds"] - sum(timing.values()),
        "plots": max(0.0, drawn - concluded),
        "end": ended - max(drawn, concluded),
        **{f"MB {name}": size for name, size in memory.peaks.items()},
    }


class Memory(threading.Thread):
    """Watches the memory of a process and of its children, until the process ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peaks: dict[str, float] = {}

    def run(self) -> None:
        while self._look(self.pid, "train.py"):
            try:
                children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            except OSError:
                children = []
            for child in children:
                self._look(int(child), None)
            time.sleep(0.02)

    def _look(self, pid: int, name: str | None) -> bool:
        """Note the high-water mark of a process; False when it has ended."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return False
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if "VmHWM" not in status:  # it has ended, and nobody has asked for its exit code yet
            return False
        name = name or f"child {status['Name']}"
        self.peaks[name] = max(self.peaks.get(name, 0.0), int(status["VmHWM"].split()[0]) / 1024)
        return True


def floor() -> float:
    """Seconds of a program that only imports NumPy."""
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy"], check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report(runs: dict[str, list[dict[str, float]]]) -> None:
    rows = ["wall", "training", "around", *PARTS, "callbacks per epoch %"]
    rows += sorted({name for kind in runs.values() for run in kind for name in run if name.startswith("MB ")})
    print(f"{'median (least - most)':24}" + "".join(f"{kind:>24}" for kind in runs))
    for row in rows:
        cells = []
        for kind in runs.values():
            values = [run[row] for run in kind if row in run]
            digits = 0 if row.startswith("MB ") else 2
            spread = f"({min(values):.{digits}f} - {max(values):.{digits}f})" if values else ""
            cells.append(f"{statistics.median(values):.{digits}f} {spread}" if values else "-")
        print(f"{row:24}" + "".join(f"{cell:>24}" for cell in cells) + f"   {PARTS.get(row, '')}".rstrip())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\nSeconds. python -c 'import numpy' alone: {floor():.2f}. Cores: {cores}. Load: {load}.")


if __name__ == "__main__":
    main()
