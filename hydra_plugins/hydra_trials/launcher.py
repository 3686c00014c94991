"""hydra/launcher=local: forked processes on this machine."""

from hydra.core.config_store import ConfigStore

from hydra_trials.launcher import ForkingLauncher


class LocalLauncher(ForkingLauncher):
    """Hydra instantiates classes of this package only."""


ConfigStore.instance().store(
    group="hydra/launcher",
    name="local",
    node={"_target_": f"{__name__}.LocalLauncher", "restarts": 1000},  # of killed workers, before it gives up
    provider="hydra_trials",
)
