"""A search from its beginning, or from wherever it was left, to its end."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from mlp.config.grammar import quoted
from mlp.config.resolve import resolve
from mlp.environment import without_password
from mlp.errors import UserError, not_of_all
from mlp.experiment import Components
from mlp.experiment.directory import shown
from mlp.files import atomic_write
from mlp.search import results
from mlp.search.definition import Definition
from mlp.search.estimate import estimate
from mlp.search.loader import Loader
from mlp.search.progress import Progress
from mlp.search.study import DEFINITION, RUNNING, SILENCE, Search, commands, counts
from mlp.search.worker import Worker

MOST_CHECKED = 24  # points before the start; composing one takes 0.05 s

ROOT = Path(__file__).resolve().parents[2]  # of this program


def run(context: HydraContext, config: DictConfig, arguments: Sequence[str]) -> Any:
    """Run the search that the configuration and the command line describe; returns the best value, or values.

    Raises UserError for a mistake, before anything runs.
    """
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    context = HydraContext(callbacks=context.callbacks, config_loader=Loader.of(context.config_loader))
    definition = Definition.of(config, arguments, context.config_loader)
    directory = _directory(config, definition)
    _check_settings(config, definition, directory)
    check_values(context, config, definition)
    if definition.dry_run:
        print(estimate(context, config, definition, directory))
        return None
    search = Search.begin(directory, definition)
    # What was running when the whole search was killed runs again without counting against a trial.
    search.recover(definition.retries, interrupted=not commands(directory), take_over=definition.take_over)
    with atomic_write(directory / "multirun.yaml", "w") as file:
        file.write(without_password(OmegaConf.to_yaml(config)))
    left = counts(search.study.get_trials(deepcopy=False))
    where = f"Search {search.name} in {shown(directory)}"
    try:
        if left["waiting"] or left["running"]:
            print(f"{where}: {_plan(definition, left)}", flush=True)
            _tell_of_other_hosts(search)
            _work(context, config, definition, search)
        else:
            print(f"{where} is complete: nothing is left to run.")
        if config.get("plots") is not False:
            results.draw_best(search)
    finally:
        results.write(search)
    print(results.show(search))
    found = counts(search.study.get_trials(deepcopy=False))
    if not found["done"] + found["pruned"]:
        raise SystemExit(1)
    return results.best_values(search)


def _tell_of_other_hosts(search: Search) -> None:
    for host, (number, until) in search.elsewhere().items():
        trials, they = (f"{number} trials", "they") if number > 1 else ("a trial", "it")
        at = time.strftime("%H:%M:%S", time.localtime(until))
        print(
            f"Note: {host} runs {trials}, or was killed while it did. If it gives no sign of life by {at}, "
            f"{SILENCE / 60:g} minutes after the last one, {they} will run here. If nothing runs there any more, "
            f"stop this command and give it again with search.take_over=true.",
            file=sys.stderr,
        )


def _directory(config: DictConfig, definition: Definition) -> Path:
    """Where the search is kept; the configuration learns it too."""
    pattern = OmegaConf.to_container(config.hydra.sweep, resolve=False)["dir"]  # type: ignore[index, call-overload]
    with open_dict(config):
        for name in filter(None, (definition.former_name, definition.name)):
            config.search.name, config.hydra.sweep.dir = name, pattern
            directory = Path(str(config.hydra.sweep.dir)).resolve()
            if (directory / DEFINITION).exists():
                break
        config.hydra.sweep.dir = str(directory)
    return directory


def _plan(definition: Definition, left: Mapping[str, int]) -> str:
    done = left["done"] + left["pruned"] + left["failed"]
    seeds = f", each on {definition.seeds} seeds" if definition.seeds > 1 else ""
    planned = left["waiting"] + left["running"]
    return f"{planned} trial{'s' * (planned != 1)} to run{seeds}, {done} done before; {definition.workers} at a time"


def _check_settings(config: DictConfig, definition: Definition, directory: Path) -> None:
    """Refuse, or say, what a single run would use and a search cannot."""
    saved: dict[str, Any] = OmegaConf.to_container(config.save, resolve=False)  # type: ignore[assignment]
    varied = {parameter.key for parameter in definition.space.parameters}
    for key in (f"save.{name}" for name, path in saved.items() if path is not None and "${" not in str(path)):
        if key not in varied and definition.planned() * definition.seeds > 1:
            raise UserError(
                f"{key}: each trial would replace the model of the one before it, and the last would stay, not the "
                f"best. Leave it out, and copy the best one at the end: python -m mlp.search best "
                f"{shlex.quote(str(shown(directory)))} --install --to FOLDER"
            )
    subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index, call-overload]
    if subdir != "${hydra.job.num}":
        raise UserError(
            f"hydra.sweep.subdir={subdir} is not possible in a search, where a trial's number is the name of its "
            f"directory. Leave it out, and choose hydra.sweep.dir or search.name"
        )
    if os.environ.pop("WANDB_RUN_ID", None):
        print("Note: WANDB_RUN_ID is ignored in a search: each trial is a run of its own.", file=sys.stderr)


def _of_search(composed: DictConfig) -> Any:
    return OmegaConf.to_container(composed.search, resolve=False), OmegaConf.to_container(composed.hydra.sweeper)


def check_values(context: HydraContext, config: DictConfig, definition: Definition) -> None:
    """Compose and check points that show every value, so that a mistake is seen before the search begins."""
    load = context.config_loader.load_sweep_config
    groups = [p.prefix + p.key for p in definition.space.parameters if "." not in p.key]
    without = _of_search(load(config, list(definition.fixed))) if groups else None
    for overrides in definition.space.cover(MOST_CHECKED):
        composed = _composed(context, config, definition, overrides)
        if without is not None and _of_search(composed) != without:
            raise UserError(
                f"{' '.join(word for word in overrides if word.partition('=')[0] in groups)} brings sweeps or search "
                f"settings of its own, which a search over such options would leave out: run them one after another"
            )
        with open_dict(composed):
            del composed["hydra"]
        if composed.resume is not None:
            raise UserError("resume continues a single run; leave out -m / --multirun")
        try:
            _check_objectives(definition, Components.build(resolve(composed)))
        except UserError as error:
            raise UserError(f"{error} (at a point of the search: {' '.join(overrides) or 'the only one'})") from error


def _composed(
    context: HydraContext, config: DictConfig, definition: Definition, overrides: Sequence[str]
) -> DictConfig:
    try:
        return context.config_loader.load_sweep_config(config, [*definition.fixed, *overrides])
    except HydraException as error:
        key = re.search(r"Could not override '(([\w/]+)\.[^']+)'", str(error))
        chosen = [word for word in overrides if key and word.lstrip("+").partition("=")[0] == key[2]]
        if key is None or not chosen:
            raise
        raise UserError(not_of_all(key[1], chosen)) from error


def _check_objectives(definition: Definition, parts: Components) -> None:
    validated = [name for name in definition.objectives if name.startswith("val_")]
    if validated and getattr(parts.dataset, "validation_fraction", None) == 0:
        raise UserError(
            f"search.objectives: there is no {validated[0]} without validation data. Choose a number of another "
            f"part, as in search.objectives=[train_{validated[0].removeprefix('val_')}], or give "
            f"dataset.validation_fraction > 0"
        )


def compose(context: HydraContext, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a trial, without Hydra's own part."""
    composed = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(composed):
        del composed["hydra"]
    return composed


