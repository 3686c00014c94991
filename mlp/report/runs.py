"""Run directories as the studies read them: files only."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from mlp.config.files import CONF, options
from mlp.errors import UserError
from mlp.nn.types import Array
from mlp.report.run_plots import read_facts, read_metrics, read_predictions

FINISHED = ("completed", "pruned", "diverged")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run that has ended."""

    directory: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml, resolved."""
        return OmegaConf.to_container(OmegaConf.load(self.directory / "config.yaml"))  # type: ignore[return-value]

    @cached_property
    def overrides(self) -> dict[str, str]:
        """overrides.yaml, key to value: what the run was given, also what config.yaml does not name."""
        words = OmegaConf.load(self.directory / "overrides.yaml")
        split = (str(word).lstrip("+~").partition("=") for word in words)
        return {key: value for key, _, value in split}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, and what best_config.json says beside it."""
        return read_facts(self.directory)

    @cached_property
    def metrics(self) -> dict[str, Array]:
        """The columns of metrics.csv, (epochs,) each."""
        return read_metrics(self.directory / "metrics.csv")

    @cached_property
    def predictions(self) -> dict[str, Array]:
        """The arrays of predictions.npz: what the best weights said about the test set."""
        return read_predictions(self.directory / "predictions.npz")

    def arrays(self, name: str) -> dict[str, Array]:
        """The arrays of another .npz, such as a diagnostic callback writes."""
        return read_predictions(self.directory / name)

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    def value(self, key: str) -> Any:
        """A value of the configuration, as `optimizer.learning_rate`; of a group its option, as `optimizer`."""
        found: Any = self.config
        for part in key.split("."):
            found = found[part]
        return _option(key, found["_target_"]) if isinstance(found, dict) else found


def _option(group: str, target: str) -> str:
    """The option of `group` whose file names the class `target`."""
    for name in options(group):
        text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
        if re.search(rf"^_target_: *{re.escape(target)}\s*$", text, re.MULTILINE):
            return name
    return target.rpartition(".")[2]


def runs_of(search: Path) -> list[RunFiles]:
    """The runs of a search that have ended, by their number; empty where there are none yet."""
    found = []
    for path in search.glob("*/summary.json"):
        if path.parent.name.isdecimal():
            try:
                status = json.loads(path.read_text(encoding="utf-8"))["status"]
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is damaged: {error}") from error
            if status in FINISHED:
                found.append(RunFiles(path.parent))
    return sorted(found, key=lambda run: int(run.directory.name))


def by(runs: Iterable[RunFiles], *keys: str) -> dict[tuple[Hashable, ...], list[RunFiles]]:
    """Runs grouped by the values of `keys`, groups in the order in which they first come."""
    groups: dict[tuple[Hashable, ...], list[RunFiles]] = {}
    for run in runs:
        values = tuple(_hashable(run.value(key)) for key in keys)
        groups.setdefault(values, []).append(run)
    return groups


def _hashable(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list) else value


def stacked(runs: Sequence[RunFiles], column: str) -> Array:
    """A column of metrics.csv of several runs, (runs, epochs); NaN after the end of a shorter one."""
    columns = [run.metrics[column] for run in runs]
    table = np.full((len(columns), max(map(len, columns), default=0)), np.nan)
    for row, values in zip(table, columns, strict=True):
        row[: len(values)] = values
    return table
