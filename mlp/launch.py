"""Starting Hydra, and saying in one message what went wrong."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlp import cli, experiment
from mlp.conf_files import CONF, options
from mlp.errors import CallbackFailed, Diverged, UserError, unknown

ENGINES = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}  # their extras
EXPECTED = (UserError, Diverged, CallbackFailed, OSError, HydraException, OmegaConfBaseException)


def launch(arguments: Sequence[str]) -> float | None:
    """Translate the command line, run Hydra, and exit with a message and a code where something fails."""
    # Hydra would print its own, longer reports of errors and exit with 1; this hands them to us instead.
    full_report = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.raiseExceptions = (
        False  # a reader of the output that is gone, as `head`, is no error: train.log has it all
    )
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
    sys.argv = [sys.argv[0], *hydra_arguments]
    try:
        return _hydra_main()  # type: ignore[no-any-return]
    except EXPECTED as error:
        if full_report:
            raise
        fail(error, hydra_arguments)
    except KeyboardInterrupt as interrupt:
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(143 if isinstance(interrupt, experiment.Terminated) else 130) from None


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _hydra_main(cfg: DictConfig) -> float | None:
    """Hydra's task. In a single run errors end the program here, before Hydra adds its own report."""
    try:
        return experiment.run(cfg)
    except EXPECTED as error:
        fail(error, HydraConfig.get().overrides.task)


def fail(error: BaseException, overrides: Sequence[str]) -> NoReturn:
    """Print what went wrong and exit: 2 for the user's mistakes, 3 for divergence, 1 for the rest."""
    print(f"Error: {explain(error, overrides)}", file=sys.stderr)
    mistake = isinstance(error, UserError | HydraException | OmegaConfBaseException)
    raise SystemExit(getattr(error, "exit_code", 2 if mistake else 1)) from None


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """One message: what was given, what is allowed, how to fix it."""
    text = str(error).strip()
    key = re.search(r"Could not override '([^']+)'", text)
    if key and "@" not in key[1]:  # with @ it is a defaults list that is wrong, and Hydra says it well
        keys = _keys(overrides)
        if said := _of_swept_options(key[1], overrides):
            return said
        if key[1] not in keys:
            return _unknown_key(key[1], keys)
        cause = re.search(r"full_key: (\S+)", str(error.__cause__))
        return f"{cause[1] if cause else key[1]} is new: write ++{key[1]}=... to add it"
    engine = re.search(r"Could not find 'hydra/launcher/(\w+)'", text)
    if engine and engine[1] in ENGINES:
        extra = ENGINES[engine[1]]
        return f"hydra/launcher={engine[1]} is not installed: pip install -c requirements.lock -e '.[{extra}]'"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {text}"
    if isinstance(error, OSError) and not isinstance(error, UserError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else text
    return text


def _of_swept_options(given: str, overrides: Sequence[str]) -> str:
    """What to say of a key whose group is swept over, since not every option has it; "" where it is not swept."""
    group = given.partition(".")[0]
    folders = cli.config_folders(overrides, overrides)
    swept = next((word.partition("=")[2] for word in reversed(overrides) if word.startswith(f"{group}=")), "")
    names = [name for name in re.split(r"choice\(|[\s,()]+", swept) if name in options(group, folders)]
    if len(names) < 2:
        return ""
    keys = {name: _keys([_searchpath(folders), f"{group}={name}"]) for name in names}
    without = [name for name in names if given not in keys[name]]
    if len(without) == len(names):
        return _unknown_key(given, keys[names[0]])
    if without:
        return (
            f"{given} is no key of {' and '.join(f'{group}={name}' for name in without)}, which the search tries "
            f"too. Search over the options that have it, or tie it to them with `when` in a file of conf/search/space"
        )
    return f"{given} is no key of the option that {group} has without the search: write ++{given}=..."


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
