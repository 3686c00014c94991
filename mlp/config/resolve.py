"""What a run is to do: the composed configuration as a plain dictionary, with what a resumed run keeps of its own."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mlp.base.errors import UserError, shortened, unknown
from mlp.base.naming import flat
from mlp.base.paths import CONF
from mlp.config.files import groups, options, read_config, read_mapping, rename_keys
from mlp.config.values import resolved_values

log = logging.getLogger(__name__)

#: Where the data are; their content may not change, which the checkpoint knows.
DATA_PLACES = ("dataset.path", "dataset.test_path", "dataset.data_dir")
#: The options of a run, by group: written by the program, not by a user.
CHOICES = "choices"
#: The others write outside the run directory.
TRACKERS_INSIDE = ("WandbTracker", "TensorBoardTracker", "NoTracker")
#: Where W&B sends a run.
DESTINATION = ("project", "entity")
#: What may be changed when a run is continued; everything else is the run's own.
CHANGEABLE = (
    *("training.epochs", "training.patience", "training.checkpoint_every", "tracker", "save", "plots"),
    *DATA_PLACES,
)


def resolve(cfg: DictConfig, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The configuration as a plain dictionary, `optimizer_options` handed to the optimizer. Raises UserError for keys
    that do not exist.

    `choices` are the options that it was composed of, group to option: kept in the run's own configuration.
    """
    return _finished(resolved_values(cfg), choices)


