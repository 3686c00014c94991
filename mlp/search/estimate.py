"""What a search would run, and about how long it would take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig

from mlp.config.resolve import resolve
from mlp.data.batches import Batches
from mlp.experiment import Components
from mlp.experiment.directory import shown
from mlp.search.change import Judge, check_same
from mlp.search.definition import Definition
from mlp.search.progress import clock
from mlp.search.study import DEFINITION, Search, counts
from mlp.training import random_streams

POINTS, STEPS = 6, 20  # how many points are timed, and for how many steps
AROUND, PLOTS = 0.3, 1.0  # seconds of a run beside its training: composing, validation, evaluation, files; plots


def estimate(context: HydraContext, config: DictConfig, definition: Definition, directory: Path) -> str:
    """The plan of a search as text. A few of its points are trained for a moment; nothing is written."""
    planned = definition.planned()
    found: Mapping[str, int] = {"done": 0, "pruned": 0, "failed": 0}
    took = []
    if (directory / DEFINITION).exists():
        search = Search(directory)
        check_same(
            directory,
            search.description,
            {"name": search.name, "storage": search.description["storage"], **definition.described()},
            definition.accept_changes,
        )
        trials = Judge(directory, search.description, definition).carry_all(search.study.get_trials(deepcopy=False))
        found = counts(trials)
        took = [trial.user_attrs["seconds"] for trial in trials if "seconds" in trial.user_attrs]
    done, failed = found["done"] + found["pruned"], found["failed"]
    left = max(0, planned - done - failed)
    before = f"{done} done, {failed} failed: search.retry_failed=true runs them again" if failed else f"{done} done"
    if took:
        seconds = statistics.fmean(took)
    else:
        around = AROUND + (PLOTS if config.get("plots") else 0)
        seconds = (_seconds_per_run(context, config, definition) + around) * definition.seeds
    aims = zip(definition.directions, definition.objectives, strict=True)
    lines = [
        f"Search {definition.name}: {planned} trial{'s' * (planned != 1)} by {definition.sampler}"
        + (f", each on {definition.seeds} seeds" if definition.seeds > 1 else "")
        + (f"; pruner {definition.pruner}" if definition.pruner != "none" else ""),
        f"Directory: {shown(directory)}",
        f"Objectives: {', '.join(f'{direction} {name}' for direction, name in aims)}",
        "Space:" if len(definition.space) else "Space: a single point",
        *(f"  {key}: {line}" for key, line in definition.space.describe().items()),
        *([f"Fixed: {' '.join(definition.fixed)}"] if definition.fixed else []),
        f"{left} to run ({before}), {definition.workers} at a time: about "
        f"{clock(seconds * left / definition.workers)} without pruning, {clock(seconds)} a trial",
        "Nothing was run: search.dry_run=true.",
    ]
    return "\n".join(lines)


def _seconds_per_run(context: HydraContext, config: DictConfig, definition: Definition) -> float:
    """Mean training time of some points of the space, from a few steps of each."""
    from mlp.search.run import compose

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    if definition.sampler == "grid":
        points = definition.space.grid()
        for point in points[:: max(1, len(points) // POINTS)][:POINTS]:
            study.enqueue_trial(point)
    times = []
    for _ in range(POINTS):
        overrides = definition.space.suggest(study.ask())
        parts = Components.build(resolve(compose(context, config, [*definition.fixed, *overrides])))
        random = random_streams(parts.seed)
        train, _ = parts.dataset.split(random["split"])
        network, optimizer = parts.network, parts.optimizer
        batches = Batches(train, network.sizes[-1], parts.trainer.batch_size, random["shuffle"], network.dtype)
        for step, (X, targets, _) in enumerate(batches.epoch()):
            if step == 1:  # the first one allocates
                started = time.perf_counter()
            network.loss_and_gradients(X, targets)
            optimizer.step(network.theta, network.grad, network.num_weights)
            if step == STEPS:
                break
        measured = max(1, step)
        times.append(
            (time.perf_counter() - started) / measured * len(batches) * parts.trainer.epochs if step else 0.0
        )
    return statistics.fmean(times)
