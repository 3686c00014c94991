"""How long `mlp runs list` takes over many runs: python benchmarks/runs.py [NUMBER].

Makes run directories, half of them single runs and half trials of searches, by copying the files of a real run with
other numbers, lists them without and with the index, and prints seconds and memory.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL = ("config.yaml", "overrides.yaml", "metrics.csv", "summary.json", "best_config.json", "train.log")
EMPTY = ("best_model.npy", "predictions.npz", "checkpoint.npz")
TRIALS = 250  # of a search


def make(folder: Path, number: int) -> None:
    """`number` run directories in `folder`, as outputs/ and multirun_outputs/ have them."""
    subprocess.run([sys.executable, "-m", "mlp", "train", "-d", "digits", "-e", "2", "--no_wandb", "plots=false",
                    "hydra.run.dir=model"], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    content = {name: (folder / "model" / name).read_text() for name in SMALL}
    summary = json.loads(content["summary.json"])
    choose = random.Random(0)
    for i in range(number):
        trial = i % 2
        place = (
            f"multirun_outputs/search_{i // (2 * TRIALS)}/{i // 2 % TRIALS}" if trial else f"outputs/day_{i % 97}/{i}"
        )
        directory = folder / place
        directory.mkdir(parents=True)
        if trial:
            (directory.parent / "search.json").write_text("{}")
        rate = f"learning_rate: {10 ** choose.uniform(-4, -1):.6f}"
        config = re.sub("learning_rate: .*", rate, content["config.yaml"])
        scores = {name: choose.random() for name in summary if re.match("(val|test|train)_", name)}
        made = {**content, "config.yaml": config, "summary.json": json.dumps({**summary, **scores})}
        for name in SMALL:
            (directory / name).write_text(made[name])
        for name in EMPTY:
            (directory / name).touch()


def listed(folder: Path, *words: str) -> str:
    """Seconds of the whole program, those of its CPU, and the most memory that any so far took."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mlp", "runs", "list", *words]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    lines = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:6.2f} s  {cpu:6.2f} s of CPU  {after.ru_maxrss / 1024:4.0f} MB  {lines.count(chr(10)):6,} lines"


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), number)
        print(f"{number:,} runs")
        for what, words in (("without an index", ()), ("with the index", ()), ("again", ()),
                            ("--where 'optimizer=adam and val_accuracy>0.97'",
                             ("--where", "optimizer=adam and val_accuracy>0.97")),
                            ("--json", ("--json",))):  # fmt: skip
            print(f"{what:46} {listed(Path(folder), *words)}", flush=True)


if __name__ == "__main__":
    main()
