"""A run killed at any moment is continued by one command to the same bits as a run that nobody disturbed."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Strike, assert_same_run, metrics, run, start

EPOCHS = 8
COMMAND = ("-d", "digits", "-e", str(EPOCHS), "-sz", "32", "-wd", "1e-4", "--no_wandb", "schedule=cosine")
DIRECTORY = "hydra.run.dir=killed"
STEP = "mlp.nn.optimizers.Optimizer.step"
SAVE_CHECKPOINT = "mlp.training.checkpoint.save_checkpoint"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The directory of a run that was left in peace, one for each command."""
    known: dict[tuple[str, ...], Path] = {}

    def directory(*arguments: str) -> Path:
        if arguments not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            run(folder, *arguments, "hydra.run.dir=run")
            known[arguments] = folder / "run"
        return known[arguments]

    return directory


def killed(folder: Path, *arguments: str, strike: Strike) -> None:
    run(folder, *arguments, strike=strike, code=-getattr(signal, strike.signal))


def random_strikes(seed: str) -> list[Strike]:
    """One each: within an epoch, before a file is begun, before it is renamed, and in the middle of it."""
    choose = random.Random(seed)
    strikes = [
        Strike(STEP, choose.randint(2, 41)),
        Strike("tempfile.mkstemp", choose.randint(4, 9)),
        Strike("os.replace", choose.randint(4, 9)),
        Strike("tempfile.mkstemp", choose.randint(4, 6), "SIGXFSZ"),
    ]
    return choose.sample(strikes, len(strikes))


@pytest.mark.parametrize(
    "optimizer", ["adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nadam", "nag"))]
)
def test_killed_in_epochs_and_in_files_it_resumes_to_the_same_bits(
    tmp_path: Path, undisturbed: Callable[..., Path], optimizer: str
) -> None:
    first, *others = random_strikes(optimizer)
    killed(tmp_path, *COMMAND, "-o", optimizer, DIRECTORY, strike=first)
    for strike in others:
        killed(tmp_path, "resume=killed", strike=strike)
    run(tmp_path, "resume=killed")
    assert_same_run(tmp_path / "killed", undisturbed(*COMMAND, "-o", optimizer))
    assert [row["epoch"] for row in metrics(tmp_path / "killed")] == [str(i + 1) for i in range(EPOCHS)]


START_UP = [
    Strike("os.replace", 2),  # config.yaml is about to appear
    Strike("mlp.data.digits.Digits.load"),  # it is there
    Strike(SAVE_CHECKPOINT, 1, "SIGXFSZ"),  # half of the first checkpoint is written
    Strike(STEP, 1),
]


@pytest.mark.parametrize(
    "strike", [START_UP[0], *(pytest.param(strike, marks=pytest.mark.slow) for strike in START_UP[1:])], ids=str
)
def test_killed_during_start_up_it_runs_to_the_same_bits(
    tmp_path: Path, undisturbed: Callable[..., Path], strike: Strike
) -> None:
    killed(tmp_path, *COMMAND, DIRECTORY, strike=strike)
    run(tmp_path, *again(tmp_path, COMMAND))
    assert_same_run(tmp_path / "killed", undisturbed(*COMMAND))


def again(folder: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command that continues a killed run, or starts it anew where it had not begun."""
    return ("resume=killed",) if (folder / "killed" / "config.yaml").exists() else (*command, DIRECTORY)


def test_half_written_files_of_a_killed_run_are_gone_after_it_is_continued(tmp_path: Path) -> None:
    def hidden() -> list[str]:
        return [path.name for path in (tmp_path / "killed").iterdir() if path.name.startswith(".")]

    killed(tmp_path, *COMMAND, "-e", "2", DIRECTORY, strike=Strike(SAVE_CHECKPOINT, 2, "SIGXFSZ"))
    assert len(hidden()) == 1
    run(tmp_path, "resume=killed")
    assert hidden() == []


def kill_again_and_again(folder: Path, command: tuple[str, ...], seed: int, kills: int, longest: float) -> None:
    """kill -9 after random times, however far the run came; then let it end."""
    moments = random.Random(seed)
    for _ in range(kills):
        process = start(folder, *again(folder, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.2, longest))
        process.kill()
        process.wait()
    run(folder, *again(folder, command))


def test_kill_9_at_random_times_changes_no_bit(tmp_path: Path, undisturbed: Callable[..., Path]) -> None:
    command = (*COMMAND, "-e", "40")
    kill_again_and_again(tmp_path, command, seed=0, kills=3, longest=1.2)
    assert_same_run(tmp_path / "killed", undisturbed(*command))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "nag"])
def test_kill_9_at_random_times_changes_no_bit_on_mnist(
    tmp_path: Path, undisturbed: Callable[..., Path], optimizer: str
) -> None:
    command = ("-d", "mnist", "-e", "4", "-o", optimizer, "--no_wandb", "schedule=cosine")
    kill_again_and_again(tmp_path, command, seed=1, kills=6, longest=4.0)
    assert_same_run(tmp_path / "killed", undisturbed(*command))
