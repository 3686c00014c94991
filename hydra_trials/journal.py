"""The file that a search is recorded in: Optuna's journal, safe against a kill in the middle of a line."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from hydra_trials.compat import changes_state
from hydra_trials.errors import SearchError
from hydra_trials.files import without_password
from hydra_trials.locks import locked

JOURNAL = "journal.log"


class Journal(JournalFileBackend):
    """Optuna's journal file, under a lock that the system releases when its holder dies.

    Whoever is killed while it writes, or finds the disk full, may leave half a line, which no reader would get past;
    the next one to write replaces it. A line that begins or ends a trial is on the disk, with all before it, when
    `append_logs` returns; the others are in the hands of the system, which a kill does not touch.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path, self._lock_path = path, path.with_name(f"{path.name}.lock")

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with locked(self._lock_path), FileIO(self._path, "r+") as file:
            end = end_of_lines(file)
            file.truncate(end)
            file.seek(end)
            try:
                left = memoryview(lines)
                while left:  # a file without a buffer may take only a part at a time
                    left = left[file.write(left) :]
                if any(map(changes_state, logs)):
                    os.fsync(file.fileno())
            except OSError as error:
                with suppress(OSError):
                    file.truncate(end)
                raise OSError(error.errno, error.strerror, str(self._path)) from error


def end_of_lines(file: FileIO) -> int:
    """The position after the last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _check_last_line(path: Path) -> None:
    """Refuse a last line that is complete and no record: Optuna would pass over it, until another one follows."""
    with FileIO(path, "r") as file:
        end = end_of_lines(file)
        start = max(0, end - 2**20)
        file.seek(start)
        *before, line = file.read(end - start).rstrip(b"\n").split(b"\n")
    if line and (before or start == 0):  # else it is longer than what was read, as no damage is
        json.loads(line)


def open_storage(directory: Path, url: str | None) -> BaseStorage:
    """The record of the search in `directory`: its journal, or the database at `url`.

    Raises SearchError for a database that cannot be reached and for a folder in the journal's place, ValueError for a
    journal whose last line is damaged.
    """
    if url is not None:
        return _database(url)
    path = directory / JOURNAL
    if path.is_dir():
        raise SearchError(f"{path} is a folder. Remove it, or choose another name for the search")
    if path.is_file():
        _check_last_line(path)
    return JournalStorage(Journal(path))


def _database(url: str, tries: int = 4) -> BaseStorage:
    """Machines that open a new database at the same moment all create its tables; the slower one looks again."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    while True:
        tries -= 1
        try:
            return RDBStorage(url)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            if tries and isinstance(error, DBAPIError):
                time.sleep(0.5)
                continue
            cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
            reason = " ".join(without_password(str(getattr(cause, "orig", None) or cause)).split())
            raise SearchError(f"the storage {without_password(url)} cannot be opened: {reason}") from error
