"""The commands that users and graders type, run as they type them."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import wandb_file
import yaml
from conftest import ROOT, Command

from mlp.cli.flags import READ_BY_INFERENCE, parser


def run_directories(place: Path) -> list[Path]:
    """All runs under `place`, in the order of their names."""
    return sorted(path.parent for path in place.rglob("summary.json"))


def config_of(directory: Path) -> dict:
    return yaml.safe_load((directory / "config.yaml").read_text())


def set_in(config: dict, expected: dict) -> None:
    """`config` holds the values of `expected`, {"optimizer.beta": 0.9, ...}."""
    found = {}
    for key in expected:
        node = config
        for name in key.split("."):
            node = node[name]
        found[key] = node
    assert found == expected


COMMANDS = [
    (
        "-d mnist -e 2 -b 64 -l cross_entropy -o adam -lr 1e-3 -wd 0.0005 -nhl 3 -sz 128 128 128 -a relu -w_i xavier "
        "--no_wandb",
        {"dataset._target_": "mlp.data.MNIST", "training.epochs": 2, "training.batch_size": 64,
         "loss._target_": "mlp.nn.CrossEntropy", "optimizer._target_": "mlp.nn.Adam", "optimizer.learning_rate": 1e-3,
         "optimizer.weight_decay": 5e-4, "model.num_layers": 3, "model.hidden_sizes": [128, 128, 128],
         "activation._target_": "mlp.nn.ReLU", "init._target_": "mlp.nn.Xavier"},
        0.95,
    ),
    (
        "--dataset digits --epochs 2 --optimizer adam --batch_size 32 --no_wandb",
        {"dataset._target_": "mlp.data.Digits", "training.epochs": 2, "training.batch_size": 32,
         "optimizer._target_": "mlp.nn.Adam"},
        0.92,
    ),
    (
        "optimizer=nadam activation=tanh model.hidden_sizes=[64,32] training.epochs=2 dataset=digits "
        "--no_wandb",
        {"dataset._target_": "mlp.data.Digits", "optimizer._target_": "mlp.nn.Nadam",
         "activation._target_": "mlp.nn.Tanh", "model.hidden_sizes": [64, 32]},
        0.80,
    ),
    (
        "-d digits -o nag -m 0.9 -e 1 optimizer.learning_rate=0.01 seed=7 --no_wandb",
        {"optimizer._target_": "mlp.nn.NAG", "optimizer.momentum": 0.9, "optimizer.learning_rate": 0.01, "seed": 7,
         "training.epochs": 1},
        0.40,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected", "accuracy"), COMMANDS, ids=[line[:40] for line, *_ in COMMANDS])
def test_command_trains_what_it_says(
    train: Command, tmp_path: Path, line: str, expected: dict, accuracy: float
) -> None:
    result = train(*shlex.split(line), check=True)
    (directory,) = run_directories(tmp_path)
    set_in(config_of(directory), expected)
    printed = re.search(r"Test accuracy ([\d.]+) %", result.stdout)
    assert printed
    assert float(printed[1]) / 100 > accuracy
    assert result.stderr == ""


def test_foreign_coefficient_is_noted_and_the_run_is_tracked_offline(train: Command, tmp_path: Path) -> None:
    line = (
        "-wp demo -we me -d digits -o rmsprop -lr 0.0001 -w_i Xavier -nhl 4 -sz 128 -a ReLU "
        "--beta 0.9 --beta1 0.9 -e 2"
    )
    result = train(*line.split(), check=True)
    assert re.search(r"Note: .*rmsprop.* beta1.*0\.9.*ignored", result.stdout, re.IGNORECASE)
    (directory,) = run_directories(tmp_path)
    expected = {"optimizer.beta": 0.9, "model.hidden_sizes": 128, "model.num_layers": 4, "tracker.project": "demo"}
    set_in(config_of(directory), expected)
    (file,) = wandb_file.find(directory)
    tracked = wandb_file.read(file)
    assert (tracked.run.project, tracked.run.entity, tracked.exit_code) == ("demo", "me", 0)
    assert [row["epoch"] for row in tracked.rows("train_loss")] == [1, 2]


def test_multirun_runs_every_combination_in_a_directory_of_its_own(train: Command, tmp_path: Path) -> None:
    train("-m", "-d", "digits", "optimizer=sgd,adam", "training.epochs=1", "--no_wandb", check=True)
    targets = {config_of(directory)["optimizer"]["_target_"] for directory in run_directories(tmp_path)}
    assert targets == {"mlp.nn.SGD", "mlp.nn.Adam"}
    assert {path.name for path in tmp_path.iterdir()} == {"multirun_outputs"}


# Help and Hydra's own switches


@pytest.mark.parametrize("program", ["train", "infer"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_flag_group_and_option(program: str, flag: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(program)(flag, check=True)
    words = set(re.findall(r"[\w-]+", result.stdout))
    own = parser("train" if program == "train" else "inference")
    flags = {name for name, action in own._option_string_actions.items() if action.help != argparse.SUPPRESS}
    groups = READ_BY_INFERENCE if program == "infer" else ("*",)
    files = [path for group in groups for path in (ROOT / "conf").glob(f"{group}/*.yaml")]
    files = [path for path in files if path.parent.name != "hydra" and path.stem[0] != "_"]
    assert files
    missing = (flags | {path.stem for path in files} | {path.parent.name for path in files}) - words
    assert not missing
    assert result.stderr == ""


def test_each_help_lists_only_what_its_program_reads() -> None:
    train, infer = (set(re.findall(r"--[a-z]\w+", parser(prog).format_help())) for prog in ("train", "inference"))
    of_inference = {"--model_path", "--config_path", "--plots", "--robustness"}
    assert not train & of_inference
    assert infer == {"--dataset", "--loss", "--activation", "--allow", "--help"} | of_inference


@pytest.mark.parametrize("position", ["first", "last"])
def test_help_imports_nothing_heavy(tmp_path: Path, position: str) -> None:
    arguments = ["--help", "-d", "mnist"] if position == "first" else ["optimizer=adam", "--help"]
    command = [sys.executable, "-X", "importtime", str(ROOT / "train.py"), *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    imported = set(re.findall(r"\| +([\w.]+)$", result.stderr, re.MULTILINE))
    assert "argparse" in imported  # so that the list is read at all
    heavy = {"hydra", "omegaconf", "numpy", "wandb", "sklearn", "matplotlib", "rich"}
    assert not heavy & {name.partition(".")[0] for name in imported}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--cfg job -o nadam -lr 0.5", ["mlp.nn.Nadam", "learning_rate: 0.5"]),
        ("-c job -p optimizer -o sgd", ["mlp.nn.SGD"]),
        ("--cfg hydra", ["multirun_outputs", "chdir: false"]),
        ("--info defaults-tree -d digits", ["dataset: digits", "optimizer: adam"]),
        ("--info", ["Config search path", "Defaults Tree"]),
        ("--hydra-help", ["--multirun", "--shell-completion"]),
        ("--version", ["Hydra 1.3"]),
        ("-sc install=bash", ["complete "]),
    ],
)
def test_switch_of_hydra_answers_and_runs_nothing(
    train: Command, tmp_path: Path, line: str, expected: list[str]
) -> None:
    result = train(*line.split(), check=True)
    assert [text for text in expected if text not in result.stdout] == []
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train.py optimizer=", {f"optimizer={path.stem}" for path in (ROOT / "conf/optimizer").glob("*.yaml")}),
        ("train.py dataset=fa", {"dataset=fashion_mnist"}),
        ("train.py optimizer=sgd optimizer.", {"optimizer.learning_rate=", "optimizer.weight_decay="}),
        ("train.py -d digits -o adam loss=", {"loss=cross_entropy", "loss=mean_squared_error"}),
    ],
)
def test_tab_completes_overrides(train: Command, line: str, expected: set[str]) -> None:
    result = train("-sc", "query=bash", env={"COMP_LINE": line, "COMP_POINT": str(len(line))})
    assert (result.returncode, result.stderr) == (0, "")
    offered = set(result.stdout.split())
    assert expected <= offered
    prefix = line.rpartition(" ")[2]
    assert all(word.startswith(prefix) for word in offered)


@pytest.mark.parametrize("choice", ["optimizer=my_adam", "-o my_adam"])
def test_option_in_a_folder_of_the_user_can_be_chosen(train: Command, tmp_path: Path, choice: str) -> None:
    (tmp_path / "mine/optimizer").mkdir(parents=True)
    text = "_target_: mlp.nn.Adam\nlearning_rate: 0.0123\n"
    (tmp_path / "mine/optimizer/my_adam.yaml").write_text(text)
    result = train("--config-dir", "mine", *choice.split(), "--cfg", "job")
    assert "0.0123" in result.stdout, result.stderr
