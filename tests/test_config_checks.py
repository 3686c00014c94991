"""A mistake on the command line ends with code 2 and one message that helps, and leaves nothing behind."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from forks import python
from omegaconf import OmegaConf

RUN = "-d digits -e 1 --no_wandb"  # so that a mistake which passes unseen ends soon
OPTIMIZERS = ["adam", "momentum", "nadam", "nag", "rmsprop", "sgd"]

Train = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The working directory of the command line."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def train(place: Path) -> Train:
    """Run train.py in `place` with RUN and a command line."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return python(str(ROOT / "train.py"), *shlex.split(RUN), *shlex.split(line), cwd=place)

    return run


def refusal(train: Train, place: Path, line: str) -> str:
    """Run train.py with a mistake; return its message after checking the manners of all refusals."""
    before = set(place.rglob("*"))
    result = train(line)
    assert result.returncode == 2, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    said = re.sub(r"^Note: \S+ replaces \S+, which a flag gives\.\n", "", result.stderr)  # one of RUN
    assert said.startswith("Error: ")
    assert said.count("Error") == 1
    # outputs/<day> may be new and empty: another run of that day could be about to use it.
    new = [path.relative_to(place).parts for path in place.rglob("*") if path not in before]
    assert [parts for parts in new if parts[0] != "outputs" or len(parts) > 2] == []
    return result.stderr


