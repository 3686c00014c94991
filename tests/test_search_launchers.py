"""The same search on other engines of Hydra: joblib always, the rest where it is installed."""

import csv
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import runs
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.trial import TrialState

from hydra_plugins.hydra_trials.launcher import LocalLauncher
from hydra_trials import signals
from hydra_trials.compat import VERSION_BASE
from hydra_trials.search import Search
from mlp.cli.messages import explain
from mlp.config.files import CONF

GRID = ("-m", "-d", "digits", "-e", "3", "-sz", "16", "tracker=none", "search.name=grid", "search.workers=2")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}  # it leaves a token in the home directory


def slurm_is_up() -> bool:
    if not shutil.which("sinfo"):
        return False
    answer = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, timeout=20, check=False)
    return "idle" in answer.stdout or "mixed" in answer.stdout


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: see the extras of pyproject.toml")


ENGINES = [
    "joblib",
    pytest.param("submitit_local", marks=[pytest.mark.slow, needs("submitit")]),
    pytest.param(
        "submitit_slurm",
        marks=[pytest.mark.slow, needs("submitit"), pytest.mark.skipif(not slurm_is_up(), reason="no Slurm here")],
    ),
    pytest.param("ray", marks=[pytest.mark.slow, needs("ray")]),
]


def launch(place: Path, engine: str, *arguments: str, **popen: object) -> "subprocess.Popen[str]":
    chosen = [] if engine == "local" else [f"hydra/launcher={engine}"]
    return runs.start(place, *GRID, *chosen, *arguments, env={**os.environ, **QUIET}, **popen)


def leaderboard(place: Path) -> list[tuple[str, str, str]]:
    with (place / "multirun_outputs" / "grid" / "leaderboard.csv").open(newline="") as file:
        return sorted((row["optimizer"], row["state"], row["val_accuracy"]) for row in csv.DictReader(file))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """What the search finds without any of these engines."""
    place = tmp_path_factory.mktemp("local")
    assert runs.finish(launch(place, "local", "-o", "sgd,adam,nag")).code == 0
    return leaderboard(place)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_finds_what_the_local_one_finds(
    engine: str, tmp_path: Path, local: list[tuple[str, str, str]]
) -> None:
    ended = runs.finish(launch(tmp_path, engine, "-o", "sgd,adam,nag", "search.workers=3"))
    assert ended.code == 0, ended.err
    assert engine != "joblib" or "Joblib.Parallel(n_jobs=3" in ended.out  # by itself it takes the number of cores
    assert [state for _, state, _ in local] == ["done"] * 3
    assert leaderboard(tmp_path) == local
    assert "grid: 3 done" in ended.out
    assert "trial 2 done: val_accuracy" in ended.out  # told while the engine was at work
    assert {path.name for path in (tmp_path / "multirun_outputs").iterdir()} == {"grid"}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_search_leaves_no_worker_and_no_trial_behind(engine: str, tmp_path: Path) -> None:
    arguments = ("-o", "sgd,adam,nag", "training.epochs=20000")
    process = launch(tmp_path, engine, *arguments, start_new_session=True, preexec_fn=interruptible)
    directory = tmp_path / "multirun_outputs" / "grid"
    runs.wait_until(process, lambda: all((directory / n / "metrics.csv").exists() for n in "01"), timeout=300)
    process.send_signal(signal.SIGINT)  # to this process alone: an engine's workers may be anywhere
    ended = runs.finish(process)
    assert ended.code == 130
    assert "Stopped: 0 of 3 trials are done. The same command continues." in ended.out
    for trial in wait_for_the_end(directory):
        assert trial.state == TrialState.WAITING or trial.user_attrs["reason"] == "interrupted"
    assert {path.name for path in (directory / "running").iterdir()} == {"search"}


def interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run in the background


def wait_for_the_end(directory: Path) -> Iterator[object]:
    """The trials, once no worker holds one."""
    search, deadline = Search(directory), time.monotonic() + 120
    while any(trial.state == TrialState.RUNNING for trial in search.study.get_trials()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    trials = search.study.get_trials()
    assert sorted(t.user_attrs["point"] for t in trials if t.state == TrialState.WAITING) == [0, 1, 2]
    yield from trials


@pytest.mark.slow
@needs("ray")
def test_a_cluster_of_ray_that_is_there_already_is_joined(tmp_path: Path, local: list[tuple[str, str, str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    short = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # names of sockets may have 107 characters
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--object-store-memory=80000000"]
    options = {"env": {**os.environ, **QUIET}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    head = [f"--port={port}", "--head", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={short}"]
    nodes = [subprocess.Popen([*ray, *head], **options)]
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert nodes[0].poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        more = [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.2", "--num-cpus=1"]
        nodes.append(subprocess.Popen([*ray, *more], **options))
        address = f"hydra.launcher.ray.init.address=127.0.0.1:{port}"
        ended = runs.finish(launch(tmp_path, "ray", address, "-o", "sgd,adam,nag"))
        assert ended.code == 0, ended.err
        assert leaderboard(tmp_path) == local
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in reversed(nodes):
            node.wait(300)
        shutil.rmtree(short, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(("engine", "extra"), [("ray", "ray"), ("submitit_slurm", "slurm"), ("joblib", "joblib")])
def test_an_engine_that_is_not_installed_is_named_with_its_extra(engine: str, extra: str) -> None:
    error = HydraException(f"In 'hydra/config': Could not find 'hydra/launcher/{engine}'\n\nAvailable options ...")
    message = f"hydra/launcher={engine} is not installed: pip install -e '.[{extra}]'"
    assert explain(error, []) == message


# Interruptions of the local one


class Lost:
    """A task that is interrupted in a finalizer, where Python drops what is raised, and then goes on until told."""

    def __call__(self, _: DictConfig) -> None:
        class Finalized:
            def __del__(self) -> None:
                os.kill(os.getpid(), signal.SIGINT)

        del [Finalized()][0]
        until = time.monotonic() + 60
        while not signals.received:
            assert time.monotonic() < until, "the interruption is lost"
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_an_interruption_that_a_finalizer_swallows_is_heeded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(**VERSION_BASE, config_dir=str(CONF)):
        config = compose(
            "config", overrides=[f"hydra.sweep.dir={tmp_path}", "search.name=x"], return_hydra_config=True
        )
        loader = GlobalHydra.instance().config_loader()
    launcher = LocalLauncher()
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    launcher.setup(hydra_context=context, task_function=Lost(), config=config)
    with pytest.raises(KeyboardInterrupt):
        launcher.launch([["hydra.sweep.subdir=0"]], initial_job_idx=0)
    assert capfd.readouterr().err == ""
