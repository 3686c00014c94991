"""Where and with what a run was made: for `summary.json`."""

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hydra_trials.passwords import without_password
from mlp.base import paths


def describe() -> dict[str, Any]:
    """Versions, machine, command line and git commit, as plain JSON values."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "command": shlex.join(map(without_password, sys.argv)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        **_blas_at_work(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git": git_commit(),
    }


def _blas_at_work() -> dict[str, Any]:
    """The processor whose kernels BLAS has chosen, and its threads: both decide the speed and the last bits."""
    from threadpoolctl import threadpool_info

    libraries: list[dict[str, Any]] = threadpool_info()
    found = next((library for library in libraries if library["user_api"] == "blas"), {})
    return {"blas_kernels": found.get("architecture"), "blas_threads": found.get("num_threads")}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


@cache  # the source that this process has loaded
def git_commit() -> str | None:
    """The commit of the source, with "+changes" if files differ from it; None outside a repository."""
    try:
        changes = "+changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
        return _git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(paths.PACKAGE), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    return answer.stdout.strip()
