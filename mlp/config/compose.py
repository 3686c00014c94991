"""Composing a configuration, by Hydra's loader itself: `hydra.compose` works once at a time in a process, and not
within another Hydra program."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hydra_trials.compat import VERSION_BASE, CachingConfigLoader
from mlp.base.errors import UserError
from mlp.base.paths import CONF
from mlp.config.expansion_limits import bounded, unfold, values_of
from mlp.config.files import read_mapping

_one_at_a_time = threading.Lock()


class _Folder(FileConfigSource):
    """A folder of options, which may be a stranger's: its files are read as those of a run directory."""

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        content = read_mapping(path)
        with path.open(encoding="utf-8") as file:
            header = self._get_header_dict(file.read(512))
        result = _Result(self.provider, f"{self.scheme()}://{self.path}", OmegaConf.create(content), header)
        result.values = values_of(content)
        return result


class _Result(ConfigResult):
    values = 1  # that it has


class _Folders(ConfigRepository):
    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        for entry in config_search_path.get_path():
            if entry.provider == "hydra.searchpath in main" and str(entry.path).startswith("pkg://"):
                raise UserError(
                    f"hydra.searchpath: a file may not name a package, {entry.path}, which would be imported; say it "
                    f"on the command line"
                )
        super().initialize_sources(config_search_path)
        self.sources = [
            _Folder(source.provider, source.path) if source.scheme() == "file" else source for source in self.sources
        ]


class _CountingRepository(CachingConfigRepository):
    """A file counts each time that a defaults list puts it somewhere."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        result: ConfigResult | None = super().load_config(config_path)
        unfold(getattr(result, "values", 1))
        return result


class Loader(CachingConfigLoader):
    """Hydra's loader for files that are not trusted, with a memory."""

    repository_type = _CountingRepository

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = _Folders(config_search_path)

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        with bounded():
            return super().load_configuration(*args, **kwargs)

    def load_sweep_config(self, *args: Any, **kwargs: Any) -> DictConfig:
        with bounded():
            return super().load_sweep_config(*args, **kwargs)


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> DictConfig:
    """The configuration that a run with these overrides gets, without a run; `folders` have further options.

    Raises HydraException or UserError for what cannot be composed.
    """
    with _one_at_a_time, _version_base():
        places = create_config_search_path(str(CONF))
        for folder in folders:
            places.prepend("command-line", f"file://{folder.resolve()}", anchor="schema")
        with composing():
            config = Loader(places).load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
    with open_dict(config):
        del config["hydra"]
    return config


@contextmanager
def composing() -> Iterator[None]:
    """Hydra raises anything for words and files that nobody has thought of: what it raises becomes a UserError."""
    try:
        with bounded():
            yield
    except (HydraException, OmegaConfBaseException, UserError, OSError, MemoryError) as error:
        if not str(error).strip() and error.__cause__ is not None:  # Hydra has hidden what OmegaConf said
            raise UserError(f"the configuration cannot be composed: {error.__cause__}") from error
        raise
    except Exception as error:
        if isinstance(error.__cause__, OSError):  # the log cannot be opened
            raise error.__cause__ from None
        frames = [str(frame.f_globals["__name__"]) for frame, _ in traceback.walk_tb(error.__traceback__)]
        packages = [
            name.partition(".")[0] for name in frames if re.match(r"(mlp|hydra_trials|hydra|omegaconf)\.", name)
        ]
        if packages[-1] not in ("hydra", "omegaconf"):  # a fault of this program
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
