"""Where the files of this package are, in a checkout or installed from a wheel, and how its programs are started."""

import os
import shlex
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
#: The repository; None where a wheel is installed.
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "train.py").is_file() else None
CONF = (CHECKOUT or PACKAGE) / "conf"


def command(program: str, *words: str) -> str:
    """What a user types to start a program with `words`: `python train.py` or `python -m mlp.search` in a checkout,
    `mlp train` or `mlp search` where the package is installed, `python -m mlp train` for those who say so."""
    started = Path(sys.argv[0])
    if started.parts[-2:] == ("mlp", "__main__.py"):
        start = ["python", "-m", "mlp", program]
    elif CHECKOUT is None or started.name == "mlp":
        start = ["mlp", program]
    else:
        start = ["python", *([f"{program}.py"] if program in ("train", "inference") else ["-m", f"mlp.{program}"])]
    return shlex.join([*start, *words])


def home() -> Path:
    """Where the models are that come with the package or were installed by a search: the repository, else here."""
    return CHECKOUT or Path()


def cache_directory() -> Path:
    """$MLP_CACHE_DIR, else $XDG_CACHE_HOME/numpy-mlp, else ~/.cache/numpy-mlp."""
    if own := os.environ.get("MLP_CACHE_DIR"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "numpy-mlp"


def pip_install(extra: str) -> str:
    """What a user types to install an extra of this package."""
    return f"pip install -e '.[{extra}]'" if CHECKOUT else f"pip install 'numpy-mlp[{extra}]'"
