"""Writing files so that a reader, or the next start after a crash, never sees half of one."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from hydra_trials.files import LEFTOVER, atomic_write, fault_of_file

__all__ = ["LEFTOVER", "atomic_write", "fault_of_file", "plain", "remove_leftovers", "write_json"]


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that a killed process left in a directory that nobody else writes to now."""
    for path in directory.glob(f".*{LEFTOVER}"):
        path.unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON in one step: NaN and infinities become null, NumPy's numbers plain ones."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path, "w") as file:
        file.write(text + "\n")


def plain(value: Any) -> Any:
    """`value` in the types of JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
