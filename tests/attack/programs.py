"""Programs in children with limits, and what is wrong with how they ended."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from attack.limits import Outcome, in_child

MODULES = {
    "train": "mlp.cli.train", "inference": "mlp.cli.inference", "search": "mlp.searches.__main__",
    "report": "mlp.report.__main__", "runs": "mlp.runs.__main__", "data": "mlp.data.__main__",
    "mlp": "mlp.cli.main", "profile": "mlp.tools.profile",
}  # fmt: skip


def run(place: Path, program: str, *words: str, env: Mapping[str, str] | None = None, seconds: float = 20) -> Outcome:
    """What `program words...` does in the folder `place`."""

    def work() -> None:
        os.chdir(place)
        os.environ.update(env or {})
        sys.argv = [program, *words]
        code = importlib.import_module(MODULES[program]).main(list(words))
        sys.exit(code if isinstance(code, int) else None)

    # W&B's process is written in Go, which reserves much more address space than it uses and ends where it may not.
    return in_child(work, seconds=seconds, megabytes=16_384 if words[:1] == ("publish",) else 1024)


def fault(ended: Outcome) -> str:
    """What is wrong with how a program ended; empty where nothing is."""
    what = ""
    if ended.signal:
        what = f"signal {ended.signal} after {ended.seconds:.0f} s"
    elif ended.exit_code not in (0, 1, 2, 3):
        what = f"exit code {ended.exit_code}"
    elif "Traceback (most recent" in ended.output:
        what = f"a traceback, exit code {ended.exit_code}"
    elif ended.exit_code and not ended.output.strip():
        what = f"exit code {ended.exit_code} without a word"
    elif ended.exit_code == 2 and (ended.errors.count("Error: ") != 1 or len(ended.errors) > 20_000):
        what = "not one message"
    elif any(not character.isprintable() and character != "\n" for character in ended.errors):
        what = f"control characters {ended.errors!r}"
    return what and f"{what}\n{ended.output[-1500:]}"
