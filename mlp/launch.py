"""Starting Hydra, and saying in one message what went wrong."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
import hydra._internal.hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlp import cli, experiment
from mlp.conf_files import CONF, options
from mlp.errors import CallbackFailed, Diverged, UserError, unknown
from mlp.search.loader import Loader
from mlp.settings import discarded_if_refused, resolve, resolve_resumed, resolve_trial

ENGINES = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}  # their extras
#: The last two: a folder where a file should be, and the reverse.
MISTAKES = (UserError, HydraException, OmegaConfBaseException, IsADirectoryError, NotADirectoryError)
EXPECTED = (UserError, Diverged, CallbackFailed, OSError, HydraException, OmegaConfBaseException)


def launch(arguments: Sequence[str]) -> float | None:
    """Translate the command line, run Hydra, and exit with a message and a code where something fails."""
    # Hydra would print its own, longer reports of errors and exit with 1; this hands them to us instead.
    full_report = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    OmegaConf.register_new_resolver("run_id", lambda: secrets.token_hex(3), use_cache=True, replace=True)
    if "-sc" in arguments or "--shell-completion" in arguments:
        hydra_arguments = list(arguments)
        if "COMP_LINE" in os.environ:
            os.environ["COMP_LINE"] = line = cli.completion_line(os.environ["COMP_LINE"])
            os.environ["COMP_POINT"] = str(len(line))
    else:
        try:
            hydra_arguments = cli.to_hydra(arguments)
        except UserError as error:
            fail(error, arguments)
    # Hydra composes twice, first only to look up hydra.mode.
    hydra._internal.hydra.ConfigLoaderImpl = Loader  # type: ignore[attr-defined]
    try:
        return _start(hydra_arguments)
    except EXPECTED as error:
        if full_report:
            raise
        fail(error, hydra_arguments)
    except KeyboardInterrupt as interrupt:
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(143 if isinstance(interrupt, experiment.Terminated) else 130) from None


def _start(arguments: Sequence[str]) -> float | None:
    """Run Hydra. It composes a search without its sweeps first, when a key of the options of a swept group may be
    missing: one that all of them have is then added."""
    sys.argv = [sys.argv[0], *arguments]
    try:
        return _hydra_main()  # type: ignore[no-any-return]
    except HydraException as error:
        key = _overridden(error)
        added = [f"++{word}" if word.startswith(f"{key}=") else word for word in arguments]
        swept = _swept_options(key, arguments)
        if added == arguments or not swept or not all(key in keys for keys in swept.values()):
            raise
    return _start(added)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
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
                config = resolve_trial(cfg, Path(str(hydra_config.sweep.dir)).name)
            elif cfg.get("resume") is not None:
                config = resolve_resumed(cfg, directory, overrides)
            else:
                config = resolve(cfg)
            plots = [experiment.PlotCallback()] if experiment.wants_plots(config, otherwise=single) else []
            return experiment.run(config, directory, plots, overrides, progress_bar=single).best_value
    except EXPECTED as error:
        fail(error, overrides)


def fail(error: BaseException, overrides: Sequence[str]) -> NoReturn:
    """Print what went wrong and exit: 2 for the user's mistakes, 3 for divergence, 1 for the rest."""
    print(f"Error: {explain(error, overrides)}", file=sys.stderr)
    mistake = isinstance(error, MISTAKES)
    raise SystemExit(getattr(error, "exit_code", 2 if mistake else 1)) from None


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """One message: what was given, what is allowed, how to fix it."""
    text = str(error).strip()
    if key := _overridden(error):
        keys = _keys(overrides)
        if swept := _swept_options(key, overrides):
            without = [name for name, its in swept.items() if key not in its]
            if 0 < len(without) < len(swept):
                return cli.not_of_all(key, [f"{key.partition('.')[0]}={name}" for name in without])
            keys = swept[without[0]] if without else keys
        if key not in keys:
            return _unknown_key(key, keys)
        cause = re.search(r"full_key: (\S+)", str(error.__cause__))
        return f"{cause[1] if cause else key} is new: write ++{key}=... to add it"
    engine = re.search(r"Could not find 'hydra/launcher/(\w+)'", text)
    if engine and engine[1] in ENGINES:
        extra = ENGINES[engine[1]]
        return f"hydra/launcher={engine[1]} is not installed: pip install -c requirements.lock -e '.[{extra}]'"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {text}"
    if isinstance(error, OSError) and not isinstance(error, UserError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else text
    return text


def _overridden(error: BaseException) -> str:
    """The key that Hydra could not override; empty for another error."""
    key = re.search(r"Could not override '([^']+)'", str(error))
    return key[1] if key and "@" not in key[1] else ""  # with @ it is a defaults list, and Hydra says it well


def _swept_options(key: str, overrides: Sequence[str]) -> dict[str, list[str]]:
    """The options that the command line sweeps over in the group of `key`, each with the keys that it has."""
    group = key.partition(".")[0]
    folders = cli.config_folders(overrides, overrides)
    swept = next((word.partition("=")[2] for word in reversed(overrides) if word.startswith(f"{group}=")), "")
    names = [name for name in re.split(r"choice\(|[\s,()]+", swept) if name in options(group, folders)]
    return {name: _keys([_searchpath(folders), f"{group}={name}"]) for name in names} if len(names) > 1 else {}


def _unknown_key(given: str, keys: Sequence[str]) -> str:
    """`unknown`, with the keys of the same group only, and `lr` understood as people mean it."""
    group, _, name = given.rpartition(".")
    meant = {flag.lstrip("-"): key for flags, key, *_ in cli.VALUE_FLAGS for flag in flags}.get(name)
    # Among the coefficients it would be ignored as well.
    if meant is not None and meant in keys and not meant.startswith("coefficients."):
        return f"key '{given}' is unknown; did you mean '{meant}'?"
    siblings = (
        [key for key in keys if key.startswith(f"{group}.")] if group else sorted({k.split(".")[0] for k in keys})
    )
    return unknown("key", given, siblings or keys)


def _keys(overrides: Sequence[str]) -> list[str]:
    """All keys of the configuration that the group choices among `overrides` compose."""
    folders = cli.config_folders(overrides, overrides)
    choices = [_searchpath(folders)]
    overrides = [word for word in overrides if re.match(r"[~+]*[\w/.@]+=", word)]
    for override in OverridesParser.create().parse_overrides(overrides):
        group = override.key_or_group.partition("@")[0]
        known = any((folder / group).is_dir() for folder in (CONF, *folders))
        if known and not override.is_sweep_override() and "hydra" not in group:
            choices.append(override.input_line or "")
    return _leaves(OmegaConf.to_container(compose(choices)), "")  # type: ignore[arg-type]


def _searchpath(folders: Sequence[Path]) -> str:
    return f"hydra.searchpath=[{','.join(cli.quoted(f'file://{folder.resolve()}') for folder in folders)}]"


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that a run with these overrides gets, without a run."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra.compose("config", overrides=list(overrides))


def _leaves(node: dict[str, object], prefix: str) -> list[str]:
    keys = []
    for key, value in node.items():
        if key == "_target_":
            continue
        keys += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return keys
