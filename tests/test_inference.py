"""inference.py measures anybody's model exactly, believes no file, and says what is wrong with its input."""

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from conftest import ROOT, Command, Refusal
from measured import Data, assert_measured, reference_logits
from scipy import special
from sklearn.metrics import accuracy_score, classification_report, log_loss

from mlp.cli.inference import main
from mlp.inference import evaluate_model, load_model

# What graders call


def test_main_returns_what_the_network_computes(digits_run: Path, digits: Data) -> None:
    X, y = digits
    weights = np.load(digits_run / "best_model.npy", allow_pickle=True).item()
    assert_measured(main(["-mp", str(digits_run / "best_model.npy")]), reference_logits(weights, X), y)


def test_scores_are_those_of_the_run(digits_run: Path) -> None:
    summary, result = runs.summary(digits_run), main(["-mp", str(digits_run / "best_model.npy")])
    for name in ("accuracy", "precision", "recall", "f1"):
        assert result[name] == pytest.approx(summary[f"test_{name}"], abs=1e-12)
    assert result["loss"] == pytest.approx(summary["test_loss"], rel=1e-4)  # the run computes in float32


def test_program_prints_the_scores_from_any_working_directory(digits_run: Path, infer: Command) -> None:
    summary, result = runs.summary(digits_run), infer("--model_path", str(digits_run / "best_model.npy"), check=True)
    for name in ("accuracy", "precision", "recall"):
        assert f"{name} {summary[f'test_{name}']:.4f}" in result.stdout
    assert f"F1 {summary['test_f1']:.4f}" in result.stdout
    assert result.stderr == ""


def test_script_offers_the_three_functions() -> None:
    module = runpy.run_path(str(ROOT / "inference.py"))
    assert (module["main"], module["load_model"], module["evaluate_model"]) == (main, load_model, evaluate_model)


