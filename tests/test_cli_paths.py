"""Paths and names are taken as they are, and every command that is printed works when it is pasted into a shell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command
from hydra.core.override_parser.overrides_parser import OverridesParser
from runs import Strike, run

from mlp.cli import literal, unquoted

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
    for word in ("dataset.path=a.npz,b.npz", "search.name=choice(a,b)"):
        assert literal(word, multirun=True) == word
        assert literal(word) != word


def pasted(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Paste a command into bash where `python` is this one and the programs are in the folder."""
    command = command.replace("python train.py", f"'{sys.executable}' '{ROOT / 'train.py'}'")
    command = command.replace("python -m", f"'{sys.executable}' -m")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=120, check=False
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
    train("-d", "npz", f"dataset.path={data}", f"save.model_path={model}", *options, check=True)
    assert (tmp_path / model).read_bytes() == (tmp_path / "run/best_model.npy").read_bytes()
    measured = infer("-mp", model, f"dataset.path={data}", check=True)
    accuracy = json.loads((tmp_path / "run/summary.json").read_text())["test_accuracy"]
    assert f"accuracy {accuracy:.4f}" in measured.stdout


def test_the_commands_that_a_search_prints_can_be_pasted(train: Command, tmp_path: Path) -> None:
    words = ["-m", *SHORT, "-o", "sgd,adam", f"hydra.sweep.dir={ODD}"]
    train(*words, check=True)
    again = train(*words, check=True)
    assert "complete: nothing is left to run" in again.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "mlp.search", "best", ODD],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (command,) = re.findall(r"Again: (.*)", shown.stdout)
    done = pasted(command + " plots=false hydra.run.dir=again", tmp_path)
    assert done.returncode == 0, done.stderr
    winner = max((tmp_path / ODD).glob("*/summary.json"), key=lambda p: json.loads(p.read_text())["val_accuracy"])
    assert (tmp_path / "again/best_model.npy").read_bytes() == (winner.parent / "best_model.npy").read_bytes()
