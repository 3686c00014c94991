"""The sweeper behind `-m`. Hydra imports this file at every start, so it imports the rest where it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Runs the search that `search` and the sweeps of the command line describe.

    `params`: further sweeps, as an experiment file gives them. What the command line says of a key counts instead.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        from mlp.search.run import run
        from mlp.search.space import written

        assert self.hydra_context is not None
        assert self.config is not None
        further = [f"{key}={written(value)}" for key, value in self.params.items()]
        return run(self.hydra_context, self.config, [*further, *arguments])