MISTAKES = {
    # unknown options: what was given, the nearest match, all that is allowed
    "optimizer=adm": ["optimizer", "'adm'", "did you mean 'adam'", *OPTIMIZERS],
    "-o adm": ["optimizer", "'adm'", "did you mean 'adam'", *OPTIMIZERS],
    "optimizer=null": ["optimizer", *OPTIMIZERS],
    "optimizer={learning_rate:1}": ["optimizer", *OPTIMIZERS],
    "optimizer=": ["optimizer takes the name", *OPTIMIZERS],
    "optimizer=[1]": ["optimizer=[1]", *OPTIMIZERS],
    "training.callbacks=[1]": ["training.callbacks=[1]", "has keys of its own", "+training.callbacks.NAME="],
    "hydra.mode=7": ["hydra.mode=7", "expected one of [RUN, MULTIRUN]"],
    "tracker=null": ["tracker", "none", "wandb"],
    "augment=[rotation,erasin]": ["augment", "'erasin'", "did you mean 'erasing'"],
    "augment=[rotation,erasing] augment.steps.erasing.erase=2": ["augment.steps.erasing", "erase must be", "Got 2"],
    "tracker=several": ["tracker", "names none", "tracker=[trackio,wandb]"],
    "tracker=[wandb,tensorbord]": ["tracker", "'tensorbord'", "did you mean 'tensorboard'"],
    "tracker=[wandb,tensorboard] tracker.project=x": ["'tracker.project'", "did you mean 'tracker.wandb.project'"],
    "training=adam": ["training", "'adam'", "default"],
    "+experiment=foo": ["experiment", "'foo'"],
    "hydra/launcher=foo": ["hydra/launcher", "foo", "basic"],
    # unknown keys
    "optimizer.lerning_rate=1": [
        "'optimizer.lerning_rate'",
        "did you mean 'optimizer.learning_rate'",
        "optimizer.beta1",
    ],
    "trainig.epochs=3": ["'trainig.epochs'", "did you mean 'training.epochs'"],
    "sed=3": ["'sed'", "did you mean 'seed'"],
    "optimizer=adam optimizer.momentum=0.9": ["'optimizer.momentum' is unknown", "optimizer.beta1"],
    "optimizer.lr=1": ["'optimizer.lr'", "did you mean 'optimizer.learning_rate'"],
    "optimizer_options.beta3=0.9": ["'optimizer_options.beta3'", "optimizer_options.beta2"],
    "+optimizer.gamma=1": ["'optimizer.gamma'", "optimizer.beta1"],
    "++foo=1": ["'foo'", "optimizer", "training"],
    # what must be there cannot be taken away
    "~optimizer": ["optimizer"],
    "~seed": ["seed"],
    "optimizer_options=null": ["optimizer_options"],
    "'training.callbacks={mine: {_target_: mlp.nn.SGD}}'": ["training.callbacks.mine"],
    # wrong types
    "-e abc": ["training.epochs", "an integer", "'abc'"],
    "training.epochs=1.5": ["training.epochs", "an integer", "1.5"],
    "training.epochs=true": ["training.epochs", "an integer", "True"],
    "optimizer.decoupled_weight_decay=maybe": ["optimizer.decoupled_weight_decay", "true or false", "'maybe'"],
    "model.hidden_sizes=[a]": ["model.hidden_sizes", "integer", "'a'"],
    "-sz 128 abc": ["model.hidden_sizes", "integer", "'abc'"],
    "optimizer.learning_rate=[0.1]": ["optimizer.learning_rate", "a number", "[0.1]"],
    "-beta1 high": ["beta1", "a number", "'high'"],
    "-s 1.5": ["seed", "an integer", "1.5"],
    "seed=null": ["seed", "an integer"],
    # values out of range
    "-lr -1": ["learning_rate", "> 0", "-1"],
    "-lr 0": ["learning_rate", "> 0", "0"],
    "-lr nan": ["learning_rate", "nan"],
    "-lr inf": ["learning_rate", "finite", "inf"],
    "-wd -0.1": ["weight_decay", ">= 0", "-0.1"],
    "-e 0": ["epochs", ">= 1", "0"],
    "-b 0": ["batch_size", ">= 1", "0"],
    "-b 1 normalization=batch_norm": ["training.batch_size", ">= 2", "normalization=batch_norm", "Got 1"],
    "-s -1": ["seed", ">= 0", "-1"],
    "-sz 0": ["hidden_sizes", ">= 1", "0"],
    "-sz ''": ["hidden_size"],  # an empty variable of the shell, not a network without hidden layers
    "-nhl -1": ["num_layers", ">= 0", "-1"],
    "-o momentum -m 1.5": ["momentum", "< 1", "1.5"],
    "dataset.validation_fraction=1": ["validation_fraction", "[0, 1)", "1"],
    "training.monitor=val_f2": ["monitor", "val_f1", "train_loss", "'val_f2'"],
    "training.patience=2 dataset.validation_fraction=0": ["training.patience=2", "validation_fraction", "train_loss"],
    "training.monitor=val_loss dataset.validation_fraction=0": ["training.monitor=val_loss", "validation_fraction"],
    "training.class_weight=equal": ["training.class_weight", "'balanced'", "a list", "a mapping", "'equal'"],
    "training.class_weight=2": ["training.class_weight", "'balanced'", "a list", "a mapping", "2"],
    "training.class_weight=[1,2]": ["training.class_weight", "each of the 10 classes", "Got 2"],
    "'training.class_weight={10: 2}'": ["training.class_weight", "classes are 0 to 9", "Got 10"],
    "'training.class_weight={3: -1}'": ["class_weight[3]", "> 0", "-1"],
    "training.class_weight=balanced augment=mixup": ["class_weight=balanced", "augment.mixup", "one of them"],
    "model.dtype=float16": ["dtype", "float32", "float64", "'float16'"],
    # lists of the wrong length
    "-nhl 3 -sz 64 32": ["hidden_sizes", "2", "[64, 32]", "num_layers", "3"],
    "-nhl 3 -a relu tanh": ["activations", "2", "relu", "tanh", "3 hidden layers"],
    "-a relu rleu": ["activation", "'rleu'", "did you mean 'relu'"],
    # files and directories
    "resume=missing": ["resume=missing", "there is no run"],
    "dataset=npz dataset.path=missing.npz": ["missing.npz", "does not exist"],
    "dataset=npz": ["dataset.path", "x_train"],
    # Hydra's grammar and interpolations
    "model.hidden_sizes=[1,": ["model.hidden_sizes=[1,"],
    "seed=${missing}": ["seed", "missing"],
    "seed=1,2": ["seed=1,2", "--multirun"],
    "--cfg job -m": ["--multirun", "--cfg"],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_explained(train: Train, place: Path, line: str) -> None:
    message = refusal(train, place, line)
    assert [part for part in MISTAKES[line] if part not in message] == [], message


def test_flag_mistakes_are_explained_too(train: Train, place: Path) -> None:
    message = refusal(train, place, "-lrr 0.1")
    assert "unknown flag -lrr; did you mean -lr?" in message


CANARY = "touch canary"
INJECTIONS = [
    f"optimizer._target_=os.system +optimizer.command='{CANARY}'",
    f"+training.callbacks.x._target_=os.system '+training.callbacks.x.command={CANARY}'",
    f"'++training.callbacks={{x:{{_target_:subprocess.run,args:{CANARY},shell:true}}}}'",
    "dataset._target_=subprocess.Popen",
    "optimizer._target_=mlp.base.files.os.system",
    "optimizer._target_=mlp.base.environment.subprocess.Popen",
    "optimizer._target_=mlp.base.environment._git",
    "+training.callbacks.x._target_=mlp.base.environment.git_commit",
    "+training.callbacks.x._target_=mlp.base.files.Path",
    "optimizer._target_=evil.Rule",
    "optimizer._target_=builtins.eval",
    "optimizer._target_=hydra.utils.call",
    "tracker._target_=mlp.tracking.wandb_session.socket.socket",
    "optimizer._target_=3",
]


@pytest.mark.parametrize("line", INJECTIONS)
def test_target_outside_the_package_is_refused_and_never_run(train: Train, place: Path, line: str) -> None:
    (place / "evil.py").write_text("open('canary', 'w')\n")  # importing it would be too much already
    assert "_target_" in refusal(train, place, line)
    assert not (place / "canary").exists()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("activation._target_=mlp.nn.CrossEntropy", "activation"),
        ("loss._target_=mlp.nn.ReLU", "loss"),
        ("optimizer._target_=mlp.nn.Optimizer ~optimizer.beta1 ~optimizer.beta2 ~optimizer.epsilon", "optimizer"),
        ("+training.callbacks.x._target_=mlp.nn.SGD", "training.callbacks.x"),
    ],
)
def test_target_of_another_kind_is_refused_before_any_work(train: Train, place: Path, line: str, part: str) -> None:
    assert part in refusal(train, place, line)


