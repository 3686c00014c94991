"""What a search is: its space, its settings and its fixed overrides, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning

from mlp.errors import UserError, unknown
from mlp.nn import checks
from mlp.search.space import Parameter, Space, Value, bare, edges, from_config, sweeps
from mlp.training.trainer import MONITORS

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

SAMPLERS = ("grid", "tpe", "random", "quasi_random")
PRUNERS = ("none", "median", "hyperband", "successive_halving")
OBJECTIVES = (
    *(
        f"{part}_{name}"
        for part in ("val", "test", "train")
        for name in ("accuracy", "f1", "precision", "recall", "loss")
    ),
    *("training_seconds", "total_seconds", "epochs", "steps", "num_parameters"),
)  # numbers of summary.json
WARM_UP_TRIALS, WARM_UP_EPOCHS = 5, 2  # the last epoch that is never pruned is one less


@dataclass(frozen=True)
class Definition:
    """A search as it was asked for. `fixed` are the overrides that all trials share.

    `named_in_file`: the name is of an experiment file, not of the command line. Files that give the same name mean
    the same search.
    """

    name: str
    space: Space
    fixed: tuple[str, ...]
    sampler: str
    trials: int | None
    seeds: int
    objectives: tuple[str, ...]
    pruner: str
    workers: int
    sampler_seed: int
    storage: str | None
    retries: int
    accept_changes: bool
    dry_run: bool
    first_seed: int
    epochs: int
    named_in_file: bool = False
    retry_failed: bool = False
    take_over: bool = False
    former_name: str = ""  # of a search that has no given one: what earlier versions called it

    @classmethod
    def of(cls, config: DictConfig, arguments: Sequence[str], loader: ConfigLoader | None = None) -> Definition:
        """From the composed configuration and the overrides of the command line. Raises UserError."""
        try:
            return cls._of(config, arguments, loader)
        except ValueError as error:  # from the checks
            raise UserError(str(error)) from error

    @classmethod
    def _of(cls, config: DictConfig, arguments: Sequence[str], loader: ConfigLoader | None) -> Definition:
        given: dict[str, Any] = OmegaConf.to_container(config.search, resolve=True)  # type: ignore[assignment]
        own = [word for word in arguments if not _about_searching(word)]
        _check_searching([word for word in arguments if _about_searching(word)])
        varied, fixed = sweeps(own, loader)
        choices = {key: value for key, value in config.hydra.runtime.choices.items() if "/" not in key}
        in_file = _space_of_file(given, arguments, varied, fixed)
        space = Space([*varied, *in_file], {**choices, **_values(fixed)})
        _check_replaced(space, fixed, config.model.activations)
        sampler = checks.choice("search.sampler", given["sampler"], SAMPLERS)
        trials = given["trials"]
        if sampler != "grid":
            if not len(space):
                raise UserError(
                    f"search={sampler} has nothing to search: sweep over something, as in "
                    f"'optimizer.learning_rate=tag(log,interval(1e-4,1e-2))', or choose search/space=assignment"
                )
            trials = checks.integer("search.trials", trials, ge=1)
        elif trials is not None:
            raise UserError("search.trials is for samplers that draw; a grid runs all of its points")
        objectives = given["objectives"]
        objectives = tuple([objectives] if isinstance(objectives, str) else objectives)
        if not objectives or not all(isinstance(name, str) for name in objectives):
            raise UserError(f"search.objectives must name numbers of summary.json. Got {given['objectives']}")
        for name in objectives:
            if name not in OBJECTIVES:
                raise UserError(unknown("search.objectives", name, OBJECTIVES))
            if objectives.count(name) > 1:
                raise UserError(f"search.objectives names {name} twice")
        seeds = checks.integer("search.seeds", given["seeds"], ge=1)
        if seeds > 1 and any(parameter.key == "seed" for parameter in space.parameters):
            raise UserError("search.seeds sets the seeds of the runs; leave out the sweep over seed")
        for name in ("dry_run", "retry_failed", "take_over"):
            if not isinstance(given[name], bool):
                raise UserError(f"search.{name} must be true or false. Got {given[name]!r}")
        pruner = checks.choice("search.pruner", given["pruner"], PRUNERS)
        if pruner != "none" and objectives[0] not in MONITORS:
            raise UserError(
                f"search.pruner={pruner} needs an objective that is known after each epoch: one of "
                f"{', '.join(MONITORS)}. Got {objectives[0]}"
            )
        if pruner != "none" and len(objectives) > 1:
            if any(word.startswith("search.pruner=") for word in arguments):
                raise UserError("search.pruner must be none where there are several objectives")
            pruner = "none"
        if given["changed"] not in ("refuse", "accept"):
            raise UserError(f"search.changed must be refuse or accept. Got {given['changed']}")
        workers = given["workers"]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        unnamed = cls(
            name=str(given["name"] or "").replace("{dataset}", str(choices["dataset"])),
            named_in_file=bool(given["name"]) and not any(word.startswith("search.name=") for word in arguments),
            space=space,
            fixed=tuple(fixed),
            sampler=sampler,
            trials=trials,
            seeds=seeds,
            objectives=objectives,
            pruner=pruner,
            workers=cores if workers is None else checks.integer("search.workers", workers, ge=1),
            sampler_seed=checks.integer("search.seed", given["seed"], ge=0),
            storage=given["storage"],
            retries=checks.integer("search.retries", given["retries"], ge=0),
            accept_changes=given["changed"] == "accept",
            dry_run=given["dry_run"],
            retry_failed=given["retry_failed"],
            take_over=given["take_over"],
            first_seed=config.seed,
            epochs=_most_epochs(space, config.training.epochs),
        )
        if unnamed.name:
            _check_name(unnamed.name)
            return unnamed
        described = unnamed.described()
        former = {key: value for key, value in described.items() if key != "parameters"}
        now = {**former, "space": [_unordered(parameter) for parameter in described["parameters"]]}
        names = [f"{sampler}-{_digest(one)}" for one in (now, former)]
        return cls(**{**vars(unnamed), "name": names[0], "former_name": names[1]})

    def described(self) -> dict[str, Any]:
        """What makes two searches the same: written to search.json, and compared when one continues.

        `parameters` is the space as data; `space` says it to people.
        """
        aside = ("tracker", "save.", "plots=", *(["+experiment="] if self.named_in_file else []))
        return {
            "sampler": self.sampler,
            "space": self.space.describe(),
            "parameters": self.space.data(),
            "fixed": sorted(word for word in self.fixed if not word.startswith(aside)),
            "seeds": self.seeds,
            "objectives": list(self.objectives),
            "pruner": self.pruner,
            "sampler_seed": self.sampler_seed,
        }

    def planned(self) -> int:
        """How many trials it has in all."""
        return int(self.trials) if self.trials is not None else len(self.space.grid())

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """minimize or maximize, for each objective."""
        return ["minimize" if minimised(name) else "maximize" for name in self.objectives]

    def make_sampler(self, asked: int) -> optuna.samplers.BaseSampler:
        """The sampler for the next trial after `asked` others: workers and restarts never draw the same again."""
        seed = self.sampler_seed * 1_000_003 + asked
        if self.sampler == "tpe":
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                # group: conditional parameters are drawn with those they appear beside. constant_liar: trials that
                # run count as bad ones, so that parallel workers spread out.
                return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        if self.sampler == "quasi_random":
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                return optuna.samplers.QMCSampler(
                    seed=self.sampler_seed,
                    scramble=True,
                    independent_sampler=optuna.samplers.RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
        return optuna.samplers.RandomSampler(seed=seed)

    def make_pruner(self) -> optuna.pruners.BasePruner:
        if self.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=WARM_UP_TRIALS, n_warmup_steps=WARM_UP_EPOCHS)
        if self.pruner == "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=1, max_resource=max(2, self.epochs), reduction_factor=3
            )
        if self.pruner == "successive_halving":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        return optuna.pruners.NopPruner()


def _most_epochs(space: Space, configured: int) -> int:
    """The longest that a trial may run, which is what Hyperband divides."""
    found = [value for p in space.parameters if p.key == "training.epochs" for value in edges(p.distribution)]
    return max((value for value in found if isinstance(value, int)), default=configured)  # others are refused later


def minimised(objective: str) -> bool:
    """Losses and times are better when smaller, everything else when larger."""
    return objective.endswith(("loss", "seconds", "num_parameters", "epochs", "steps"))


def _about_searching(word: str) -> bool:
    """Whether an override of the command line is about the search itself, not about its trials."""
    key = word.lstrip("+~").partition("=")[0].partition("@")[0]
    return key.split(".")[0] in ("search", "hydra") or key.startswith(("search/", "hydra/"))


def _check_searching(words: Sequence[str]) -> None:
    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line}: what a search is cannot be varied within a search. Give one value, "
                f"or start one search after another"
            )


def _space_of_file(
    given: Mapping[str, Any], arguments: Sequence[str], varied: Sequence[Parameter], fixed: Sequence[str]
) -> list[Parameter]:
    """The parameters of `search/space`. A sweep on the command line replaces a space that was not asked for."""
    chosen = any(word.startswith("search/space") for word in arguments)
    if varied and not chosen:
        return []
    known = {*_values(fixed), *(parameter.key for parameter in varied)}
    if "model.activations" in known:  # which would replace it
        known.add("activation")
    flags = {key.replace("coefficients.", "optimizer.") for key in known if key.startswith("coefficients.")}
    return from_config(given.get("space") or {}, known | flags)


def _check_replaced(space: Space, fixed: Sequence[str], activations: Any) -> None:
    """A flag such as --momentum, or a list of activations, would silently replace the values that trials draw."""
    varied = {parameter.key for parameter in space.parameters}
    if "activation" in varied and activations is not None:
        raise UserError(
            "activation is searched, and model.activations would replace what its trials draw: give one of them"
        )
    for key in sorted({*varied, *_values(fixed)}):
        name = key.removeprefix("coefficients.")
        if name != key and f"optimizer.{name}" in varied:
            raise UserError(
                f"optimizer.{name} is searched, and {key} (--{name}) would replace what its trials draw: "
                f"give one of them"
            )


def _values(fixed: Sequence[str]) -> dict[str, Value]:
    """Keys and values of fixed overrides."""
    parsed = OverridesParser.create().parse_overrides(list(fixed))
    return {o.key_or_group: bare(o.get_value_element_as_str()) for o in parsed if not o.is_delete()}


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:6]


def _unordered(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter as data, whatever the order of its choices."""

    def sort(distribution: Any) -> Any:
        if distribution is None or "choices" not in distribution["attributes"]:
            return distribution
        return {**distribution, "attributes": sorted(map(json.dumps, distribution["attributes"]["choices"]))}

    return {**parameter, **{part: sort(parameter[part]) for part in ("distribution", "length")}}


def _check_name(name: str) -> None:
    if (size := len(name.encode())) > 100:
        unit = "bytes" if size > len(name) else "characters"  # a letter such as é takes more than one byte
        raise UserError(f"search.name must have at most 100 {unit}. Got {size}: {name}")
    if name in (".", "..") or "/" in name or "\\" in name or name != name.strip():
        raise UserError(
            f"search.name must be the name of a directory in multirun_outputs, without slashes. Got {name!r}"
        )
