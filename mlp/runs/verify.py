"""Running a run again, to see whether it comes to the same bits."""

from __future__ import annotations

import csv
import io
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from mlp import environment, experiment
from mlp.config.resolve import resolve
from mlp.errors import Diverged, UserError
from mlp.report.read import RunFiles, read_facts
from mlp.runs import detail
from mlp.runs.listing import clean
from mlp.runs.select import Row, shown
from mlp.training import Callback, Run

NO_TRACKER = {"_target_": "mlp.tracking.NoTracker"}
TIMES = ("seconds", "samples_per_second")  # the columns that no two runs share


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
    before = _rows(directory)
    if not before:
        raise UserError(f"{directory} has no finished epoch to compare with")
    if epochs is not None and epochs > len(before):
        raise UserError(f"--epochs must be at most {len(before)}, which {row['name']} has finished. Got {epochs}")
    wanted = epochs or len(before)
    saved = RunFiles(directory).config
    then = detail.environment(RunFiles(directory))
    beside = {"resume": None, "plots": False, "save": dict.fromkeys(saved.get("save", ())), "tracker": NO_TRACKER}
    config = resolve(OmegaConf.create({**saved, **beside}))
    threads = then.get("blas_threads") or 1  # their number decides the last bits
    with tempfile.TemporaryDirectory(prefix="mlp-verify-") as folder, threadpool_limits(threads, user_api="blas"):
        now = environment.describe()
        with suppress(Diverged):  # as it did, or not: the rows tell
            experiment.run(config, Path(folder), [_StopAfter(wanted)], progress_bar=True)
        after = _rows(Path(folder))
        facts = read_facts(Path(folder), "best_config.json", "summary.json")
    was = read_facts(directory, "best_config.json", "summary.json")
    lines = []
    for number, old in enumerate(before[:wanted]):
        new = after[number] if number < len(after) else {}
        differing = [name for name in old if name not in TIMES and old[name] != new.get(name)]
        if differing:
            first = ", ".join(f"{name} {old[name]} then, {new.get(name, 'nothing')} now" for name in differing[:3])
            lines.append(f"Epoch {old['epoch']} is the first that differs: {first}")
            break
    whole = wanted == len(before) and row["state"] in ("completed", "pruned") and was.get("weights_sha256")
    if whole and was["weights_sha256"] != facts.get("weights_sha256"):
        lines.append(f"The weights differ: SHA-256 {_short(was)} then, {_short(facts)} now")
    same = not lines
    if same:
        weights = f", and the weights (SHA-256 {_short(was)})" if whole else ""
        lines.append(f"The same bits: metrics of {'epoch 1' if wanted == 1 else f'epochs 1 to {wanted}'}{weights}")
    then |= {f"data, {part}": of for part, of in (was.get("data_sha256") or {}).items()}
    now |= {f"data, {part}": of for part, of in (facts.get("data_sha256") or {}).items()}
    changed = [key for key in then if then[key] != now.get(key)]
    lines += [f"  {key}: {clean(shown(then[key]))} then, {clean(shown(now.get(key)))} now" for key in changed]
    if changed:
        lines.insert(len(lines) - len(changed), "In the environment differs:")
    elif not same:
        lines.append("Nothing that is recorded of the environment differs.")
    return f"{clean(row['name'])}\n" + "\n".join(lines), same


def _rows(directory: Path) -> list[dict[str, str]]:
    """The finished epochs of metrics.csv, as they are written."""
    try:
        text = (directory / "metrics.csv").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]  # without a line that was cut off
    return list(csv.DictReader(io.StringIO(whole)))


def _short(facts: dict[str, Any]) -> str:
    return str(facts.get("weights_sha256"))[:12]
