"""The folders and files of conf/. Imports nothing that is slow: `--help` lists them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mlp.base.errors import UserError, unknown
from mlp.base.files import read_bytes
from mlp.base.naming import normalize_name
from mlp.base.paths import CONF

#: Keys and groups that had another name, which still works on the command line and in files.
RENAMED = {
    "training.clip_norm": "training.max_grad_norm",
    "training.average": "training.ema_decay",
    "optimizer.decoupled": "optimizer.decoupled_weight_decay",
    "coefficients": "optimizer_options",
}


def renamed(key: str, names: Mapping[str, str] = RENAMED) -> str:
    """A key by the name that it, or its group, has among `names`."""
    old = next((old for old in names if f"{key}.".startswith(f"{old}.")), None)
    return key if old is None else names[old] + key[len(old) :]


def rename_keys(config: dict[str, Any]) -> None:
    """Give the keys of a configuration, which may be of an older version, the names that they have now."""
    for old, new in RENAMED.items():
        group, _, key = old.rpartition(".")
        holder, name = config.get(group) if group else config, new.rpartition(".")[2]
        if isinstance(holder, dict) and key in holder:
            value, beside = holder.pop(key), holder.get(name)
            holder[name] = {**beside, **value} if isinstance(value, dict) and isinstance(beside, dict) else value


MAX_YAML = 2**17  # bytes of a configuration
MAX_DEPTH, MAX_VALUES = 20, 10_000


def read_yaml(path: Path, *, by_hand: bool = False) -> Any:
    """What a run's config.yaml or overrides.yaml holds, whoever wrote it: lists, mappings, texts and numbers.

    Interpolations stay texts. Aliases, types of Python, keys that are there twice, and what is too large or nested
    too deeply are refused with a UserError. A file that people write `by_hand`, an option's, may be empty, and have
    aliases, but may not unfold beyond the same size.
    """
    import yaml

    try:
        text = read_bytes(path, MAX_YAML, empty=by_hand).decode("utf-8")
        _check_size(yaml.parse(text, yaml.CSafeLoader), by_hand)  # without recursion, which libyaml does not limit
        found = yaml.load(text, _yaml_loader())
        _check_plain(found)
        return found
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _check_size(events: Iterable[Any], aliases: bool) -> None:
    """Raise UserError where the events of a YAML file unfold to too many values, or to too deep ones."""
    import yaml

    anchored: dict[str, tuple[int, int]] = {}  # values and depth of what has a name
    open_ = [("", 0, 0)]  # name, values and depth of each collection that is not at its end
    for event in events:
        name, values, depth = "", 1, 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1, 0))
            if len(open_) > MAX_DEPTH + 1:
                raise UserError("nested too deeply")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            name, values, depth = open_.pop()
        elif isinstance(event, yaml.AliasEvent):
            if not aliases:
                raise UserError(f"an alias (*{event.anchor}) inside; write the value itself")
            if event.anchor not in anchored:
                raise UserError(f"an alias (*{event.anchor}) of nothing, or of what contains it, inside")
            values, depth = anchored[event.anchor]
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        elif len(event.value) > 10_000:
            raise UserError(f"a value of {len(event.value):,} characters inside")
        else:
            name = event.anchor
        if name:
            anchored[name] = values, depth
        holder, before, deepest = open_[-1]
        open_[-1] = holder, before + values, max(deepest, depth + 1)
        if before + values > MAX_VALUES:
            raise UserError(f"more than {MAX_VALUES:,} values inside")
        if len(open_) + depth > MAX_DEPTH + 1:
            raise UserError("nested too deeply")


@cache
def _yaml_loader() -> Any:
    """libyaml's reader, which is 16 times as fast as OmegaConf's, with its idea of what is a number (1e-3 is)."""
    import yaml
    from omegaconf.basecontainer import get_yaml_loader  # type: ignore[attr-defined]  # in 2.3 and in 2.4

    class Loader(yaml.CSafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value]
            if twice := [key for key in keys if isinstance(key, str) and keys.count(key) > 1]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r:.60} is there twice")
            return super().construct_mapping(node, deep=deep)

    return Loader


def read_config(directory: Path) -> dict[str, Any]:
    """The config.yaml of a run, with the names that keys have now. Raises UserError."""
    path = directory / "config.yaml"
    config = read_yaml(path)
    if not isinstance(config, dict):
        raise UserError(f"{path} must be a mapping of keys to values. Got {type(config).__name__}")
    rename_keys(config)
    return config


def _check_plain(value: Any) -> None:
    """Raise ValueError for what a run's own configuration never has, such as dates, bytes and sets."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int):
                raise ValueError(f"a key that is no text: {key!r:.60}")
            _check_plain(item)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif isinstance(value, int) and value.bit_length() > 63:
        raise ValueError("an integer of more than 64 bits")
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"a value of type {type(value).__name__}")


def groups() -> list[str]:
    """The configuration groups: the folders of conf/, without Hydra's own."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def options(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """The options of a group, also in further configuration `folders`: the YAML files of its folder. One that begins
    with _ is a part of the others."""
    files = (path for folder in (CONF, *folders) for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in files if not path.stem.startswith("_")})


def read_option(group: str, option: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The content of an option's file, of this package or of the `folders`."""
    path = next(path for folder in (CONF, *folders) if (path := folder / group / f"{option}.yaml").is_file())
    return read_mapping(path)


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of an option's file. Raises UserError."""
    found = read_yaml(path, by_hand=True)
    if not isinstance(found, dict | None):
        raise UserError(f"{path} must be a mapping of keys to values. Got {type(found).__name__}")
    return found or {}


def canonical(group: str, name: str, folders: Sequence[Path] = ()) -> str:
    """The option of `group` that `name` means, in any spelling or by an alias (`ReLU`, `mse`, `nesterov`).

    `folders` are further configuration folders that have options.

    Raises UserError naming the nearest match and what is allowed.
    """
    known = options(group, folders)
    if name in known:
        return name
    for option in known:
        if normalize_name(option) == normalize_name(name):
            return option
    for option in known:
        if normalize_name(name) in map(normalize_name, _aliases(group, option, folders)):
            return option
    raise UserError(unknown(group, name, known))


def _aliases(group: str, option: str, folders: Sequence[Path]) -> tuple[str, ...]:
    from mlp.config.build import locate

    paths = [path for folder in (CONF, *folders) if (path := folder / group / f"{option}.yaml").is_file()]
    try:
        text = read_bytes(paths[0], MAX_YAML, empty=True).decode("utf-8", "replace")
        target = re.search(r"^_target_: *(\S+)", text, re.MULTILINE)
        return getattr(locate(target[1]), "aliases", ()) if target else ()
    except UserError:  # a class that is not allowed has no name here; building it will say so
        return ()
