"""Searches made by hand for tests: a record with trials that nobody ran."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from hydra_trials.journal import open_storage
from hydra_trials.search import Search
from mlp.searches.hooks import MlpSearch

RATE = FloatDistribution(1e-4, 1.0, log=True)
OPTIMIZER = CategoricalDistribution(["sgd", "adam"])


def trial(
    params: Mapping[str, Any],
    values: Sequence[float] | float | None = None,
    state: TrialState | None = None,
    told: Mapping[int, float] | None = None,
    distributions: Mapping[str, BaseDistribution] | None = None,
    constraints: Sequence[float] = (),
    **attributes: Any,
) -> FrozenTrial:
    """A trial with these parameters; completed where it has values, failed where it has none."""
    known = {"lr": RATE, "optimizer": OPTIMIZER, "beta": FloatDistribution(0.8, 1.0), **(distributions or {})}
    values = [values] if isinstance(values, float) else values
    outcome = TrialState.FAIL if values is None else TrialState.COMPLETE
    given = outcome if state is None else state
    made = optuna.trial.create_trial(
        state=given,
        values=values,
        params=dict(params),
        distributions={name: known[name] for name in params},
        user_attrs={"overrides": [f"{key}={value}" for key, value in params.items()], **attributes},
        intermediate_values=dict(told or {}),
        system_attrs={"constraints": list(constraints)} if constraints else {},
    )
    if given == TrialState.RUNNING:
        made.datetime_start = datetime(2026, 1, 2, 3, 4, 5)
    return made


def search(
    directory: Path, trials: Sequence[FrozenTrial], objectives: Sequence[str] = ("val_accuracy",), **described: Any
) -> Search:
    """A search with these trials."""
    directory.mkdir(parents=True, exist_ok=True)
    described = {
        "name": "made", "storage": None, "sampler": "random", "pruner": "none", "seeds": 1, "fixed": ["seed=1"],
        "space": {"optimizer": "sgd or adam", "lr": "0.0001 to 1 (log)", "beta": "0.8 to 1, when optimizer is adam"},
        "objectives": list(objectives), "sampler_seed": 0, **described,
    }  # fmt: skip
    (directory / "search.json").write_text(json.dumps(described))
    storage = open_storage(directory, None)
    directions = [MlpSearch().direction(name) for name in objectives]
    study = optuna.create_study(storage=storage, study_name=described["name"], directions=directions)
    for one in trials:
        study.add_trial(one)
    return Search(directory)