def test_directory_of_users_options_is_held_to_the_same_rules(train: Train, place: Path) -> None:
    (place / "mine/optimizer").mkdir(parents=True)
    (place / "mine/optimizer/evil.yaml").write_text(f"_target_: os.system\ncommand: {CANARY}\n")
    assert "os.system" in refusal(train, place, "--config-dir mine optimizer=evil")
    assert not (place / "canary").exists()


@pytest.mark.parametrize("added", ["--config-dir 'my own'", "'hydra.searchpath=[my own]'"])
def test_options_of_another_folder_are_known_like_those_of_conf(train: Train, place: Path, added: str) -> None:
    (place / "my own/optimizer").mkdir(parents=True)
    (place / "my own/optimizer/mine.yaml").write_text("defaults: [adam, _self_]\nbeta2: 0.9\n")
    for line, parts in {
        "-o mime": ["did you mean 'mine'", "Allowed: adam, mine, momentum"],
        "-o mine optimizer.bta2=0.5": ["did you mean 'optimizer.beta2'", "optimizer.learning_rate"],
        "-m -o mine,SGD optimizer.beta2=0.5": ["optimizer.beta2 is no key of optimizer=sgd"],
    }.items():
        message = refusal(train, place, f"{added} {line}")
        assert [part for part in parts if part not in message] == [], message
    result = train(f"{added} -o Mine plots=false hydra.run.dir=run")
    assert result.returncode == 0, result.stderr
    assert OmegaConf.load(place / "run/config.yaml").optimizer.beta2 == 0.9


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("nodir", "folder nodir"),
        ("file:///no/dir", "folder /no/dir"),
        ("'a,b'", "folder a,b"),
        ("pkg://no.such", "package no.such"),
        ("pkg://mlp, pkg://nosuch", "package nosuch"),
    ],
)
def test_a_folder_of_options_that_is_missing_is_refused(train: Train, place: Path, entry: str, said: str) -> None:
    message = refusal(train, place, f'"hydra.searchpath=[{entry}]"')
    assert message == f"Error: hydra.searchpath: there is no {said}\n"


