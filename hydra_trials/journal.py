"""The file that a search is recorded in: Optuna's journal, safe against a kill in the middle of a line."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from hydra_trials.compat import changes_state, database
from hydra_trials.errors import SearchError
from hydra_trials.files import fault_of_file
from hydra_trials.locks import locked
from hydra_trials.passwords import hidden_in, without_password

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


def open_storage(directory: Path, url: str | None, *, reading: bool = False) -> BaseStorage:
    """The record of the search in `directory`: its journal, or the database at `url`. One that is opened for
    `reading` must be there; nothing is created.

    Raises SearchError for a database that cannot be reached and for what is no file in the journal's place,
    ValueError for a journal whose last line is damaged.
    """
    if url is not None:
        return _database(url, reading)
    path = directory / JOURNAL
    if fault := fault_of_file(path, directory, most=2**32):
        raise SearchError(f"{path} {fault}. Remove it, or choose another name for the search")
    if path.is_file():
        _check_last_line(path)
    elif reading:
        raise SearchError(f"{directory} has lost its {JOURNAL}")
    return JournalStorage(Journal(path))


def _database(url: str, reading: bool, tries: int = 4) -> BaseStorage:
    """Machines that open a new database at the same moment all create its tables; the slower one looks again."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    if "://" not in url:  # it is not shown: it may have a password
        raise SearchError("the storage must be a URL that Optuna knows, as sqlite:///search.db")
    while True:
        tries -= 1
        try:
            return _read_only(url) if reading else database(url)
        except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
            if tries and isinstance(error, DBAPIError):
                time.sleep(0.5)
                continue
            cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
            reason = " ".join(hidden_in(str(getattr(cause, "orig", None) or cause), url).split())
            raise SearchError(f"the storage '{without_password(url)}' cannot be opened: {reason}") from None


def _read_only(url: str) -> BaseStorage:
    """A database that has studies already, in transactions that cannot write where it knows such."""
    from sqlalchemy import create_engine, inspect, make_url

    parsed, options = make_url(url), {}
    if parsed.get_backend_name() == "sqlite":
        name = (parsed.database or "").removeprefix("file:")
        parsed = parsed.set(database=f"file:{name}").update_query_dict({"mode": "ro", "uri": "true"})
    elif parsed.get_backend_name() == "postgresql":
        options = {"execution_options": {"postgresql_readonly": True}}
    engine = create_engine(parsed, **options)
    try:
        there = inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if not {"studies", "version_info", "alembic_version"} <= {*there}:
        raise ValueError("it holds no studies of Optuna")
    return database(parsed.render_as_string(hide_password=False), options, skip_table_creation=True)
