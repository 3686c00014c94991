"""The experiments from Python: what the command line does, with results as objects.

    run = mlp.train("dataset=digits", "optimizer=nadam", "training.epochs=3", "tracker=none")
    run.summary["test_accuracy"], run.model.predict(X)

Mistakes are exceptions with the texts of the command line: `mlp.UserError`, and `mlp.Diverged` where the loss became
NaN. Nothing of the process changes: arguments, environment (but for what imported packages set there for themselves,
as scikit-learn does), logging, signal handlers. Calls work in a loop, in threads, in a notebook and within other
Hydra programs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from omegaconf import OmegaConf

from mlp import experiment, inference, model_file
from mlp.base.errors import CallbackFailed, Diverged, UserError
from mlp.base.files import check_directory
from mlp.base.paths import command
from mlp.base.process import logging_to
from mlp.cli.messages import MISTAKES, explain
from mlp.cli.overrides import to_hydra
from mlp.config.compose import compose
from mlp.config.grammar import last_value, unquoted
from mlp.config.resolve import resolve, resolve_resumed
from mlp.config.user_classes import allow_flags, allowing
from mlp.data import divisor_of
from mlp.data.user_data import some_of
from mlp.experiment.directory import discarded_if_refused
from mlp.report import draw_run
from mlp.report.read import RunFiles
from mlp.training.callback_wrappers import UserCallback
from mlp.training.progress import in_jupyter
from mlp.training.run import EVENTS

LOG = "train.log"


class Model:
    """The best weights of a run, or the mean of the probabilities of several, for predictions in float64.

    X (n, ...) has the numbers of a sample in its last axes, stored as the training data are: uint8, and for a model
    of a CSV file every type, is divided by what training divided by (255 for pixels); others are taken as they are.
    """

    def __init__(self, *directories: Path) -> None:
        paths = [directory / model_file.MODEL for directory in directories]
        networks, configs = [], []
        for path in paths:
            weights = inference.load_model(path)
            config = inference.saved_config(path, weights, None, {}, [])
            networks.append(
                inference.network_of(weights, config["activation"], config["loss"], config.get("activation_options"))
            )
            configs.append(config)
        self._members = len(paths)
        self.network, config = inference.joined(paths, networks, configs), configs[0]
        names, count = config.get("class_names"), self.network.sizes[-1]
        is_whole = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
        self.class_names: list[str] = names if is_whole else [str(i) for i in range(count)]  # type: ignore[assignment]
        self._divisor = inference.training_divisor(config)
        self._is_table = config["dataset"] == "csv"

    def __repr__(self) -> str:
        mean = f"mean of {self._members}, " if self._members > 1 else ""
        sizes = "-".join(map(str, self.network.sizes))
        return f"Model({mean}{sizes}, classes {some_of(self.class_names)})"

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes)."""
        X = np.asarray(X)
        if X.dtype.kind == "f" and not np.isfinite(X).all():
            raise ValueError("X must be finite. It has NaN or infinite values")
        return self.network.predict_proba(self._scaled(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Class numbers (n,), of which `class_names` has the names."""
        classes: np.ndarray = self.predict_proba(X).argmax(axis=1)
        return classes

    def evaluate(self, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """Logits (n, classes), loss, accuracy, and macro f1, precision and recall for the class numbers y (n,)."""
        return inference.evaluate_model(self.network, self._scaled(X), y)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        X = np.asarray(X)
        of_type = divisor_of(X)
        return X / ((self._divisor or of_type) if self._is_table or of_type != 1 else 1)


@dataclass(frozen=True)
class Run(RunFiles):
    """A run and what it has left in its directory: `config`, `summary`, `metrics`, `predictions`, and its `model`."""

    allow: tuple[str, ...] = ()  # modules of the user that the configuration may name

    @cached_property
    def model(self) -> Model:
        """The weights of the best epoch. Raises UserError for classes of the user's that are not allowed."""
        with allowing(self.allow):
            return Model(self.directory)


def train(
    *overrides: str,
    directory: str | os.PathLike[str] | None = None,
    config_dir: str | os.PathLike[str] | None = None,
    allow: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    verbose: bool = False,
) -> Run:
    """Train a network as `train.py` does with the same words; plots are drawn with "plots=true" only.

    Args:
        overrides: flags and overrides, such as "-o", "nadam", "training.epochs=3", "resume=DIR".
        directory: of the run; None: a new one in outputs/.
        config_dir: a folder with further options, as --config-dir.
        allow: modules whose classes the configuration may name, as --allow.
        callbacks: objects with some of the methods of `mlp.training.Callback`.
        verbose: print what the command line prints.

    Raises:
        UserError: a mistake, before anything runs.
        Diverged: the loss became NaN or infinite; what was finished is in the directory.
        CallbackFailed: a callback of `callbacks` raised; "resume=DIR" goes on.
    """
    _check_call(overrides, config_dir, allow)
    if idle := [each for each in callbacks if not any(hasattr(each, event) for event in EVENTS)]:
        raise UserError(
            f"callbacks must have a method of mlp.training.Callback ({', '.join(EVENTS)}). Got {idle[0]!r}"
        )
    verbose = verbose and sys.stdout is not None  # as in a program without a console
    folders = [] if config_dir is None else [Path(config_dir)]
    switches = [f"--config-dir={folder}" for folder in folders]
    with allowing(allow):
        words = to_hydra([*switches, *overrides])[len(switches) :]
        try:
            if switch := next((word for word in words if word.startswith("-")), None):
                raise UserError(f"{switch} is for the command line")
            config = compose(words, folders)
            new = Path(f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S}-{secrets.token_hex(3)}")
            place = _named_directory("hydra.run.dir", words, directory) or new
            place.mkdir(parents=True, exist_ok=True)
            with discarded_if_refused(place, LOG, named=directory is not None), logging_to(place / LOG, verbose):
                resumed = config.get("resume") is not None
                given = [word for word in words if not word.startswith("hydra.")]
                resolved = resolve_resumed(config, place, given) if resumed else resolve(config)
                plots = experiment.plot_callbacks(resolved, draw_run, default=False)
                guarded = [UserCallback(each, f"the callback {type(each).__name__}") for each in callbacks]
                experiment.run(resolved, place, [*guarded, *plots], [*switches, *given], progress_bar=verbose)
        except (UserError, Diverged, CallbackFailed):
            raise
        except MISTAKES as error:
            raise UserError(explain(error, [*switches, *words])) from error
        except SystemExit as stopped:  # how a program ends that was interrupted
            raise stopped.__cause__ or KeyboardInterrupt from None
    return Run(place, tuple(allow))


@overload
def load(directory: str | os.PathLike[str], allow: Sequence[str] = ()) -> Run: ...


@overload
def load(directory: list[Any] | tuple[Any, ...], allow: Sequence[str] = ()) -> Model: ...


def load(directory: str | os.PathLike[str] | list[Any] | tuple[Any, ...], allow: Sequence[str] = ()) -> Run | Model:
    """The run that `directory` holds; of a list of directories the models in them (best_model.npy) as an ensemble.

    Raises UserError where there is no run or no model, and for models that do not go together.
    """
    if isinstance(directory, list | tuple):
        if not directory:
            raise UserError("load needs a directory, or a list of them. Got an empty list")
        with allowing(allow):
            return Model(*map(Path, directory))
    path = Path(directory)
    for name in ("config.yaml", "metrics.csv", model_file.MODEL):
        if not (path / name).is_file():
            raise UserError(f"{path} holds no run: it has no {name}")
    check_directory(path)
    return Run(path, tuple(allow))


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended."""

    directory: Path
    allow: tuple[str, ...] = ()
    storage: str | None = None  # the URL of its database; None: a journal in its directory

    @property
    def leaderboard(self) -> list[dict[str, Any]]:
        """A row for each trial, as in leaderboard.csv: the best first."""
        from mlp.searches.results import table

        return table(self._search())

    @property
    def best(self) -> Run:
        """The run of the best trial; of several seeds the first one. Raises UserError where none is done."""
        from mlp.searches.results import directory

        found = self._search()
        winner = found.best()
        place = None if winner is None else directory(found, winner)
        if place is None:
            raise UserError(f"{self.directory} has no completed trial")
        return load(place, self.allow)

    def _search(self) -> Any:
        from hydra_trials.journal import open_storage
        from hydra_trials.search import Search

        storage = None if self.storage is None else open_storage(self.directory, self.storage, reading=True)
        return Search(self.directory, storage)


def search(
    *overrides: str,
    directory: str | os.PathLike[str] | None = None,
    config_dir: str | os.PathLike[str] | None = None,
    allow: Sequence[str] = (),
    verbose: bool = False,
) -> SearchResult:
    """Search as `train.py -m` does with the same words, in processes of its own. The same call continues a search.

    Args:
        overrides: such as "search=tpe", "search.trials=20", "optimizer=adam,nadam".
        directory: of the search; None: multirun_outputs/ and the search's name.
        config_dir, allow, verbose: as for `train`; the modules must be importable from the current folder.

    Raises UserError for a mistake, and where no trial ends well.
    """
    _check_call(overrides, config_dir, allow)
    named = last_value(overrides, "search.name")
    own = "search-" + hashlib.sha256("\n".join([*overrides, str(config_dir)]).encode()).hexdigest()[:8]
    name = own if named is None else unquoted(named)
    place = _named_directory("hydra.sweep.dir", overrides, directory) or Path("multirun_outputs") / name
    words = [*allow_flags(allow), *([] if config_dir is None else [f"--config-dir={config_dir}"]), *overrides]
    words += [f"hydra.sweep.dir={place}", *([f"search.name={name}"] if named is None else [])]
    program = [sys.executable, "-m", "mlp", "train", "-m", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    if verbose and in_jupyter():
        with warnings.catch_warnings(action="ignore"):  # tqdm's, where ipywidgets are not installed
            from hydra_trials.progress import STATUS
        environment[STATUS] = "1"
    # A notebook is no terminal: what the search says is passed on to it, line by line.
    passed_on = verbose and sys.stdout is not None and not sys.stdout.isatty()
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            program, env=environment, stdin=subprocess.DEVNULL, stderr=errors, text=True, start_new_session=True,
            stdout=subprocess.PIPE if passed_on else None if verbose else subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                if process.stdout is not None:
                    _pass_on(process.stdout)
                process.wait()
            except BaseException:
                process.send_signal(2)  # as Ctrl-C: what is done stays
                process.wait()
                raise
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        none = f"no trial ended well: {command('search', 'show', str(place))} says why"
        silent = none if process.returncode == 1 else f"the search ended with {process.returncode}"
        raise UserError(said.strip().removeprefix("Error: ") or silent)
    storage = last_value(overrides, "search.storage")
    url = None if storage is None else OmegaConf.create([unquoted(storage)])[0]  # an interpolation is resolved
    return SearchResult(place, tuple(allow), url)


def _pass_on(lines: Iterable[str]) -> None:
    """Print the lines of a search; its status is one output of the notebook's cell, which is kept up to date."""
    from hydra_trials.progress import status_of

    area: Any = None
    for line in lines:
        text, status = status_of(line)
        print(text, end="", flush=True)
        if status is None:
            continue
        shown = {"text/plain": "\n".join(status)}
        if area is None:
            from IPython.display import display

            area = display(shown, raw=True, display_id=True)
        else:
            area.update(shown, raw=True)


def _check_call(overrides: Sequence[str], config_dir: str | os.PathLike[str] | None, allow: Sequence[str]) -> None:
    """Refuse what a call gives in another form than a command line can."""
    if wrong := [word for word in overrides if not isinstance(word, str)]:
        raise UserError(f'overrides must be texts, such as "optimizer=adam". Got {wrong[0]!r}; a list needs a star')
    if switch := next((word for word in overrides if word in ("-h", "--help")), None):
        raise UserError(f"{switch} is for the command line")
    if isinstance(allow, str):
        raise UserError(f"allow must be a list of modules, such as [{allow!r}]. Got {allow!r}")
    if config_dir is not None and not Path(config_dir).is_dir():
        raise UserError(f"config_dir={config_dir} is no folder")


def _named_directory(key: str, words: Sequence[str], given: str | os.PathLike[str] | None) -> Path | None:
    """The directory that the argument or the override `key` names; None where none does."""
    said = last_value(words, key)
    named = None if said is None else Path(unquoted(said))
    if given is None:
        return named
    if named is not None and named.resolve() != Path(given).resolve():
        raise UserError(f"directory={given} contradicts {named}: give one of them")
    return Path(given)
