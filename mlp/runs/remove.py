"""Removing runs, or keeping them as an archive: never one that is at work, nor the best of a search."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path

from rich.filesize import decimal

from hydra_trials.errors import SearchError
from hydra_trials.files import LEFTOVER
from hydra_trials.locks import commands
from mlp.base.errors import UserError
from mlp.base.files import atomic_write
from mlp.base.text import count
from mlp.experiment.directory import locked
from mlp.runs import read
from mlp.runs.listing import clean
from mlp.runs.select import Row
from mlp.training.checkpoint import CHECKPOINT

ENDED = ("completed", "pruned", "diverged")  # these need no checkpoint any more


def rm(rows: Sequence[Row], checkpoints: bool, yes: bool) -> str:
    """Remove runs, or their checkpoints only, if `yes`; else say what that would be."""
    return _done("remove" + (" the checkpoint of" if checkpoints else ""), rows, yes, checkpoints)


def archive(rows: Sequence[Row], folder: Path, yes: bool) -> str:
    """Pack runs into NAME.tar.gz in `folder` and remove their directories, if `yes`; else say what that would be."""
    return _done("archive", rows, yes, folder=folder)


def _done(word: str, rows: Sequence[Row], yes: bool, checkpoints: bool = False, folder: Path | None = None) -> str:
    kept = {row["path"]: reason for row in rows if (reason := _why_not(row, checkpoints))}
    chosen = [row for row in rows if row["path"] not in kept]
    lines = [f"keep {clean(row['name'])}: {clean(kept[row['path']])}" for row in rows if row["path"] in kept]
    total = done = 0
    for row in chosen:
        directory = Path(row["path"])
        number = _bytes(directory / CHECKPOINT if checkpoints else directory)
        try:
            with locked(directory) if yes else nullcontext():  # UserError: a run has begun there meanwhile
                if yes and checkpoints:
                    (directory / CHECKPOINT).unlink()
                elif yes:
                    if folder is not None:
                        _pack(row, directory, folder)
                    _remove(directory.resolve())
        except UserError as error:
            lines.append(f"keep {clean(row['name'])}: {clean(str(error))}")
        else:
            lines.append(f"{word} {clean(row['name'])}: {row['state']}, {decimal(number)}")
            total, done = total + number, done + 1
    runs = f"{count(done, 'run')}, {decimal(total)}"
    if yes or not chosen:
        return "\n".join([*lines, f"Done: {runs}." if done else "Nothing to do."])
    return "\n".join([*lines, f"Nothing has been done. With --yes: {word} {runs}."])


def _why_not(row: Row, checkpoints: bool) -> str | None:
    """Why a run is left alone; None if it is not."""
    directory = Path(row["path"])
    if row["state"] == "running":
        return "it is running"
    if checkpoints and not (directory / CHECKPOINT).is_file():
        return "it has no checkpoint"
    if checkpoints and row["state"] not in ENDED:
        return f"it is {row['state']} and goes on from its checkpoint"
    search = read.search_of(directory)
    if search is None:
        return None
    best = _best(search)
    if isinstance(best, str):
        return best
    trial = directory.resolve().relative_to(search.resolve()).parts[0]
    return f"it is the best of {search.name}" if trial in best else None


@cache
def _best(search: Path) -> set[str] | str:
    """The directories of the best trials of a search; or why nothing of it may be removed."""
    from hydra_trials.search import Search  # Optuna takes half a second

    if commands(search):
        return f"the search {search.name} is at work"
    try:
        found = Search(search)
        winner = found.best()
        return {str(number) for number in found.pareto_front() | ({winner.number} if winner else set())}
    except (SearchError, OSError) as error:
        return f"nobody knows the best of its search: {error}"


def _pack(row: Row, directory: Path, folder: Path) -> None:
    path = folder / f"{row['name'].replace('/', '_')}.tar.gz"
    if path.exists():
        raise UserError(f"{path} exists: give another folder with --to")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file, tarfile.open(fileobj=file, mode="w:gz") as packed:
        packed.add(directory, arcname=row["name"])


def _remove(directory: Path) -> None:
    """Remove a directory; its name goes first, so that no half of a run is seen."""
    hidden = directory.with_name(f".{directory.name}{LEFTOVER}")
    directory.rename(hidden)
    shutil.rmtree(hidden)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", directory.parent.name):
        with suppress(OSError):  # there are others of that day
            directory.parent.rmdir()


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
