"""The folders and files of conf/. Imports nothing that is slow: `--help` lists them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlp.paths import CONF

#: Keys that had another name, which still works on the command line and in files.
RENAMED = {
    "training.clip_norm": "training.max_grad_norm",
    "training.average": "training.ema_decay",
    "optimizer.decoupled": "optimizer.decoupled_weight_decay",
}


def rename_keys(config: dict[str, Any]) -> None:
    """Give the keys of a configuration, which may be of an older version, the names that they have now."""
    for old, new in RENAMED.items():
        (group, key), name = old.split("."), new.partition(".")[2]
        if key in config.get(group, ()):
            config[group][name] = config[group].pop(key)


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
    from omegaconf import OmegaConf

    path = next(path for folder in (CONF, *folders) if (path := folder / group / f"{option}.yaml").is_file())
    return OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[return-value]


def canonical(group: str, name: str, folders: Sequence[Path] = ()) -> str:
    """The option of `group` that `name` means, in any spelling or by an alias (`ReLU`, `mse`, `nesterov`).

    `folders` are further configuration folders that have options.

    Raises UserError naming the nearest match and what is allowed.
    """
    from mlp.errors import UserError, unknown
    from mlp.nn.naming import normalize_name

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
    from mlp.errors import UserError

    paths = [path for folder in (CONF, *folders) if (path := folder / group / f"{option}.yaml").is_file()]
    target = re.search(r"^_target_: *(\S+)", paths[0].read_text(), re.MULTILINE)
    try:
        return getattr(locate(target[1]), "aliases", ()) if target else ()
    except UserError:  # a class that is not allowed has no name here; building it will say so
        return ()