def test_table_of_the_classes_is_that_of_scikit_learn(
    digits_run: Path, digits: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    result = main(["-mp", str(digits_run / "best_model.npy")])
    report = classification_report(digits[1], result["logits"].argmax(axis=1), output_dict=True, zero_division=0)
    rows = re.findall(
        r"^(\d) +([\d.]+) +([\d.]+) +([\d.]+) +(\d+)  0\.\d+ to [01]\.\d+$", capsys.readouterr().out, re.MULTILINE
    )
    assert [row[0] for row in rows] == list("0123456789")
    for name, *printed in rows:
        expected = [f"{report[name][key]:.4f}" for key in ("precision", "recall", "f1-score")]
        assert printed == [*expected, str(int(report[name]["support"]))]


def test_mean_squared_error_is_measured_when_asked(digits_run: Path, digits: Data) -> None:
    X, y = digits
    result = main(["-mp", str(digits_run / "best_model.npy"), "-l", "MSE"])
    shifted = np.exp(reference_logits(load_model(digits_run / "best_model.npy"), X))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    assert result["loss"] == pytest.approx(((probabilities - np.eye(10)[y]) ** 2).mean())


# Other people's files


def foreign(weights: dict[str, np.ndarray], layout: str) -> Any:
    layers = [(weights[f"W{i}"], weights[f"b{i}"]) for i in range(len(weights) // 2)]
    match layout:
        case "out, in":
            return {k: v for i, (W, b) in enumerate(layers) for k, v in ((f"W{i}", W.T), (f"b{i}", b[:, None]))}
        case "wrapper":
            return {"config": {"epochs": 3}, "weights": {f"W{i + 1}": W for i, (W, _) in enumerate(layers)}
                    | {f"b{i + 1}": b[None] for i, (_, b) in enumerate(layers)}}  # fmt: skip
        case "pairs":
            return dict(enumerate(layers))
    return [{"W": W, "b": b} for W, b in layers]


CONFIGS = [
    {"dataset": "Digits", "activation": "Tanh", "hidden_size": "24,12", "num_layers": "2", "learning_rate": "0.01"},
    {"dataset": "digits", "activation": ["tanh", "tanh"], "hidden_size": ["24,12"]},
    {"config": {"dataset": "digits", "activation": "TANH", "hidden_size": 128, "loss": "crossentropy"}},
]


@pytest.mark.parametrize("layout", ["out, in", "wrapper", "pairs", "list of dictionaries"])
@pytest.mark.parametrize("config", CONFIGS, ids=["texts", "lists", "wrapped"])
def test_models_of_other_people_give_the_same_numbers(
    digits_run: Path, digits: Data, tmp_path: Path, layout: str, config: dict[str, Any]
) -> None:
    weights = load_model(digits_run / "best_model.npy")
    np.save(tmp_path / "theirs.npy", np.array(foreign(weights, layout), dtype=object), allow_pickle=True)
    (tmp_path / "best_config.json").write_text(json.dumps(config))
    assert_measured(main(["-mp", str(tmp_path / "theirs.npy")]), reference_logits(weights, digits[0]), digits[1])


def test_missing_configuration_is_noted_and_flags_say_the_rest(
    digits_run: Path, digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone.npy").write_bytes((digits_run / "best_model.npy").read_bytes())
    result = main(["-mp", str(tmp_path / "alone.npy"), "-d", "digits", "-a", "tanh"])
    missing = f"no alone_config.json beside {tmp_path / 'alone.npy'}"
    assert capsys.readouterr().err == f"Note: {missing}: taking loss cross_entropy, unless -l is given.\n"
    assert_measured(result, reference_logits(load_model(digits_run / "best_model.npy"), digits[0]), digits[1])


def test_flags_override_the_configuration(digits_run: Path, digits: Data, tmp_path: Path) -> None:
    wrong = {"dataset": "mnist", "activation": "relu", "loss": "mean_squared_error"}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    logits = reference_logits(load_model(digits_run / "best_model.npy"), digits[0])
    model = f"-mp {digits_run / 'best_model.npy'} --config_path {tmp_path / 'wrong.json'}"
    for activation in ("Tanh", "tanh tanh", "tanh,tanh", "[tanh,tanh]"):
        result = main(shlex.split(f"{model} -d DIGITS -l CrossEntropy -a {activation}"))
        assert_measured(result, logits, digits[1])


def test_flags_of_training_are_noted_and_change_nothing(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["-mp", str(digits_run / "best_model.npy")]
    line = (
        "-e 3 -b 7 -o sgd -lr 0.5 -wd 0.1 -nhl 5 -sz 99 98 -w_i zeros -m 0.9 -beta 0.9 -beta1 0.9 "
        "-beta2 0.9 -eps 1e-3 -wp demo -we me --no_wandb -msp x.npy --config_save_path y.json -s 9"
    )
    plain, flagged = main(model), main([*model, *line.split()])
    np.testing.assert_array_equal(plain.pop("logits"), flagged.pop("logits"))
    assert plain == flagged
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("Note: inference.py ignores --optimizer, --weight_init, --epochs, --batch_size, ")
    named = {"--model_save_path", "--config_save_path", "--hidden_size", "--momentum", "--wandb_project", "--seed"}
    assert named <= set(re.findall(r"--\w+", note))
    assert "--no_wandb" not in note


def test_options_of_the_dataset_can_be_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    weights = {"W0": rng.normal(size=(4, 3)), "b0": rng.normal(size=3)}
    np.save(tmp_path / "model.npy", np.array(weights, dtype=object), allow_pickle=True)
    options = [f"dataset.path={tmp_path / 'data.npz'}", "dataset.validation_fraction=0.2"]
    for given in (options[:1], options):
        result = main(["-mp", str(tmp_path / "model.npy"), "-d", "npz", *given])
        assert_measured(result, reference_logits(weights, x[:9]), y[:9])


def test_pictures_are_written_where_asked(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["-mp", str(digits_run / "best_model.npy"), "--plots", str(tmp_path / "new/plots")])
    printed = capsys.readouterr().out
    names = {"confusion_counts.png", "confusion_normalised.png", "per_class.png", "reliability.png", "samples.png"}
    assert {path.name for path in (tmp_path / "new/plots").iterdir()} == names
    for path in (tmp_path / "new/plots").iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert str(path) in printed


def test_evaluation_writes_nothing_by_itself(digits_run: Path, infer: Command, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in digits_run.rglob("*") if path.is_file()}
    infer("-mp", str(digits_run / "best_model.npy"), check=True)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in digits_run.rglob("*") if path.is_file()} == before


# Calibration


@pytest.mark.parametrize(
    ("says", "where"),
    [
        ({"temperature": 2}, "divided by the temperature 2, fitted on the validation data of its training"),
        ({}, "fitted on these samples"),
        *(({"temperature": value}, "fitted on these samples") for value in ("hot", 0, -1, True, None, [2], 10**400)),
    ],
    ids=str,
)
def test_the_temperature_is_that_of_the_validation_data_or_found_here(
    members: list[Path], says: dict[str, Any], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = members[0].with_name("a_config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), **says}))
    main(["-mp", str(members[0])])
    assert where in capsys.readouterr().out


# Ensembles


@pytest.fixture
def members(tmp_path: Path) -> list[Path]:
    """Two models of the digits with their configurations."""
    paths, rng = [tmp_path / "a.npy", tmp_path / "b.npy"], np.random.default_rng(0)
    for path, hidden in zip(paths, (8, 12), strict=True):
        weights = {"W0": rng.normal(size=(64, hidden)), "b0": rng.normal(size=hidden)}
        weights |= {"W1": rng.normal(size=(hidden, 10)), "b1": rng.normal(size=10)}
        np.save(path, np.array(weights, dtype=object), allow_pickle=True)
        facts = {"dataset": "digits", "activation": "tanh", "class_names": [str(i) for i in range(10)]}
        (tmp_path / f"{path.stem}_config.json").write_text(json.dumps(facts))
    return paths


def test_an_ensemble_is_the_mean_of_the_probabilities(
    members: list[Path], digits: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    result = main(["-mp", *map(str, members), "dataset.validation_fraction=0.2"])
    X, y = digits
    mean = np.mean([special.softmax(reference_logits(load_model(path), X), axis=1) for path in members], axis=0)
    np.testing.assert_allclose(special.softmax(result["logits"], axis=1), mean, rtol=1e-9)
    assert result["accuracy"] == accuracy_score(y, mean.argmax(axis=1))
    assert result["loss"] == pytest.approx(log_loss(y, mean, labels=range(10)))
    assert "mean of 2 networks, 64-8-10, 64-12-10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("class_names", [*"1023456789"], "its classes is [1, 0, 2"),
        ("dataset", "mnist", "its dataset is mnist, not digits"),
        ("input_scaling", {"divide_by": 16}, "its scaling of inputs is 16, not 8"),
        ("loss", "mse", "its loss is mean_squared_error, not cross_entropy"),
    ],
)
def test_members_that_do_not_go_together_are_refused(
    members: list[Path], key: str, value: Any, said: str, refusal: Refusal
) -> None:
    for path, facts in zip(members, ({"input_scaling": {"divide_by": 8}}, {key: value}), strict=True):
        config = path.with_name(f"{path.stem}_config.json")
        config.write_text(json.dumps({**json.loads(config.read_text()), **facts}))
    message = refusal(main, "-mp", *map(str, members), "-d", "digits")
    assert f"{members[1]} cannot join {members[0]}: {said}" in message
    assert "--config_path is for one model" in refusal(main, "-mp", *map(str, members), "--config_path", "x.json")


# The shipped model


def test_shipped_model_has_the_scores_of_its_configuration_without_any_flag(infer: Command) -> None:
    config = json.loads((ROOT / "best_config.json").read_text())
    result = infer(check=True)
    assert config["dataset"] in result.stdout
    assert f"F1 {config['test_f1']:.4f}" in result.stdout


def test_shipped_model_can_be_measured_on_another_dataset(infer: Command) -> None:
    model = str(ROOT / "best_model.npy")
    assert "Ankle boot" in infer("--model_path", model, "-d", "fashion_mnist", check=True).stdout


def test_coefficients_of_the_activation_come_with_the_model(tmp_path: Path) -> None:
    line = "-d digits -e 2 -sz 16 -a leaky_relu activation.negative_slope=0.9 --no_wandb hydra.run.dir=leaky"
    runs.run(tmp_path, *line.split())
    result = main(["-mp", str(tmp_path / "leaky/best_model.npy")])
    assert result["accuracy"] == pytest.approx(runs.summary(tmp_path / "leaky")["test_accuracy"])
    assert main(["-mp", str(tmp_path / "leaky/best_model.npy"), "-a", "leaky_relu"])["accuracy"] != result["accuracy"]
