"""`python -m mlp.profile`: its numbers add up, it measures the training that train.py does, and it leaves nothing."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Command
from forks import python

from mlp.config.files import options
from mlp.data import Digits
from mlp.nn import GELU, MLP, Adam, BatchNorm, Constant
from mlp.tools import profile, stopwatch
from mlp.tools.stopwatch import Stopwatch, breakdown
from mlp.training import Run, Trainer, random_streams

ROW = re.compile(r"^(\S.*?) +(-?[\d.]+) +(-?[\d.]+) %(?: +#*)?$", re.MULTILINE)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "mlp.profile", *arguments, cwd=cwd)


def rows_of(text: str) -> dict[str, float]:
    """Microseconds by part; the last row is the step. Everything printed adds up, within what rounding hides."""
    found = ROW.findall(text)
    rows = {name: float(microseconds) for name, microseconds, _ in found}
    assert len(rows) == len(found)
    *parts, step = rows.values()
    assert list(rows)[-1] == "step"
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(step, abs=0.05 * len(rows))
    assert sum(float(share) for *_, share in found[:-1]) == pytest.approx(100, abs=0.05 * len(rows))
    return rows


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SECONDS", 0.1)


def test_the_command_prints_a_table_that_adds_up_and_writes_nothing(tmp_path: Path) -> None:
    result = command("-d", "digits", "-sz", "16", "8", "-a", "tanh", "-b", "32", "optimizer=sgd", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert not list(tmp_path.iterdir())
    rows = rows_of(result.stdout)
    assert list(rows) == [
        "batch: gather and scale",
        "layer 1 forward: product X W", "layer 1 forward: bias", "layer 1 forward: tanh",
        "layer 2 forward: product X W", "layer 2 forward: bias", "layer 2 forward: tanh",
        "layer 3 forward: product X W", "layer 3 forward: bias",
        "loss: cross_entropy",
        "layer 3 backward: weight gradient Xᵀ D", "layer 3 backward: input gradient D Wᵀ",
        "layer 3 backward: bias gradient",
        "layer 2 backward: tanh derivative", "layer 2 backward: weight gradient Xᵀ D",
        "layer 2 backward: input gradient D Wᵀ", "layer 2 backward: bias gradient",
        "layer 1 backward: tanh derivative", "layer 1 backward: weight gradient Xᵀ D",
        "layer 1 backward: bias gradient",
        "metrics, clipping, learning rate", "optimizer: sgd", "Python between the layers", "step",
    ]  # fmt: skip
    assert "digits, network 64-16-8-10, float32, batch 32" in result.stdout
    products = [value for name, value in rows.items() if "product" in name or "Xᵀ D" in name or "D Wᵀ" in name]
    alone = re.search(r"matrix products alone: ([\d.]+) µs", result.stdout)
    assert alone
    assert float(alone[1]) == pytest.approx(sum(products), abs=0.05 * (len(products) + 1))
    assert 0 < sum(products) < rows["step"]
    assert f"NumPy {np.__version__} with " in result.stdout


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "arguments",
    [
        *(f"-o {name} -wd 1e-4" for name in options("optimizer")),
        "-nhl 0",
        "model.activations=[gelu,relu,identity] -l mse",
        "-b 1 schedule=cosine",
        "-b 100000 -e 1",
        "-b 1000 -e 1 model.dtype=float64",
        "dataset.validation_fraction=0",
    ],
)
def test_every_configuration_is_measured(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile.main(["-d", "digits", *arguments.split()])
    rows = rows_of(capsys.readouterr().out)
    assert all(rows[name] > 0 for name in rows if name.startswith(("batch", "loss", "optimizer", "metrics")))


@pytest.mark.usefixtures("quick")
def test_a_forced_choice_of_kernels_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("Haswell", None):
        if value:
            monkeypatch.setenv("OPENBLAS_CORETYPE", value)
        else:
            monkeypatch.delenv("OPENBLAS_CORETYPE")
        profile.main(["-d", "digits"])
        assert ("OPENBLAS_CORETYPE=Haswell is set" in capsys.readouterr().out) == bool(value)


def test_a_wrong_option_gets_the_message_of_train(train: Command, tmp_path: Path) -> None:
    result = command("-o", "adm", cwd=tmp_path)
    assert result.returncode == 2
    assert "did you mean 'adam'?" in result.stderr
    assert result.stderr == train("-o", "adm").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--bach 3", "unknown flag --bach; did you mean"),
        ("-b 0", "batch_size must be an integer >= 1. Got 0"),
        ("optimizer.lr=1", "did you mean 'optimizer.learning_rate'?"),
        ("-m optimizer=adam,sgd", "--multirun is for training"),
        ("--cfg job", "--cfg is for training"),
        ("resume=outputs/x", "resume=outputs/x is for training"),
        ("-o adam,sgd", "optimizer=adam,sgd is a sweep"),
        ("-lr interval(1e-3,1e-1)", "is a sweep"),
    ],
)
def test_mistakes_and_what_is_no_single_run_are_refused(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        profile.main(arguments.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_imports_neither_hydra_nor_numpy() -> None:
    program = (
        "import sys; from mlp.tools.profile import main; main(['-h']); print({'hydra', 'numpy'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage: python -m mlp.profile" in result.stdout
    assert result.stdout.endswith("set()\n")


@pytest.mark.parametrize("parts", [{}, {"activation": GELU(), "normalization": BatchNorm(), "dropout": 0.2}], ids=len)
def test_a_measured_training_ends_with_the_weights_of_any_other(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "TURN", 0.0)  # every kind of step, again and again
    ends = []
    for measured in (False, True):
        random = random_streams(0)
        train, validation = Digits().split(random["split"])
        network = MLP(64, 10, [16, 8], rng=random["init"], **parts)
        optimizer, schedule = Adam(), Constant()
        watch = Stopwatch(network)
        run = Run(Path(), {}, network, optimizer, schedule, random, [watch] if measured else [])
        Trainer(epochs=2, batch_size=50).fit(run, train, validation)
        ends.append(network.theta.copy())
        assert (min(len(watch.plain), len(watch.timed)) > 5) == measured
    assert np.array_equal(*ends)


def test_the_stopwatch_subtracts_its_own_time() -> None:
    # A step of 10 s: f takes 6, g 3, and 1 lies between them. With the clock being read it takes 4 µs longer, 1 µs
    # for each reading. Far outliers come and go.
    u = 1e-6
    parts = {"f": 6 + u, "g": 3 + u, "rest": 1 + 2 * u}
    timed = [parts, dict.fromkeys(parts, 50.0), parts]
    found = breakdown([10.0, 10.0, 99.0], timed, readings={"f": 1, "g": 1, "rest": 2})
    assert sum(found.values()) == pytest.approx(10, abs=1e-12)
    assert found == pytest.approx({"f": 6, "g": 3, "rest": 1}, abs=1e-9)
