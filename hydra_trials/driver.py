"""A search from its beginning, or from wherever it was left, to its end."""

from __future__ import annotations

import copy
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_trials.compat import CachingConfigLoader, configure_log, returned, with_loader
from hydra_trials.definition import Definition
from hydra_trials.errors import SearchError, not_in_all_options
from hydra_trials.files import shown, write_text
from hydra_trials.journal import open_storage
from hydra_trials.launcher import ForkingLauncher
from hydra_trials.locks import announced
from hydra_trials.migration import Migration, check_same
from hydra_trials.passwords import hidden_everywhere, hide_passwords, without_password
from hydra_trials.progress import Progress, clock
from hydra_trials.queue import GRACE_PERIOD, WORKERS, Queue
from hydra_trials.search import SEARCH_FILE, Search, counts, read_description, seconds
from hydra_trials.settings import define
from hydra_trials.space import to_override
from hydra_trials.worker import STORAGE, Worker

MAX_CHECKED_POINTS = 24  # before the start; composing one takes 0.05 s


def run(context: HydraContext, task_function: TaskFunction, config: DictConfig, arguments: Sequence[str]) -> None:
    """Run the search that the configuration and the command line describe.

    Raises SearchError for a mistake, before anything runs.
    """
    configure_log(context, config)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study and trial on stderr
    OmegaConf.set_readonly(config.hydra, False)  # Hydra 1.4 locks what the search completes
    loader = CachingConfigLoader.of(context.config_loader)
    context = with_loader(context, loader)
    params = config.hydra.sweeper.params or {}
    definition = define(config, [*(f"{k}={to_override(v)}" for k, v in params.items()), *arguments], loader)
    hide_passwords(config)
    directory = _set_directory(config, definition)
    definition.hooks.prepare(config, definition, directory)
    check_points(loader, config, definition)
    if definition.dry_run:
        compose = partial(_composed, loader, config, definition)
        print(_plan(definition, directory, definition.hooks.estimate(compose, definition)))
        return
    queue = Queue.open(directory, definition)
    write_text(directory / "multirun.yaml", OmegaConf.to_yaml(hidden_everywhere(OmegaConf.to_container(config))))
    left = counts(queue.trials())
    where = f"Search {queue.name} in {shown(directory)}"
    complete = False
    try:
        if left["waiting"] or left["running"]:
            print(f"{where}: {_to_do(definition, left)}", flush=True)
            _tell_of_other_hosts(queue, definition.node)
            _work(context, task_function, config, definition, queue)
        else:
            print(f"{where} is complete: nothing is left to run.")
        complete = True
    finally:
        definition.hooks.write(queue, config, complete)
    print(definition.hooks.summary(queue))
    found = counts(queue.trials())
    if not found["done"] + found["pruned"]:
        raise SystemExit(1)


def _tell_of_other_hosts(queue: Queue, node: str) -> None:
    for host, (number, until) in queue.other_hosts().items():
        trials, they = (f"{number} trials", "they") if number > 1 else ("a trial", "it")
        at = time.strftime("%H:%M:%S", time.localtime(until))
        print(
            f"Note: {host} runs {trials}, or was killed while it did. If it gives no sign of life by {at}, "
            f"{GRACE_PERIOD / 60:g} minutes after the last one, {they} will run here. If nothing runs there any "
            f"more, stop this command and give it again with {node}.take_over=true.",
            file=sys.stderr,
        )


def _set_directory(config: DictConfig, definition: Definition) -> Path:
    """Where the search is kept; the configuration learns it too."""
    sweep: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if sweep["subdir"] != "${hydra.job.num}":
        raise SearchError(
            f"hydra.sweep.subdir={sweep['subdir']} is not possible in a search, where a trial's number is the name "
            f"of its directory. Leave it out, and choose hydra.sweep.dir or {definition.node}.name"
        )
    if sweep["dir"] == "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}":  # Hydra's own, which no command could continue
        config.hydra.sweep.dir = f"multirun/{definition.name}"
    with open_dict(config):
        OmegaConf.update(config, f"{definition.node}.name", definition.name)
        directory = Path(str(config.hydra.sweep.dir)).resolve()
        config.hydra.sweep.dir = str(directory)
    return directory


