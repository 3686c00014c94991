"""What inference.py cannot measure is refused in one message, and never executed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import Refusal
from test_model_file_hostile import Calls

from mlp.base.errors import UserError
from mlp.cli.inference import main
from mlp.inference import load_model


def test_model_of_another_size_is_refused(digits_run: Path, refusal: Refusal) -> None:
    message = refusal(main, "-mp", str(digits_run / "best_model.npy"), "-d", "mnist")
    assert [part for part in ("64", "784", "mnist", "-d") if part not in message] == []


def test_a_run_directory_in_place_of_its_model_is_refused_with_the_file_that_it_holds(
    digits_run: Path, refusal: Refusal
) -> None:
    assert f"a directory; expected a file, such as {digits_run / 'best_model.npy'}" in refusal(
        main, "-mp", str(digits_run)
    )


@pytest.mark.parametrize("wrap", ["npy", "dictionary", "pickle"])
def test_malicious_model_is_refused_and_not_run(tmp_path: Path, refusal: Refusal, wrap: str) -> None:
    canary, model = tmp_path / "canary", tmp_path / "best_model.npy"
    bomb = Calls(Path.touch, canary)
    if wrap == "pickle":
        model.write_bytes(pickle.dumps(bomb))
    else:
        content = bomb if wrap == "npy" else {"W0": np.ones((64, 10)), "b0": np.ones(10), "extra": bomb}
        np.save(model, np.array(content, dtype=object), allow_pickle=True)
    message = refusal(main, "-mp", str(model), "-d", "digits")
    assert str(model) in message
    assert "refused" in message
    assert not canary.exists()
    with pytest.raises(UserError, match="refused"):
        load_model(model)
    np.load(model, allow_pickle=True)  # the bomb is real: NumPy itself sets it off
    assert canary.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "missing", "directory"])
def test_damaged_or_missing_model_is_refused_by_name(
    digits_run: Path, tmp_path: Path, refusal: Refusal, damage: str
) -> None:
    model, data = tmp_path / "best_model.npy", (digits_run / "best_model.npy").read_bytes()
    content = {"cut": data[: len(data) // 2], "empty": b"", "text": b"no model\n"}
    if damage in content:
        model.write_bytes(content[damage])
    elif damage == "directory":
        model.mkdir()
    assert str(model) in refusal(main, "-mp", str(model))


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("--config_path missing.json", ["missing.json"]),
        ("-d digit", ["dataset", "'digit'", "did you mean 'digits'", "mnist"]),
        ("-a rleu", ["activation", "'rleu'", "did you mean 'relu'", "tanh"]),
        ("-a relu tanh sigmoid", ["3", "relu", "tanh", "sigmoid", "2 hidden layers"]),
        ("-l cross", ["loss", "'cross'", "cross_entropy"]),
        ("-lrr 1", ["-lrr", "did you mean -lr?"]),
        ("optimizer=adam", ["optimizer=adam"]),
        ("dataset.foo=1", ["dataset.foo", "dataset.validation_fraction"]),
        ("--cfg job", ["--cfg", "for training"]),
        ("digits", ["digits"]),
        ("-mp", ["--model_path"]),
        ("--plots best_model.npy/plots", ["best_model.npy"]),
    ],
)
def test_mistake_is_explained(
    digits_run: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, line: str, parts: list[str]
) -> None:
    monkeypatch.chdir(digits_run)
    message = refusal(main, "--model_path", "best_model.npy", *line.split())
    assert [part for part in parts if part not in message] == [], message
    assert "object at 0x" not in message


def test_broken_configuration_is_refused_by_name(digits_run: Path, tmp_path: Path, refusal: Refusal) -> None:
    config = tmp_path / "config.json"
    for text in ('{"dataset": "digits"', "[]", '{"dataset": "cifar100"}', '{"activation": 3}'):
        config.write_text(text)
        message = refusal(main, "-mp", str(digits_run / "best_model.npy"), "--config_path", str(config))
        assert str(config) in message or "cifar100" in message


def test_flags_that_name_nothing_are_refused(digits_run: Path, refusal: Refusal) -> None:
    assert "did you mean 'adam'" in refusal(main, "-mp", str(digits_run / "best_model.npy"), "-o", "adm")
