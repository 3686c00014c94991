"""What a trivial trial costs in a long search, and beside many others: on a search's journal or on a database.

    python benchmarks/growth.py                                         # some minutes on an idle machine
    python benchmarks/growth.py --done 0 10000 --writers 2              # one search that grows
    python benchmarks/growth.py --storage postgresql://me@host/empty    # a database that may be filled

The program returns a function of two parameters at once, so that a trial costs what the search adds to it: asking,
drawing, composing, files, telling. Printed is, for each search,
    CPU     milliseconds of processor time that its workers spend on a trial, from job to job, starts left out
    rate    trials per second of wall time, from the first job to the last
first with two workers after so many trials that are done (made by hand: the search finds them in its record), then
with so many workers in a search of their own. CPU counts on a busy machine, too, the rate does not. A database's own
processor time is in neither.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution

from hydra_trials.journal import open_storage
from hydra_trials.search import Search

PROGRAM = """
import os, time
from pathlib import Path
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    with Path(__file__).with_name("jobs").open("a") as file:
        file.write(f"{os.getpid()} {time.time()} {time.process_time()}\\n")
    return cfg.x**2 + cfg.y

main()
"""
SPACE = {"x": FloatDistribution(-1, 1), "y": FloatDistribution(0, 1)}


class Program:
    """A Hydra program in a directory of its own, and a search over it."""

    def __init__(self, sampler: str, storage: str | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="growth-"))
        (self.folder / "app.py").write_text(PROGRAM)
        (self.folder / "config.yaml").write_text("x: 0\ny: 0\n")
        self.name, self.sampler, self.storage = self.folder.name, sampler, storage

    def run(self, trials: int, workers: int) -> str:
        """Search until there are so many trials; what the new ones cost."""
        jobs = self.folder / "jobs"
        jobs.unlink(missing_ok=True)
        words = [
            "hydra/sweeper=trials", "hydra/launcher=local", f"hydra.sweeper.name={self.name}",
            f"hydra.sweeper.sampler={self.sampler}", f"hydra.sweeper.trials={trials}",
            f"hydra.sweeper.workers={workers}", *(f"{key}=interval({d.low},{d.high})" for key, d in SPACE.items()),
            *([f"hydra.sweeper.storage='{self.storage}'"] if self.storage else []),
        ]  # fmt: skip
        with (self.folder / "log").open("a") as log:
            code = subprocess.run([sys.executable, "app.py", "-m", *words], cwd=self.folder, stdout=log, stderr=log)
        if code.returncode:
            raise SystemExit(f"exit code {code.returncode}: see {self.folder / 'log'}")
        wall, spent = [], defaultdict(list)
        for line in jobs.read_text().splitlines():
            pid, at, processor = line.split()
            wall.append(float(at))
            spent[pid].append(float(processor))
        between = sum(len(each) - 1 for each in spent.values())
        cpu = sum(each[-1] - each[0] for each in spent.values()) / max(1, between)
        return f"CPU {1000 * cpu:6.1f} ms   rate {(len(wall) - 1) / (max(wall) - min(wall)):6.1f}/s"

    def fill(self, trials: int) -> None:
        """Add trials to the record as if they had been run, until it has so many."""
        directory = self.folder / "multirun" / self.name
        search = Search(directory, open_storage(directory, self.storage) if self.storage else None)
        study, there, draw = search.study, len(search.trials()), random.Random(0)
        for point in range(there, trials):
            x, y = draw.uniform(-1, 1), draw.random()
            study.add_trial(
                optuna.trial.create_trial(
                    value=x * x + y, params={"x": x, "y": y}, distributions=SPACE, user_attrs={"point": point}
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--done", nargs="*", type=int, default=[0, 1000, 10000], help="trials that are done before")
    parser.add_argument("--writers", nargs="*", type=int, default=[2, 8, 32, 128], help="workers at a time")
    parser.add_argument("--trials", type=int, default=100, help="after those that are done")
    parser.add_argument("--each", type=int, default=5, help="trials for each worker")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--storage", help="an Optuna URL (default: a journal in the search's directory)")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    program = Program(options.sampler, options.storage)
    for done in sorted(options.done):
        if done:
            program.fill(done)
        print(f"{done:6} trials done: {program.run(done + options.trials, workers=2)}", flush=True)
    for writers in options.writers:
        # A single job more, for the worker that is the first: between two jobs of a worker there is one trial.
        cost = Program(options.sampler, options.storage).run(writers * options.each, writers)
        print(f"{writers:6} workers:     {cost}", flush=True)


if __name__ == "__main__":
    main()
