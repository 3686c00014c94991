"""Programs in forks whose N-th write, fsync, rename or open fails, by a library that is preloaded into them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forks import ForkServer
from runs import Ended

SOURCE = Path(__file__).with_name("failing.c")
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
CALLS = ("write", "fsync", "rename", "open")
FORMAT = "5q4096s"  # as struct plan has it
ALWAYS = 2**62


class FailingDisk:
    """Runs Python where calls on files below a folder fail as planned."""

    def __init__(self, plan: Path, server: ForkServer) -> None:
        self._plan, self._server = plan, server

    def run(
        self, *command: str, cwd: Path, call: str, at: int, error: int, last: int | None = None
    ) -> tuple[Ended, int]:
        """Run `python command...`; of the calls `call` below `cwd` the ones from `at` (1: the first; 0: none) to
        `last` fail with `error`. Returns how it ended and how many calls there were."""
        last = at if last is None else last
        self._write(0, at or ALWAYS, last if at else 0, error, CALLS.index(call), str(cwd).encode())
        done = self._server.run(*command, cwd=cwd, timeout=120)
        count = struct.unpack_from("q", self._plan.read_bytes())[0]
        self._write(0, ALWAYS, 0, 0, 0, b"")
        return Ended(done.returncode, done.stdout, done.stderr), count

    def _write(self, *values: int | bytes) -> None:
        with self._plan.open("r+b") as file:  # in place: the processes have mapped it
            file.write(struct.pack(FORMAT, *values))


@contextmanager
def failing_disk(folder: Path) -> Iterator[FailingDisk]:
    """Build the library in `folder`, and start the process that forks."""
    assert COMPILER is not None
    library, plan = folder / "failing.so", folder / "plan"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True
    )
    plan.write_bytes(bytes(struct.calcsize(FORMAT)))
    environment = {"LD_PRELOAD": str(library), "FAILING_PLAN": str(plan)}
    before = {name: os.environ.get(name) for name in environment}
    server = ForkServer()
    os.environ.update(environment)
    try:
        server.run("-c", "pass", cwd=folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    yield FailingDisk(plan, server)
    server.close()
