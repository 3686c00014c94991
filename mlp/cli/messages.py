"""What went wrong, in one message: what was given, what is allowed, how to fix it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_trials.errors import not_in_all_options
from hydra_trials.passwords import hidden_in_message, without_password
from mlp.base import streams
from mlp.base.errors import CallbackFailed, Diverged, UserError, unknown
from mlp.base.naming import flat
from mlp.base.paths import CONF, pip_install
from mlp.cli.flags import VALUE_FLAGS
from mlp.cli.overrides import config_folders
from mlp.config.compose import compose
from mlp.config.files import options
from mlp.config.grammar import last_value, quoted

ENGINES = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}  # their extras
MISTAKES = (UserError, HydraException, OmegaConfBaseException, *streams.MISPLACED)
EXPECTED_ERRORS = (UserError, Diverged, CallbackFailed, OSError, MemoryError, HydraException, OmegaConfBaseException)


def fail(error: BaseException, overrides: Sequence[str]) -> NoReturn:
    """Print what went wrong and exit: 2 for the user's mistakes, 3 for divergence, 1 for the rest."""
    print(f"Error: {hidden_in_message(explain(error, overrides), overrides)}", file=sys.stderr)
    mistake = isinstance(error, MISTAKES)
    raise SystemExit(getattr(error, "exit_code", 2 if mistake else 1)) from None


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """One message: what was given, what is allowed, how to fix it."""
    text = str(error).strip()
    if key := overridden(error):
        keys = _keys(overrides)
        if swept := swept_options(key, overrides):
            without = [name for name, its in swept.items() if key not in its]
            if 0 < len(without) < len(swept):
                return not_in_all_options(key, [f"{key.partition('.')[0]}={name}" for name in without])
            keys = swept[without[0]] if without else keys
        if key not in keys:
            return _unknown_key(key, keys)
        cause = re.search(r"full_key: (\S+)", str(error.__cause__))
        return f"{cause[1] if cause else key} is new: write ++{key}=... to add it"
    engine = re.search(r"Could not find 'hydra/launcher/(\w+)'", text)
    if engine and engine[1] in ENGINES:
        extra = ENGINES[engine[1]]
        return f"hydra/launcher={engine[1]} is not installed: {pip_install(extra)}"
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if merged := re.match("Error merging override (.*)", text):
        key = merged[1].lstrip("+").partition("=")[0]
        if "Cannot merge DictConfig with" in str(error.__cause__):
            return f"{merged[1]}: {key} has keys of its own: write +{key}.NAME=... to add one"
        return f"{merged[1]}: {str(error.__cause__).partition(chr(10))[0]}"
    if isinstance(error, MissingConfigException):
        return " ".join(text.partition("\nConfig search path")[0].split())
    return streams.message_of(error)


def _unreadable(word: str) -> str:
    """That a word of the command line cannot be parsed, and how it can: its value in quotes, unless there may be a
    password in it."""
    shown = without_password(word)
    key, sign, value = word.partition("=")
    text = f"{key}={quoted(value)}" if shown == word else f"{key}='...'"
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:  # it is the key that cannot be read
        sign = ""
    if not sign:
        return f"{shown} is no override: KEY=VALUE"
    in_shell = shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
    return f"{shown} cannot be read. Such a text needs quotes, for Hydra and for the shell: {in_shell}"


def overridden(error: BaseException) -> str:
    """The key that Hydra could not override; empty for another error."""
    key = re.search(r"Could not override '([^']+)'", str(error))
    return key[1] if key and "@" not in key[1] else ""  # with @ it is a defaults list, and Hydra says it well


def swept_options(key: str, overrides: Sequence[str]) -> dict[str, list[str]]:
    """The options that the command line sweeps over in the group of `key`, each with the keys that it has."""
    group = key.partition(".")[0]
    folders = config_folders(overrides, overrides)
    swept = re.split(r"choice\(|[\s,()]+", last_value(overrides, group) or "")
    names = [name for name in swept if name in options(group, folders)]
    return {name: _keys([_searchpath(folders), f"{group}={name}"]) for name in names} if len(names) > 1 else {}


def _unknown_key(given: str, keys: Sequence[str]) -> str:
    """`unknown`, with the keys of the same group only, and `lr` understood as people mean it."""
    group, _, name = given.rpartition(".")
    meant = {flag.lstrip("-"): key for flags, key, *_ in VALUE_FLAGS for flag in flags}.get(name)
    # Among the options for any optimizer it would be ignored as well.
    if meant is not None and meant in keys and not meant.startswith("optimizer_options."):
        return f"key '{given}' is unknown; did you mean '{meant}'?"
    siblings = (
        [key for key in keys if key.startswith(f"{group}.")] if group else sorted({k.split(".")[0] for k in keys})
    )
    return unknown("key", given, siblings or keys)


def _keys(overrides: Sequence[str]) -> list[str]:
    """All keys of the configuration that the group choices among `overrides` compose."""
    folders = config_folders(overrides, overrides)
    choices = [_searchpath(folders)]
    overrides = [word for word in overrides if re.match(r"[~+]*[\w/.@]+=", word)]
    for override in OverridesParser.create().parse_overrides(overrides):
        group = override.key_or_group.partition("@")[0]
        known = any((folder / group).is_dir() for folder in (CONF, *folders))
        if known and not override.is_sweep_override() and "hydra" not in group:
            choices.append(override.input_line or "")
    try:
        values = flat(OmegaConf.to_container(compose(choices)))  # type: ignore[arg-type]
        return [key for key, _ in values if not key.endswith("_target_")]
    except (HydraException, OmegaConfBaseException, UserError):  # the choices are wrong too
        return []


def _searchpath(folders: Sequence[Path]) -> str:
    return f"hydra.searchpath=[{','.join(quoted(f'file://{folder.resolve()}') for folder in folders)}]"
