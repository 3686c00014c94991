"""best_config.json is written strictly and read tolerantly: other people's spellings become ours."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mlp.base.errors import UserError
from mlp.model_file import load_config, save_config

OURS = {
    "dataset": "fashion_mnist",
    "epochs": 10,
    "batch_size": 64,
    "loss": "cross_entropy",
    "optimizer": "nadam",
    "learning_rate": 0.001,
    "weight_decay": 0.0,
    "num_layers": 3,
    "hidden_size": [128, 64, 32],
    "activation": ["relu", "tanh", "leaky_relu"],
    "weight_init": "he",
    "momentum": 0.9,
    "seed": 2**40,
    "input_scaling": "divide by 255",
    "metrics": {"test_f1": 0.97, "params": {"lr": 1}},
    "Note": "ÄÖÜ 数",
}


def loaded(tmp_path, content):
    path = tmp_path / "best_config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return load_config(path)


def test_our_own_configuration_comes_back_as_it_was_saved(tmp_path):
    save_config(tmp_path / "best_config.json", OURS)
    assert load_config(tmp_path / "best_config.json") == OURS
    assert list(json.loads((tmp_path / "best_config.json").read_bytes())) == list(OURS)
    assert os.listdir(tmp_path) == ["best_config.json"]


def test_saved_files_are_strict_json_without_nan_and_without_numpy(tmp_path):
    config = {
        "loss": np.nan,
        "best": [np.float32(0.5), -np.inf, (1, 2)],
        "n": np.int64(3),
        "sizes": np.array([4, 5]),
        "path": Path("a") / "b",
        "nested": {1: float("inf")},
        "on": True,
        "none": None,
    }
    save_config(tmp_path / "c.json", config)

    def refuse(name):
        raise AssertionError(name)

    assert json.loads((tmp_path / "c.json").read_text(), parse_constant=refuse) == {
        "loss": None,
        "best": [0.5, None, [1, 2]],
        "n": 3,
        "sizes": [4, 5],
        "path": os.path.join("a", "b"),
        "nested": {"1": None},
        "on": True,
        "none": None,
    }


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    save_config(tmp_path / "c.json", {"seed": 1})
    with pytest.raises(TypeError):
        save_config(tmp_path / "c.json", {"seed": object()})
    assert load_config(tmp_path / "c.json") == {"seed": 1}


def test_a_failure_to_write_stays_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        save_config(tmp_path / "missing" / "c.json", {})


@pytest.mark.parametrize(
    ("theirs", "hidden_size"),
    [
        ({"hidden_size": 128}, [128]),
        ({"hidden_size": 128, "num_layers": 3}, [128, 128, 128]),
        ({"hidden_size": "128", "num_layers": "2"}, [128, 128]),
        ({"hidden_size": [128], "num_layers": 2}, [128, 128]),
        ({"hidden_size": 128.0}, [128]),
        ({"hidden_size": [128, 64]}, [128, 64]),
        ({"hidden_size": [128, 64], "num_layers": 3}, [128, 64]),
        ({"hidden_size": ["256,128"]}, [256, 128]),
        ({"hidden_size": ["256", "128"]}, [256, 128]),
        ({"hidden_size": "128 64"}, [128, 64]),
        ({"hidden_size": "128,64"}, [128, 64]),
        ({"hidden_size": "[128, 64]"}, [128, 64]),
        ({"hidden_size": "(128, )"}, [128]),
        ({"hidden_size": [[128, 64]]}, [128, 64]),
        ({"hidden_size": []}, []),
        ({"hidden_size": 128, "num_layers": 0}, []),
        ({"hidden_sizes": [9, 8]}, [9, 8]),
        ({"hidden_layers": [9, 8]}, [9, 8]),
        ({"hidden_layers": 9, "num_layers": 2}, [9, 9]),
        ({"hidden_layers": 2, "hidden_size": 64}, [64, 64]),
        ({"hidden-layer-sizes": [9, 8]}, [9, 8]),
        ({"layer_sizes": [784, 9, 8, 10]}, [9, 8]),
        ({"layer_sizes": [784, 9, 8, 10], "hidden_size": 7, "num_layers": 2}, [7, 7]),
    ],
    ids=json.dumps,
)
def test_hidden_sizes_are_told_from_every_spelling(tmp_path, theirs, hidden_size):
    assert loaded(tmp_path, theirs)["hidden_size"] == hidden_size


@pytest.mark.parametrize("value", ["adaptive", "", "12;x", 0, -3, 12.5, True, None, {}, ["a", 3], 1e400])
def test_a_hidden_size_that_cannot_be_told_is_left_to_the_weights(tmp_path, value):
    text = json.dumps({"hidden_size": value, "seed": 1}).replace("Infinity", "1e400")
    assert loaded(tmp_path, text) == {"seed": 1}


def test_numbers_in_strings_become_numbers(tmp_path):
    theirs = {
        "epochs": "10",
        "batch_size": 64.0,
        "learning_rate": "1e-3",
        "weight_decay": "0",
        "beta1": ".9",
        "eps": 1,
    }
    config = loaded(tmp_path, theirs)
    assert config == {
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "beta1": 0.9,
        "epsilon": 1.0,
    }
    assert {key: type(value) for key, value in config.items()} == {
        "epochs": int,
        "batch_size": int,
        "learning_rate": float,
        "weight_decay": float,
        "beta1": float,
        "epsilon": float,
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"lr": 0.1, "optimiser": "RMSProp", "wd": 0, "nhl": 2}, {"learning_rate": 0.1, "optimizer": "rmsprop"}),
        ({"loss_function": "MSE"}, {"loss": "mean_squared_error"}),
        ({"loss": "CrossEntropy"}, {"loss": "cross_entropy"}),
        ({"loss": "categorical cross-entropy"}, {"loss": "cross_entropy"}),
        ({"optimizer": "Nesterov"}, {"optimizer": "nag"}),
        ({"optimizer": ["adam"]}, {"optimizer": "adam"}),
        ({"dataset": "Fashion-MNIST"}, {"dataset": "fashion_mnist"}),
        ({"dataset": "fashionmnist"}, {"dataset": "fashion_mnist"}),
        ({"weight_initialization": "Xavier"}, {"weight_init": "xavier"}),
        ({"init": "zero"}, {"weight_init": "zeros"}),
        ({"activation": "ReLU"}, {"activation": "relu"}),
        ({"activation": ["ReLU"]}, {"activation": "relu"}),
        ({"activation": ["ReLU", "Leaky ReLU"]}, {"activation": ["relu", "leaky_relu"]}),
        ({"activations": "relu, tanh"}, {"activation": ["relu", "tanh"]}),
        ({"activation_fn": "['relu', 'tanh']"}, {"activation": ["relu", "tanh"]}),
        ({"activation": "linear"}, {"activation": "identity"}),
        ({"--learning-rate": 0.1, "Batch_Size": 8}, {"learning_rate": 0.1, "batch_size": 8}),
        ({"lr": 0.5, "learning_rate": 0.1}, {"learning_rate": 0.1}),
        ({"config": {"lr": 0.1}, "test_f1": 0.9}, {"learning_rate": 0.1, "test_f1": 0.9}),
        ({"_wandb": {"a": 1}, "lr": {"desc": None, "value": 0.1}}, {"_wandb": {"a": 1}, "learning_rate": 0.1}),
        ({"optimizer": None, "epochs": None}, {}),
    ],
    ids=json.dumps,
)
def test_synonyms_become_our_names_and_values(tmp_path, theirs, ours):
    config = loaded(tmp_path, theirs)
    assert {key: config[key] for key in ours} == ours
    assert len(config) == len(ours) + sum(key in theirs for key in ("wd", "nhl"))


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    assert loaded(tmp_path, '\ufeff{"seed": 1}') == {"seed": 1}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "an empty file"),
        ("{'seed': 1}", "not valid JSON"),
        ('{"seed": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"f1": NaN}', "NaN is not valid JSON; write null instead"),
        ('{"f1": [-Infinity]}', "-Infinity is not valid JSON"),
        ("[1, 2]", r"expected a JSON object \{...\}. Got list"),
        ("null", "Got NoneType"),
        ('{"learning_rate": "fast"}', "learning_rate must be a number. Got 'fast'"),
        ('{"lr": 1e400}', "learning_rate must be a number. Got inf"),
        ('{"epochs": 2.5}', "epochs must be an integer. Got 2.5"),
        ('{"seed": true}', "seed must be an integer. Got True"),
        ('{"optimizer": 3}', "optimizer must be a name. Got 3"),
        ('{"activation": [1]}', r"activation must be a name or a list of names. Got \[1\]"),
        ('{"loss": ["mse", "ce"]}', r"loss must be one name. Got \['mse', 'ce'\]"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path, content, match):
    with pytest.raises(UserError, match=match) as caught:
        loaded(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "best_config.json"))


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_named(tmp_path):
    (tmp_path / "c.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(UserError, match="not valid JSON"):
        load_config(tmp_path / "c.json")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_config(tmp_path / "missing.json")
