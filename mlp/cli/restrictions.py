"""What files of options may say to Hydra: which of its classes and of ours it uses, no other code, and nothing about
the environment of programs. A command line may say more, with --allow."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlp.base.errors import UserError, shortened
from mlp.config.user_classes import is_allowed

#: What Hydra builds, by its place.
KINDS: dict[str, type] = {"callbacks": Callback, "launcher": Launcher, "sweeper": Sweeper}
OURS = re.compile(r"(hydra|hydra\._internal\.core_plugins|hydra_plugins|hydra_trials|mlp)(\.[A-Za-z]\w*)+")
#: Samplers and pruners: the sweeper looks at the rest of such a name.
DRAWING = re.compile(r"(optuna\.(samplers|pruners)|hydra_trials)\.\w+(\.\w+)?")
HANDLERS = ("RotatingFileHandler", "TimedRotatingFileHandler", "WatchedFileHandler")
#: What logs consist of. Others of Python's send them away.
LOGS = (
    *(f"logging.{name}" for name in ("StreamHandler", "FileHandler", "NullHandler", "Formatter", "Filter")),
    *(f"logging.handlers.{name}" for name in HANDLERS),
    *("colorlog.ColoredFormatter", "mlp.base.streams.Formatter", "hydra_trials.files.LogFile"),
)
STREAMS = ("sys.stdout", "sys.stderr")


def check(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise UserError where the node `hydra` of a configuration names what a file may not."""
    said = tuple(word.lstrip("+") for word in overrides)
    for key, text in _texts(OmegaConf.to_container(config.hydra, resolve=False), "hydra"):
        place, name = key.split(".")[1], key.rpartition(".")[2]
        if key.startswith("hydra.job.env_set."):
            if not any(word.startswith((f"{key}=", "hydra.job.env_set=")) for word in said):
                raise UserError(
                    f"{key}: a file may not set a variable of the environment; say it on the command line"
                )
        elif "${" in text and not _gives_a_value(config, key, text):
            raise UserError(f"{key}={shortened(text)} may stand for an object: write it there, or no ${{...}}")
        elif not _may_name(place, name, key.count(".") > 3, text) and not is_allowed(text):
            module = shortened(text.rpartition(".")[0])
            how = "" if module.startswith(("hydra", "mlp")) else f" (--allow {module})"
            raise UserError(f"{key} names {shortened(text)}, which is not allowed{how}")


def _may_name(place: str, name: str, nested: bool, text: str) -> bool:
    if name in ("class", "()") and place.endswith("_logging"):
        return text in LOGS
    if text.startswith("ext://"):  # as an object of a log
        return text.removeprefix("ext://") in STREAMS
    if name == "hooks":
        return OURS.fullmatch(text) is not None and inspect.isclass(_located(text))
    if name == "_target_":
        return _is_class(text, KINDS.get(place, ())) or (nested and DRAWING.fullmatch(text) is not None)
    return True


def _is_class(text: str, kinds: type | tuple[()]) -> bool:
    found = _located(text) if OURS.fullmatch(text) else None
    return inspect.isclass(found) and issubclass(found, kinds) and OURS.match(found.__module__ + ".x") is not None


def _located(text: str) -> Any:
    module, _, name = text.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if key.endswith("._target_"):
        yield key, str(node)
    elif isinstance(node, dict | list):
        for name, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(item, f"{key}.{name}")
    elif isinstance(node, str):
        yield key, node


def _gives_a_value(config: DictConfig, key: str, text: str) -> bool:
    """Whether an interpolation cannot stand for an object that Hydra, or Python's configuration of logs, makes."""
    place = key.split(".")[1]
    if place.endswith("_logging"):
        begins = text.partition("${")[0]  # ext://NAME would be imported
        return text.startswith("${hydra.runtime.output_dir}/") or not "ext://".startswith(begins[:6])
    if place not in KINDS:
        return True
    try:
        return not isinstance(OmegaConf.select(config, key), Container | dict | list)
    except OmegaConfBaseException:
        return False
