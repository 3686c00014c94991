"""Running a run again, to see whether it comes to the same bits."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from mlp import experiment
from mlp.base import environment
from mlp.base.errors import Diverged, UserError
from mlp.base.files import check_directory
from mlp.config.resolve import resolve_saved
from mlp.data.published import downloads
from mlp.report.read import RunFiles, read_facts, read_metrics
from mlp.runs import detail
from mlp.runs.listing import clean
from mlp.runs.read import SEEN
from mlp.runs.select import Row, shown
from mlp.training import Callback, Run

NO_TRACKER = {"_target_": "mlp.tracking.NoTracker"}
TIMES = ("seconds", "samples_per_second")  # the columns that no two runs share
MOST_THREADS = 1024  # of BLAS


class _StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, run: Run) -> None:
        run.stop = run.stop or run.epoch >= self.epochs


def verify(row: Row, epochs: int | None) -> tuple[str, bool]:
    """Train the first `epochs` of a run again, all by default, in a folder that is then removed: what came of it, and
    whether all bits are the same.

    The schedule is that of the whole run, so that a part of it is the same too. Compared are metrics.csv as it is
    written, and after all epochs the hash of the best weights. Raises UserError for a run that has no finished epoch,
    or cannot be run again.
    """
    directory = Path(row["path"])
    check_directory(directory, SEEN)
    before = _rows(directory)
    if not before:
        raise UserError(f"{directory} has no finished epoch to compare with")
    if epochs is not None and epochs > len(before):
        raise UserError(f"--epochs must be at most {len(before)}, which {row['name']} has finished. Got {epochs}")
    wanted = epochs or len(before)
    saved = RunFiles(directory).config
    then = detail.environment_of(RunFiles(directory))
    save = saved.get("save")
    nowhere = dict.fromkeys(save) if isinstance(save, dict) else save
    beside = {"resume": None, "plots": False, "save": nowhere, "tracker": NO_TRACKER}
    config = resolve_saved(directory, **beside)
    threads = then.get("blas_threads")  # their number decides the last bits
    threads = threads if type(threads) is int and 0 < threads <= MOST_THREADS else 1
    with tempfile.TemporaryDirectory(prefix="mlp-verify-") as folder, threadpool_limits(threads, user_api="blas"):
        now = environment.describe()
        with downloads(False), suppress(Diverged):  # as it did, or not: the rows tell
            experiment.run(config, Path(folder), [_StopAfter(wanted)], progress_bar=True)
        after = _rows(Path(folder))
        facts = read_facts(Path(folder), "best_config.json", "summary.json")
    was = read_facts(directory, "best_config.json", "summary.json")
    lines = []
    for number, old in enumerate(before[:wanted]):
        new = after[number] if number < len(after) else {}
        differing = [name for name in old if name not in TIMES and old[name] != new.get(name)]
        if differing:
            first = ", ".join(
                f"{clean(name)} {clean(old[name])} then, {new.get(name, 'nothing')} now" for name in differing[:3]
            )
            lines.append(f"Epoch {clean(old['epoch'])} is the first that differs: {first}")
            break
    whole = wanted == len(before) and row["state"] in ("completed", "pruned") and was.get("weights_sha256")
    if whole and was["weights_sha256"] != facts.get("weights_sha256"):
        lines.append(f"The weights differ: SHA-256 {_short(was)} then, {_short(facts)} now")
    same = not lines
    if same:
        weights = f", and the weights (SHA-256 {_short(was)})" if whole else ""
        lines.append(f"The same bits: metrics of {'epoch 1' if wanted == 1 else f'epochs 1 to {wanted}'}{weights}")
    then, now = then | detail.data_hashes(was), now | detail.data_hashes(facts)
    changed = [key for key in then if then[key] != now.get(key)]
    lines += [f"  {clean(key)}: {clean(shown(then[key]))} then, {clean(shown(now.get(key)))} now" for key in changed]
    if changed:
        lines.insert(len(lines) - len(changed), "In the environment differs:")
    elif not same:
        lines.append("Nothing that is recorded of the environment differs.")
    return f"{clean(row['name'])}\n" + "\n".join(lines), same


def _rows(directory: Path) -> list[dict[str, str]]:
    """The finished epochs of metrics.csv: a number is written so that it is read to the bit."""
    path = directory / "metrics.csv"
    columns = read_metrics(path) if path.exists() else {}
    texts = ([str(value).removesuffix(".0") for value in values.tolist()] for values in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]


def _short(facts: dict[str, Any]) -> str:
    return str(facts.get("weights_sha256"))[:12]
