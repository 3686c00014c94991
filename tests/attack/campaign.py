"""Many hostile files, each read in a child with limits; what is wrong is printed, and kept for the corpus.

python -m attack.campaign [--seed N] [--pickles N] [--mutations N] [--only KIND] [--keep FOLDER]   (in tests/)
"""

from __future__ import annotations

import argparse
import contextlib
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
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attack import pickles, readers
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
            record.accepted += how == "read"
            if how not in ("read", "refused"):
                record.faults.append((number, how))
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
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    prepare()
    faults: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        scene, scratch = Path(folder, "made"), Path(folder, "scratch")
        scene.mkdir()
        scratch.mkdir()
        os.environ["MLP_CACHE_DIR"] = str(Path(folder, "cache"))
        readers.make_scene(scene)
        records = []
        if args.pickles:
            records.append(attack_pickles(args.seed, args.pickles, scratch, args.keep))
            print(f"seed {args.seed}, {records[0]}", flush=True)
        for kind in args.only:
            share = max(1, args.mutations // len(args.only)) if args.mutations else 0
            numbers = range(args.seed * 1_000_000, args.seed * 1_000_000 + share)
            started = time.monotonic()
            records.append(attack_files(kind, numbers, scene, scratch, args.keep))
            print(f"{records[-1]}, {time.monotonic() - started:.0f} s", flush=True)
    for record in records:
        for number, how in record.faults:
            lines = how.strip().splitlines() or ["?"]
            frames = [line.strip() for line in lines if line.strip().startswith("File")]
            faults[f"{record.name}: {lines[-1][:150]} ({frames[-1] if frames else ''}) e.g. {number}"] += 1
    for what, times in faults.most_common(60):
        print(f"{times} x {what}")
    return int(bool(faults))


def prepare() -> None:
    """Import what readers import, so that children need not."""
    import matplotlib.figure  # noqa: F401

    import mlp.api
    import mlp.cli.app
    import mlp.cli.inference
    import mlp.cli.launch
    import mlp.report.run_plots
    import mlp.searches.__main__
    import mlp.searches.objective
    import mlp.searches.page  # noqa: F401
    from mlp.config.compose import compose

    compose(["dataset=digits", "tracker=none"])


if __name__ == "__main__":
    sys.exit(main())
