"""Paths and names are taken as they are, and every command that is printed works when it is pasted into a shell."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command
from forks import python
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from runs import Strike, run

from hydra_trials.search import Search
from mlp.base.errors import UserError
from mlp.cli.overrides import literal, to_hydra
from mlp.config.grammar import unquoted
from mlp.searches import results

TEXTS = [
    *("größe 1", "a=b", "it's", "x #y (1)", "[1]", "{a}", "a,b", "$HOME", "~", "true", "5", '"q" e', "a\\", "a\\'b"),
    *("''x'y", "choice(1)", "*", "a'b'", "\\\\'\\", "ключ"),
]
ODD = "größe = 1 #(a) 'b'"
SHORT = ("-d", "digits", "-e", "1", "-sz", "8", "--no_wandb")


@pytest.mark.parametrize("text", TEXTS)
def test_hydra_gets_the_text_itself_once_or_twice_translated(text: str) -> None:
    word = literal(f"resume={text}")
    assert OverridesParser.create().parse_override(word).value() == text
    assert literal(word) == word
    assert unquoted(word.removeprefix("resume=")) == text


def test_what_hydra_is_to_interpret_stays() -> None:
    for word in ("resume=null", "dataset.path=", "hydra.run.dir=outputs/${now:%Y}", "seed=a b", "resume='a b'"):
        assert literal(word) == word
    for word in ("dataset.path=a.npz,b.npz", "dataset.path=choice(a,b)"):
        assert literal(word, multirun=True) == word
        assert literal(word) != word
    for word in ("search.name=x(1),y", "hydra.sweep.dir=a,b"):  # of which a search has one
        assert unquoted(literal(word, multirun=True).partition("=")[2]) == word.partition("=")[2]


def pasted(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Paste a command into bash where `python` is this one and the programs are in the folder."""
    command = command.replace("python train.py", f"'{sys.executable}' '{ROOT / 'train.py'}'")
    command = command.replace("python -m", f"'{sys.executable}' -m")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_command_that_continues_a_run_can_be_pasted(tmp_path: Path) -> None:
    step = Strike("mlp.nn.optimizers.Optimizer.step", 5, "SIGTERM")
    ended = run(tmp_path, *SHORT, f"hydra.run.dir={ODD}", strike=step, code=143)
    (command,) = re.findall(r"Continue with: (.*)", ended.out + ended.err)
    done = pasted(command + " plots=false", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / ODD / "summary.json").read_text())["status"] == "completed"


def test_files_with_any_name_are_read_and_written(train: Command, infer: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), np.arange(40) % 2
    data, model = f"{ODD}.npz", f"{ODD}.npy"
    np.savez(tmp_path / data, x_train=x, y_train=y, x_test=x, y_test=y)
    options = ["-e", "1", "-sz", "4", "--no_wandb", "hydra.run.dir=run"]
    trained = train("-d", "npz", f"dataset.path={data}", f"save.model_path={model}", *options, check=True)
    assert "\nCopied run/best_model.npy to " in trained.stdout
    assert (tmp_path / model).read_bytes() == (tmp_path / "run/best_model.npy").read_bytes()
    measured = infer("-mp", model, f"dataset.path={data}", check=True)
    accuracy = json.loads((tmp_path / "run/summary.json").read_text())["test_accuracy"]
    assert f"accuracy {accuracy:.4f}" in measured.stdout


def test_the_commands_that_a_search_prints_can_be_pasted(train: Command, tmp_path: Path) -> None:
    words = ["-m", *SHORT, "-o", "sgd,adam", f"hydra.sweep.dir={ODD}"]
    train(*words, check=True)
    again = train(*words, check=True)
    assert "complete: nothing is left to run" in again.stdout
    shown = python("-m", "mlp.search", "best", ODD, cwd=tmp_path)
    (command,) = re.findall(r"Again: (.*)", shown.stdout)
    done = pasted(command + " plots=false hydra.run.dir=again", tmp_path)
    assert done.returncode == 0, done.stderr
    winner = max((tmp_path / ODD).glob("*/summary.json"), key=lambda p: json.loads(p.read_text())["val_accuracy"])
    assert (tmp_path / "again/best_model.npy").read_bytes() == (winner.parent / "best_model.npy").read_bytes()


def test_of_two_runs_to_continue_the_last_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    for words, expected in (
        (["resume=a", "resume=b"], "b"),
        (["++resume=b"], "b"),
        (["resume=a", "resume=null"], None),
    ):
        composed = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(to_hydra(words))}
        assert composed.get("hydra.run.dir") == (None if expected is None else str(tmp_path / expected))
        assert composed["resume"] == expected


def test_a_run_goes_on_in_its_own_directory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.yaml").touch()
    with pytest.raises(UserError, match=r"hydra\.run\.dir=b cannot be combined with resume=a"):
        to_hydra(["resume=a", "hydra.run.dir=b"])
    assert to_hydra(["resume=a", "hydra.run.dir=./a"])[-1] == f"hydra.run.dir='{tmp_path / 'a'}'"


@pytest.mark.slow
@pytest.mark.parametrize("added", ["--config-dir={}", "hydra.searchpath=[{}]"])
def test_the_commands_of_a_search_name_the_folders_of_its_options(train: Command, tmp_path: Path, added: str) -> None:
    (tmp_path / "my own/optimizer").mkdir(parents=True)
    (tmp_path / "my own/optimizer/mine.yaml").write_text("defaults: [sgd, _self_]\nlearning_rate: 0.25\n")
    words = [added.format(tmp_path / "my own"), "-m", *SHORT, "optimizer=mine", "seed=1,2", "search.name=s"]
    train(*words, check=True)
    search = Search(tmp_path / "multirun_outputs/s")
    again = shlex.split(results.repeat(search, search.best()))[2:]
    train(*again, "hydra.run.dir=again", "plots=false", check=True)
    assert OmegaConf.load(tmp_path / "again/config.yaml").optimizer.learning_rate == 0.25
    assert "nothing is left to run" in train(*shlex.split(results.command(search))[2:], check=True).stdout
