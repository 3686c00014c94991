"""A real run loads only what it uses, and stays small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT

# Runs train.py; at the end of the training and of the program, prints which slow packages are loaded, and VmHWM.
PROGRAM = """
import runpy, sys

sys.argv = sys.argv[1:]
sys.path[0] = sys.argv[0].rpartition("/")[0]

from mlp.training import Trainer

def loaded():
    return [name for name in ("matplotlib", "PIL", "rich", "sklearn", "wandb") if name in sys.modules]

def fit(*arguments):
    original(*arguments)
    print("TRAINED WITH", *loaded())

original, Trainer.fit = Trainer.fit, fit
runpy.run_path(sys.argv[0], run_name="__main__")
print("ENDED WITH", *loaded())
print("PEAK", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
LIMIT = 280  # MB
MNIST = ("-d", "mnist", "-e", "1", "hydra.run.dir=run")

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' account of memory")


def run(place: Path, *arguments: str) -> tuple[set[str], set[str], float]:
    """Run train.py: the packages loaded after the training and at the end, and the peak of its memory in MB."""
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "train.py"), *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    trained, ended = (set(re.search(f"{word} WITH(.*)", done.stdout)[1].split()) for word in ("TRAINED", "ENDED"))  # type: ignore[index]
    return trained, ended, int(re.search(r"PEAK (\d+)", done.stdout)[1]) / 1024  # type: ignore[index]


@pytest.mark.slow
def test_the_default_run_on_mnist_stays_small_with_tracking(tmp_path: Path) -> None:
    trained, _, peak = run(tmp_path, *MNIST)
    assert "wandb" in trained
    assert "matplotlib" not in trained
    assert 50 < peak < LIMIT  # the images alone are 50
    assert (tmp_path / "run/plots/curves.png").exists()


def test_without_tracking_nothing_slow_is_loaded_but_for_the_plots(tmp_path: Path) -> None:
    trained, ended, peak = run(tmp_path, *MNIST, "--no_wandb")
    assert trained == set()
    assert ended == {"matplotlib", "PIL"}
    assert 50 < peak < LIMIT
    assert (tmp_path / "run/plots/curves.png").exists()


def test_without_plots_nothing_slow_is_loaded_at_all(tmp_path: Path) -> None:
    trained, ended, _ = run(tmp_path, "-d", "digits", "-e", "1", "--no_wandb", "plots=false")
    assert trained == ended == set()
