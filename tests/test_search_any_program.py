"""hydra/sweeper=trials searches over any Hydra program: its task's return value, its reports, its launchers."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from forks import python
from searches import assert_trials, finished, states, trials

from hydra_trials.samplers import PRUNERS, SAMPLERS, SYNONYMS

ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}  # of somebody who has installed nothing else
APP = """
import math

import hydra
import hydra_trials

# Hydra 1.3 asks for the version of its rules, 1.4 for what may be called.
options = {"version_base": None} if hydra.__version__ < "1.4" else {"execution_whitelist": ["logging.*"]}

@hydra.main(**options, config_path=None)
def main(cfg):
    distance = (cfg.x - 2) ** 2
    for step in range(1, 6):
        hydra_trials.report(step, distance + 1 / step)
    if cfg.x > 100:
        raise ValueError("too far")
    if cfg.x > 10:
        return math.nan
    return {"distance": distance, "steps": 5, "x": cfg.x} if cfg.get("named") else distance

main()
"""


def app(cwd: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    (cwd / "app.py").write_text(APP)
    return python(str(cwd / "app.py"), "-m", "hydra/sweeper=trials", *words, cwd=cwd, env=ENVIRONMENT)


def test_a_task_is_searched_pruned_and_continued(tmp_path: Path) -> None:
    words = ("hydra/launcher=local", "hydra.sweeper.name=s", "hydra.sweeper.pruner=median", "+x=interval(0,5)")
    done = app(tmp_path, *words, "hydra.sweeper.trials=8")
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "multirun" / "s"
    found = finished(directory)
    assert {*states(found)} == {"COMPLETE", "PRUNED"}
    pruned = next(trial for trial in found if trial.state.name == "PRUNED")
    # At which step depends on what the other worker has reported by then.
    assert re.match(r"pruned after step [1-5]: value [\d.]+ is too far behind", pruned.user_attrs["reason"])
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
    # For optuna-dashboard.
    assert '{"study:metric_names":["distance","steps"]}' in (tmp_path / "multirun/s/journal.log").read_text()


def test_a_mistake_is_one_message(tmp_path: Path) -> None:
    done = app(tmp_path, "hydra.sweeper.sampler=tpe", "+x=interval(0,5)")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "hydra.sweeper.trials must be given: how many points tpe tries in all (sampler=grid: each one)\n"
    )
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


NEEDED = {"qmc": "scipy", "cmaes": "cmaes", "gp": "torch", "nsgaii": None, "nsgaiii": None}  # what they need


@pytest.mark.parametrize("sampler", NEEDED)
def test_a_sampler_has_a_short_name_and_says_what_it_needs(tmp_path: Path, sampler: str) -> None:
    needed = NEEDED[sampler]
    words = (f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.trials=4", "hydra.sweeper.name=s")
    done = app(tmp_path, *words, "hydra/launcher=local", "+x=interval(0,5)", "+y=interval(0,1)")
    if needed is None or importlib.util.find_spec(needed):
        assert done.returncode == 0, done.stderr
        assert states(finished(tmp_path / "multirun" / "s")) == ["COMPLETE"] * 4
    else:
        assert f"needs the package {needed}, which is not installed. Install it, or choose" in done.stderr
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.parametrize("name", [*SAMPLERS, *PRUNERS, *SYNONYMS])
def test_every_short_name_is_in_the_documentation(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "any-hydra-program.md").read_text()
    assert name in (ROOT / "hydra_plugins" / "hydra_trials" / "sweeper.py").read_text()
    assert name in (ROOT / "conf" / "search" / "_base_.yaml").read_text()


def test_samplers_and_pruners_are_options_whose_arguments_can_be_changed(tmp_path: Path) -> None:
    words = ("hydra.sweeper.trials=2", "hydra/launcher=local", "hydra.sweeper.name=s", "+x=interval(0,5)")
    for way in ("hydra.sweeper.{}={}", "hydra/sweeper/{}={}"):
        chosen = (way.format("sampler", "qmc"), way.format("pruner", "median"))
        done = app(tmp_path, *words, *chosen)
        assert done.returncode == 0, done.stderr
    assert "is complete" in done.stdout  # it is the same search
    changed = app(tmp_path, *words, *chosen, "+hydra.sweeper.sampler.seed=1")
    assert "another definition (sampler was quasi_random, now {'_target_': 'optuna.sam" in changed.stderr
    fewer = ("hydra/sweeper/sampler=tpe", "+hydra.sweeper.sampler.n_startup_trials=1")
    assert app(tmp_path, *words[:2], *words[3:], *fewer).returncode == 0
    grid = app(tmp_path, "hydra/sweeper/sampler=grid", "+x=1,2", "hydra.sweeper.dry_run=true")
    assert "2 trials by grid\n" in grid.stdout


OWN_OPTION = """
from hydra.core.config_store import ConfigStore
node = {"_target_": "optuna.samplers.TPESampler", "seed": None, "n_startup_trials": 3}  # as in hydra-optuna-sweeper
ConfigStore.instance().store(group="hydra/sweeper/sampler", name="tpe", node=node)
"""


def test_an_option_that_the_program_has_stays_and_its_seed_is_that_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "APP", OWN_OPTION + APP)
    words = ("hydra/sweeper/sampler=tpe", "hydra/launcher=local", "hydra.sweeper.workers=1", "+x=interval(0,5)")
    for name in "ab":
        done = app(tmp_path, *words, f"hydra.sweeper.name={name}", "hydra.sweeper.trials=4")
        assert done.returncode == 0, done.stderr
    one, other = (finished(tmp_path / "multirun" / name) for name in "ab")
    assert [trial.params for trial in one] == [trial.params for trial in other]
    assert "n_startup_trials" in (tmp_path / "multirun" / "a" / "search.json").read_text()


def test_nan_and_errors_are_failed_trials_and_the_search_goes_on(tmp_path: Path) -> None:
    done = app(
        tmp_path, "hydra/launcher=local", "hydra.sweeper.sampler=grid", "hydra.sweeper.name=s", "+x=11,101,3",
        "hydra.sweeper.workers=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = finished(tmp_path / "multirun" / "s")
    assert [trial.values for trial in found] == [None, None, [1]]
    assert [trial.user_attrs.get("reason") for trial in found] == ["value is nan", "ValueError: too far", None]
    assert "s: trial 2 is the best: value 1" in done.stdout


def test_the_best_trial_keeps_the_constraints(tmp_path: Path) -> None:
    words = ("hydra.sweeper.objectives=[distance]", "+named=true", "+x=0,1,2", "hydra.sweeper.trials=12")
    words += ("hydra/launcher=local", "hydra.sweeper.name=s", "hydra.sweeper.workers=1")
    done = app(tmp_path, *words, "hydra.sweeper.constraints={x:1}")
    found = finished(tmp_path / "multirun" / "s")
    violations = [trial.system_attrs["constraints"] for trial in found]
    assert violations == [[trial.params["x"] - 1] for trial in found]
    assert {trial.params["x"] for trial in found} == {0, 1, 2}  # without constraints 2 were the best
    assert "distance 1  x=1\n" in done.stdout
    reasons = {trial.params["x"]: trial.user_attrs.get("reason") for trial in found}
    assert reasons == {0: None, 1: None, 2: "x 2 is beyond 1"}
    changed = app(tmp_path, *words)
    assert "another definition (constraints was {'x': 1.0}, now None)" in changed.stderr


@pytest.mark.parametrize(
    ("constraints", "sampler", "message"),
    [
        ("{x:1}", "random", "hydra.sweeper.constraints need a sampler that keeps to them: one of tpe"),
        ("x", "tpe", "hydra.sweeper.constraints must be names of the result with their upper bounds"),
    ],
)
def test_constraints_that_would_be_ignored_are_refused(
    tmp_path: Path, constraints: str, sampler: str, message: str
) -> None:
    words = (f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.trials=3", "+x=interval(0,5)")
    done = app(tmp_path, *words, f"hydra.sweeper.constraints={constraints}")
    assert done.stderr.startswith(message)


def test_a_constraint_on_nothing_fails_the_trials_with_the_reason(tmp_path: Path) -> None:
    words = ("hydra.sweeper.objectives=[distance]", "+named=true", "hydra.sweeper.trials=2", "+x=interval(0,5)")
    done = app(tmp_path, *words, "hydra/launcher=local", "hydra.sweeper.constraints={size:1}", "hydra.sweeper.name=s")
    assert done.returncode == 1
    reason = "hydra.sweeper.constraints: size is not a number of the result. It has distance, steps, x"
    assert {trial.user_attrs["reason"] for trial in finished(tmp_path / "multirun" / "s")} == {reason}


EXAMPLE = ROOT / "examples" / "any_hydra_program"
COMMANDS = [line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("python ")]


@pytest.mark.parametrize("number", range(5))
def test_the_commands_of_the_example_work_and_go_on(tmp_path: Path, number: int) -> None:
    place = tmp_path / "example"
    shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns("multirun"))
    (command,) = COMMANDS[number : number + 1]
    _, *words = shlex.split(command.replace("trials=40", "trials=8"))

    def run() -> str:
        done = python(str(place / words[0]), *words[1:], "hydra.sweeper.name=s", cwd=place, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ("is the first of the Pareto front: " if "several" in command else "is the best: ") in run()
    found = finished(place / "multirun" / "s")
    assert len(found) == 8
    assert {*states(found)} <= {"COMPLETE", *(["PRUNED"] if "pruner" in command else [])}
    if "conditional" in command:
        assert all(("slope" in trial.params) == (trial.params["shape"] == "steep") for trial in found)
    if "several" in command:
        assert all(len(trial.values) == 2 for trial in found)
    assert "is complete: nothing is left to run." in run()


def test_the_example_runs_alone(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("multirun"))
    subprocess.run([sys.executable, "app.py"], cwd=tmp_path / "example", env=ENVIRONMENT, check=True)
    assert len(COMMANDS) == 5


def test_a_program_that_asks_for_no_search_imports_little(tmp_path: Path) -> None:
    """Hydra executes the modules of hydra_plugins at every start of every program."""
    (tmp_path / "app.py").write_text(
        "import sys, hydra\n@hydra.main(version_base=None)\ndef main(cfg):\n    print(*sys.modules)\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    imported = set(done.stdout.split())
    assert "hydra_plugins.hydra_trials.launcher" in imported
    slow = {"optuna", "multiprocessing.pool", "numpy", "sqlalchemy", "rich", "mlp", "hydra_trials.driver"}
    assert not imported & slow
