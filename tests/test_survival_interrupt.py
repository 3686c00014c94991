"""Ctrl-C and SIGTERM end a run with a message, and the command in that message ends it as if nothing had been."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from runs import Ended, Strike, assert_same_run, finish, metrics, run, start, summary, wait_until

COMMAND = ("-d", "digits", "-sz", "32", "-e", "4", "--no_wandb", "schedule=cosine")
STEP = "mlp.nn.optimizers.Optimizer.step"  # 21 times in an epoch
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def interrupted(ended: Ended, directory: Path, code: int) -> None:
    """The run said how to go on, and kept what it had."""
    assert ended.code == code
    assert f"Continue with: python train.py resume={directory.name}\n" in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert ended.err == ""
    assert summary(directory)["status"] == "interrupted"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_in_an_epoch_keeps_the_run_and_says_how_to_continue_it(tmp_path: Path, name: str, code: int) -> None:
    strike = Strike(STEP, 50, name)  # in the third epoch
    ended = finish(start(tmp_path, *COMMAND, "hydra.run.dir=run", strike=strike))
    interrupted(ended, tmp_path / "run", code)
    assert "Interrupted in epoch 3." in ended.out
    assert [row["epoch"] for row in metrics(tmp_path / "run")] == ["1", "2"]
    resume = re.search(r"python train\.py (resume=\S+)\n", ended.out)
    assert resume
    run(tmp_path, resume[1])
    run(tmp_path, *COMMAND, "hydra.run.dir=reference")
    assert_same_run(tmp_path / "run", tmp_path / "reference")
    assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize(
    "function",
    [
        pytest.param("mlp.experiment.run.save_model", marks=pytest.mark.slow),  # between the files of an epoch
        "mlp.training.checkpoint.save_checkpoint",  # before the first
        "mlp.training.predictions.prediction_arrays",  # during the evaluation at the end
    ],
)
def test_ctrl_c_between_epochs_and_at_the_end_is_no_less_orderly(tmp_path: Path, function: str) -> None:
    command = (*COMMAND, "-e", "1", "hydra.run.dir=run")
    interrupted(finish(start(tmp_path, *command, strike=Strike(function, 1, "SIGINT"))), tmp_path / "run", 130)
    run(tmp_path, "resume=run")
    assert summary(tmp_path / "run")["status"] == "completed"


def test_ctrl_c_while_the_plots_are_drawn_leaves_a_completed_run_and_no_traceback(tmp_path: Path) -> None:
    strike = Strike("mlp.report.run_plots.draw_run", 1, "SIGINT")
    ended = finish(start(tmp_path, *COMMAND, "hydra.run.dir=run", "plots=null", strike=strike))
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err
    assert summary(tmp_path / "run")["status"] == "completed"
    run(tmp_path, "resume=run", "plots=null")
    assert (tmp_path / "run" / "plots" / "curves.png").exists()


@pytest.mark.parametrize("function", ["mlp.base.environment.describe", "mlp.experiment.run.write_json"])
def test_a_signal_in_the_last_moments_takes_nothing_from_the_record(tmp_path: Path, function: str) -> None:
    strike = Strike(function, 1, "SIGTERM")
    ended = run(tmp_path, *COMMAND, "-e", "1", "hydra.run.dir=run", strike=strike, code=143)
    assert ended.err == "Interrupted.\n"
    assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize(
    ("function", "count"),
    [
        ("mlp.cli.flags.parser", 1),  # while the command line is read
        ("builtins.__import__", 300),  # while modules are imported
        pytest.param("builtins.__import__", 2000, marks=pytest.mark.slow),
        ("mlp.config.resolve.resolve", 1),
        pytest.param("mlp.experiment.components.Components.build", 1, marks=pytest.mark.slow),
        pytest.param("mlp.data.digits.Digits.load", 1, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_during_start_up_is_no_traceback(tmp_path: Path, function: str, count: int) -> None:
    ended = finish(
        start(tmp_path, *COMMAND, "-e", "200", "hydra.run.dir=run", strike=Strike(function, count, "SIGINT"))
    )
    assert "Traceback" not in ended.err
    assert ended.code in (130, -signal.SIGINT)  # a shell says 130 in both cases
    assert len(ended.err.splitlines()) <= 1
    assert "epoch 1/" not in ended.out


# On a terminal

SLOW = ("-sz", "256", "-b", "1")  # epochs of half a second: longer than the bar waits between two pictures


def take_foreground() -> None:
    """In a new process: its standard input becomes the terminal that Ctrl-C is typed on."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the tests may run in the background, where it is ignored


