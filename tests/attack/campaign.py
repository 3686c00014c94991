"""Many hostile files, directories and command lines, each in a child with limits; what is wrong is printed, and files
are kept for the corpus.

python -m attack.campaign [--seed N] [--pickles N] [--mutations N] [--only KIND] [--lines N] [--directories N]
                          [--keep FOLDER]   (in tests/)
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import itertools
import logging
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attack import command_lines, pickles, programs, readers, run_directories
from attack.limits import in_child
from attack.readers import KINDS, Kind
from hydra_trials.errors import SearchError
from mlp.base.errors import Diverged, UserError

SECONDS, MEGABYTES = 10, 1024  # for one file
BATCH = {True: 1, False: 40}  # files for one child, by whether their readers write
MISTAKES = (UserError, Diverged, SearchError)


@dataclass
class Record:
    """What a part of the campaign has seen."""

    name: str
    tried: int = 0
    accepted: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, accepted: bool, fault: str) -> None:
        self.accepted += accepted and not fault
        if fault:
            self.faults.append((number, fault))
            print(f"--- {self.name} {number}: {fault}", flush=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.tried:,} tried, {self.accepted:,} read, {len(self.faults)} faults"


def judged(read: Callable[[], object]) -> str:
    """How a reader ended: `read`, `refused`, or what is wrong with that."""
    said = io.StringIO()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # it kills: also what Python cannot interrupt
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            read()
        outcome = "read"
    except MISTAKES as error:
        outcome = "refused" if str(error).strip() else "refused without a word"
    except SystemExit as end:
        words = said.getvalue().strip()
        known = {0: "read", None: "read", 2: "refused" if words else "silent", 3: "refused"}
        outcome = known.get(end.code, f"exit code {end.code}: {words[-800:]}")
    except BaseException:
        outcome = traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if "Traceback (most" in said.getvalue():
        return said.getvalue()[-3000:]
    return outcome


def attack(name: str, numbers: Sequence[int], case: Callable[[int], Callable[[], object]], batch: int) -> Record:
    """Judge the cases, a batch in each child; a child that dies is repeated case by case."""
    record = Record(name, tried=len(numbers))

    def work(some: Sequence[int]) -> None:
        logging.disable()
        warnings.simplefilter("ignore")
        for number in some:
            print(f"<{number}>{judged(case(number))}</>", flush=True)

    waiting = [numbers[i : i + batch] for i in range(0, len(numbers), batch)]
    while waiting:
        some = waiting.pop(0)
        ended = in_child(work, some, seconds=SECONDS * len(some), megabytes=MEGABYTES)
        found = {int(n): how for n, how in re.findall(r"<(\d+)>(.*?)</>", ended.output, re.DOTALL)}
        if len(found) < len(some) and len(some) > 1:
            waiting[:0] = [[number] for number in some]
            continue
        for number in some:
            how = found.get(number, f"signal {ended.signal}, exit code {ended.exit_code}: {ended.output[-2000:]}")
            record.add(number, how == "read", how if how not in ("read", "refused") else "")
    return record


def attack_pickles(seed: int, count: int, scratch: Path, keep: Path | None = None, batch: int = 2000) -> Record:
    """Read pickles by the reader of model files, through a file and as they are."""
    from mlp.model_file import load_weights

    cases = list(itertools.islice(pickles.cases(seed), count))
    path = scratch / "model"

    def case(number: int) -> Callable[[], object]:
        def read() -> None:
            pickles.attempt(cases[number])
            path.write_bytes(cases[number])
            load_weights(path)

        return read

    record = attack("pickles", range(count), case, batch)
    _keep(record, keep, "pickle", lambda number: cases[number])
    return record


def attack_files(kind: str, numbers: Sequence[int], scene: Path, scratch: Path, keep: Path | None = None) -> Record:
    """Read a kind of file with changes, in copies of the scene."""
    found = KINDS[kind]
    original = (scene / found.path).read_bytes()
    record = attack(kind, numbers, lambda n: _case(found, readers.changed(found, original, n), scene, scratch),
                    BATCH[found.writes])  # fmt: skip
    _keep(record, keep, kind, lambda number: readers.changed(found, original, number))
    return record


def attack_lines(seed: int, count: int, scratch: Path) -> Record:
    """Run random command lines, fifty in a folder."""
    record = Record("command lines", tried=count)
    for number, (program, words) in zip(range(count), command_lines.cases(seed), strict=False):
        place = scratch / f"lines-{number // 50}"
        place.mkdir(exist_ok=True)
        ended = programs.run(place, program, *words)
        record.add(
            number, ended.exit_code == 0, programs.fault(ended) and f"{program} {words!r}: {programs.fault(ended)}"
        )
    return record


def attack_directories(seed: int, count: int, scratch: Path) -> Record:
    """Run three programs, in turn, on each of the run directories of strangers."""
    record = Record("run directories", tried=count)
    (made := scratch / "run-made").mkdir()
    (place := scratch / "run-place").mkdir()
    template, lines = run_directories.make_template(made), list(run_directories.PROGRAMS)
    for number, case in zip(range(count), run_directories.cases(seed), strict=False):
        some = [lines[(3 * number + i) % len(lines)] for i in range(3)]
        faults = [run_directories.fault(case, words, template, place) for words in some]
        record.add(number, not any(faults), "\n".join(filter(None, faults)))
    return record


def _case(kind: Kind, content: bytes, scene: Path, scratch: Path) -> Callable[[], object]:
    place = scratch / "scene"

    def read() -> None:
        if kind.writes or not place.exists():
            os.chdir(scratch)
            readers.restore(scene, place)
        os.chdir(place)
        path = Path(kind.path)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        try:
            kind.read()
        finally:
            path.write_bytes((scene / kind.path).read_bytes())

    return read


def replay(kind: str, content: bytes, scene: Path, scratch: Path) -> Record:
    """Read one file of the corpus."""
    return attack(kind, [0], lambda _: _case(KINDS[kind], content, scene, scratch), 1)


def _keep(record: Record, folder: Path | None, kind: str, content: Callable[[int], bytes]) -> None:
    for number, how in record.faults:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{kind}-{number}".replace(" ", "_")).write_bytes(content(number))
            (folder / f"{kind}-{number}.txt".replace(" ", "_")).write_text(how)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--pickles", type=int, default=20_000)
    parser.add_argument("--mutations", type=int, default=2_000)
    parser.add_argument("--only", nargs="*", default=list(KINDS))
    parser.add_argument("--lines", type=int, default=0)
    parser.add_argument("--directories", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        scene, scratch = Path(folder, "made"), Path(folder, "scratch")
        scene.mkdir()
        scratch.mkdir()
        os.environ["MLP_CACHE_DIR"] = str(Path(folder, "cache"))
        readers.make_scene(scene)
        records = []

        def say(record: Record) -> None:
            records.append(record)
            print(f"{record}, {time.monotonic() - started:.0f} s", flush=True)

        print(f"seed {args.seed}")
        started = time.monotonic()
        if args.pickles:
            say(attack_pickles(args.seed, args.pickles, scratch, args.keep))
        if args.lines:
            say(attack_lines(args.seed, args.lines, scratch))
        if args.directories:
            say(attack_directories(args.seed, args.directories, scratch))
        for kind in args.only if args.mutations else ():
            numbers = range(args.seed * 1_000_000, args.seed * 1_000_000 + max(1, args.mutations // len(args.only)))
            say(attack_files(kind, numbers, scene, scratch, args.keep))
    return int(any(record.faults for record in records))


def prepare() -> None:
    """Import what readers import, so that children need not."""
    from hydra.core.global_hydra import GlobalHydra

    import mlp.api
    import mlp.report.run_plots
    import mlp.runs.page
    import mlp.searches.hooks
    import mlp.searches.page  # noqa: F401
    from mlp.config.compose import compose

    for module in programs.MODULES.values():
        importlib.import_module(module)
    compose(["dataset=digits", "tracker=none"])
    GlobalHydra.instance().clear()


if __name__ == "__main__":
    sys.exit(main())
