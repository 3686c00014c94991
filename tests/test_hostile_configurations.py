"""What a configuration may name, and what a command line may hold: the rest is one message."""

import importlib
import inspect
import pkgutil
import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python
from omegaconf import OmegaConf

import mlp
import mlp.api
import mlp.report.build
import mlp.searches.hooks
import mlp.tools.profile
from mlp.base.errors import UserError
from mlp.cli import restrictions
from mlp.config.build import OPTIONS, build, locate
from mlp.config.compose import compose
from mlp.config.resolve import resolve
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


def test_files_name_only_what_hydra_takes_in_its_place() -> None:
    quoted = "'${evil.name}//this.c'"
    logged = "{handlers: {x: {class: logging.StreamHandler, stream: %s}}}"
    for hydra, part in (
        (
            "{callbacks: {x: {_target_: mlp.config.user_classes.allow, modules: [this]}}}",
            "mlp.config.user_classes.allow, which is not",
        ),
        ("{callbacks: {x: {_target_: hydra._internal.utils._locate, path: this}}}", "hydra._internal.utils._locate"),
        ("{callbacks: {x: {_target_: mlp.cli.hydra_main.os.system}}}", "names mlp.cli.hydra_main.os.system"),
        ("{callbacks: {x: {_target_: mlp.nn.Adam}}}", "names mlp.nn.Adam, which is not allowed"),
        ("{callbacks: {x: {_target_: '${evil.name}'}}}", "names ${evil.name}, which is not allowed"),
        ("{callbacks: {x: '${evil}'}}", "hydra.callbacks.x=${evil} may stand for an object"),
        ("{callbacks: '${evil}'}", "hydra.callbacks=${evil} may stand for an object"),
        ("{launcher: {x: '${evil.${hydra.job.num}}'}}", "may stand for an object"),
        ("{launcher: {_target_: [os.system]}}", "names ['os.system']"),
        ("{sweeper: {sampler: {_target_: optuna.samplers.os.system.x}}}", "optuna.samplers.os.system.x"),
        ("{sweeper: {hooks: mlp.cli.train.main}}", "names mlp.cli.train.main"),
        (f"{{job_logging: {logged % 'ext://this.c'}}}", "stream names ext://this.c"),
        (f"{{job_logging: {logged % '[{a: ext://this.c}]'}}}", "names ext://this.c"),
        (f"{{hydra_logging: {logged % quoted}}}", "may stand for an object"),
        (
            "{job_logging: {formatters: {x: {(): mlp.config.user_classes.allow}}}}",
            "names mlp.config.user_classes.allow",
        ),
        (
            "{job_logging: {handlers: {x: {class: logging.handlers.HTTPHandler}}}}",
            "names logging.handlers.HTTPHandler",
        ),
        ("{job: {env_set: {LD_PRELOAD: /tmp/x.so}}}", "hydra.job.env_set.LD_PRELOAD: a file may not set a variable"),
    ):
        config = OmegaConf.create(f"hydra: {hydra}\nevil: {{name: 'ext:', a0: {{_target_: os.system}}}}")
        with pytest.raises(UserError) as refused:
            restrictions.check(config, ["seed=1"])
        assert part in str(refused.value), hydra
    restrictions.check(OmegaConf.create("hydra: {job: {env_set: {A: 1}}}"), ["+hydra.job.env_set.A=1"])
    for name in ("hydra-${hydra.job.name}.log", "${hydra.runtime.output_dir}/log"):
        logs = {"handlers": {"x": {"class": "logging.FileHandler", "filename": name}}}
        restrictions.check(OmegaConf.create({"hydra": {"hydra_logging": logs}}), [])
    callback = "hydra.experimental.callbacks.LogJobReturnCallback"
    restrictions.check(OmegaConf.create(f"hydra: {{callbacks: {{x: {{_target_: {callback}}}}}}}"), [])