def test_a_folder_of_options_may_have_a_comma_in_its_name(train: Train, place: Path) -> None:
    (place / "a,b/optimizer").mkdir(parents=True)
    (place / "a,b/optimizer/mine.yaml").write_text("defaults: [sgd, _self_]\n")
    assert train("\"hydra.searchpath=['a,b']\" -o mine plots=false").returncode == 0


# One wrong value in a sweep

SWEEPS = {
    "-m -o adam,adm": ["'adm'", "did you mean 'adam'", *OPTIMIZERS],
    "-m 'optimizer=adam, adm'": ["adm", "did you mean 'adam'", *OPTIMIZERS],
    "-m 'optimizer=choice(adam,adm)'": ["adm", "did you mean 'adam'", *OPTIMIZERS],
    "-m -lr 0.1,-1": ["learning_rate", "> 0", "-1"],
    "-m -e 1,abc": ["training.epochs", "an integer", "'abc'"],
    "-m optimizer.lerning_rate=1,2": ["'optimizer.lerning_rate'", "did you mean 'optimizer.learning_rate'"],
    "-m optimizer._target_=mlp.nn.Adam,os.system": ["os.system"],
    "-m -o sgd,adam optimizer.beta1=0.9": ["optimizer.beta1 is no key of optimizer=sgd, which the search tries too"],
    "-m schedule=cosine,step schedule.final=0.1": [
        "schedule.final is no key of schedule=step, which the search tries"
    ],
    "-m schedule=cosine,exponential schedule.finl=0.1": [
        "'schedule.finl' is unknown; did you mean 'schedule.final'?"
    ],
    "-m search=tpe search.trials=2 optimizer.beta1=0.9": ["optimizer.beta1 is no key of optimizer=sgd, which"],
    "-m optimizer=adam,nadam optimizer.momentum=0.9": ["'optimizer.momentum' is unknown. Allowed: optimizer.beta1"],
    "-m schedule=constant,exponential schedule.gamma=0.5": ["'schedule.gamma' is unknown"],
}


@pytest.mark.parametrize("line", SWEEPS)
def test_wrong_value_in_a_sweep_is_explained(train: Train, place: Path, line: str) -> None:
    result = train(line)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert [part for part in SWEEPS[line] if part not in result.stderr] == [], result.stderr
    finished = {path.parent for path in place.rglob("summary.json")}
    begun = {path for path in place.glob("multirun_outputs/*/*") if path.is_dir()}
    assert begun == finished


def test_a_key_that_all_options_of_a_sweep_have_is_set_in_each(train: Train, place: Path) -> None:
    line = "-m schedule=cosine,exponential schedule.final=0.1 optimizer=nag,momentum optimizer.momentum=0.7"
    result = train(f"{line} search.name=s plots=false")
    assert (result.returncode, result.stderr) == (0, "")
    configs = [OmegaConf.load(path) for path in sorted(place.glob("multirun_outputs/s/?/config.yaml"))]
    found = [(c.schedule._target_, c.schedule.final, c.optimizer.momentum) for c in configs]
    assert found == [(f"mlp.nn.{name}", 0.1, 0.7) for name in ("Cosine", "Cosine", "Exponential", "Exponential")]


def test_what_is_right_is_taken(train: Train, place: Path) -> None:
    """Aliases, bounds that are allowed, and the user's own arrays."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    np.savez(place / "mine.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    line = "-d npz dataset.path=mine.npz -e 1 -l mse -o nesterov -m 0 -w_i zero -wd 0 -nhl 0 --no_wandb"
    result = train(line)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Network 4-3" in result.stdout
