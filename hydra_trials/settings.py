"""The definition of a search from its settings in the configuration, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from hydra_trials.definition import ENUMERATING, PRUNERS, SAMPLERS, Chosen, Definition, Hooks, instantiate
from hydra_trials.errors import SearchError, unknown
from hydra_trials.space import Parameter, Space, Value, unquoted
from hydra_trials.sweep_syntax import from_config, split_sweeps

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader


class Settings:
    """The settings of a search as the configuration gives them, each checked when it is read.

    Args:
        config: the composed configuration.
        node: the name of the node that has them, for messages too.
    """

    def __init__(self, config: DictConfig, node: str) -> None:
        self.node, self._given = node, OmegaConf.to_container(OmegaConf.select(config, node), resolve=True)

    def get(self, name: str) -> Any:
        return self._given.get(name)  # type: ignore[union-attr]

    def error(self, name: str, message: str) -> SearchError:
        return SearchError(f"{self.node}.{name} {message}")

    def integer(self, name: str, least: int) -> int:
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(name, f"must be an integer >= {least}. Got {value!r}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.error(name, f"must be true or false. Got {value!r}")
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        value = self.get(name)
        if value not in allowed:
            raise self.error(name, f"must be one of {', '.join(allowed)}. Got {value!r}")
        return str(value)

    def names(self, name: str) -> tuple[str, ...]:
        """One or several texts."""
        given = self.get(name)
        found = tuple([given] if isinstance(given, str) else given or ())
        if not found or not all(isinstance(item, str) for item in found):
            raise self.error(name, f"must be a name or a list of names. Got {given}")
        for item in found:
            if found.count(item) > 1 and name == "objectives":
                raise self.error(name, f"names {item} twice")
        return found

    def optuna(self, name: str, known: Mapping[str, Any]) -> Chosen:
        """One of the `known` classes of Optuna by its short name, or another one by its `_target_`."""
        value = self.get(name)
        if not isinstance(value, dict):
            return self.choice(name, tuple(known))
        package = f"optuna.{name}s"
        if value.get("_target_") in ENUMERATING:
            raise self.error(name, f"{value['_target_']} enumerates points: choose grid, which does that here")
        if str(value.get("_target_")).rpartition(".")[0] != package:
            raise self.error(name, f"must be {', '.join(known)}, or a _target_ of {package}. Got {value}")
        try:
            instantiate(value)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise self.error(name, f"cannot be made: {error}") from error
        return value


def define(
    config: DictConfig, arguments: Sequence[str], node: str, hooks: Hooks, loader: ConfigLoader | None = None
) -> Definition:
    """The search that the composed configuration, in its node `node`, and the overrides `arguments` describe.

    Raises SearchError for a mistake.
    """
    settings = Settings(config, node)
    _check_settings([word for word in arguments if _is_setting(word, node)])
    varied, fixed = split_sweeps([word for word in arguments if not _is_setting(word, node)], loader)
    choices = {key: value for key, value in config.hydra.runtime.choices.items() if "/" not in key}
    fixed_values = _values(fixed)
    space = Space(
        [*varied, *_space_of_file(settings, arguments, varied, fixed_values, hooks)], {**choices, **fixed_values}
    )
    sampler = settings.optuna("sampler", SAMPLERS)
    trials = None
    if sampler == "grid":
        if settings.get("trials") is not None:
            raise settings.error("trials", "is for samplers that draw; a grid runs all of its points")
    elif not len(space):
        raise SearchError(
            f"{node}.sampler={sampler} has nothing to search: sweep over something, as in "
            f"'optimizer.learning_rate=tag(log,interval(1e-4,1e-2))', or choose a space"
        )
    else:
        trials = settings.integer("trials", least=1)
    objectives = settings.names("objectives")
    for name in objectives:
        if hooks.objectives is not None and name not in hooks.objectives:
            raise SearchError(unknown(f"{node}.objectives", name, hooks.objectives))
    seeds = settings.integer("seeds", least=1)
    if seeds > 1 and any(parameter.key == "seed" for parameter in space.parameters):
        raise settings.error("seeds", "sets the seeds of the runs; leave out the sweep over seed")
    workers = settings.get("workers")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = str(settings.get("name") or "")
    for group, choice in choices.items():
        name = name.replace(f"{{{group}}}", str(choice))
    # Experiment files that give the same name mean the same search.
    named_in_file = bool(name) and not any(word.startswith(f"{node}.name=") for word in arguments)
    on_mismatch = settings.get("changed") or settings.get("on_mismatch")
    if on_mismatch not in ("refuse", "accept"):
        raise settings.error("on_mismatch", f"must be refuse or accept. Got {on_mismatch}")
    definition = Definition(
        name=name,
        space=space,
        fixed=tuple(fixed),
        sampler=sampler,
        trials=trials,
        objectives=objectives,
        directions=_directions(settings, objectives, hooks),
        pruner=_pruner(settings, objectives, arguments, hooks),
        seeds=seeds,
        first_seed=config.get("seed") if isinstance(config.get("seed"), int) else 0,
        workers=cores if workers is None else settings.integer("workers", least=1),
        sampler_seed=settings.integer("seed", least=0),
        storage=settings.get("storage"),
        retries=settings.integer("retries", least=0),
        accept_mismatch=on_mismatch == "accept",
        retry_failed=settings.boolean("retry_failed"),
        take_over=settings.boolean("take_over"),
        dry_run=settings.boolean("dry_run"),
        max_resource=hooks.max_resource(space, config),
        hooks=hooks,
        node=node,
        ignored=(*hooks.ignored, *(["+experiment="] if named_in_file else [])),
    )
    if name:
        _check_name(settings, name)
        return definition
    return replace(definition, name=f"{_short_name(sampler)}-{_digest(definition)}")


def _directions(
    settings: Settings, objectives: Sequence[str], hooks: Hooks
) -> tuple[Literal["minimize", "maximize"], ...]:
    own = [hooks.direction(name) for name in objectives]
    found = tuple(direction for direction in own if direction) or settings.names("direction")
    if len(found) != len(objectives) or not {*found} <= {"minimize", "maximize"}:
        raise settings.error("direction", f"must be minimize or maximize for each objective. Got {', '.join(found)}")
    return found  # type: ignore[return-value]


def _pruner(settings: Settings, objectives: Sequence[str], arguments: Sequence[str], hooks: Hooks) -> Chosen:
    pruner = settings.optuna("pruner", PRUNERS)
    if pruner == "none":
        return pruner
    if hooks.reported is not None and objectives[0] not in hooks.reported:
        raise SearchError(
            f"{settings.node}.pruner={pruner} needs an objective that is known after each {hooks.step_name}: one of "
            f"{', '.join(hooks.reported)}. Got {objectives[0]}"
        )
    if len(objectives) == 1:
        return pruner
    if any(word.startswith(f"{settings.node}.pruner=") for word in arguments):
        raise settings.error("pruner", "must be none where there are several objectives")
    return "none"


def _is_setting(word: str, node: str) -> bool:
    """Whether an override of the command line is about the search itself, not about its trials."""
    key = word.lstrip("+~").partition("=")[0].partition("@")[0]
    return key.replace("/", ".").split(".")[0] in (node.split(".")[0], "hydra")


def _check_settings(words: Sequence[str]) -> None:
    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.is_sweep_override():
            raise SearchError(
                f"{override.input_line}: what a search is cannot be varied within a search. Give one value, "
                f"or start one search after another"
            )


def _space_of_file(
    settings: Settings, arguments: Sequence[str], varied: Sequence[Parameter], fixed: Mapping[str, Any], hooks: Hooks
) -> list[Parameter]:
    """The parameters of the setting `space`. A sweep on the command line replaces a space that was not asked for."""
    if varied and not any(word.startswith(f"{settings.node}/space".replace(".", "/")) for word in arguments):
        return []
    known = {*fixed, *(parameter.key for parameter in varied)}
    return from_config(settings.get("space") or {}, known | hooks.replaced(known))


def _values(fixed: Sequence[str]) -> dict[str, Value]:
    """Keys and values of fixed overrides."""
    overrides = OverridesParser.create().parse_overrides(list(fixed))
    return {o.key_or_group: unquoted(o.get_value_element_as_str()) for o in overrides if not o.is_delete()}


def _digest(definition: Definition) -> str:
    """Six letters that a search of the same parameters and settings has too, whatever the order of its choices."""

    def unordered(node: dict[str, Any]) -> Any:
        return sorted(map(json.dumps, node["choices"])) if "choices" in node else node

    described = definition.described()
    described["space"] = described.pop("parameters")
    plain = json.loads(json.dumps(described), object_hook=unordered)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:6]


def _short_name(chosen: Chosen) -> str:
    return chosen if isinstance(chosen, str) else str(chosen["_target_"]).rpartition(".")[2]


def _check_name(settings: Settings, name: str) -> None:
    if (size := len(name.encode())) > 100:
        unit = "bytes" if size > len(name) else "characters"  # a letter such as é takes more than one byte
        raise settings.error("name", f"must have at most 100 {unit}. Got {size}: {name}")
    if name in (".", "..") or "/" in name or "\\" in name or name != name.strip():
        raise settings.error("name", f"must be the name of a directory, without slashes. Got {name!r}")
