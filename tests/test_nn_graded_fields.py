"""NeuralNetwork(Namespace): every field, its forms, its default, and what is said about a wrong one."""

import subprocess
import sys
from argparse import Namespace
from typing import Any

import numpy as np
import pytest
from networks import graded

import mlp
import mlp.nn
from mlp.base.naming import normalize_name, subclasses
from mlp.data import Dataset
from mlp.graded import SIZES, NeuralNetwork
from mlp.nn import Activation, Adam, CrossEntropy, Initializer, Loss, Optimizer, ReLU


def test_an_empty_namespace_and_one_full_of_none_give_the_defaults() -> None:
    fields = "dataset hidden_size num_layers activation weight_init loss optimizer learning_rate beta1 epochs seed"
    for network in (graded(), graded(**dict.fromkeys(fields.split()))):
        assert network.sizes == [784, 128, 128, 128, 10]
        assert all(isinstance(activation, ReLU) for activation in network.network.activations)
        assert isinstance(network.network.loss, CrossEntropy)
        assert type(network.optimizer) is Adam
        assert vars(network.optimizer).items() >= {
            "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0,
            "decoupled_weight_decay": False,
        }.items()  # fmt: skip
        assert (network.epochs, network.batch_size, network.seed) == (10, 64, 0)
        assert network.network.theta.dtype == np.float64


def test_unknown_fields_are_ignored() -> None:
    network = graded(wandb_project="p", model_save_path="x.npy", no_wandb=True, hidden_size=4, num_layers=1)
    assert network.sizes == [784, 4, 10]


@pytest.mark.parametrize(
    ("fields", "hidden_sizes"),
    [
        ({"hidden_size": 12, "num_layers": 2}, [12, 12]),
        ({"hidden_size": 12}, [12, 12, 12]),
        ({"hidden_size": 12, "num_layers": 0}, []),
        ({"hidden_size": np.int64(12), "num_layers": np.int64(2)}, [12, 12]),
        ({"hidden_size": [12], "num_layers": 3}, [12, 12, 12]),
        ({"hidden_size": [12]}, [12, 12, 12]),
        ({"hidden_size": [12, 6]}, [12, 6]),
        ({"hidden_size": (12, 6), "num_layers": 2}, [12, 6]),
        ({"hidden_size": np.array([12, 6])}, [12, 6]),
        ({"hidden_size": ["12", "6"]}, [12, 6]),
        ({"hidden_size": ["12,6"]}, [12, 6]),
        ({"hidden_size": ["[12,", "6]"]}, [12, 6]),
        ({"hidden_size": "12", "num_layers": 2}, [12, 12]),
        ({"hidden_size": "12,6"}, [12, 6]),
        ({"hidden_size": "12 6"}, [12, 6]),
        ({"hidden_size": "[12, 6]"}, [12, 6]),
        ({"hidden_size": "[12]", "num_layers": "2"}, [12, 12]),
        ({"hidden_size": []}, []),
        ({"hidden_sizes": [12, 6]}, [12, 6]),
        ({"hidden_layers": [12, 6]}, [12, 6]),
        ({"num_layers": 2}, [128, 128]),
    ],
    ids=str,
)
def test_forms_of_hidden_size(fields: dict[str, Any], hidden_sizes: list[int]) -> None:
    assert graded(**fields).sizes[1:-1] == hidden_sizes