class Terminal:
    """A pseudo-terminal with train.py in its foreground, and what it has shown so far."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self.shown = ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.process = start(
            cwd,
            *arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_foreground,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: the program has ended
            while True:
                self.shown += os.read(self.master, 65536).decode()

    def settings(self) -> list[object]:
        """Echo, line editing and so on."""
        return termios.tcgetattr(self.master)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait(self) -> int:
        """The exit code, once everything that the program has written has been read."""
        code = self.process.wait(60)
        self._reader.join(60)
        return code


@contextmanager
def terminal(cwd: Path, *arguments: str) -> Iterator[Terminal]:
    tty = Terminal(cwd, *arguments)
    try:
        yield tty
    finally:
        tty.process.kill()
        tty.wait()
        os.close(tty.master)


def screen(output: str) -> list[str]:
    """The lines that a terminal shows after `output`; it knows the few controls that a progress bar needs."""
    lines, row, column = [""], 0, 0
    for match in re.finditer(r"\x1b\[([?\d;]*)([A-Za-z])|(.|\n|\r)", output):
        numbers, command, character = match.groups()
        if command == "A":
            row = max(0, row - int(numbers or 1))
        elif command == "K" and numbers == "2":
            lines[row] = ""
        elif command == "m" or numbers == "?25":
            pass
        elif command:
            raise AssertionError(f"the terminal does not know {match[0]!r}")
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_the_screen_of_these_tests_shows_what_a_terminal_shows() -> None:
    assert screen("one\r\ntwo\r2") == ["one", "2wo"]
    assert screen("\x1b[?25lbar\r\n\x1b[1mbar\x1b[0m\r\x1b[2K\x1b[1A\x1b[2Kend\r\n") == ["end", ""]
    with pytest.raises(AssertionError, match="does not know"):
        screen("\x1b[3J")


def test_ctrl_c_on_a_terminal_leaves_it_as_it_was_and_readable(tmp_path: Path) -> None:
    with terminal(tmp_path, *COMMAND, *SLOW, "-e", "50", "hydra.run.dir=run") as tty:
        settings = tty.settings()
        wait_until(tty.process, lambda: "epoch  2/50" in tty.shown)
        tty.type(b"\x03")
        assert tty.wait() == 130
        assert tty.settings() == settings
    assert "\x1b[?25l" not in tty.shown  # the cursor is never hidden, so that no kill can leave it so
    lines = screen(tty.shown)
    assert "Traceback" not in tty.shown
    assert [line for line in lines if re.fullmatch(r"Interrupted in epoch \d+\. Continue with: .*=run", line)]
    finished = len(metrics(tmp_path / "run"))
    epochs = [line for line in lines if re.match(r"epoch +\d+/50 \| train loss \d", line)]
    assert len(epochs) == finished >= 1
    assert not any("━" in line for line in lines)


@pytest.mark.slow
def test_the_live_bar_is_shown_on_a_terminal_and_gone_at_the_end(tmp_path: Path) -> None:
    with terminal(tmp_path, *COMMAND, *SLOW, "-e", "2", "hydra.run.dir=run") as tty:
        assert tty.wait() == 0
    assert "━" in tty.shown
    bars = [line for line in re.split(r"[\r\n]", re.sub(r"\x1b\[\d+m", "", tty.shown)) if "━" in line]
    scores = r"loss \d\.\d{4}  acc +\d+\.\d\d %(  val acc +\d+\.\d\d %)? +left: epoch +\d+:\d\d, run +\d+:\d\d"
    assert [line for line in bars if not re.fullmatch(rf"epoch [12]/2 ━*─*  {scores}", line)] == []
    assert len({len(line) for line in bars}) == 1
    piped = run(tmp_path, *COMMAND, *SLOW, "-e", "2", "hydra.run.dir=piped").out
    timeless = [
        [re.sub(r"[\d.]+ s, [\d,]+ samples/s", "TIME", line).replace("piped", "run") for line in text]
        for text in (screen(tty.shown)[:-1], piped.splitlines())
    ]
    assert timeless[0] == timeless[1]


def test_a_pipe_and_the_log_get_no_control_characters(tmp_path: Path) -> None:
    ended = run(tmp_path, *COMMAND, "-e", "2", "hydra.run.dir=run", env={**os.environ, "TERM": "xterm-256color"})
    assert ended.err == ""
    for text in (ended.out, (tmp_path / "run" / "train.log").read_text()):
        assert len(re.findall("^.*epoch [12]/2 .*$", text, re.MULTILINE)) == 2
        assert not CONTROL.search(text)
