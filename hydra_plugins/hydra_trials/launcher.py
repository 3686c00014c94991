"""hydra/launcher=local: forked processes on this machine."""

from hydra.core.config_store import ConfigStore

from hydra_trials.launcher import ForkingLauncher


class LocalLauncher(ForkingLauncher):
    """Hydra instantiates classes of this package only."""


ConfigStore.instance().store(
    group="hydra/launcher",
    name="local",
    node={
        "_target_": f"{__name__}.LocalLauncher",
        "n_jobs": -1,  # jobs at a time; -1: one for each core
        "restarts": None,  # of killed jobs in all; null: none, but 1000 of the workers of a search
    },
    provider="hydra_trials",
)
