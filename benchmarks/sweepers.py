"""The same Hydra program, searched by hydra/sweeper=trials and by hydra-optuna-sweeper, two jobs at a time.

    python benchmarks/sweepers.py                          # ten minutes on an idle machine
    python benchmarks/sweepers.py --repeats 1 --parts uneven start-up
    python benchmarks/sweepers.py --peer 1.2.0=.venv-peers-search/bin/python --peer 1.4.0rc3=elsewhere/bin/python

Printed for each contender, the times in turns, medians with the least and the most:
    uneven    wall and processor seconds of a grid of 24 jobs that sleep 0.1 to 3 s, 27.2 s in all: 13.6 s at best
    trivial   the same of 200 jobs that return at once, points by random search
    kill      all processes of the uneven search get SIGKILL after 8 s; jobs done then, and by the same command again
    again     jobs that the same command runs when the search is complete
    nan       exit code and jobs done of a grid of six where the first point returns NaN
    error     the same where it raises

The peer keeps its study in an SQLite file, without which a second command knows nothing of the first. Then the time
of a program that asks for no sweeper, with the plugin importable and without, in turns.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("uneven", "trivial", "behaviour", "start-up")
SECONDS = (0.3, 2.4, 0.1, 1, 0.2, 3, 0.8, 0.4, 1.6, 0.6, 2, 1.2)  # in no order
PROGRAM = """
import math, time
from pathlib import Path
import hydra

DONE = Path(__file__).with_name("done")

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    time.sleep(cfg.seconds)
    with DONE.open("a") as file:
        file.write("x")
    if cfg.x == 0 and cfg.bad == "error":
        raise ValueError("bad point")
    return math.nan if cfg.x == 0 and cfg.bad == "nan" else float(cfg.x)

main()
"""
CONFIG = "x: 1\nseconds: 0\nbad: none\n"
UNEVEN = (f"seconds={','.join(map(str, SECONDS))}", "x=1,2")
FAULTY = ("x=0,1,2,3,4,5",)
OURS = ("hydra/sweeper=trials", "hydra.sweeper.name=s", "hydra.sweeper.workers=2")
PEER = (
    "hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2",
    "hydra.sweeper.study_name=s", "hydra.sweeper.storage=sqlite:///study.db",
)  # fmt: skip


class Contender:
    """A sweeper with its launcher: how it is called.

    Args:
        python: the interpreter that has it.
        words: what chooses it; `ours` says whether it is hydra/sweeper=trials.
    """

    def __init__(self, python: str, words: Sequence[str], ours: bool) -> None:
        self.python, self.words, self.ours = python, words, ours

    def command(self, sampler: str, trials: int, *points: str) -> list[str]:
        """The command of a search of so many trials."""
        if self.ours:
            chosen = [f"hydra.sweeper.sampler={sampler}"]
            chosen += [f"hydra.sweeper.trials={trials}"] if sampler != "grid" else []
        else:
            chosen = [f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.n_trials={trials}"]
        return [self.python, "app.py", "-m", *self.words, *chosen, *points]


def place() -> Path:
    """A new directory with the program."""
    folder = Path(tempfile.mkdtemp(prefix="sweepers-"))
    (folder / "app.py").write_text(PROGRAM)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def done(folder: Path) -> int:
    """How many jobs have ended."""
    return len((folder / "done").read_text()) if (folder / "done").exists() else 0


def run(command: Sequence[str], folder: Path, kill_after: float | None = None) -> tuple[int, float, float]:
    """Exit code, wall seconds, and processor seconds of all processes that were waited for; its processes get SIGKILL
    after a while where that is asked for."""
    started, before = time.perf_counter(), os.times()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    after = os.times()
    return code, time.perf_counter() - started, sum(after[2:4]) - sum(before[2:4])


def times(contenders: Mapping[str, Contender], parts: Sequence[str], repeats: int) -> None:
    """Print the wall and processor seconds of the searches that are asked for, the contenders in turns."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(1, repeats + 1):
        for name, contender in contenders.items():
            uneven = contender.command("grid", 24, *UNEVEN)
            trivial = contender.command("random", 200, "x=interval(0,1)")
            for what, command, jobs in (("uneven", uneven, 24), ("trivial", trivial, 200)):
                if what not in parts:
                    continue
                folder = place()
                code, *seconds = run(command, folder)
                if code or done(folder) != jobs:
                    raise SystemExit(f"{name}, {what}: exit code {code}, {done(folder)} jobs: see {folder / 'log'}")
                found.setdefault((name, what), []).append((seconds[0], seconds[1]))
                took = f"{seconds[0]:.1f} s, {seconds[1]:.1f} s of CPU, load {os.getloadavg()[0]:.0f}"
                print(f"turn {turn}: {name}, {what}: {took}", file=sys.stderr, flush=True)
    for (name, what), each in found.items():
        wall, cpu = (
            f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"
            for values in zip(*each, strict=True)
        )
        print(f"{name:30} {what:8} {wall}, CPU {cpu}")


def behaviour(contender: Contender) -> dict[str, str]:
    """What a contender does when it is killed, called again, and told NaN or an error."""
    found = {}
    folder, command = place(), contender.command("grid", 24, *UNEVEN)
    run(command, folder, kill_after=8)
    for what in ("kill", "again"):
        before = done(folder)
        code, *_ = run(command, folder)
        found[what] = f"{before} jobs done, then exit code {code} and {done(folder) - before} more"
    for bad in ("nan", "error"):
        folder = place()
        code, *_ = run(contender.command("grid", 6, *FAULTY, f"bad={bad}"), folder)
        found[bad] = f"exit code {code}, {done(folder)} of 6 jobs"
    return found


def start_up(repeats: int) -> str:
    """Processor time of a program that asks for no sweeper, without the plugin and with it, in turns."""
    folder, packages = place(), sysconfig.get_path("purelib")
    times: dict[str, list[float]] = {packages: [], f"{packages}{os.pathsep}{ROOT}": []}
    for _ in range(repeats):
        for path, its in times.items():
            before = os.times()
            # -S: an editable installation is not there by itself
            env = {**os.environ, "PYTHONPATH": path}
            subprocess.run([sys.executable, "-S", "app.py"], cwd=folder, env=env, check=True)
            after = os.times()
            its.append(sum(after[2:4]) - sum(before[2:4]))
    without, beside = (1000 * statistics.median(its) for its in times.values())
    return f"{without:.0f} ms without the plugin, {beside:.0f} ms with it (medians of {repeats})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    peers = [f"hydra-optuna-sweeper={ROOT / '.venv-peers-search' / 'bin' / 'python'}"]
    parser.add_argument("--peer", action="append", metavar="NAME=PYTHON")
    options = parser.parse_args()
    contenders = {
        "trials, local": Contender(sys.executable, (*OURS, "hydra/launcher=local"), ours=True),
        "trials, joblib": Contender(sys.executable, (*OURS, "hydra/launcher=joblib"), ours=True),
    }
    for name, _, python in (given.partition("=") for given in options.peer or peers):
        if Path(python).exists():
            contenders[f"{name}, joblib"] = Contender(python, PEER, ours=False)
        else:
            print(f"{python} is not there: without {name}. benchmarks/search.py --help says how to install the peer.")
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    times(contenders, options.parts, options.repeats)
    if "behaviour" in options.parts:
        for name, contender in contenders.items():
            for what, text in behaviour(contender).items():
                print(f"{name:30} {what:8} {text}", flush=True)
    if "start-up" in options.parts:
        print(f"a program without a sweeper: {start_up(7 * options.repeats)}")


if __name__ == "__main__":
    main()
