"""What a search is, and what a program may add to its searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import optuna

from hydra_trials.errors import SearchError
from hydra_trials.samplers import PRUNERS, SAMPLERS, instantiate
from hydra_trials.space import Space

if TYPE_CHECKING:
    from hydra.types import TaskFunction
    from omegaconf import DictConfig
    from optuna.trial import FrozenTrial

    from hydra_trials.search import Search

Chosen = str | Mapping[str, Any]  # a short name, or a `_target_` with arguments


class Hooks:
    """What a program may add to its searches: a subclass that it names in `hydra.sweeper.hooks`."""

    #: The names that search.objectives may have, and those that a task reports while it runs; None: any.
    objectives: Sequence[str] | None = None
    reported: Sequence[str] | None = None
    #: What a task counts when it reports.
    step_name: str = "step"
    #: Of the numbers that a task returns, those that the record keeps; None: all.
    recorded: Sequence[str] | None = None
    #: The beginnings of fixed overrides that do not make a search another one.
    ignored: Sequence[str] = ()
    #: Errors of a task that need no traceback.
    expected: tuple[type[BaseException], ...] = (SearchError,)

    def direction(self, objective: str) -> str | None:
        """minimize or maximize; None: as the configuration says."""
        return None

    def prepare(self, config: DictConfig, definition: Definition, directory: Path) -> None:
        """Called before anything starts: raise SearchError for what cannot be searched as it was asked for."""

    def recorded_as(self, override: str) -> str:
        """A fixed override as the record has it: where a key was renamed, with the name that older records know."""
        return override

    def renamed(self, key: str) -> str:
        """The present name of a searched key, which older records may have under a former one."""
        return key

    def replaced(self, fixed: Iterable[str]) -> set[str]:
        """Further keys that the `fixed` ones set, which then leave the space."""
        return set()

    def max_resource(self, space: Space, config: DictConfig) -> int | str:
        """The largest step that a trial may report, for Hyperband; "auto": it learns that from the first trials."""
        return "auto"

    def check(self, config: DictConfig, definition: Definition) -> None:
        """Raise one of `expected` for a configuration that a trial could not be run with."""

    def task(self, task_function: TaskFunction, definition: Definition) -> TaskFunction:
        """What a worker calls with the configuration of each trial; must be picklable for other machines."""
        return task_function

    def read_result(self, directory: Path) -> Mapping[str, Any] | None:
        """What the task returned for the run in `directory`, from its files; None unless it ended well."""
        return None

    def estimate(self, compose: Callable[[Sequence[str]], DictConfig], definition: Definition) -> float | None:
        """The seconds that a trial takes; None: nobody knows."""
        return None

    def write(self, search: Search, config: DictConfig, complete: bool) -> None:
        """Write what the search has found, also where it was interrupted and is not `complete`."""

    def summary(self, search: Search) -> str:
        """What the search has found, as it is printed at its end."""
        best = search.best()
        if best is None:
            rest = " and keeps the constraints" if search.description.get("constraints") else ""
            return f"{search.name}: no trial is completed{rest}."
        scores = (f"{name} {value:.4g}" for name, value in zip(search.objectives, best.values, strict=True))
        place = "the best" if len(search.objectives) == 1 else "the first of the Pareto front"
        return f"{search.name}: trial {best.number} is {place}: {', '.join(scores)}  {search.point(best)}".rstrip()


@dataclass(frozen=True)
class Definition:
    """A search as it was asked for. `fixed` are the overrides that all trials share."""

    name: str
    space: Space
    fixed: tuple[str, ...]
    sampler: Chosen
    trials: int | None  # None: a grid, which runs all of its points
    objectives: tuple[str, ...]
    directions: tuple[Literal["minimize", "maximize"], ...]
    pruner: Chosen = "none"
    seeds: int = 1
    first_seed: int = 0
    workers: int = 1
    sampler_seed: int = 0
    storage: str | None = None
    retries: int = 2
    accept_mismatch: bool = False
    retry_failed: bool = False
    take_over: bool = False
    dry_run: bool = False
    max_resource: int | str = "auto"  # of Hyperband
    constraints: Mapping[str, float] = field(default_factory=dict)  # numbers of the result and their upper bounds
    hooks: Hooks = field(default_factory=Hooks)
    node: str = "search"  # of the configuration, that has the settings
    ignored: tuple[str, ...] = ()  # the beginnings of fixed overrides that do not make it another search

    def described(self) -> dict[str, Any]:
        """What makes two searches the same: written to search.json, and compared when one continues.

        `parameters` is the space as data; `space` says it to people, and nothing reads it.
        """
        return {
            "sampler": self.sampler,
            "space": self.space.describe(),
            "parameters": self.space.as_json(),
            "fixed": sorted(self.hooks.recorded_as(word) for word in self.fixed if not word.startswith(self.ignored)),
            "seeds": self.seeds,
            "objectives": list(self.objectives),
            "pruner": self.pruner,
            "sampler_seed": self.sampler_seed,
            **({"constraints": dict(self.constraints)} if self.constraints else {}),
        }

    def planned(self) -> int:
        """How many trials it has in all."""
        return self.trials if self.trials is not None else len(self.space.grid())

    def make_sampler(self, asked: int) -> optuna.samplers.BaseSampler:
        """The sampler for the next trial after `asked` others: workers and restarts never draw the same again."""
        seed = self.sampler_seed * 1_000_003 + asked
        node = SAMPLERS[self.sampler] if isinstance(self.sampler, str) else self.sampler
        if node["_target_"].endswith(".QMCSampler"):  # its points are those of one sequence
            independent = optuna.samplers.RandomSampler(seed=seed)
            node, seed = {"independent_sampler": independent, **node}, self.sampler_seed
        if self.constraints:
            node = {**node, "constraints_func": self._violations}
        return instantiate({**node, "seed": seed if node.get("seed") is None else node["seed"]})  # type: ignore[no-any-return]

    def _violations(self, trial: FrozenTrial) -> list[float]:
        """By how much a trial exceeds each constraint; one that was pruned is not known to."""
        return [trial.user_attrs.get(name, bound) - bound for name, bound in self.constraints.items()]

    def make_pruner(self) -> optuna.pruners.BasePruner:
        node = PRUNERS[self.pruner] if isinstance(self.pruner, str) else self.pruner
        if node["_target_"] == PRUNERS["hyperband"]["_target_"]:
            node = {"max_resource": self.max_resource, **node}
        return instantiate(node)  # type: ignore[no-any-return]
