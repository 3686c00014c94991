"""Runs as rows of a table: where they are, how they ended, their numbers, and what differs from the default."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hydra_trials.locks import is_locked
from mlp.base.errors import UserError
from mlp.base.files import check_directory, plain, read_bytes
from mlp.base.naming import flat
from mlp.base.paths import CONF
from mlp.config.files import groups, read_yaml
from mlp.report.read import RunFiles, option_values, read_facts
from mlp.tracking.record import run_name

#: Where runs are if nobody says otherwise.
PLACES = ("outputs", "multirun_outputs")
#: What a run directory holds beside config.yaml; one of them makes it a run.
FILES = ("overrides.yaml", "metrics.csv", "summary.json")
#: What is written to while a run goes on, or decides how it is shown.
SEEN = ("config.yaml", *FILES, "best_config.json", "checkpoint.npz")
#: Folders in which no run is looked for.
INNER = ("plots", "wandb", "tensorboard", "mlruns", "running", "workers", "__pycache__")
#: Parts of a configuration that change nothing of what a run computes.
BESIDE = ("tracker", "save", "plots", "resume", "choices")
#: Parts that a user need not see: resolved into others, or the run's own.
INTERNAL = ("resume", "choices", "optimizer_options")
#: What best_config.json says of the best epoch before the run has ended.
OF_THE_BEST = ("val_loss", "val_accuracy", "val_f1", "best_epoch")

FIXED = ("name", "path", "state", "started", "dataset", "search", "seconds", "epoch", "changed", "config")
STATES = ("running", "completed", "pruned", "diverged", "resumable", "interrupted", "failed", "damaged")


def places(directories: Sequence[str | os.PathLike[str]]) -> str:
    """Where runs are looked for, for a message."""
    return " and ".join(map(str, directories or PLACES))


def find(directories: Sequence[str | os.PathLike[str]] = ()) -> list[Path]:
    """The run directories in and below `directories`; those below outputs/ and multirun_outputs/ if none are given.

    Symbolic links are followed where they are given, not below; hidden folders are not looked into. Raises UserError
    for what is no folder.
    """
    return [Path(path) for path, _ in scan(directories).values()]


def scan(directories: Sequence[str | os.PathLike[str]] = ()) -> dict[str, tuple[str, str]]:
    """`find`, by the real path of each run, with a text that changes whenever its files do."""
    found: dict[str, tuple[str, str]] = {}
    for directory in directories or [place for place in PLACES if os.path.isdir(place)]:
        if not os.path.isdir(directory):
            raise UserError(f"{directory} is no folder: give folders that have runs in them, such as outputs")
        given, real = os.fspath(directory).rstrip("/") or "/", os.path.realpath(directory)
        for path, stamp in _below(given):
            found.setdefault(real + path[len(given) :], (path, stamp))
    return found


def _below(directory: str) -> Iterator[tuple[str, str]]:
    waiting = [directory]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                files: dict[str, os.DirEntry[str]] = {}
                for entry in entries:
                    if entry.name in SEEN:
                        files[entry.name] = entry
                    elif entry.name not in INNER and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:  # gone by now, or not ours to read
            continue
        if "config.yaml" in files and any(name in files for name in FILES):
            yield folder, " ".join([f"{name}:{_stamp(entry)}" for name, entry in sorted(files.items())])


def _stamp(entry: os.DirEntry[str]) -> str:
    try:
        found = entry.stat()
    except OSError:
        return "gone"
    return f"{found.st_mtime_ns:x}.{found.st_size:x}.{found.st_ino:x}"


def row(path: str | os.PathLike[str]) -> dict[str, object]:
    """A run as a row: what `mlp runs list` and the page show of it.

    Keys: name, path, state (one of STATES), started (ISO 8601, UTC), dataset, search (the folder of the search that
    it belongs to, or None), seconds (None before the end), epoch (how many are finished), every number of
    summary.json (val_accuracy, test_accuracy ...), changed (what differs from the default, by dotted names, options
    by that of their group) and config (all of it, by dotted names; "optimizer" names the option).
    A run that cannot be read is "damaged".
    """
    return ended_row(path) | ({"state": "running"} if is_running(path) else {})


def ended_row(path: str | os.PathLike[str], strict: bool = False) -> dict[str, object]:
    """`row` as if nobody were at work in the directory. If `strict`, raises UserError for a damaged run."""
    directory = Path(path)
    search = search_of(directory)
    found: dict[str, Any] = {"name": _name(directory, search), "path": str(path), "state": "damaged", "started": None,
                             "dataset": None, "search": search.name if search else None, "seconds": None,
                             "epoch": 0}  # fmt: skip
    config: dict[str, Any] = {}
    try:
        check_directory(directory, SEEN)
        run = RunFiles(directory)
        summary = read_facts(directory, "summary.json")
        config = configuration(run)
        found |= _numbers(directory, summary)
        found |= {
            "state": _state(directory, summary),
            "started": _started(directory, summary),
            "dataset": config.get("dataset"),
            "seconds": found.get("total_seconds"),
            "epoch": _epoch(directory, found.get("epochs", 0)),
        }
        return {**found, "changed": differences(config), "config": config}
    except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        if strict:
            what = str(error) if isinstance(error, UserError | OSError) else f"{type(error).__name__}: {error}"
            raise UserError(f"{directory} is damaged: {what}") from error
        return {**found, "state": "damaged", "changed": {}, "config": config}


def is_running(path: str | os.PathLike[str]) -> bool:
    """Whether a process trains in this run directory."""
    try:
        return is_locked(path)
    except OSError:
        return False


def search_of(directory: Path) -> Path | None:
    """The directory of the search that a run is a trial of, or a seed of a trial."""
    parents = directory.absolute().parents
    return next((parent for parent in parents[:2] if (parent / "search.json").is_file()), None)


def _name(directory: Path, search: Path | None) -> str:
    return run_name(directory) if search is None else str(directory.absolute().relative_to(search.parent))


def _state(directory: Path, summary: Mapping[str, Any]) -> str:
    status = summary.get("status")
    if status in ("completed", "pruned", "diverged"):
        return str(status)
    if (directory / "checkpoint.npz").is_file():
        return "resumable"
    return "failed" if status == "failed" else "interrupted"


def _started(directory: Path, summary: Mapping[str, Any]) -> str:
    """When the run began; before it has said so, when its first file was written."""
    if isinstance(started := summary.get("started"), str):
        return started
    first = next(path for name in ("overrides.yaml", "config.yaml") if (path := directory / name).exists())
    return datetime.fromtimestamp(first.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _epoch(directory: Path, counted: float) -> int:
    """The last epoch of metrics.csv, which also a run has that was killed."""
    try:
        *_, last, _ = read_bytes(directory / "metrics.csv").split(b"\n")  # after the last \n: what was cut off
        return int(float(last.partition(b",")[0]))
    except (UserError, ValueError, IndexError, OverflowError):
        return int(counted)


def _numbers(directory: Path, summary: Mapping[str, Any]) -> dict[str, int | float]:
    """The numbers of summary.json; of a run that has not ended well also what its best model says of itself."""
    facts = dict(summary)
    if summary.get("status") not in ("completed", "pruned"):
        best = read_facts(directory, "best_config.json")
        facts = {key: best[key] for key in OF_THE_BEST if key in best} | facts
    return {
        key: value
        for key, value in facts.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in FIXED
    }


def configuration(run: RunFiles) -> dict[str, Any]:
    """The values of a run by dotted names, in JSON's types, and by the name of each group its option."""
    chosen = {group: str(run.value(group)) for group in groups() if isinstance(run.config.get(group), Mapping)}
    if chosen.get("augment") == "compose" and isinstance(steps := run.config["augment"].get("steps"), Mapping):
        chosen["augment"] = f"[{','.join(map(str, steps))}]"  # as on the command line
    if isinstance(kept := run.config.get("choices"), Mapping) and kept.get("experiment"):
        chosen["experiment"] = str(kept["experiment"])
    values = dict(flat({key: value for key, value in run.config.items() if key not in INTERNAL}))
    for group, option in chosen.items():
        target = f"{group}._target_"
        if values.get(target) == _option(group, option).get(target):
            values.pop(target, None)  # the option says it
    return json.loads(json.dumps(plain({**chosen, **values}), default=str))  # type: ignore[no-any-return]


