"""What a run is to do and where: the composed configuration settled, and its directory claimed."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mlp.conf_files import CONF, groups, options
from mlp.errors import UserError, unknown
from mlp.files import atomic_write, remove_leftovers

log = logging.getLogger(__name__)

#: Where the data are; their content may not change, which the checkpoint knows.
DATA_PLACES = ("dataset.path", "dataset.data_dir")
#: What may be changed when a run is continued; everything else is the run's own.
CHANGEABLE = (
    *("training.epochs", "training.patience", "training.checkpoint_every", "tracker", "save", "plots"),
    *DATA_PLACES,
)


def settle(cfg: DictConfig, directory: Path) -> dict[str, Any]:
    """`plain`, with resumed values taken from the run that is resumed, and a search's name handed to the tracker."""
    if cfg.get("resume") is not None:
        cfg = _resumed(cfg, directory)
    config = plain(cfg)
    if "group" in config["tracker"] and HydraConfig.get().mode == RunMode.MULTIRUN:
        config["tracker"]["group"] = config["tracker"]["group"] or Path(str(HydraConfig.get().sweep.dir)).name
    return config


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as a plain dictionary, coefficients handed to the optimizer. Raises UserError for keys that
    do not exist."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config.pop("search", None)  # a trial is the same run whoever asked for it
    for key in config:
        if key not in known_keys():
            raise UserError(unknown("key", key, known_keys()))
    _check_presence(config)
    config.setdefault("plots", None)  # older runs, which may be resumed, know nothing of it
    for name, value in config["coefficients"].items():
        if value is None:
            continue
        if name in config["optimizer"]:
            config["optimizer"][name] = value
        else:
            optimizer = config["optimizer"]["_target_"].rpartition(".")[2]
            log.info("Note: %s has no coefficient %s; the value %s is ignored.", optimizer, name, value)
        config["coefficients"][name] = None
    return config


@cache
def known_keys() -> list[str]:
    """The keys of a configuration's top level."""
    keys = OmegaConf.load(CONF / "config.yaml")
    return [*(str(key) for key in keys if key not in ("defaults", "hydra")), *groups()]


def _check_presence(config: Mapping[str, Any]) -> None:
    """What conf/config.yaml puts there may not be taken away."""
    for key in ("seed", "resume", "coefficients", "save"):
        if key not in config or (key in ("coefficients", "save") and not isinstance(config[key], dict)):
            raise UserError(f"{key} is missing: it may be changed, not removed (see conf/config.yaml)")
    for group in groups():
        if group not in ("experiment", "search") and not isinstance(config.get(group), dict):
            raise UserError(f"{group} is missing: choose one of {', '.join(options(group))}")


def _resumed(cfg: DictConfig, directory: Path) -> DictConfig:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("resume continues a single run; leave out -m / --multirun")
    path = directory / "config.yaml"
    if not path.is_file():
        raise UserError(f"resume={cfg.resume}: no run to continue, {path} does not exist")
    saved = OmegaConf.load(path)
    assert isinstance(saved, DictConfig)
    saved.resume = cfg.resume
    for override in OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task)):
        key = override.key_or_group
        if any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE):
            OmegaConf.update(saved, key, OmegaConf.select(cfg, key), merge=False)
        elif key == "dataset" and cfg.dataset.get("_target_") == saved.dataset.get("_target_"):
            continue  # it names the dataset that the run has, perhaps beside a new place of it
        elif key != "resume":
            raise UserError(
                f"{override.input_line} cannot be combined with resume: the run keeps its own configuration. "
                f"Only {', '.join(CHANGEABLE)} may change"
            )
    return saved


@contextmanager
def claim(directory: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Make `directory` this run's own: no other run writes there, now or later, unless it resumes this one."""
    with _locked(directory):
        if config["resume"] is not None:
            remove_leftovers(directory)
        else:
            if (directory / "config.yaml").exists():
                raise UserError(
                    f"{directory} already holds a run. Continue it with {shlex.quote(f'resume={directory}')}, or "
                    f"choose another one"
                )
            with atomic_write(directory / "overrides.yaml", "w") as file:
                file.write(OmegaConf.to_yaml(HydraConfig.get().overrides.task))
            save_config(directory, config)
        yield


def save_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Write the run's config.yaml."""
    with atomic_write(directory / "config.yaml", "w") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create({**config, "resume": None})))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory. The system lets go of it when the process ends, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{directory} is being written by another process; wait until that run ends") from None
        yield
    finally:
        os.close(descriptor)


def discard_if_empty(directory: Path) -> None:
    """Remove the directory of a run that never began: nothing in it but its log, and nobody at work there.

    In a directory that the user has named, a log with content may be the user's: then all is left alone.
    """
    hydra = HydraConfig.get()
    named = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    with suppress(UserError, FileNotFoundError), _locked(directory):
        files = list(directory.iterdir())
        if all(path.name == f"{hydra.job.name}.log" and not (named and path.stat().st_size) for path in files):
            for path in files:
                path.unlink()
            directory.rmdir()


def shown(path: Path) -> Path:
    """`path` relative to the working directory where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
