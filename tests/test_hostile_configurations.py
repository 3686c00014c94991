"""What a configuration may name, and what a command line may hold: the rest is one message."""

import importlib
import inspect
import pkgutil
import shlex
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python

import mlp
import mlp.api
import mlp.report.build
import mlp.searches.objective
import mlp.tools.profile
from mlp.base.errors import UserError
from mlp.config.build import OPTIONS, build, locate
from mlp.data import Augmentation, Dataset
from mlp.nn import MLP, Activation, Initializer, Loss, Normalization, Optimizer, Schedule
from mlp.training import Trainer

KINDS = {
    "dataset": Dataset, "augment": Augmentation, "activation": Activation, "init": Initializer, "loss": Loss,
    "normalization": Normalization, "optimizer": Optimizer, "schedule": Schedule, "training": Trainer, "model": MLP,
}  # fmt: skip


@pytest.fixture(scope="module")
def names() -> list[str]:
    """All that the modules of this package have, private and imported names too, and some of Python's and NumPy's."""
    ours = [sys.modules.get(module.name) for module in pkgutil.walk_packages(mlp.__path__, "mlp.")]
    others = [importlib.import_module(name) for name in ("os", "numpy", "builtins", "subprocess")]
    found = sorted({f"{module.__name__}.{name}" for module in [*ours, *others] if module for name in vars(module)})
    assert len(found) > 3000
    return found


@pytest.mark.parametrize("group", KINDS)
def test_only_classes_of_its_kind_are_options_of_a_group(group: str, names: list[str]) -> None:
    kind, options = KINDS[group], set()
    sizes = {"input_size": 3, "output_size": 2} if group == "model" else {}
    for name in names:
        try:
            found = locate(name)
            if not issubclass(found, kind):
                with pytest.raises(UserError, match=r"is no |is an abstract class"):
                    build({"_target_": name}, group, kind)
                continue
            options.add(found)
            build({"_target_": name}, group, kind, **sizes)
        except UserError:  # as of a dataset without its file
            continue
    assert kind in options
    assert len(options) > 1 or group in ("training", "model")


def test_classes_that_open_files_are_no_options(names: list[str]) -> None:
    for name in names:
        try:
            found = locate(name)
        except UserError:
            continue
        assert inspect.isclass(found)
        assert found.__module__.startswith(OPTIONS)


MANY = "9" * 5000


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("-o '[1.5]'", ["optimizer takes the name of an option", "adam, momentum"]),
        ("-a 'int(3)'", ["activation takes the name of an option", "relu"]),
        ("~activation=-1e400", ["activation cannot be left out"]),
        ("+activation=-0.0", ["activation takes the name of an option"]),
        ("experiment=[a,b]", ["experiment takes the name of an option"]),
        ("experiment=mine --config-dir conf", ["experiment 'mine' is unknown", "best_mnist"]),
        ("-d 'my data.npz'", ["for a file of yours give -d npz 'dataset.path=my data.npz'"]),
        (f"~search.name={MANY}", ["the configuration cannot be composed", "4300 digits"]),
        ("--resolve a=b", ["--resolve changes what --cfg shows"]),
        ("--package true", ["--package changes what --cfg shows"]),
        ("--experimental-rerun x", ["unknown flag --experimental-rerun"]),
        ("--cfg everything", ["invalid choice: 'everything'"]),
        ("-sc", ["-sc needs one of install=bash"]),
        ("normalization=mlp.nn", ["normalization 'mlp.nn' is unknown"]),
        ("hydra/sweeper=tpe", ["Could not find 'hydra/sweeper/tpe' Available options in 'hydra/sweeper':"]),
        ("$'hydra.verbose=\\x1b[31m'", ["hydra.verbose=\\x1b[31m"]),
        ("-a==", ["unexpected argument '='"]),
        ("'tracker.name=<script>'", ["tracker.name=<script> cannot be read", "\"tracker.name='<script>'\""]),
        ("'seed=a;b$'", ["seed=a;b$ cannot be read", "'seed='\"'\"'a;b$'\"'\"''"]),
        ("'a b=<'", ["a b=< is no override: KEY=VALUE"]),
    ],
)  # fmt: skip
def test_an_odd_command_line_is_one_message(tmp_path: Path, line: str, parts: list[str]) -> None:
    line = line.replace("$'hydra.verbose=\\x1b[31m'", "'hydra.verbose=\x1b[31m'")
    ended = python(str(ROOT / "train.py"), *shlex.split(line), "-e", "1", "tracker=none", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: ")
    assert [part for part in parts if part not in ended.stderr] == [], ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_network_beyond_the_memory_is_one_message(tmp_path: Path) -> None:
    words = ("-d", "digits", "tracker=none", "model.hidden_sizes=[10000000,10000000]")
    ended = python(str(ROOT / "train.py"), *words, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: not enough memory: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("hydra", "part"),
    [
        (
            "callbacks: {x: {_target_: logging.FileHandler, filename: made}}",
            "hydra.callbacks.x._target_ names logging.F",
        ),
        ("callbacks: {x: {_target_: mine.Callback}}", "--allow mine"),
        ("launcher: {_target_: subprocess.run}", "hydra.launcher._target_ names subprocess.run"),
        ("sweeper: {hooks: os.system}", "hydra.sweeper.hooks names os.system"),
        (
            "job_logging: {formatters: {x: {(): io.open, file: made, mode: w}}}",
            "hydra.job_logging.formatters.x.() names",
        ),
        ("job_logging: {handlers: {x: {class: http.server.X}}}", "hydra.job_logging.handlers.x.class names"),
    ],
)
def test_a_folder_of_options_names_no_code_for_hydra(tmp_path: Path, hydra: str, part: str) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text(f"# @package _global_\nhydra: {{{hydra}}}\n")
    words = ("--config-dir=conf", "+experiment=mine", "-d", "digits", "-e", "1", "tracker=none")
    ended = python(str(ROOT / "train.py"), *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: ")
    assert part in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"conf"}
