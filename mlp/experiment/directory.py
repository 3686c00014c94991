"""The directory of a run: nobody else writes there, and one that a mistake kept from beginning is removed."""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_trials.passwords import hidden_word
from mlp.base.errors import UserError
from mlp.base.files import remove_leftovers, write_text

LOCK_ATTEMPTS = 5


@contextmanager
def lock(directory: Path, config: Mapping[str, Any], overrides: Sequence[str]) -> Iterator[None]:
    """Make `directory` this run's own: no other run writes there, now or later, unless it resumes this one."""
    with locked(directory):
        if config["resume"] is not None:
            remove_leftovers(directory)
        else:
            if (directory / "config.yaml").exists():
                raise UserError(
                    f"{directory} already holds a run. Continue it with {shlex.quote(f'resume={directory}')}, or "
                    f"choose another one"
                )
            write_text(directory / "overrides.yaml", OmegaConf.to_yaml([hidden_word(word) for word in overrides]))
            write_config(directory, config)
        yield


def write_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Write the run's config.yaml."""
    write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({**config, "resume": None})))


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory. The system lets go of it when the process ends, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt + 1 == LOCK_ATTEMPTS:
                    raise UserError(
                        f"{directory} is being written by another process; wait until that run ends"
                    ) from None
                time.sleep(0.02)  # perhaps somebody only looks whether it is locked
        yield
    finally:
        os.close(descriptor)


@contextmanager
def discarded_if_refused(directory: Path, log_name: str, *, named: bool) -> Iterator[None]:
    """Remove the directory of a run that a mistake keeps from beginning: nothing in it but its log, and nobody at
    work there.

    In a directory that the user has named, a log with content may be the user's: then all is left alone.
    """
    try:
        yield
    except (UserError, OmegaConfBaseException):
        with suppress(UserError, FileNotFoundError), locked(directory):
            files = list(directory.iterdir())
            if all(path.name == log_name and not (named and path.stat().st_size) for path in files):
                for path in files:
                    path.unlink()
                directory.rmdir()
        raise
