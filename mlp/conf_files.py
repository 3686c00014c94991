"""The folders and files of conf/. Imports nothing that is slow: `--help` lists them."""

from collections.abc import Sequence
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def groups() -> list[str]:
    """The configuration groups: the folders of conf/, without Hydra's own."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def options(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """The options of a group, also in further configuration `folders`: the YAML files of its folder. One that begins
    with _ is a part of the others."""
    files = (path for folder in (CONF, *folders) for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in files if not path.stem.startswith("_")})
