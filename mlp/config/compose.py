"""Composing a configuration, by Hydra's loader itself: `hydra.compose` works once at a time in a process, and not
within another Hydra program."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from hydra_trials.compat import VERSION_BASE
from mlp.paths import CONF

_one_at_a_time = threading.Lock()


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> DictConfig:
    """The configuration that a run with these overrides gets, without a run; `folders` have further options.

    Raises HydraException for what cannot be composed.
    """
    with _one_at_a_time, _version_base():
        places = create_config_search_path(str(CONF))
        for folder in folders:
            places.prepend("command-line", f"file://{folder.resolve()}", anchor="schema")
        config = ConfigLoaderImpl(places).load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
    with open_dict(config):
        del config["hydra"]
    return config


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
