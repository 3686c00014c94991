"""hydra/launcher=local beside Hydra's own sweeper: Hydra's suites for launchers, and how jobs end."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra import version
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.extra.pytest_plugin import hydra_restore_singletons, hydra_sweep_runner  # noqa: F401
from hydra.test_utils import launcher_common_tests as suites
from omegaconf import DictConfig

pytestmark = [
    # The workers of pytest-xdist have a second thread, and from Python 3.12 on a fork beside one warns.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change:UserWarning"),  # as of version 1.1
]
Run = Callable[..., Sequence[JobReturn]]
Plugins.instance()  # Hydra 1.4 imports them once, and a suite would take away again what its first test has imported


@pytest.fixture(autouse=True)
def _version_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suites are of programs that choose none; a test before these may have chosen one in this process."""
    if hasattr(version, "__compat_version__"):  # until Hydra 1.3
        monkeypatch.setattr(version.VersionBase.instance(), "version_base", version.__compat_version__)


@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", [])])
class TestLauncher(suites.LauncherTestSuite):
    pass


@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", ["hydra.sweeper.max_batch_size=2"])])
class TestBatches(suites.BatchedSweeperTestSuite):
    pass


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=local"])])
class TestProgram(suites.IntegrationTestSuite):
    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def run(hydra_restore_singletons: None, hydra_sweep_runner: Any, tmp_path: Path) -> Run:  # noqa: F811, ARG001
    """Run a task for each override of `words`, and return how the jobs ended."""

    def start(task: Callable[[DictConfig], Any], *words: str) -> Sequence[JobReturn]:
        sweep = hydra_sweep_runner(
            calling_file=None, calling_module="hydra.test_utils.a_module", task_function=task, config_path="configs",
            config_name="compose.yaml", overrides=["hydra/launcher=local", *words], temp_dir=tmp_path / "sweep",
        )  # fmt: skip
        with sweep:
            return [job for batch in sweep.returns for job in batch]

    return start


def test_results_are_in_the_order_of_the_jobs_which_run_a_few_at_a_time(run: Run, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()

    def task(cfg: DictConfig) -> tuple[int, int, int]:
        mine = running / str(cfg.bar)
        mine.touch()
        time.sleep(0.3 if cfg.bar == 1 else 0.1)
        together = len(list(running.iterdir()))
        mine.unlink()
        return HydraConfig.get().job.num, cfg.bar, together

    words = ("bar=1,2,3,4,5", "hydra.launcher.n_jobs=2", "hydra.sweeper.max_batch_size=3")
    values = [job.return_value for job in run(task, *words)]
    assert [value[:2] for value in values] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert max(value[2] for value in values) <= 2
    assert not HydraConfig.initialized()


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("too far"), ValueError, "too far"),
        (Unpicklable(1, 2), ChildProcessError, "job 1 ended with Unpicklable: 1 and 2"),
        (SystemExit(3), ChildProcessError, "job 1 ended with exit code 3"),
    ],
)
def test_an_error_is_raised_by_the_sweeper_after_all_jobs(
    run: Run, tmp_path: Path, error: BaseException, kind: type[Exception], message: str
) -> None:
    def task(cfg: DictConfig) -> None:
        (tmp_path / str(cfg.bar)).touch()
        if cfg.bar == 2:
            raise error

    with pytest.raises(kind, match=f"^{message}$") as raised:
        run(task, "bar=1,2,3")
    assert (tmp_path / "3").exists()
    if not isinstance(error, SystemExit):
        assert "in task" in str(raised.value.__cause__)  # the traceback of the job


@pytest.mark.parametrize(("restarts", "runs"), [(None, 1), (2, 3)])
def test_a_killed_job_fails_unless_it_may_be_restarted(
    run: Run, tmp_path: Path, restarts: int | None, runs: int
) -> None:
    def task(_: DictConfig) -> None:
        with (tmp_path / "runs").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ChildProcessError, match="job 0 was killed by SIGKILL"):
        run(task, f"hydra.launcher.restarts={'null' if restarts is None else restarts}")
    assert (tmp_path / "runs").read_text() == "x" * runs


def test_a_large_result_comes_back_and_one_that_cannot_is_named(run: Run) -> None:
    (job,) = run(lambda _: b"x" * 10**7)
    assert len(job.return_value) == 10**7
    with pytest.raises(ChildProcessError, match="job 0 returned a function, which cannot leave its process"):
        run(lambda _: lambda: 1)


@pytest.mark.parametrize("setting", ["n_jobs=0", "n_jobs=two", "restarts=-1"])
def test_a_wrong_setting_is_refused(run: Run, setting: str) -> None:
    with pytest.raises(Exception, match=f"hydra.launcher.{setting.partition('=')[0]} must be an integer >= "):
        run(lambda _: 1, f"hydra.launcher.{setting}")
