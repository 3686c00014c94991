"""The switch `plots`: who draws pictures, and when."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Command
from forks import python

ONE = ("-d", "digits", "-e", "1", "-sz", "8", "--no_wandb")
SEARCH = ("-d", "digits", "-sz", "8", "--no_wandb", "-m", "search.name=s", "search.workers=2")
DEFAULT = "plots=null"  # as if it was not given; the tests give false otherwise
PLOTS = {
    f"{name}.png"
    for name in ("curves", "confusion_counts", "confusion_normalised", "per_class", "reliability", "samples")
}


def drawn(search: Path) -> dict[str, set[str]]:
    """Of the trials that have pictures: which."""
    return {path.parent.name: {file.name for file in path.iterdir()} for path in search.glob("*/plots")}


def best(search: Path) -> str:
    rows = (search / "leaderboard.csv").read_text().splitlines()
    return rows[1].split(",")[1]


@pytest.fixture
def search(tmp_path: Path) -> Path:
    return tmp_path / "multirun_outputs" / "s"


def test_a_search_draws_its_best_trial_only_and_again_when_that_changes(train: Command, search: Path) -> None:
    train(*SEARCH, "training.epochs=range(1,3)", DEFAULT, check=True)
    first = best(search)
    assert drawn(search) == {first: PLOTS}
    before = {path: path.stat().st_mtime_ns for path in search.glob("*/plots/*")}
    assert f"{first}/plots/curves.png" in (search / "search.html").read_text()

    train(*SEARCH, "training.epochs=range(1,5)", DEFAULT, check=True)
    second = best(search)
    assert second != first
    assert drawn(search) == {first: PLOTS, second: PLOTS}
    assert {path: path.stat().st_mtime_ns for path in before} == before  # drawn once


@pytest.mark.slow
def test_what_is_missing_of_the_best_trials_plots_is_drawn_when_the_search_is_called_again(
    train: Command, search: Path
) -> None:
    train(*SEARCH, "training.epochs=1", "seed=1,2", DEFAULT, check=True)
    (search / best(search) / "plots/curves.png").unlink()
    train(*SEARCH, "training.epochs=1", "seed=1,2", DEFAULT, check=True)
    assert drawn(search) == {best(search): PLOTS}


@pytest.mark.slow
def test_on_the_command_line_it_decides_in_a_search_and_makes_no_other_search_of_it(
    train: Command, search: Path
) -> None:
    train(*SEARCH, "training.epochs=1", "seed=range(1,3)", "plots=false", check=True)
    assert drawn(search) == {}
    train(*SEARCH, "training.epochs=1", "seed=range(1,4)", "plots=true", check=True)
    assert drawn(search) == {"2": PLOTS, best(search): PLOTS}
    again = train(
        *SEARCH, "training.epochs=1", "seed=range(1,4)", DEFAULT, check=True
    )  # the same search as with plots=true
    assert "complete: nothing is left to run" in again.stdout


def test_on_the_command_line_it_decides_in_a_single_run(train: Command, tmp_path: Path) -> None:
    train(*ONE, "hydra.run.dir=with", DEFAULT, check=True)
    train(*ONE, "hydra.run.dir=without", "plots=false", check=True)
    assert {path.name for path in (tmp_path / "with/plots").iterdir()} == PLOTS
    assert not (tmp_path / "without/plots").exists()
    assert json.loads((tmp_path / "without/summary.json").read_text())["status"] == "completed"


@pytest.mark.slow
def test_the_plots_of_a_trial_can_be_drawn_later_and_by_resuming_it(train: Command, search: Path) -> None:
    train(*SEARCH, "training.epochs=1", "seed=1,2", "plots=false", check=True)
    assert python("-m", "mlp.report", "run", str(search / "0"), cwd=ROOT).returncode == 0
    train(f"resume={search / '1'}", "training.epochs=2", "plots=true", check=True)
    assert drawn(search) == {"0": PLOTS, "1": PLOTS}


@pytest.mark.slow
def test_a_run_from_before_the_switch_can_be_resumed(train: Command, tmp_path: Path) -> None:
    train(*ONE, "hydra.run.dir=run", "plots=false", check=True)
    config = tmp_path / "run/config.yaml"
    config.write_text(config.read_text().replace("plots: false\n", ""))
    train("resume=run", "training.epochs=2", DEFAULT, check=True)
    assert {path.name for path in (tmp_path / "run/plots").iterdir()} == PLOTS


def test_other_values_are_refused(train: Command, tmp_path: Path) -> None:
    ended = train(*ONE, "plots=some")
    assert (ended.returncode, ended.stderr) == (2, "Error: plots must be true or false or null. Got 'some'\n")
    assert not (tmp_path / "outputs").exists() or not any((tmp_path / "outputs").rglob("*.*"))


def test_without_plots_nothing_that_draws_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from mlp.cli.train import main\n"
        f"sys.argv = ['train.py', *{(*ONE, 'plots=false')}]\n"
        "main()\n"
        "print([name for name in sys.modules if name.startswith(('matplotlib', 'PIL', 'mlp.report.'))])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
