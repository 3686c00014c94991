"""The painter draws what the run itself would draw, and whatever happens to it no plot is lost."""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import runs

from mlp import experiment
from mlp.report import painter as painter_module
from mlp.report import run_plots
from mlp.report.painter import Painter

PLOTS = {f"{name}.png" for name in ("curves", "confusion_counts", "confusion_normalised", "per_class", "samples")}
MNIST = (
    "-d",
    "mnist",
    "training.epochs=9",
    "-sz",
    "32",
    "--no_wandb",
    "hydra.run.dir=run",
)  # long enough for the painter


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run whose plots are there."""
    place = tmp_path_factory.mktemp("finished")
    runs.run(place, "-d", "digits", "-e", "2", "-sz", "8", "--no_wandb", "hydra.run.dir=run", "plots=null")
    return place / "run"


def pictures(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "plots").iterdir()}


def test_it_draws_the_same_pictures_bit_by_bit(finished: Path) -> None:
    drawn_here = pictures(finished)
    assert set(drawn_here) == PLOTS
    for path in (finished / "plots").iterdir():
        path.unlink()
    painter = Painter()
    painter.start(finished)
    try:
        assert painter.draw()
    finally:
        painter.close()
    assert pictures(finished) == drawn_here


def test_one_that_was_never_started_leaves_the_drawing_to_the_caller() -> None:
    painter = Painter()
    assert not painter.draw()
    painter.close()


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)", "print('what?')"])
def test_a_process_that_fails_leaves_the_drawing_to_the_caller(
    finished: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter_module, "PROGRAM", program)
    painter = Painter()
    painter.start(finished)
    assert not painter.draw()
    painter.close()


def test_a_process_that_does_not_answer_is_given_up_and_ended(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter_module, "PATIENCE", 0.2)
    painter = Painter()
    painter.start(finished)
    process = painter._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    assert not painter.draw()
    painter.close()
    assert process.returncode == -signal.SIGKILL


def test_without_an_interpreter_to_start_the_drawing_is_left_to_the_caller(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    painter = Painter()
    painter.start(finished)
    assert not painter.draw()
    painter.close()


@pytest.mark.parametrize("broken", ["plots", "predictions.npz"])
def test_what_it_cannot_draw_is_reported_by_the_caller(
    finished: Path, broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("metrics.csv", "predictions.npz"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / broken).write_bytes(b"what should be a folder, or arrays")
    painting = experiment.Painting(beside=True)
    painting.painter.start(tmp_path)
    painting.on_run_end(SimpleNamespace(directory=tmp_path, history=[{"epoch": 1}], status="completed"))  # type: ignore[arg-type]
    assert "The plots could not be drawn" in caplog.text


def test_closing_it_in_the_middle_of_a_picture_leaves_no_half_of_a_file(finished: Path) -> None:
    painter = Painter()
    painter.start(finished)
    process = painter._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.write("draw\n")
    process.stdin.flush()
    runs.wait_until(process, lambda: any((finished / "plots").glob(".*")))  # type: ignore[arg-type]
    painter.close()
    time.sleep(0.5)  # for the half that draws in a fork
    assert list((finished / "plots").glob(".*")) == []


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    process = runs.start(tmp_path, *MNIST, "training.epochs=100", "plots=null")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("needs Linux' list of children")
    runs.wait_until(process, lambda: (tmp_path / "run/metrics.csv").exists())
    runs.wait_until(process, lambda: bool(children.read_text()))
    (painter,) = map(int, children.read_text().split())
    os.kill(process.pid, signal.SIGKILL)
    runs.finish(process)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{painter}").exists() and "zombie" not in Path(f"/proc/{painter}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_drawing_is_split_without_losing_or_repeating_a_plot(finished: Path) -> None:
    assert {path.name for path, _ in run_plots.plots(finished)} == PLOTS
