"""hydra/launcher=local: forked processes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """`restarts`: how many killed processes are started again in all, before the launcher gives up."""

    def __init__(self, restarts: int = 1000) -> None:
        self.restarts = restarts
        self.on_poll: Callable[[], None] = lambda: None  # called while the jobs run

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from hydra_trials.launcher import ForkingLauncher

        assert self.hydra_context is not None
        assert self.task_function is not None
        assert self.config is not None
        launcher = ForkingLauncher(self.hydra_context, self.task_function, self.config, self.restarts, self.on_poll)
        return launcher.launch(job_overrides, initial_job_idx)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="local",
    node={"_target_": f"{__name__}.LocalLauncher", "restarts": 1000},
    provider="hydra_trials",
)
