"""What a run is to do: the composed configuration as a plain dictionary, with what a resumed run keeps of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mlp.config.files import groups, options, rename_keys
from mlp.errors import UserError, unknown
from mlp.paths import CONF

log = logging.getLogger(__name__)

#: Where the data are; their content may not change, which the checkpoint knows.
DATA_PLACES = ("dataset.path", "dataset.test_path", "dataset.data_dir")
#: The options of a run, by group: written by the program, not by a user.
CHOICES = "choices"
#: What may be changed when a run is continued; everything else is the run's own.
CHANGEABLE = (
    *("training.epochs", "training.patience", "training.checkpoint_every", "tracker", "save", "plots"),
    *DATA_PLACES,
)


def resolve(cfg: DictConfig, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The configuration as a plain dictionary, coefficients handed to the optimizer. Raises UserError for keys that
    do not exist.

    `choices` are the options that it was composed of, group to option: kept in the run's own configuration.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config.pop("search", None)  # a trial is the same run whoever asked for it
    for key in config:
        if key not in known_keys() and key != CHOICES:
            raise UserError(unknown("key", key, known_keys()))
    _check_presence(config)
    if choices is not None:
        config[CHOICES] = {group: choices[group] for group in groups() if choices.get(group) is not None}
    rename_keys(config)
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


def resolve_trial(cfg: DictConfig, group: str, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`resolve` for one of many runs, which trackers show as the group `group`."""
    if cfg.get("resume") is not None:
        raise UserError("resume continues a single run; leave out -m / --multirun")
    config = resolve(cfg, choices)
    for tracker in tracker_nodes(config["tracker"]).values():
        if "group" in tracker:
            tracker["group"] = tracker["group"] or group
    return config


def tracker_nodes(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The trackers of the node `tracker`, by their places: it is one, or has several by their names."""
    if "_target_" in node:
        return {"tracker": node}
    if not node or not all(isinstance(each, dict) for each in node.values()):
        raise UserError(f"tracker names none: write several as tracker=[{','.join(options('tracker')[-2:])}]")
    return {f"tracker.{name}": each for name, each in node.items()}


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


def resolve_resumed(cfg: DictConfig, directory: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """`resolve` for the run of `directory`, which keeps its own configuration but for what `overrides` may change."""
    path = directory / "config.yaml"
    if not path.is_file():
        raise UserError(f"resume={cfg.resume}: no run to continue, {path} does not exist")
    saved = OmegaConf.load(path)
    assert isinstance(saved, DictConfig)
    saved.resume = cfg.resume
    for override in OverridesParser.create().parse_overrides(list(overrides)):
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
    return resolve(saved)