def _to_do(definition: Definition, left: Mapping[str, int]) -> str:
    done = left["done"] + left["pruned"] + left["failed"]
    seeds = f", each on {definition.seeds} seeds" if definition.seeds > 1 else ""
    planned = left["waiting"] + left["running"]
    return f"{planned} trial{'s' * (planned != 1)} to run{seeds}, {done} done before; {definition.workers} at a time"


def _plan(definition: Definition, directory: Path, estimated: float | None) -> str:
    """The plan of a search as text; nothing is run or written.

    Args:
        definition: the search.
        directory: where it is or would be.
        estimated: the seconds that a trial may take, if none has been run yet.
    """
    planned = definition.planned()
    found: Mapping[str, int] = {"done": 0, "pruned": 0, "failed": 0}
    took: list[float] = []
    if (directory / SEARCH_FILE).exists():
        url, described = definition.storage, read_description(directory)
        check_same(directory, described, definition)
        search = Search(directory, None if url is None else open_storage(directory, url, reading=True))
        migration = Migration(directory, described, definition)
        trials = [migration.migrate(trial) for trial in search.trials()]
        found = counts(trials)
        took = [duration for trial in trials if (duration := seconds(trial)) is not None]
    done, failed = found["done"] + found["pruned"], found["failed"]
    left = max(0, planned - done - failed)
    node = definition.node
    before = f"{done} done, {failed} failed: {node}.retry_failed=true runs them again" if failed else f"{done} done"
    per_trial = statistics.fmean(took) if took else estimated
    duration_text = (
        "nobody knows how long"
        if per_trial is None
        else f"about {clock(per_trial * left / definition.workers)} without pruning, {clock(per_trial)} a trial"
    )
    aims = zip(definition.directions, definition.objectives, strict=True)
    return "\n".join(
        [
            f"Search {definition.name}: {planned} trial{'s' * (planned != 1)} by {definition.sampler}"
            + (f", each on {definition.seeds} seeds" if definition.seeds > 1 else "")
            + (f"; pruner {definition.pruner}" if definition.pruner != "none" else ""),
            f"Directory: {shown(directory)}",
            f"Objectives: {', '.join(f'{direction} {name}' for direction, name in aims)}",
            "Space:" if len(definition.space) else "Space: a single point",
            *(f"  {key}: {line}" for key, line in definition.space.describe().items()),
            *([f"Fixed: {' '.join(definition.fixed)}"] if definition.fixed else []),
            f"{left} to run ({before}), {definition.workers} at a time: {duration_text}",
            f"Nothing was run: {node}.dry_run=true.",
        ]
    )


def check_points(loader: CachingConfigLoader, config: DictConfig, definition: Definition) -> None:
    """Compose and check points that have every value, so that a mistake is seen before the search begins."""

    def settings(composed: DictConfig) -> Any:
        node = OmegaConf.select(composed, definition.node)
        return OmegaConf.to_container(node, resolve=False), OmegaConf.to_container(composed.hydra.sweeper)

    groups = [p.prefix + p.key for p in definition.space.parameters if "." not in p.key]
    usual = settings(loader.load_sweep_config(config, list(definition.fixed))) if groups else None
    for overrides in definition.space.covering_points(MAX_CHECKED_POINTS):
        composed = _composed(loader, config, definition, overrides)
        if usual is not None and settings(composed) != usual:
            raise SearchError(
                f"{' '.join(word for word in overrides if word.partition('=')[0] in groups)} brings sweeps or search "
                f"settings of its own, which a search over such options would leave out: run them one after another"
            )
        with open_dict(composed):
            del composed["hydra"]
        try:
            definition.hooks.check(composed, definition)
        except definition.hooks.expected as error:
            raise SearchError(
                f"{error} (at a point of the search: {' '.join(overrides) or 'the only one'})"
            ) from error


