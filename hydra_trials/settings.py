"""The definition of a search from its settings in the configuration, checked before anything starts."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from hydra_trials.definition import Chosen, Definition, Hooks
from hydra_trials.errors import SearchError, unknown
from hydra_trials.launcher import cores
from hydra_trials.passwords import hidden_everywhere
from hydra_trials.samplers import CONSTRAINED, ENUMERATING, NEEDS, PRUNERS, SAMPLERS, SYNONYMS, instantiate
from hydra_trials.space import Parameter, Space, unquoted
from hydra_trials.sweep_syntax import from_config, split_sweeps

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader


#: The least value of settings that are integers; those of OPTIONAL may be null.
INTEGERS, OPTIONAL = {"trials": 1, "seeds": 1, "seed": 0, "workers": 1, "retries": 0}, ("trials", "workers")
BOOLEANS = ("retry_failed", "take_over", "dry_run")


class Settings(dict[str, Any]):
    """The settings of a search as the configuration gives them, checked.

    Args:
        config: the composed configuration.
        node: the name of the node that has them, for messages too.
    """

    def __init__(self, config: DictConfig, node: str) -> None:
        super().__init__(OmegaConf.to_container(OmegaConf.select(config, node), resolve=True))  # type: ignore[arg-type]
        self.node = node
        if not isinstance(self["storage"], str | None):
            given = hidden_everywhere(self["storage"])
            raise self.error("storage", f"must be a URL of Optuna, or null. Got {given!r}")
        for name in BOOLEANS:
            self.require(isinstance(self[name], bool), name, "true or false")
        for name in INTEGERS:
            if name not in OPTIONAL or self[name] is not None:
                self.require_integer(name)

    def __missing__(self, name: str) -> None:
        return None

    def error(self, name: str, message: str) -> SearchError:
        return SearchError(f"{self.node}.{name} {message}")

    def require(self, condition: bool, name: str, allowed: str) -> None:
        if not condition:
            raise self.error(name, f"must be {allowed}. Got {self[name]!r}")

    def require_integer(self, name: str) -> None:
        self.require(
            type(self[name]) is int and self[name] >= INTEGERS[name], name, f"an integer >= {INTEGERS[name]}"
        )

    def names(self, name: str) -> tuple[str, ...]:
        """One or several texts."""
        given = self[name]
        found = tuple([given] if isinstance(given, str) else given or ())
        self.require(bool(found) and all(isinstance(item, str) for item in found), name, "a name or a list of names")
        return found

    def optuna(self, name: str, known: Mapping[str, Any]) -> Chosen:
        """One of the `known` classes of Optuna by its short name, or another one by its `_target_`."""
        value, package = self[name], f"optuna.{name}s"
        value = next((short for short, node in known.items() if node == value), value)  # as an option's file has it
        if not isinstance(value, dict):
            value = SYNONYMS.get(value, value)
            self.require(value in known, name, f"one of {', '.join(known)}")
            self._require_packages(name, known[value]["_target_"])
            return str(value)
        target = str(value.get("_target_"))
        if target in ENUMERATING:
            raise self.error(name, f"{target} enumerates points: choose grid, which does that here")
        allowed = f"{', '.join(known)}, or a _target_ of {package}"
        own = {node["_target_"] for node in known.values()}
        self.require(target in own or target.rpartition(".")[0] == package, name, allowed)
        try:
            instantiate(value)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise self.error(name, f"cannot be made: {error}") from error
        self._require_packages(name, target)
        return value

    def _require_packages(self, name: str, target: str) -> None:
        """Refuse a class whose packages are missing, before it fails in each trial. Nothing is imported."""
        for package in NEEDS.get(target, ()):
            if importlib.util.find_spec(package) is None:
                needs = f"{target} needs the package {package}, which is not installed"
                raise self.error(name, f"cannot be used: {needs}. Install it, or choose another {name}")

    def constraints(self, sampler: Chosen) -> dict[str, float]:
        """The upper bounds of numbers that the task returns."""
        given = self["constraints"] or {}
        allowed = "names of the result with their upper bounds, as {seconds:10}"
        numbers = isinstance(given, dict) and all(type(bound) in (int, float) for bound in given.values())
        self.require(numbers, "constraints", allowed)
        node = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
        if given and (sampler == "grid" or node["_target_"] not in CONSTRAINED):
            able = ", ".join(name for name, known in SAMPLERS.items() if known["_target_"] in CONSTRAINED)
            raise self.error("constraints", f"need a sampler that keeps to them: one of {able}. Got {sampler}")
        return {str(name): float(bound) for name, bound in given.items()}


def define(config: DictConfig, arguments: Sequence[str], loader: ConfigLoader) -> Definition:
    """The search that the composed configuration and the overrides `arguments` describe.

    Raises SearchError for a mistake.
    """
    node, hooks = config.hydra.sweeper.node, get_class(config.hydra.sweeper.hooks)()
    settings = Settings(config, node)
    for override in OverridesParser.create().parse_overrides([w for w in arguments if _is_setting(w, node)]):
        if override.is_sweep_override():
            raise SearchError(
                f"{override.key_or_group}: what a search is cannot be varied within a search. Give one value, "
                f"or start one search after another"
            )
    varied, fixed = split_sweeps([word for word in arguments if not _is_setting(word, node)], loader)
    choices = {key: value for key, value in config.hydra.runtime.choices.items() if "/" not in key}
    parsed = OverridesParser.create().parse_overrides(fixed)
    given = {o.key_or_group: unquoted(o.get_value_element_as_str()) for o in parsed if not o.is_delete()}
    space = Space([*varied, *_space_of_file(settings, arguments, varied, given, hooks)], {**choices, **given})
    sampler = settings.optuna("sampler", SAMPLERS)
    if sampler == "grid":
        if settings["trials"] is not None:
            raise settings.error("trials", "is for samplers that draw; a grid runs all of its points")
        space.grid()  # refuses what has no end of values
    elif not len(space):
        raise SearchError(
            f"{node}.sampler={sampler} has nothing to search: sweep over something, as in "
            f"'optimizer.learning_rate=tag(log,interval(1e-4,1e-2))', or choose a space"
        )
    elif settings["trials"] is None:
        raise settings.error(
            "trials", f"must be given: how many points {sampler} tries in all (sampler=grid: each one)"
        )
    objectives = settings.names("objectives")
    for objective in objectives:
        if objectives.count(objective) > 1:
            raise settings.error("objectives", f"names {objective} twice")
        if hooks.objectives is not None and objective not in hooks.objectives:
            raise SearchError(unknown(f"{node}.objectives", objective, hooks.objectives))
    if settings["seeds"] > 1 and any(parameter.key == "seed" for parameter in space.parameters):
        raise settings.error("seeds", "sets the seeds of the runs; leave out the sweep over seed")
    on_mismatch = settings["changed"] or settings["on_mismatch"]
    if on_mismatch not in ("refuse", "accept"):
        raise settings.error("on_mismatch", f"must be refuse or accept. Got {on_mismatch}")
    name = _name(settings, choices)
    # Experiment files that give the same name mean the same search.
    named_in_file = bool(name) and not any(word.startswith(f"{node}.name=") for word in arguments)
    definition = Definition(
        name=name,
        space=space,
        fixed=tuple(fixed),
        sampler=sampler,
        objectives=objectives,
        directions=_directions(settings, objectives, hooks),
        pruner=_pruner(settings, objectives, arguments, hooks),
        first_seed=config.get("seed") if isinstance(config.get("seed"), int) else 0,
        workers=settings["workers"] or cores(),
        sampler_seed=settings["seed"],
        constraints=settings.constraints(sampler),
        accept_mismatch=on_mismatch == "accept",
        max_resource=hooks.max_resource(space, config),
        hooks=hooks,
        node=node,
        ignored=(*hooks.ignored, *(["+experiment="] if named_in_file else [])),
        **{name: settings[name] for name in ("trials", "seeds", "storage", "retries", *BOOLEANS)},
    )
    if name:
        return definition
    short = sampler if isinstance(sampler, str) else str(sampler["_target_"]).rpartition(".")[2]
    return replace(definition, name=f"{short}-{_digest(definition)}")


def _name(settings: Settings, choices: Mapping[str, str]) -> str:
    """The name that was given, if one was: a directory's."""
    name = str(settings["name"] or "")
    for group, choice in choices.items():
        name = name.replace(f"{{{group}}}", str(choice))
    if (size := len(name.encode())) > 100:
        unit = "bytes" if size > len(name) else "characters"  # a letter such as é takes more than one byte
        raise settings.error("name", f"must have at most 100 {unit}. Got {size}: {name}")
    if name in (".", "..") or "/" in name or "\\" in name or name != name.strip():
        raise settings.error("name", f"must be the name of a directory, without slashes. Got {name!r}")
    return name


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


def _space_of_file(
    settings: Settings, arguments: Sequence[str], varied: Sequence[Parameter], fixed: Mapping[str, Any], hooks: Hooks
) -> list[Parameter]:
    """The parameters of the setting `space`. A sweep on the command line replaces a space that was not asked for."""
    if varied and not any(word.startswith(f"{settings.node}/space".replace(".", "/")) for word in arguments):
        return []
    known = {*fixed, *(parameter.key for parameter in varied)}
    return from_config(settings["space"] or {}, known | hooks.replaced(known))


def _digest(definition: Definition) -> str:
    """Six letters that a search of the same parameters and settings has too, whatever the order of its choices."""

    def unordered(node: dict[str, Any]) -> Any:
        return sorted(map(json.dumps, node["choices"])) if "choices" in node else node

    described = definition.described()
    described["space"] = described.pop("parameters")
    plain = json.loads(json.dumps(described), object_hook=unordered)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:6]