@pytest.mark.parametrize("hidden_size", [[12, 6], "12,6"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_several_sizes_that_disagree_with_num_layers_are_refused(hidden_size: Any, num_layers: int) -> None:
    with pytest.raises(ValueError, match=rf"hidden_sizes? has 2 entries \[12, 6\], but num_layers is {num_layers}"):
        graded(hidden_size=hidden_size, num_layers=num_layers)


@pytest.mark.parametrize(("base", "field"), [(Activation, "activation"), (Initializer, "weight_init"), (Loss, "loss"),
                                             (Optimizer, "optimizer")])  # fmt: skip
def test_every_option_is_chosen_by_its_name_in_any_case(base: Any, field: str) -> None:
    for option in subclasses(base):
        network = graded(hidden_size=3, num_layers=1, **{field: option.name.upper()})
        chosen = {
            "activation": network.network.activations[0],
            "loss": network.network.loss,
            "optimizer": network.optimizer,
        }
        if field in chosen:
            assert type(chosen[field]) is option
        else:
            expected = np.empty((784, 3))
            option().fill(expected, np.random.default_rng(0))
            np.testing.assert_array_equal(network.layers[0].W, expected)


def test_a_list_of_activations_has_one_for_each_hidden_layer() -> None:
    network = graded(hidden_size=[5, 4, 3], activation=["relu", "Tanh", "sigmoid"])
    assert [activation.name for activation in network.network.activations] == [
        "relu",
        "tanh",
        "sigmoid",
    ]
    with pytest.raises(ValueError, match="activations has 2 entries"):
        graded(hidden_size=[5, 4, 3], activation=["relu", "tanh"])


@pytest.mark.parametrize(
    ("rule", "coefficients"),
    [
        ("sgd", {}),
        ("momentum", {"momentum": 0.7}),
        ("nag", {"momentum": 0.7}),
        ("rmsprop", {"beta": 0.8, "epsilon": 1e-4}),
        ("adam", {"beta1": 0.7, "beta2": 0.95, "epsilon": 1e-4}),
        ("nadam", {"beta1": 0.7, "beta2": 0.95, "epsilon": 1e-4}),
    ],
)
def test_coefficients_reach_the_optimizer_that_has_them(rule: str, coefficients: dict[str, float]) -> None:
    everything = {"momentum": 0.7, "beta": 0.8, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-4}
    optimizer = graded(optimizer=rule, learning_rate=0.02, weight_decay=0.03, **everything).optimizer
    expected = {"learning_rate": 0.02, "weight_decay": 0.03, **coefficients}
    assert {name: value for name, value in vars(optimizer).items() if name in {**everything, **expected}} == expected


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (graded(hidden_size=4, num_layers=1, seed=seed).network.theta for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["mnist", "MNIST", "fashion_mnist", "fashion-mnist", "fashionmnist", "cifar10"])
def test_a_dataset_in_any_spelling_gives_the_sizes(name: str) -> None:
    features = 3072 if name == "cifar10" else 784
    assert graded(dataset=name, hidden_size=3, num_layers=1).sizes == [features, 3, 10]


def test_the_known_sizes_are_those_of_the_datasets() -> None:
    known = [kind for kind in subclasses(Dataset) if hasattr(kind, "name")]
    kinds = {normalize_name(name): kind for kind in known for name in (kind.name, *kind.aliases)}
    assert set(kinds) - set(SIZES) == {"csv", "folder", "npz"}  # their sizes are in the user's files
    for name, sizes in SIZES.items():
        dataset = kinds[name]()
        assert sizes == (dataset.num_features, dataset.num_classes)


def test_another_dataset_needs_its_sizes() -> None:
    assert graded(dataset="npz", input_size=7, output_size=2, num_layers=0).sizes == [7, 2]
    with pytest.raises(ValueError, match="dataset 'iris' are unknown: give input_size and output_size"):
        graded(dataset="iris")


def test_it_is_importable_from_the_package() -> None:
    assert mlp.NeuralNetwork is NeuralNetwork
    with pytest.raises(AttributeError, match="module 'mlp' has no attribute 'NeuralNetwrk'"):
        _ = mlp.NeuralNetwrk
    code = "from mlp import NeuralNetwork; import argparse; NeuralNetwork(argparse.Namespace()); print('built')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert (done.stdout, done.stderr) == ("built\n", "")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, r"hidden_sizes? must be an integer >= 1.*Got 0"),
        ({"hidden_size": "twelve"}, r"hidden_size must be an integer or a list of integers\. Got 'twelve'"),
        (
            {"hidden_size": ["12", "x"]},
            r"hidden_size must be an integer or a list of integers\. Got \['12', 'x'\]",
        ),
        ({"hidden_size": 12.5}, r"hidden_sizes? must be .*Got 12\.5"),
        ({"num_layers": -1}, r"num_layers must be an integer >= 0\. Got -1"),
        ({"num_layers": 2.5}, r"num_layers must be an integer >= 0\. Got 2\.5"),
        ({"num_layers": "two"}, r"num_layers must be an integer >= 0\. Got 'two'"),
        (
            {"activation": "rleu"},
            r"activation 'rleu' is unknown; did you mean 'relu'\? Allowed: elu, gelu, identity",
        ),
        ({"activation": []}, r"activation"),
        ({"activation": 5}, r"activation .*5"),
        (
            {"weight_init": "xavir"},
            r"'xavir' is unknown; did you mean 'xavier'\? Allowed: he, random, xavier, zeros",
        ),
        ({"loss": "mes"}, r"loss 'mes' is unknown.* Allowed: cross_entropy, mean_squared_error"),
        (
            {"optimizer": "adm"},
            r"optimizer 'adm' is unknown; did you mean 'adam'\? Allowed: adam, momentum, nadam",
        ),
        ({"learning_rate": -0.1}, r"learning_rate must be > 0\. Got -0\.1"),
        ({"learning_rate": "0.1"}, r"learning_rate must be > 0\. Got '0\.1'"),
        ({"weight_decay": -1}, r"weight_decay must be >= 0\. Got -1"),
        ({"epochs": 0}, r"epochs must be an integer >= 1\. Got 0"),
        ({"batch_size": 1.5}, r"batch_size must be an integer >= 1\. Got 1\.5"),
        ({"seed": -1}, r"seed must be an integer >= 0\. Got -1"),
        ({"seed": "zero"}, r"seed must be an integer >= 0\. Got 'zero'"),
        ({"input_size": 0}, r"input_size must be an integer >= 1\. Got 0"),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused_with_its_name_what_is_allowed_and_what_was_given(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        NeuralNetwork(Namespace(**fields))
