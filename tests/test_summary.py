"""`mlp summary`: layers, shapes and parameters, of a configuration, a model file or a run directory."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Refusal
from made_runs import make_run

from mlp.tools.summary import main

ROW = re.compile(r"^(\S.*?)  +\(batch, (\d+)\)  +([\dx +]*?) +([\d,]+)$", re.MULTILINE)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(words)
    return capsys.readouterr().out


def test_a_configuration_is_shown_layer_by_layer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "-d", "digits", "-sz", "16", "8", "-a", "tanh", "relu", "normalization=batch_norm",
                "model.dropout=0.25")  # fmt: skip
    assert [(name, int(out), int(number.replace(",", ""))) for name, out, _, number in ROW.findall(text)] == [
        ("input", 64, 0),
        ("linear 1", 16, 64 * 16), ("batch_norm", 16, 32), ("tanh", 16, 0), ("dropout 0.25", 16, 0),
        ("linear 2", 8, 16 * 8), ("batch_norm", 8, 16), ("relu", 8, 0), ("dropout 0.25", 8, 0),
        ("output", 10, 8 * 10 + 10),
    ]  # fmt: skip
    assert text.startswith("digits, network 64-16-8-10, float32\n")
    assert "\n1,290 parameters; 48 running statistics, which are not trained; 0.01 MB\n" in text
    assert text.endswith("adam keeps 2 more numbers for each parameter.\n")
    assert not list(tmp_path.iterdir())


def test_a_model_file_and_a_run_are_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = {"W0": np.ones((4, 3)), "b0": np.ones(3), "W1": np.ones((3, 2)), "b1": np.ones(2)}
    np.save("mine.npy", weights)  # type: ignore[arg-type]
    main(["mine.npy"])
    text, note = capsys.readouterr()
    assert text.startswith("mine.npy: network 4-3-2, float64\n")
    assert "\n23 parameters; " in text
    assert note == "Note: no mine_config.json beside mine.npy: taking activation relu.\n"
    make_run(Path("run"), ["dataset=digits", "model.hidden_sizes=[5]"], {"val_loss": [1.0]})
    make_run(Path("outputs/day/09-abc"), ["dataset=digits", "model.hidden_sizes=[7]"], {"val_loss": [1.0]})
    assert said(capsys, "last").startswith("outputs/day/09-abc: digits, network 64-7-10, float32\n")
    assert said(capsys, "abc") == said(capsys, "last")
    assert said(capsys, "run").startswith("run: digits, network 64-5-10, float32\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "adm"), "optimizer 'adm' is unknown; did you mean 'adam'?"),
        (("-m", "optimizer=sgd,adam"), "--multirun is for training: summary is about one configuration"),
        (("missing.npy",), "missing.npy is no file, and there is no run 'missing.npy' below outputs"),
        (("empty",), "empty holds no run: it has no config.yaml. Give a run directory or a model file"),
        (("text.npy",), "text.npy: a text file; expected .npy or .npz"),
    ],
)
def test_mistakes_are_one_message(
    words: tuple[str, ...], message: str, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.npy").write_text("no weights here")
    assert refusal(main, *words).startswith(f"Error: {message}")
