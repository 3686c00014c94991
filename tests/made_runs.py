"""Run directories made by hand for tests: files that no training wrote, with the numbers that a test wants."""

import csv
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from mlp.config.compose import compose
from mlp.config.resolve import resolve
from mlp.runs.__main__ import main


def make_run(
    directory: Path,
    overrides: Sequence[str],
    metrics: Mapping[str, Sequence[float]],
    summary: Mapping[str, Any] | None = None,
    **arrays: Mapping[str, np.ndarray],
) -> Path:
    """A finished run in `directory`: configured by `overrides`, with these columns of metrics.csv beside those that
    every run has, and a file NAME.npz for each of `arrays`."""
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(_config(tuple(overrides)))
    (directory / "overrides.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    epochs = len(next(iter(metrics.values())))
    always = ("learning_rate", "train_loss", "train_accuracy", "train_f1", "val_loss", "val_accuracy", "val_f1")
    columns = {"epoch": list(range(1, epochs + 1)), **{name: [0.5] * epochs for name in always}, **metrics}
    with (directory / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
    facts = {"status": "completed", "test_accuracy": 0.5, "total_seconds": 1.0, "started": "2026-01-02T03:04:05",
             "environment": {"processor": "a processor", "cores": 2, "numpy": "2.4"}, **(summary or {})}  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(facts))
    for name, content in arrays.items():
        np.savez(directory / f"{name}.npz", **content)  # type: ignore[arg-type]
    return directory


METRICS = {"val_accuracy": [0.5, 0.75], "train_loss": [2.0, 1.0]}


def listed_run(name: str, *overrides: str, **summary: Any) -> Path:
    """A run of two epochs on digits, where `mlp runs` looks for runs."""
    facts = {"started": "2026-01-02T03:04:05+00:00", "epochs": 2, "best_epoch": 2, "val_accuracy": 0.75, **summary}
    return make_run(Path("outputs") / name, ["dataset=digits", *overrides], METRICS, facts)


def three_runs() -> list[Path]:
    """The newest is sgd's, the best adam's; one was pruned."""
    return [
        listed_run("day/10-00-00-aaa111", "optimizer=sgd", val_accuracy=0.8, started="2026-01-04T00:00:00+00:00"),
        listed_run("day/09-00-00-bbb222", "seed=7", val_accuracy=0.9, started="2026-01-03T00:00:00+00:00"),
        listed_run("day/08-00-00-abc333", "seed=8", "model.hidden_sizes=[64,32]", status="pruned", val_accuracy=0.99),
    ]


@contextmanager
def at_work(directory: Path) -> Iterator[None]:
    """As if a training, whose lock does not belong to this open file, were at work there."""
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@cache
def _config(overrides: tuple[str, ...]) -> str:
    """The configuration in YAML; composing it is the slow part of a made run."""
    return OmegaConf.to_yaml(OmegaConf.create(resolve(compose(overrides))))


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What `mlp runs` prints: on stdout, or after a mistake on stderr."""
    ended = pytest.raises(SystemExit) if code else nullcontext()
    with ended as end:  # type: ignore[attr-defined]
        main(list(words))
    assert (end.value.code if code else 0) == code
    out, err = capsys.readouterr()
    return err if code == 2 else out
