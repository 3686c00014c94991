"""The file that a search is recorded in: Optuna's journal, safe against a kill in the middle of a line."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mlp.environment import without_password
from mlp.errors import UserError

JOURNAL = "journal.log"


class HealingLock(JournalFileOpenLock):
    """The lock of a journal, which the system releases when its holder dies, and which then mends the file.

    Whoever is killed while it writes, or finds the disk full, may leave half a line, which no reader would get past.
    The next one to write cuts it off.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal, self._path = journal, journal.with_name(f"{journal.name}.lock")
        self._held: int | None = None

    def acquire(self) -> bool:
        self._held = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        cut_torn_line(self._journal)
        return True

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


def cut_torn_line(journal: Path) -> None:
    """Remove what follows the last complete line."""
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        start, tail = size, b""
        while start and b"\n" not in tail:
            step = min(start, 65536)
            start -= step
            file.seek(start)
            tail = file.read(step)
        file.truncate(start + tail.rfind(b"\n") + 1)


def open_storage(directory: Path, url: str | None) -> BaseStorage:
    """The record of the search in `directory`: its journal, or the database at `url`.

    Raises UserError for a database that cannot be reached.
    """
    if url is not None:
        return _database(url)
    journal = directory / JOURNAL
    return JournalStorage(JournalFileBackend(str(journal), HealingLock(journal)))


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
            raise UserError(f"search.storage={without_password(url)} cannot be opened: {reason}") from error
