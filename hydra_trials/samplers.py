"""Optuna's samplers and pruners by name. Nothing of Optuna is imported before one is made."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

#: Optuna's classes behind the short names; any other is given by its `_target_`.
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    # group: conditional parameters are drawn with those they appear beside. constant_liar: trials that run count as
    # bad ones, so that parallel workers spread out.
    "tpe": {
        "_target_": "hydra_trials.tpe.RecentTPESampler", "multivariate": True, "group": True, "constant_liar": True
    },
    "random": {"_target_": "optuna.samplers.RandomSampler"},
    "quasi_random": {
        "_target_": "optuna.samplers.QMCSampler", "scramble": True, "warn_independent_sampling": False
    },
    "gp": {"_target_": "optuna.samplers.GPSampler", "warn_independent_sampling": False},
    "cmaes": {"_target_": "optuna.samplers.CmaEsSampler", "warn_independent_sampling": False},
    "nsgaii": {"_target_": "optuna.samplers.NSGAIISampler"},
    "nsgaiii": {"_target_": "optuna.samplers.NSGAIIISampler"},
    "grid": {"_target_": "optuna.samplers.RandomSampler"},  # all of its points are enqueued: nothing is drawn
}  # fmt: skip
PRUNERS: Mapping[str, Mapping[str, Any]] = {
    "none": {"_target_": "optuna.pruners.NopPruner"},
    "median": {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5, "n_warmup_steps": 2},
    "percentile": {
        "_target_": "optuna.pruners.PercentilePruner", "percentile": 25.0, "n_startup_trials": 5, "n_warmup_steps": 2
    },
    "hyperband": {"_target_": "optuna.pruners.HyperbandPruner", "min_resource": 1, "reduction_factor": 3},
    "successive_halving": {
        "_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 3
    },
    "patient": {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": None, "patience": 3},
    "wilcoxon": {"_target_": "optuna.pruners.WilcoxonPruner"},
}  # fmt: skip
SYNONYMS = {"qmc": "quasi_random"}
#: Packages beside Optuna that its classes need when they are at work, not when they are made.
NEEDS: Mapping[str, Sequence[str]] = {
    "optuna.samplers.GPSampler": ("scipy", "torch"),
    "optuna.samplers.CmaEsSampler": ("cmaes",),
    "optuna.samplers.QMCSampler": ("scipy",),
    "optuna.pruners.WilcoxonPruner": ("scipy",),
}
#: Samplers that take constraints into account.
CONSTRAINED = (
    SAMPLERS["tpe"]["_target_"],
    *(f"optuna.samplers.{name}Sampler" for name in ("TPE", "GP", "NSGAII", "NSGAIII")),
)
ENUMERATING = ("optuna.samplers.GridSampler", "optuna.samplers.BruteForceSampler")  # they stop Optuna's own loop


def instantiate(node: Mapping[str, Any]) -> Any:
    """The object of a `_target_` and its arguments."""
    package, _, name = node["_target_"].rpartition(".")
    cls = getattr(importlib.import_module(package), name)
    with warnings.catch_warnings():
        # Of what is experimental, and of constraints, which Optuna 5 gives another way, and 4.9 this one only.
        for category in (importlib.import_module("optuna.exceptions").ExperimentalWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        return cls(**{key: value for key, value in node.items() if key != "_target_"})
