"""The folders and files of conf/. Imports nothing that is slow: `--help` lists them."""

from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def groups() -> list[str]:
    """The configuration groups: the folders of conf/, without Hydra's own."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def options(group: str) -> list[str]:
    """The options of a group: the YAML files of its folder. One that begins with _ is a part of the others."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml") if not p.stem.startswith("_"))