def test_a_file_names_no_package_to_be_imported(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("defaults: [_self_]\nhydra: {searchpath: ['pkg://this']}\n")
    words = (f"--config-path={tmp_path}/conf", "seed=1", "tracker=none")
    ended = python(str(ROOT / "train.py"), *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")  # the module would print a poem
    assert "a file may not name a package, pkg://this, which would be imported" in ended.stderr


def _chain(first: str, link: str, times: int, count: int = 12) -> list[str]:
    """Lines x0, x1, ...: each has the one before it so many times."""
    return [first, *(f"x{i}: {link.format(', '.join([f'*x{i - 1}'] * times), i=i)}" for i in range(1, count))]


def test_a_file_of_options_does_not_unfold_without_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlp.config.expansion_limits.MOST", 5_000)  # faster
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    doubled = "".join(f"  x{i}: '${{.x{i - 1}}}${{.x{i - 1}}}'\n" for i in range(1, 40))
    many = "[" + "'${{optimizer_options.x{}}}'," * 9 + "]"
    listed = "".join(f"  x{i + 1}: {many.format(*[i] * 9)}\n" for i in range(11))
    aliases = "\n".join(_chain("x0: &x0 [1, 1]", "&x{i} [{}]", 9))
    for level in range(12):
        thrice = "".join(f"  - level{level + 1}@{place}\n" for place in "abc")
        content = f"defaults:\n{thrice}x: {level}\n" if level < 11 else "x: 1\n"
        (folder / f"level{level}.yaml").write_text(content)
    for content, part in (
        (aliases, "more than 10,000 values"),
        ("\n".join(_chain("x0: &x0 [1]", "&x{i} [{}]", 1, 40)), "nested too deeply"),
        ("x: &x [*x]", "an alias (*x) of nothing, or of what contains it"),
        (f"x: [{'0, ' * 20_000}]", "more than 10,000 values"),
        (f"x: [{'0, ' * 100_000}]", "bytes are too many; at most 131,072 are read"),
        (f"x: {'[' * 50_000}", "nested too deeply"),
        (f"x: {'a' * 20_000}", "a value of 20,000 characters"),
        ("x: !!python/name:os.system", "is not valid YAML"),
        ("[1]", "must be a mapping of keys to values. Got list"),
        ("defaults: [level0@optimizer_options]", "unfolds to more than 20,000 values"),
        (f"optimizer_options:\n  x0: aaaa\n{doubled}", "unfolds to more than 20,000 values"),
        (f"optimizer_options:\n  x0: [1, 1]\n{listed}", "unfolds to more than 20,000 values"),
        (f"optimizer_options:\n  x: {'a' * 9000}\n  y: {'${.x}' * 1000}\n  z: {'${.y}' * 1000}", "unfolds to more"),
    ):
        (folder / "mine.yaml").write_text(f"# @package _global_\n{content}\n")
        with pytest.raises(UserError) as refused:
            resolve(compose(["+experiment=mine"], [tmp_path / "conf"]))
        assert part in str(refused.value), content[:100]


def test_the_program_says_what_is_too_large_in_a_folder_of_options(tmp_path: Path) -> None:
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    bomb = "\n".join(_chain("x0: &x0 [1, 1]", "&x{i} [{}]", 9))
    (tmp_path / "conf/optimizer/mine.yaml").write_text(bomb)
    for words in (
        ("train.py", "-o", "mine", "--config-dir", "conf"),
        ("train.py", "-o", "mine", "hydra.searchpath=[file://conf]"),
        ("train.py", "-m", "-o", "sgd,mine", "--config-dir", "conf"),
    ):
        program, *line = words
        ended = python(str(ROOT / program), *line, "-d", "digits", "-e", "1", "tracker=none", cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, ""), line
        assert re.fullmatch(r"Error: .*mine\.yaml: more than 10,000 values inside\n", ended.stderr), ended.stderr
        assert {path.name for path in tmp_path.iterdir()} == {"conf"}


def test_aliases_of_a_file_of_options_are_read(tmp_path: Path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    text = "# @package _global_\nmodel: {hidden_sizes: &sizes [8, 8]}\ntraining: {<<: {epochs: 3}}\nx: *sizes\n"
    (tmp_path / "conf/experiment/mine.yaml").write_text(text)
    config = compose(["+experiment=mine"], [tmp_path / "conf"])
    assert (config.model.hidden_sizes, config.training.epochs, config.x) == ([8, 8], 3, [8, 8])
