"""What a program may add to its searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra_trials.errors import SearchError

if TYPE_CHECKING:
    from pathlib import Path

    from hydra.types import TaskFunction
    from omegaconf import DictConfig

    from hydra_trials.definition import Definition
    from hydra_trials.space import Space
    from hydra_trials.study import Search


class Hooks:
    """A program names its own subclass in `hydra.sweeper.hooks`; nothing has to be overridden."""

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

    def replaced(self, fixed: Iterable[str]) -> set[str]:
        """Further keys that the `fixed` ones set, which then leave the space."""
        return set()

    def max_resource(self, space: Space, config: DictConfig) -> int | str:
        """The largest step that a trial may report, for Hyperband; "auto": it learns that from the first trials."""
        return "auto"

    def check(self, config: DictConfig, definition: Definition) -> None:
        """Raise one of `expected` for a configuration that a trial could not be run with."""

    def task(self, task_function: TaskFunction) -> TaskFunction:
        """What a worker calls with the configuration of each trial; must be picklable for other machines."""
        return task_function

    def read_result(self, directory: Path) -> Mapping[str, Any] | None:
        """What the task returned for the run in `directory`, from its files; None unless it ended well."""
        return None

    def estimate(self, compose: Callable[[Sequence[str]], DictConfig], definition: Definition) -> float | None:
        """The seconds that a trial takes; None: nobody knows."""
        return None

    def complete(self, search: Search, config: DictConfig) -> None:
        """Called when nothing is left to run."""

    def write(self, search: Search) -> None:
        """Write what the search has found, also where it was interrupted."""

    def summary(self, search: Search) -> str:
        """What the search has found, as it is printed at its end."""
        best = search.best()
        if best is None:
            return f"{search.name}: no trial is completed."
        scores = (f"{name} {value:.4g}" for name, value in zip(search.objectives, best.values, strict=True))
        return f"{search.name}: trial {best.number} is the best: {', '.join(scores)}  {search.point(best)}".rstrip()
