"""The live line of a training: labelled, of constant width, with times that add up."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlp.training import progress
from mlp.training.progress import ProgressBar, clock, fixed


def run_at(epoch: int, epochs: int = 12, loss: float = 0.5, metrics: dict[str, float] | None = None) -> Any:
    """A run in its epoch `epoch` of `epochs`, of 10 steps each; 3 of 4 samples of each batch were right."""
    return SimpleNamespace(
        epoch=epoch - 1, epochs=epochs, steps_per_epoch=10, batch_loss=loss, metrics=metrics or {},
        confusion=np.array([[2, 1], [0, 1]]), directory=Path(),
    )  # fmt: skip


class Terminal(io.StringIO):
    """What is printed from its making on; it knows colours, and a clock that only moves by hand."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool = True) -> None:
        super().__init__()
        self.is_terminal, self.seconds = is_terminal, 0.0
        monkeypatch.setattr(sys, "stdout", self)
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.seconds)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.delenv("NO_COLOR", raising=False)

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (59, r" 1/12 ━+─+ loss 0.7500 acc  75.0 % left  0:08, run  1:58"),
        (79, r"epoch  1/12 ━+─+  loss 0.7500  acc  75.00 %  left: epoch  0:08, run  1:58"),
        (119, r"epoch  1/12 ━+─+  loss 0.7500  acc  75.00 % {20}left: epoch  0:08, run  1:58"),
    ],
)
def test_the_line_has_the_running_scores_and_both_times(
    monkeypatch: pytest.MonkeyPatch, width: int, expected: str
) -> None:
    """Two of ten steps took 2 s: 8 s are left of this epoch, and 11 more epochs of 10 s."""
    terminal = Terminal(monkeypatch)
    bar = ProgressBar()
    bar.on_run_start(run_at(1))
    for loss in (1.0, 0.5):
        terminal.seconds = 1.0
        bar.on_batch_end(run_at(1, loss=loss))
    line = bar.line(run_at(1), 2.0, width)
    assert re.fullmatch(expected, line)
    assert len(line) == width
    assert line.count("━") == round(0.2 * (line.count("━") + line.count("─")))


def test_the_time_of_the_run_counts_what_epochs_took_with_their_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch took 30 s; of the second, 5 of 10 steps took 5 s: 5 s are left of it, and ten epochs of 20 s."""
    terminal = Terminal(monkeypatch)
    bar = ProgressBar()
    bar.on_run_start(run_at(1))
    terminal.seconds = 30.0
    scores = dict.fromkeys(("train_loss", "train_accuracy", "seconds", "samples_per_second"), 1.0)
    bar.on_epoch_end(SimpleNamespace(**vars(run_at(2, metrics=scores)), best_epoch=0, best_value=None))
    for _ in range(5):
        bar.on_batch_end(run_at(2))
    assert "left: epoch  0:05, run  3:25" in bar.line(run_at(2), 35.0, 100)


def test_all_lines_have_one_width_and_are_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    bar, losses = ProgressBar(), (123456.7, float("inf"), 1e-9, 0.5, 12.25)
    bar.on_run_start(run_at(1))
    for i, loss in enumerate(losses):
        terminal.seconds = i + 1.0
        bar.on_batch_end(run_at(1, loss=loss))
    bar.on_run_end(run_at(1))
    shown = terminal.getvalue()
    assert "\x1b[32m━" in shown
    lines = re.sub(r"\x1b\[\d+m", "", shown).split("\r")[1:]
    assert [len(line) for line in lines[:-2]] == [79] * len(losses)
    assert lines[-2:] == [" " * 79, "\x1b[2K"]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    monkeypatch.setenv(*variable)
    bar = ProgressBar()
    bar.on_run_start(run_at(1))
    terminal.seconds = 1.0
    bar.on_batch_end(run_at(1))
    shown = terminal.getvalue()
    assert "━" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("wanted", "is_terminal"), [(False, True), (True, False)])
def test_nothing_is_shown_where_others_write_or_nobody_looks(
    wanted: bool, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch, is_terminal=is_terminal)
    bar = ProgressBar(wanted)
    bar.on_run_start(run_at(1))
    terminal.seconds = 1.0
    bar.on_batch_end(run_at(1))
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, " 0:00"), (0.1, " 0:01"), (59, " 0:59"), (754, "12:34"), (3600, "1h00m"), (36_000, "  10h"), (4e9, "9999h")],
)
def test_times_have_five_characters(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("loss", "text"),
    [(0.12345, "0.1235"), (12.3456, "12.345"), (123456.7, "123456"), (1e9, "1e+09 "), (float("nan"), "nan   ")],
)
def test_losses_have_six_characters(loss: float, text: str) -> None:
    assert fixed(loss) == text