def differences(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a `configuration` differs from the default, apart from what changes nothing of the result.

    The values of an option that is not the default one are compared with those of its file.
    """
    usual = {**_defaults(), **_default_options()}
    for group in _default_options():
        usual |= _option(group, str(config.get(group)))
    first = [key for key in ("experiment", *_default_options()) if key in config]
    keys = dict.fromkeys([*first, *config])
    return of_the_result({key: config[key] for key in keys if key not in usual or usual[key] != config[key]})


def of_the_result(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `configuration` without what changes nothing of the result."""
    return {key: value for key, value in config.items() if key.partition(".")[0] not in BESIDE}


@cache
def _base() -> dict[str, Any]:
    return dict(read_yaml(CONF / "config.yaml"))


@cache
def _default_options() -> dict[str, str]:
    """The option of each group that conf/config.yaml chooses."""
    entries = (entry for entry in _base()["defaults"] if isinstance(entry, dict))
    chosen = {group: option for entry in entries for group, option in entry.items()}
    return {group: option for group, option in chosen.items() if group in groups() and group != "search"}


@cache
def _defaults() -> dict[str, Any]:
    return dict(flat({key: value for key, value in _base().items() if key not in ("defaults", "hydra")}))


@cache
def _option(group: str, option: str) -> dict[str, Any]:
    """The values of an option by dotted names, or of a list of options; empty where it is not of this package."""
    known = option_values(group)
    if option.startswith("["):
        steps = {name: known.get(name, {}) for name in option.strip("[]").split(",")}
        return {f"{group}.{key}": value for key, value in flat({**known.get("compose", {}), "steps": steps})}
    return {f"{group}.{key}": value for key, value in flat(known.get(option, {}))}
