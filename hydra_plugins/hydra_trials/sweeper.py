"""hydra/sweeper=trials: a search by Optuna, on any launcher."""

from __future__ import annotations

from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_trials.samplers import PRUNERS, SAMPLERS, SYNONYMS


class TrialsSweeper(Sweeper):
    """Runs the search that the configuration and the sweeps of the command line describe."""

    def __init__(self, **settings: Any) -> None:
        """Of no use here: `run` reads them from the configuration, where another node may have them."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra_trials.driver import run

        self._run = partial(run, hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        self._run(arguments)


store = partial(ConfigStore.instance().store, provider="hydra_trials")
store(
    group="hydra/sweeper",
    name="trials",
    node={
        "defaults": ["_self_", {"sampler": None}, {"pruner": None}],  # of the groups below
        "_target_": f"{__name__}.TrialsSweeper",
        "_recursive_": False,  # a sampler's _target_ is a setting
        "params": None,  # further sweeps; what the command line says of a key counts instead
        "node": "hydra.sweeper",  # that has the settings
        "hooks": "hydra_trials.definition.Hooks",  # or a subclass: what the program adds
        "name": None,  # of the search, and of its directory; null: derived from the search
        # tpe, random, grid, quasi_random (or qmc), cmaes, gp, nsgaii, nsgaiii, or a _target_ of optuna.samplers. gp
        # needs torch, cmaes the package cmaes; nsgaii and nsgaiii draw their first 50 trials at random.
        "sampler": "tpe",
        "trials": None,  # points to try in all; null: all of a grid
        "objectives": ["value"],  # names for what the task returns, or of the numbers in the mapping that it returns
        "direction": "minimize",  # or maximize; a list for several objectives
        # none, median, percentile, hyperband, successive_halving, patient, wilcoxon, or a _target_ of optuna.pruners
        "pruner": "none",
        "constraints": None,  # upper bounds of numbers in the mapping that the task returns, as {seconds: 10}
        "space": None,  # parameters with the values that they take
        "seeds": 1,  # runs per point, with the configuration's `seed`, seed + 1, ...; the objective is their mean
        "seed": 0,  # of the sampler
        "workers": None,  # trials at a time; null: one per core
        "storage": None,  # an Optuna URL that several machines share; null: a journal in the search's directory
        "retries": 2,  # how often to run a trial again whose worker was killed
        "retry_failed": False,  # run the trials again that failed
        "take_over": False,  # run the trials again that another host seems to run
        "on_mismatch": "refuse",  # or accept, when a search continues with another definition
        "dry_run": False,  # say what would run, and run nothing
    },
)
# hydra/sweeper/sampler=gp is hydra.sweeper.sampler=gp with the arguments in sight, which can then be changed. What is
# there already, as of hydra-optuna-sweeper, stays.
for setting, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
    names = {**{name: name for name in known}, **{new: old for new, old in SYNONYMS.items() if old in known}}
    for name, chosen in names.items():
        option = {setting: "grid" if chosen == "grid" else dict(known[chosen])}  # grid shares the class of random
        if ConfigStore.instance().get_type(f"hydra/sweeper/{setting}/{name}.yaml") == ObjectType.NOT_FOUND:
            store(group=f"hydra/sweeper/{setting}", name=name, node=option, package="hydra.sweeper")
store(  # for trials: the log goes to its file, the console belongs to the search
    group="hydra/job_logging",
    name="trial",
    node={
        "version": 1,
        "formatters": {"full": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            "file": {
                "class": "hydra_trials.files.LogFile",
                "formatter": "full",
                "filename": "${hydra.runtime.output_dir}/${hydra.job.name}.log",
            }
        },
        "loggers": {"matplotlib": {"level": "WARNING"}},  # it tells of its font cache
        "root": {"level": "INFO", "handlers": ["file"]},
        "disable_existing_loggers": False,
    },
)