def _work(context: HydraContext, config: DictConfig, definition: Definition, search: Search) -> None:
    """Start the workers through Hydra's launcher, show how far they are, and wait for them."""
    found = counts(search.study.get_trials(deepcopy=False))
    place = f"hydra.sweep.dir={quoted(str(search.directory))}"  # composed anew, it would forget search.name
    jobs = [
        ["hydra/job_logging=quiet", place, f"hydra.sweep.subdir=workers/{number}"]
        for number in range(min(definition.workers, found["waiting"] + found["running"]))
    ]
    _fit(config.hydra.launcher, len(jobs))
    # An engine that starts Python anew must find this program there, not another copy of it that may be installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    progress = Progress(search, definition)
    with _presence(search) as present:
        worker = Worker(str(search.directory), definition, context, config, str(present))
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=worker, config=config)
        try:
            if hasattr(launcher, "meanwhile"):  # ours; it forks, which does not go together with threads
                launcher.meanwhile = progress.refresh
                returned = launcher.launch(jobs, initial_job_idx=0)
            else:
                with _InAThread(progress):
                    returned = launcher.launch(jobs, initial_job_idx=0)
        except KeyboardInterrupt:
            progress.close()
            search.recover(definition.retries, interrupted=True)
            done = counts(search.study.get_trials(deepcopy=False))
            finished = done["done"] + done["pruned"] + done["failed"]
            print(
                f"\nStopped: {finished} of {sum(done.values())} trials are done. The same command goes on.",
                flush=True,
            )
            raise
        finally:
            progress.close()
    for result in returned:
        if result.status == JobStatus.FAILED:
            raise result._return_value  # what ended a worker; .return_value would also print


def _fit(engine: DictConfig, workers: int) -> None:
    """What launchers choose by themselves and a search wants otherwise; what the user has chosen stays."""
    if engine.get("n_jobs") == -1:  # joblib: as many workers as there are cores
        engine.n_jobs = workers
    init = OmegaConf.select(engine, "ray.init")
    if init is not None and (init.get("address") or os.environ.get("RAY_ADDRESS")):
        with open_dict(init):  # the launcher gives it a value, which Ray refuses for a cluster that is there
            init.setdefault("object_store_memory", None)


@contextmanager
def _presence(search: Search) -> Iterator[Path]:
    """A file that exists while this command wants its workers, wherever they run: there is no other way to reach
    them on all engines."""
    path = search.directory / RUNNING / f"command-{socket.gethostname()}-{os.getpid()}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class _InAThread:
    """Refreshes a progress display while a launcher that knows nothing of it runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._end = progress, threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def _refresh(self) -> None:
        while not self._end.wait(0.5):
            self._progress.refresh()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._progress.refresh()
        sys.stdout.flush()
