"""The one call of Hydra's compose."""

from __future__ import annotations

from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from mlp.config.files import CONF


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that a run with these overrides gets, without a run."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra.compose("config", overrides=list(overrides))