def _finished(config: dict[str, Any], choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    config.pop("search", None)  # a trial is the same run whoever asked for it
    rename_keys(config)
    for key in config:
        if key not in known_keys() and key != CHOICES:
            raise UserError(unknown("key", str(key), known_keys()))
    _check_presence(config)
    if choices is not None:
        config[CHOICES] = {group: choices[group] for group in groups() if choices.get(group) is not None}
    config.setdefault("plots", None)  # older runs, which may be resumed, know nothing of it
    for name, value in config["optimizer_options"].items():
        if value is None:
            continue
        if name in config["optimizer"]:
            config["optimizer"][name] = value
        else:
            optimizer = str(config["optimizer"].get("_target_")).rpartition(".")[2]
            log.info("Note: %s has no option %s; the value %s is ignored.", optimizer, name, value)
        config["optimizer_options"][name] = None
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
    keys = read_mapping(CONF / "config.yaml")
    return [*(key for key in keys if key not in ("defaults", "hydra")), *groups()]


def _check_presence(config: Mapping[str, Any]) -> None:
    """What conf/config.yaml puts there may not be taken away."""
    for key in ("seed", "resume", "optimizer_options", "save"):
        if key not in config or (key in ("optimizer_options", "save") and not isinstance(config[key], dict)):
            raise UserError(f"{key} is missing: it may be changed, not removed (see conf/config.yaml)")
    for group in groups():
        if group not in ("experiment", "search") and not isinstance(config.get(group), dict):
            raise UserError(f"{group} is missing: choose one of {', '.join(options(group))}")


def resolve_resumed(cfg: DictConfig, directory: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """`resolve` for the run of `directory`, which keeps its own configuration but for what `overrides` may change.

    That configuration is data, whoever wrote it: interpolations are not resolved, and what lies outside the directory
    is not written, unless the `overrides` say it again.
    """
    if not (directory / "config.yaml").is_file():
        raise UserError(
            f"resume={cfg.resume}: no run to continue, {directory / 'config.yaml'} does not exist, or is no file"
        )
    saved, composed = read_config(directory), resolved_values(cfg)
    before, said = dict(flat(saved)), []
    saved["resume"] = composed["resume"]
    saved["save"] = dict.fromkeys(("model_path", "config_path"))
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        repeated = "${" in str(before.get(key)) and before.get(key) == override.value()
        if repeated or any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE):
            _copy(composed, saved, key)
            said.append(key)
        elif key == "dataset" and _target(composed) == _target(saved):
            continue  # it names the dataset that the run has, perhaps beside a new place of it
        elif key != "resume":
            raise UserError(
                f"{override.input_line} cannot be combined with resume: the run keeps its own configuration. "
                f"Only {', '.join(CHANGEABLE)} may change"
            )
    if "tracker" not in said:
        _stay_inside(saved, composed)
    texts = {key: value for key, value in before.items() if "${" in str(value)}
    left = [key for key in texts if not any(f"{key}.".startswith(f"{name}.") for name in (*said, "save"))]
    if left and (needed := [key for key in left if key in dict(flat(saved))]):
        raise UserError(
            f"{directory / 'config.yaml'}: {', '.join(needed)} must be resolved, which a file cannot ask for. Say it "
            f"on the command line again: {shlex.join(f'{key}={texts[key]}' for key in needed)}"
        )
    return _finished(saved)


def resolve_saved(directory: Path, **instead: Any) -> dict[str, Any]:
    """`resolve` for the configuration of a run directory, with other values for some keys.

    Raises UserError for interpolations: it may be a stranger's.
    """
    saved = {**read_config(directory), **instead}
    if needed := [key for key, value in flat(saved) if "${" in str(value)]:
        raise UserError(
            f"{directory / 'config.yaml'}: {', '.join(needed)} must be resolved, which a file cannot ask for"
        )
    return _finished(saved)


def _target(config: Mapping[str, Any]) -> Any:
    dataset = config.get("dataset")
    return dataset.get("_target_") if isinstance(dataset, dict) else None


def _copy(source: dict[str, Any], config: dict[str, Any], key: str) -> None:
    """Copy the value of a dotted key."""
    *parents, name = key.split(".")
    try:
        for parent in parents:
            source = source[parent]
            if not isinstance(config.get(parent), dict):
                config[parent] = {}
            config = config[parent]
        config[name] = source[name]
    except (KeyError, TypeError):
        raise UserError(f"{key} is no key of the configuration") from None


def _stay_inside(saved: dict[str, Any], composed: Mapping[str, Any]) -> None:
    """Leave out the trackers that write outside the run directory. W&B is told what it would be of a new run of the
    same command line; where the directory says another place, it stays offline."""
    trackers = saved.get("tracker")
    if not isinstance(trackers, dict):
        return
    for place in trackers_outside(trackers):
        if place:
            del trackers[place]
        if not place or not trackers:
            saved["tracker"] = {"_target_": "mlp.tracking.NoTracker"}
    own = next(wandb_nodes(composed["tracker"]), {})
    for node in wandb_nodes(saved["tracker"]):
        elsewhere = any(node.get(name) != own.get(name) for name in DESTINATION)
        if elsewhere or node.get("mode") not in ("offline", "disabled"):
            node["mode"] = "offline" if elsewhere else own["mode"]
        for name in DESTINATION:
            node.pop(name, None)
        node.update({name: own[name] for name in DESTINATION if name in own})


def wandb_nodes(trackers: Any) -> Iterator[dict[str, Any]]:
    """The nodes of W&B below the node `tracker`, which may be a stranger's."""
    nodes = [trackers, *trackers.values()] if isinstance(trackers, dict) else []
    return (node for node in nodes if isinstance(node, dict) and str(node.get("_target_")).endswith(".WandbTracker"))


def left_out(directory: Path, config: Mapping[str, Any]) -> list[str]:
    """What a resumed run wrote outside its directory before, and its `config` does not say any more, as notes."""
    before, notes = read_config(directory), []
    save, trackers = ({} if not isinstance(before.get(key), dict) else before[key] for key in ("save", "tracker"))
    copies = {name: save[name] for name, now in config["save"].items() if now is None and save.get(name) is not None}
    if copies:
        again = shlex.join(f"save.{name}={path}" for name, path in copies.items())
        notes.append(f"a resumed run writes into its own directory only. To copy its model too, give {again}")
    still = trackers_outside(config["tracker"]).values()
    if gone := [target for target in trackers_outside(trackers).values() if target not in still]:
        notes.append(f"{', '.join(gone)} writes outside the run directory: left out, unless tracker=... is given")
    for was, now in zip(wandb_nodes(trackers), wandb_nodes(config["tracker"]), strict=False):
        if other := [name for name in DESTINATION if was.get(name) not in (None, now.get(name))]:
            again = shlex.join(f"tracker.{name}={shortened(str(was[name]))}" for name in other)
            notes.append(f"W&B does not go on where it was: that must be said again, {again}")
    return notes


def trackers_outside(node: Mapping[str, Any]) -> dict[str, str]:
    """Of the node `tracker`, the classes of this package that write elsewhere than into the run directory, by their
    places: "" for the node itself."""
    nodes = {"": node} if "_target_" in node else node
    targets = {place: str(each.get("_target_")) for place, each in nodes.items() if isinstance(each, dict)}
    return {
        place: target
        for place, target in targets.items()
        if target.startswith("mlp.tracking.") and target.rpartition(".")[2] not in TRACKERS_INSIDE
    }
