"""hydra/sweeper=trials searches over any Hydra program: its task's return value, its reports, its launchers."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from searches import assert_trials, finished, states, trials

APP = """
import hydra
import hydra_trials

@hydra.main(version_base=None, config_path=None)
def main(cfg):
    distance = (cfg.x - 2) ** 2
    for step in range(1, 6):
        hydra_trials.report(step, distance + 1 / step)
    if cfg.x > 100:
        raise ValueError("too far")
    return {"distance": distance, "steps": 5} if cfg.get("named") else distance

main()
"""


def app(cwd: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    (cwd / "app.py").write_text(APP)
    line = [sys.executable, "app.py", "-m", "hydra/sweeper=trials", *words]
    return subprocess.run(
        line, cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_task_is_searched_pruned_and_continued(tmp_path: Path) -> None:
    words = ("hydra/launcher=local", "hydra.sweeper.name=s", "hydra.sweeper.pruner=median", "+x=interval(0,5)")
    done = app(tmp_path, *words, "hydra.sweeper.trials=8")
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "multirun" / "s"
    found = finished(directory)
    assert {*states(found)} == {"COMPLETE", "PRUNED"}
    pruned = next(trial for trial in found if trial.state.name == "PRUNED")
    assert pruned.user_attrs["reason"].startswith("pruned after step 2: value ")
    best = min((trial for trial in found if trial.values), key=lambda trial: trial.values[0])
    assert f"s: trial {best.number} is the best: value {best.values[0]:.4g}" in done.stdout
    more = app(tmp_path, *words, "hydra.sweeper.trials=9")
    assert "1 trial to run, 8 done before" in more.stdout
    assert_trials(trials(directory), 9)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_other_launchers_and_named_objectives(tmp_path: Path, launcher: str) -> None:
    done = app(
        tmp_path, f"hydra/launcher={launcher}", "hydra.sweeper.sampler=grid", "hydra.sweeper.name=s", "+named=true",
        "hydra.sweeper.objectives=[distance,steps]", "hydra.sweeper.direction=[minimize,maximize]", "+x=1,2,101",
        "hydra.sweeper.workers=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = finished(tmp_path / "multirun" / "s")
    assert [trial.values for trial in found] == [[1, 5], [0, 5], None]
    assert found[2].user_attrs["reason"] == "ValueError: too far"


def test_a_mistake_is_one_message(tmp_path: Path) -> None:
    done = app(tmp_path, "hydra.sweeper.sampler=tpe", "+x=interval(0,5)")
    assert done.returncode == 1
    assert done.stderr.startswith("hydra.sweeper.trials must be an integer >= 1. Got None\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("{_target_:optuna.samplers.CmaEsSampler,sigma:1}", "hydra.sweeper.sampler cannot be made: "),
        ("{_target_:os.system,command:ls}", "or a _target_ of optuna.samplers. Got "),
        ("{_target_:optuna.samplers.BruteForceSampler}", "choose grid"),
        ("{_target_:optuna.samplers.NSGAIISampler,population_size:2}", ""),
    ],
)
def test_a_sampler_is_any_class_of_optuna(tmp_path: Path, sampler: str, message: str) -> None:
    done = app(
        tmp_path, f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.trials=3", "hydra/launcher=basic", "+x=1,2,3",
        "hydra.sweeper.workers=1",
    )  # fmt: skip
    assert message in done.stderr
    assert (done.returncode, "is the best" in done.stdout) == ((1, False) if message else (0, True)), done.stderr
