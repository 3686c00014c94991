"""Shared by all tests: one BLAS thread, no network, and `train` / `infer`, which run the real programs."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from forks import FORKS, python

from mlp.base import blas

# Where nothing compiled is kept, every process of the tests compiles the project, and every worker the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
blas.prepare()  # before NumPy is imported: as the programs do, and the test workers share the cores

import numpy as np  # noqa: E402
from runs import plotless  # noqa: E402

from mlp.data import Digits, published  # noqa: E402

# In the background it is ignored, and the programs that tests start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files go where pytest clears up: processes that are killed leave theirs."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(tmp_path_factory.mktemp("t"))
    yield
    FORKS.close()


Command = Callable[..., subprocess.CompletedProcess[str]]
Refusal = Callable[..., str]


def _command(script: str, cwd: Path) -> Command:
    def run(*arguments: str, timeout: float = 300, env: dict[str, str] | None = None, check: bool = False):
        words = plotless(arguments) if script == "train.py" else arguments
        result = python(str(ROOT / script), *words, cwd=cwd, env={**os.environ, **(env or {})}, timeout=timeout)
        if check and result.returncode:
            pytest.fail(f"{script} {' '.join(arguments)}\n{result.stdout}\n{result.stderr}")
        return result

    return run


@pytest.fixture
def train(tmp_path: Path) -> Command:
    """Run train.py in an empty folder, without plots: `train("-d", "digits", "-e", "1")`; check=True fails on a
    non-zero exit."""
    return _command("train.py", tmp_path)


@pytest.fixture
def infer(tmp_path: Path) -> Command:
    """Run inference.py in an empty folder."""
    return _command("inference.py", tmp_path)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A directory for reading, which the first test worker that needs it makes for all of them."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "made").exists():
            place.mkdir(exist_ok=True)
            make(place)
            (place / "made").touch()
    return place


@pytest.fixture(scope="session")
def quick_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small version of all ten studies was run on digits: `report/`, `multirun_outputs/`, `ended.json`."""

    def make(place: Path) -> None:
        words = ["-m", "mlp.report", "studies", "-d", "digits", "--quick"]
        ended = python(*words, cwd=place, timeout=600, env={**os.environ, "WANDB_MODE": "disabled"})
        ended_as = {"code": ended.returncode, "out": ended.stdout, "err": ended.stderr}
        (place / "ended.json").write_text(json.dumps(ended_as))

    return once(tmp_path_factory, "studies", make)


@pytest.fixture(scope="session")
def digits_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a real search on digits, for reading: two trials of three that reach something, on two seeds
    each, and one that diverges. Tests that change something copy it."""
    words = ["-m", "dataset=digits", "tracker=none", "training.epochs=1", "training.batch_size=128", "optimizer=sgd"]
    words += [
        "optimizer.learning_rate=0.001,0.1,1e30",
        "search.seeds=2",
        "search.name=small",
        "search.workers=2",
        "plots=null",
    ]

    def make(place: Path) -> None:
        _command("train.py", place)(*words, check=True)

    return once(tmp_path_factory, "search", make) / "multirun_outputs" / "small"


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run on digits, for reading: 64-24-12-10, tanh."""
    line = "-d digits -e 4 -sz 24 12 -a tanh -lr 0.01 -s 3 --no_wandb hydra.run.dir=run"
    return once(tmp_path_factory, "run", lambda place: _command("train.py", place)(*line.split(), check=True)) / "run"


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of the test set of the digits."""
    x, y = Digits().load("test")
    return x / 16, y


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Call the `main` of a program with a mistake: it ends with code 2 and one message, which is returned."""

    def call(main: Callable[[Sequence[str]], object], *words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        message = capsys.readouterr().err
        assert message.startswith("Error: ")
        assert message.count("\n") == 1
        return message

    return call


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to be in, with an index of runs of its own."""
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def three(runs_folder: None) -> list[Path]:  # noqa: ARG001 (it writes there)
    from made_runs import three_runs

    return three_runs()


@pytest.fixture
def no_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, no Keras and nothing that Keras has downloaded."""
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    monkeypatch.setitem(sys.modules, "keras", None)
    published.fetch.cache_clear()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens: the real fetch_openml fails
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={4 * 2**20}", "tmpfs", disk],
            capture_output=True,
            text=True,
            check=False,
        )
        if shutil.which("mount")
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip() if mounted else 'no mount'}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
