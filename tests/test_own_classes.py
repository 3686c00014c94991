"""Users' own classes: allowed on the command line, they work wherever a class of the package does."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python

from mlp.base.errors import UserError
from mlp.base.naming import Named
from mlp.config.build import locate
from mlp.config.user_classes import allowing, foreign

MODULE = '''
import numpy as np
from mlp.data import Dataset
from mlp.nn import MLP, Activation, CrossEntropy, Initializer, Schedule
from mlp.training import Callback


class Bent(Activation):
    """f(z) = (sqrt(z^2 + 1) - 1) / 2 + z."""

    aliases = ("bent_identity",)
    keeps_input = True

    def function(self, Z, A, scratch):
        A[...] = (np.sqrt(Z * Z + 1) - 1) / 2 + Z

    def derivative(self, Z, A, slope, scratch):
        slope[...] = Z / (2 * np.sqrt(Z * Z + 1)) + 1


class Blobs(Dataset):
    class_names = ("left", "right")
    image_shape = ()
    divisor = 1.0
    num_features = 3

    def __init__(self, validation_fraction: float = 0.1, spread: float = 1.0):
        super().__init__(validation_fraction)
        self.spread = spread

    def load(self, part):
        rng = np.random.default_rng({"train": 1, "test": 2}[part])
        y = rng.integers(0, 2, 300)
        return (rng.normal(size=(300, 3)) * self.spread + 2 * y[:, None]).astype(np.float32), y


class MyLoss(CrossEntropy):
    pass


class Net(MLP):
    pass


class Printer(Callback):
    def on_epoch_end(self, run):
        print("the epoch is", run.epoch)
'''
OPTIONS = {
    "activation/bent": "_target_: mine.Bent",
    "dataset/blobs": "_target_: mine.Blobs\nvalidation_fraction: 0.2\nspread: 1.0",
    "loss/my_loss": "_target_: mine.MyLoss",
    "model/net": "_target_: mine.Net\nhidden_sizes: 8\nnum_layers: 1\nactivations: null\ndropout: 0.0",
    "tracker/printer": "_target_: mine.Printer",
}
OWN = ("--allow", "mine", "--config-dir", "conf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    for name, text in OPTIONS.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return tmp_path


def mlp(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    answer = python("-m", "mlp", *words, cwd=folder, timeout=300)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer


def train(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return mlp(
        folder, "train", *OWN, "-d", "blobs", "plots=false", "--no_wandb", "-nhl", "1", "-sz", "8", *words, code=code
    )


def test_own_dataset_activation_loss_and_tracker_train_resume_and_are_measured(folder: Path) -> None:
    words = ("-a", "bent_identity", "-l", "my_loss", "-e", "2", "-msp", "m.npy", "hydra.run.dir=run")
    mlp(folder, "train", *OWN, "-d", "blobs", *words, "tracker=printer", "plots=true")
    assert json.loads((folder / "m_config.json").read_text())["activation"] == "bent"
    resumed = mlp(folder, "train", "--allow", "mine", "resume=run", "-e", "3", "-msp", "m.npy")
    assert "the epoch is 3" in resumed.stdout
    summary = json.loads((folder / "run" / "summary.json").read_text())
    measured = mlp(folder, "inference", "-mp", "m.npy", "--allow", "mine").stdout
    assert f"accuracy {summary['test_accuracy']:.4f}" in measured
    assert "left" in measured
    mlp(folder, "report", "run", "run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--config-dir", "conf", "-d", "blobs"), "(--allow mine). Got 'mine.Blobs'"),
        (("train", "--config-dir", "conf", "-d", "digits", "-a", "bent"), "(--allow mine). Got 'mine.Bent'"),
        (("train", *OWN, "-d", "blbs"), "did you mean 'blobs'?"),
        (("train", "--allow", "nix", "-d", "digits"), "--allow nix: no such module"),
        (("train", *OWN, "-d", "digits", "-o", "adam", "optimizer._target_=mine.Bent"), "is no Optimizer"),
        (("train", *OWN, "-d", "digits", "optimizer._target_=os.system"), "must be a class of the package mlp"),
        (("train", *OWN, "-d", "digits", "optimizer._target_=mine.np"), "must be a class"),
    ],
)
def test_what_is_not_allowed_or_not_there_is_one_message(folder: Path, words: tuple[str, ...], message: str) -> None:
    answer = mlp(folder, *words, "--no_wandb", code=2)
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_module_that_fails_is_one_message(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    assert (
        "--allow broken: its import failed. ZeroDivisionError"
        in mlp(folder, "train", "--allow", "broken", "-d", "digits", code=2).stderr
    )


def test_a_model_of_own_classes_is_measured_only_when_they_are_allowed(folder: Path) -> None:
    train(folder, "-a", "bent", "-e", "1", "-msp", "m.npy")
    refused = mlp(folder, "inference", "-mp", "m.npy", code=2).stderr
    assert "a class of its author's" in refused
    assert "--allow mine" in refused
    mlp(folder, "inference", "-mp", "m.npy", "--allow", "mine", "dataset.spread=2.0")


def test_an_own_network_is_not_measured_as_a_plain_one(folder: Path) -> None:
    mlp(folder, "train", *OWN, "-d", "digits", "model=net", "-e", "1", "--no_wandb", "plots=false", "-msp", "m.npy")
    assert "mine.Net" in mlp(folder, "inference", "-mp", "m.npy", "--allow", "mine", code=2).stderr


def test_own_classes_are_searched_and_the_printed_command_allows_them(folder: Path) -> None:
    train(folder, "-m", "activation=bent,relu", "-e", "1", "search.name=s", "seed=3")
    shown = mlp(folder, "search", "best", "multirun_outputs/s").stdout
    again = shlex.split(re.search(r"Again: python -m mlp (.*)", shown)[1])  # type: ignore[index]
    assert again[:3] == ["train", "--allow", "mine"]
    mlp(folder, *again, "plots=false")


def test_the_command_that_makes_a_run_again_names_the_folder_of_options(folder: Path) -> None:
    (folder / "conf").rename(folder / "my conf")
    train_words = ["--allow", "mine", "--config-dir", "my conf", "-d", "blobs", "-a", "bent", "-e", "1", "--no_wandb"]
    mlp(folder, "train", *train_words, "plots=false")
    shown = mlp(folder, "runs", "show", "last").stdout
    again = shlex.split(re.search(r"Again: python -m mlp (.*)", shown)[1])  # type: ignore[index]
    assert again[:5] == ["train", "--allow", "mine", "--config-dir", "my conf"]
    mlp(folder, *again)


@pytest.mark.slow
def test_own_classes_are_searched_by_joblib_workers(folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    train(folder, "-m", "activation=bent,relu", "-e", "1", "search.name=j", "hydra/launcher=joblib")
    assert "2 done" in mlp(folder, "search", "show", "multirun_outputs/j").stdout


def test_help_lists_own_options_and_profile_takes_them(folder: Path) -> None:
    assert "blobs, cifar10" in mlp(folder, "train", "--config-dir", "conf", "--help").stdout
    assert (
        "blobs, network 3-8-2"
        in mlp(folder, "profile", *OWN, "-d", "blobs", "-a", "bent", "-sz", "8", "-nhl", "1").stdout
    )


def test_example_runs_as_its_readme_says(tmp_path: Path) -> None:
    folder = tmp_path / "own_optimizer"
    shutil.copytree(ROOT / "examples" / "own_optimizer", folder)
    commands = re.findall(r"^    (mlp .*)", (folder / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        mlp(folder, *shlex.split(command)[1:], "plots=false", "--no_wandb")
    found = mlp(folder, "search", "show", *map(str, (folder / "multirun_outputs").iterdir())).stdout
    assert "4 done" in found


def test_modules_are_allowed_within_the_block_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "harmless.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with allowing(["harmless"]):
        assert locate("harmless.Thing").__name__ == "Thing"
    with pytest.raises(UserError, match="--allow harmless"):
        locate("harmless.Thing")


def test_a_class_that_an_allowed_module_has_only_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "importing").mkdir()
    (tmp_path / "importing" / "inside.py").write_text("class Thing:\n    pass\n")
    code = "from subprocess import Popen\nfrom mlp.nn import Adam\nfrom importing.inside import Thing\n"
    (tmp_path / "importing" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with allowing(["importing"]):
        assert locate("importing.Thing") is locate("importing.inside.Thing")
        assert locate("importing.Adam") is locate("mlp.nn.Adam")
        with pytest.raises(UserError, match=r"'importing.Popen' is a class of subprocess.*--allow subprocess"):
            locate("importing.Popen")


def test_foreign_modules_of_a_configuration_are_found_wherever_they_are() -> None:
    config = {"a": {"_target_": "x.y.Z"}, "b": [{"_target_": "mlp.nn.SGD"}, {"c": {"_target_": "v.W"}}], "d": 1}
    assert foreign(config) == ["x.y", "v"]


@pytest.mark.parametrize(("written", "name"), [("SignSGD", "sign_sgd"), ("MyLoss", "my_loss"), ("Lion", "lion")])
def test_a_class_without_a_name_has_its_own_in_snake_case(written: str, name: str) -> None:
    assert type(written, (Named,), {}).name == name


def test_an_alias_belongs_to_one_class_and_not_to_what_derives_from_it() -> None:
    first = type("First", (Named,), {"aliases": ("one",)})
    assert first.aliases == ("one",)
    assert type("Second", (first,), {}).aliases == ()


def test_an_own_study_trains_and_answers_in_the_report(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / "own_study", tmp_path / "own_study")
    words = ("report", "studies", "--allow", "width", "--only", "width", "-d", "digits", "--quick")
    assert "width" in mlp(folder, *words[:2], "--only", "width", code=2).stderr
    missing = mlp(folder, *words, "--no-run", code=2).stdout
    command = (
        r"train --allow width --config-dir=\S+/own_study/conf \+experiment=width dataset=digits training.epochs=2"
    )
    assert re.search(command, missing)
    assert re.search(r"report studies --allow width -d digits --quick\n", missing)
    mlp(folder, *words)
    text = (folder / "report" / "report.md").read_text()
    assert "1 of 1 studies are answered, on digits." in text
    assert "> How accurate is a network with one hidden layer" in text
    assert "hidden layers 4, 16 and 64;" in text
    assert re.search(r"\| 64 \| \d\d\.\d\d ± \d", text)
