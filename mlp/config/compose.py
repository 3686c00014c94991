"""Composing a configuration, by Hydra's loader itself: `hydra.compose` works once at a time in a process, and not
within another Hydra program."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from hydra_trials.compat import VERSION_BASE
from mlp.base.errors import UserError
from mlp.base.paths import CONF

_one_at_a_time = threading.Lock()


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> DictConfig:
    """The configuration that a run with these overrides gets, without a run; `folders` have further options.

    Raises HydraException or UserError for what cannot be composed.
    """
    with _one_at_a_time, _version_base():
        places = create_config_search_path(str(CONF))
        for folder in folders:
            places.prepend("command-line", f"file://{folder.resolve()}", anchor="schema")
        with composing():
            loader = ConfigLoaderImpl(places)
            config = loader.load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
    with open_dict(config):
        del config["hydra"]
    return config


@contextmanager
def composing() -> Iterator[None]:
    """Hydra raises anything for words and files that nobody has thought of: what it raises becomes a UserError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, UserError, OSError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error.__cause__, OSError):  # the log cannot be opened
            raise error.__cause__ from None
        frames = [str(frame.f_globals["__name__"]) for frame, _ in traceback.walk_tb(error.__traceback__)]
        rooms = [name.partition(".")[0] for name in frames if re.match(r"(mlp|hydra_trials|hydra|omegaconf)\.", name)]
        if rooms[-1] not in ("hydra", "omegaconf"):  # a fault of this program
            raise
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise UserError(f"the configuration cannot be composed: {reason or type(error).__name__}") from error


@contextmanager
def _version_base() -> Iterator[None]:
    """This program's version of Hydra's rules, within another Hydra program that has chosen its own too."""
    if not VERSION_BASE:
        yield
        return
    chosen = version.VersionBase.instance()
    before = chosen.version_base
    version.setbase(VERSION_BASE["version_base"])
    try:
        yield
    finally:
        chosen.version_base = before