def _composed(
    loader: CachingConfigLoader, config: DictConfig, definition: Definition, overrides: Sequence[str]
) -> DictConfig:
    """The configuration of a point."""
    try:
        return loader.load_sweep_config(config, [*definition.fixed, *overrides])
    except HydraException as error:
        key = re.search(r"Could not override '(([\w/]+)\.[^']+)'", str(error))
        chosen = [word for word in overrides if key and word.lstrip("+").partition("=")[0] == key[2]]
        if key is None or not chosen:
            raise
        raise SearchError(not_in_all_options(key[1], chosen)) from error


def _work(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, definition: Definition, queue: Queue
) -> None:
    """Start the workers through Hydra's launcher, show how far they are, and wait for them."""
    found = counts(queue.trials())
    place = QuotedString(str(queue.directory), Quote.single).with_quotes()  # composed anew, it would forget the name
    jobs = [
        ["hydra/job_logging=trial", f"hydra.sweep.dir={place}", f"hydra.sweep.subdir={WORKERS}/{number}"]
        for number in range(min(definition.workers, found["waiting"] + found["running"]))
    ]
    adapted = copy.deepcopy(config)
    _adapt_launcher(adapted.hydra.launcher, len(jobs))
    # An engine that starts Python anew must find this program there, not another copy of it that may be installed.
    script_folder = os.path.abspath(sys.path[0])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [script_folder, os.environ.get("PYTHONPATH")]))
    with announced(queue.directory) as presence, _without_password_in_sight(definition.storage):
        task = definition.hooks.task(task_function, definition)
        worker = Worker(definition, context, config, task, str(presence))
        launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=worker, config=adapted
        )
        progress = Progress(queue, definition.workers, definition.hooks.step_name)
        try:
            with _refreshed(progress, launcher):
                results = launcher.launch(jobs, initial_job_idx=0)
        except KeyboardInterrupt:
            progress.close()
            queue.interrupt(definition.retries)
            done = counts(queue.trials())
            finished = done["done"] + done["pruned"] + done["failed"]
            print(
                f"\nStopped: {finished} of {sum(done.values())} trials are done. The same command continues.",
                flush=True,
            )
            raise
        finally:
            progress.close()
    for result in results:
        returned(result)  # raises what ended a worker


@contextmanager
def _without_password_in_sight(url: str | None) -> Iterator[None]:
    """Workers, also those that an engine starts anew, know the database from the environment; trackers and engines
    write down the command line, and what an engine pickles."""
    words = list(sys.argv)
    sys.argv[:] = map(without_password, words)
    if url is not None:
        os.environ[STORAGE] = url
    try:
        yield
    finally:
        sys.argv[:] = words
        os.environ.pop(STORAGE, None)


def _adapt_launcher(engine: DictConfig, workers: int) -> None:
    """What launchers choose by themselves and a search wants otherwise; what the user has chosen stays."""
    if engine.get("n_jobs") == -1:  # joblib and local: as many workers as there are cores
        engine.n_jobs = workers
    if engine.get("restarts", 0) is None:  # local: `retries` says how often a trial may be tried
        engine.restarts = 1000
    init = OmegaConf.select(engine, "ray.init")
    if init is not None and (init.get("address") or os.environ.get("RAY_ADDRESS")):
        with open_dict(init):  # the launcher gives it a value, which Ray refuses for a cluster that is there
            init.setdefault("object_store_memory", None)


@contextmanager
def _refreshed(progress: Progress, launcher: Any) -> Iterator[None]:
    """Let `progress` be refreshed while `launcher` works: by itself if it is ours, which forks, and that does not go
    together with threads; else in a thread."""
    if isinstance(launcher, ForkingLauncher):
        launcher.on_poll = progress.refresh
        yield
        return
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(0.5):
            progress.refresh()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        progress.refresh()
        sys.stdout.flush()
