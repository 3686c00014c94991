"""Starting Hydra: one run, or its multirun."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import hydra._internal.hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_trials.compat import VERSION_BASE, register_resolver
from mlp import experiment
from mlp.base.errors import UserError, refuse
from mlp.base.paths import CONF
from mlp.cli.messages import EXPECTED_ERRORS, fail, overridden, swept_options
from mlp.cli.overrides import completion_line, to_hydra
from mlp.cli.restrictions import check
from mlp.config.compose import Loader, composing
from mlp.config.resolve import resolve, resolve_resumed, resolve_trial
from mlp.experiment.directory import discarded_if_refused
from mlp.report import draw_run


class _Loader(Loader):
    """What files say to Hydra itself is held to the rule of all classes."""

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        config = super().load_configuration(config_name, overrides, *args, **kwargs)
        check(config, overrides)
        return config


def launch(arguments: Sequence[str]) -> float | None:
    """Translate the command line, run Hydra, and exit with a message and a code where something fails."""
    # Hydra would print its own, longer reports of errors and exit with 1; this hands them to us instead.
    full_report = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_resolver("run_id", lambda: secrets.token_hex(3), use_cache=True, replace=True)
    if "-sc" in arguments or "--shell-completion" in arguments:
        hydra_arguments = [
            "-sc",
            *(word for word in arguments if word.startswith(("install=", "uninstall=", "query="))),
        ]
        if len(hydra_arguments) != 2:
            raise UserError("-sc needs one of install=bash, uninstall=bash and query=bash (or fish, zsh)")
        if "COMP_LINE" in os.environ:
            os.environ["COMP_LINE"] = line = completion_line(os.environ["COMP_LINE"])
            os.environ["COMP_POINT"] = str(len(line))
    else:
        hydra_arguments = to_hydra(arguments)
    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args(hydra_arguments)
    hydra._internal.hydra.ConfigLoaderImpl = _Loader  # type: ignore[attr-defined]
    try:
        return _start(hydra_arguments)
    except EXPECTED_ERRORS as error:
        if full_report:
            raise
        fail(error, hydra_arguments)


#: Hydra 1.3 asks for the version of its rules, 1.4 for what a configuration of its logging may call.
MAIN: dict[str, Any] = VERSION_BASE or {"execution_whitelist": ["hydra_trials.*", "mlp.base.streams.*"]}


def _start(arguments: Sequence[str]) -> float | None:
    """Run Hydra. It composes a search without its sweeps first, when a key of the options of a swept group may be
    missing: one that all of them have is then added."""
    sys.argv = [sys.argv[0], *arguments]
    try:
        with composing():
            return _hydra_main()  # type: ignore[no-any-return]
    except HydraException as error:
        key = overridden(error)
        added = [f"++{word}" if word.startswith(f"{key}=") else word for word in arguments]
        swept = swept_options(key, arguments)
        if added == arguments or not swept or not all(key in keys for keys in swept.values()):
            raise
    return _start(added)


@hydra.main(**MAIN, config_path=str(CONF), config_name="config")
def _hydra_main(cfg: DictConfig) -> float | None:
    """Hydra's task. In a single run errors end the program here, before Hydra adds its own report."""
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    overrides: Any = OmegaConf.to_container(
        hydra_config.overrides.task, resolve=False
    )  # what ${...} stands for is not kept
    named = any(word.startswith("hydra.run.dir=") for word in hydra_config.overrides.hydra)
    single = hydra_config.mode == RunMode.RUN
    try:
        with discarded_if_refused(directory, f"{hydra_config.job.name}.log", named=named):
            if not single:
                config = resolve_trial(cfg, Path(str(hydra_config.sweep.dir)).name, hydra_config.runtime.choices)
            elif cfg.get("resume") is not None:
                config = resolve_resumed(cfg, directory, overrides)
            else:
                config = resolve(cfg, hydra_config.runtime.choices)
            plots = experiment.plot_callbacks(config, draw_run, default=single)
            return experiment.run(config, directory, plots, overrides, progress_bar=single).best_value
    except EXPECTED_ERRORS as error:
        fail(error, overrides)
