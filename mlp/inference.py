"""Measure a saved model on a test set: anybody's best_model.npy, the architecture found from its shapes."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlp import model_file
from mlp.base.errors import UserError
from mlp.base.naming import by_name, normalize_name
from mlp.config.build import check_arguments, check_type, locate
from mlp.config.files import canonical
from mlp.data import Dataset, divisor_of
from mlp.data.user_data import OwnData, some_of
from mlp.graded import NeuralNetwork
from mlp.nn import Activation
from mlp.nn.losses import softmax
from mlp.training.evaluate import Evaluation
from mlp.training.predictions import prediction_arrays

#: What the weights do not say, what is taken where nobody says it, and the flag that does.
DEFAULTS = {"dataset": ("mnist", "-d"), "activation": ("relu", "-a"), "loss": ("cross_entropy", "-l")}


class SavedWeights(dict[str, np.ndarray]):
    """The weights in a file, and the file: the configuration beside it says the activation and the loss."""

    def __init__(self, path: Path) -> None:
        super().__init__(model_file.load_weights(path))
        self.path = path


def load_model(model_path: str | Path) -> SavedWeights:
    """The weights in a file: {"W0": (d_in, h), "b0": (h,), "W1": ...}. Never runs code from the file.

    Reads .npy and .npz, in the layouts that people use (see `mlp.model_file`). Raises UserError otherwise.
    """
    return SavedWeights(Path(model_path))


class Ensemble:
    """The mean of the probabilities of several networks (Hansen & Salamon 1990), in the place of one."""

    def __init__(self, members: Sequence[NeuralNetwork]) -> None:
        self.members, self.sizes = list(members), [members[0].sizes[0], members[0].sizes[-1]]

    def forward(self, X: np.ndarray) -> np.ndarray:
        """Logarithms of the mean probabilities (n, c) of X (n, d_in); their softmax are the probabilities."""
        logits = np.stack([member.forward(X) for member in self.members])
        logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        mean: np.ndarray = np.logaddexp.reduce(logs, axis=0)
        mean -= math.log(len(logs))
        return mean

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Class probabilities (n, c) of X (n, d_in)."""
        return softmax(self.forward(X))

    def evaluate_logits(self, logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Loss (of the first member's kind), accuracy, and macro precision, recall and F1 of logits (n, c)."""
        return self.members[0].evaluate_logits(logits, y)


def joined(
    paths: Sequence[Path], networks: Sequence[NeuralNetwork], configs: Sequence[Mapping[str, Any]]
) -> NeuralNetwork | Ensemble:
    """The network, or the ensemble of several. Raises UserError where members, as far as their configurations say, do
    not mean the same by their inputs and classes."""
    facts = [
        {
            "number of inputs": network.sizes[0],
            "number of classes": network.sizes[-1],
            "dataset": config.get("trained_on"),
            "classes": config.get("class_names"),
            "columns": config.get("feature_names"),
            "scaling of inputs": training_divisor(config),
            "loss": config["loss"],
        }
        for network, config in zip(networks, configs, strict=True)
    ]
    for path, its in zip(paths[1:], facts[1:], strict=True):
        for fact, value in its.items():
            if None not in (value, facts[0][fact]) and value != facts[0][fact]:
                a, b = (_shown(list(map(str, each)) if isinstance(each, list) else str(each))
                        for each in (facts[0][fact], value))  # fmt: skip
                raise UserError(f"{path} cannot join {paths[0]}: its {fact} is {b}, not {a}")
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def evaluate_model(
    model: NeuralNetwork | Ensemble | Mapping[str, np.ndarray],
    X_test: np.ndarray,
    y_test: np.ndarray,
    activation: str | Sequence[str] | None = None,
    loss: str | None = None,
) -> dict[str, Any]:
    """Logits (n, c), loss, accuracy, and macro f1, precision and recall of `model` on X (n, d_in), y (n,).

    `model` is a network, an ensemble, or weights. `activation` and `loss` of weights are those given, else those of
    the configuration beside the file that `load_model` read, else ReLU and cross-entropy; what the configuration does
    not say is noted on stderr.
    X is scaled as training scales arrays of unknown origin: uint8 is taken for pixels and divided by 255, all other
    types, other integers included, are taken as they are.
    """
    if isinstance(model, NeuralNetwork | Ensemble):
        network = model
    else:
        given = {key: value for key, value in {"activation": activation, "loss": loss}.items() if value is not None}
        network = network_of(model, **(_saved(model, given) if isinstance(model, SavedWeights) else given))
    X = np.asarray(X_test)
    if (divisor := divisor_of(X)) != 1:
        X = X / divisor
    logits = network.forward(X)
    return {"logits": logits, **network.evaluate_logits(logits, y_test)}


def _saved(weights: SavedWeights, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `network_of` for weights from a file: what its configuration says, with what is `given` on top."""
    notes: list[str] = []
    defaults = {key: (DEFAULTS[key][0], f"{key}=") for key in ("activation", "loss")}
    config = saved_config(weights.path, weights, None, given, notes, defaults)
    say(notes)
    return {key: config.get(key) for key in ("activation", "loss", "activation_options")}


def network_of(
    weights: Mapping[str, np.ndarray],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    activation_options: Mapping[str, Any] | None = None,
) -> NeuralNetwork:
    """A network with these weights; `activation_options` are arguments of the activation, such as negative_slope."""
    sizes = model_file.layer_sizes(dict(weights))
    try:
        network = NeuralNetwork(
            argparse.Namespace(
                input_size=sizes[0],
                output_size=sizes[-1],
                hidden_size=sizes[1:-1],
                num_layers=len(sizes) - 2,
                activation=activation,
                loss=loss,
                activation_options=activation_options,
            )
        )
        network.set_weights(dict(weights))
    except ValueError as error:
        raise UserError(str(error)) from error
    return network


def saved_predictions(model_path: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    """What a model with its configuration beside it says about a test set: the arrays of `predictions.npz`."""
    weights = load_model(model_path)
    notes: list[str] = []
    config = saved_config(model_path, weights, None, {"dataset": dataset.name}, notes)
    network = network_for(model_path, weights, config, dataset)
    say(notes)
    samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=np.float64), samples.labels)
    evaluation = Evaluation(result["loss"], samples.labels, result["logits"])
    return prediction_arrays(evaluation, samples, dataset.class_names, dataset.image_shape)


def network_for(
    model_path: Path, weights: dict[str, np.ndarray], config: Mapping[str, Any], dataset: Dataset
) -> NeuralNetwork:
    """The network of a file's weights, with what its configuration says of it. Raises UserError if it is of other
    data. A user's own data number their classes as the model does."""
    sizes, names = model_file.layer_sizes(weights), config.get("class_names")
    if isinstance(dataset, OwnData) and sizes[0] == dataset.num_features:
        texts = [str(name) for name in names if str(name).isprintable()] if isinstance(names, list) else []
        if len(set(texts)) == len(texts) == sizes[-1]:
            dataset.use_classes(texts)
        elif dataset.named:
            say([f"{model_path} does not name its classes: taking {some_of(dataset.class_names)}, in this order."])
    if (sizes[0], sizes[-1]) != (dataset.num_features, dataset.num_classes):
        raise UserError(
            f"{model_path} takes {sizes[0]} inputs and knows {sizes[-1]} classes, but {dataset.name} has "
            f"{dataset.num_features} inputs and {dataset.num_classes} classes. Choose the dataset with -d"
        )
    features = config.get("feature_names")
    if dataset.feature_names and isinstance(features, list) and features != list(dataset.feature_names):
        then, now = some_of(list(map(str, features))), some_of(dataset.feature_names)
        raise UserError(f"{model_path} takes the columns {then}, in this order. Those of the data: {now}")
    return network_of(weights, config["activation"], config["loss"], config.get("activation_options"))


def say(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


def saved_config(
    model_path: Path,
    weights: dict[str, np.ndarray],
    config_path: Path | None,
    given: Mapping[str, Any],
    notes: list[str],
    defaults: Mapping[str, tuple[str, str]] = DEFAULTS,
) -> dict[str, Any]:
    """What the model's configuration says of it, with what is `given` on top, and a note for all that is doubtful.

    `defaults`: what is asked for, what is taken where nobody says it, and how the user says it.
    """
    path, config = _configuration(model_path, weights, config_path, notes)
    try:
        if (options := config.get("activation_options")) is not None:
            check_type("activation_options", options, Mapping)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    open_questions = [key for key in defaults if key not in given]
    _load_own_classes(config, open_questions)
    if path is not None:
        doubts = model_file.contradictions(config, weights)
        believed = [f"{key} {_shown(config[key])}" for key in open_questions if key in config]
        if doubts and believed:
            flags = "/".join(defaults[key][1] for key in open_questions if key in config)
            notes.append(
                f"{path} {'; it '.join(doubts)}. Taking its {', '.join(believed)} all the same, unless "
                f"{flags} is given."
            )
        trained_on = str(config.get("dataset", given.get("dataset")))
        if "dataset" in given and normalize_name(trained_on) != normalize_name(str(given["dataset"])):
            notes.append(
                f"{path}: the model was trained on {_shown(trained_on)}. This measures it on {given['dataset']}."
            )
    if missing := [key for key in open_questions if key not in config]:
        taken = ", ".join(f"{key} {defaults[key][0]}" for key in missing)
        flags = "/".join(defaults[key][1] for key in missing)
        what = (
            f"{path} does not say the {' and the '.join(missing)}"
            if path is not None
            else f"no {model_file.config_beside(model_path).name} beside {model_path}"
        )
        notes.append(f"{what}: taking {taken}, unless {flags} is given.")
    if "activation" in given:
        config.pop("activation_options", None)
    for key in (key for key in open_questions if key in config):
        try:
            if key == "activation":
                hidden = len(model_file.layer_sizes(weights)) - 2
                config[key] = model_file.hidden_activations(config[key], hidden)
            for name in [config[key]] if isinstance(config[key], str) else config[key]:
                if own_classes(config, key):  # imported by now, and so known by name
                    continue
                option = canonical(key, name)
                if key == "activation":
                    options = config.get("activation_options") or {}
                    check_arguments(by_name(Activation, option), options, "activation_options")
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    assumed = {key: default for key, (default, _) in defaults.items()}
    return {**assumed, **config, **given, "trained_on": config.get("dataset")}


def training_divisor(config: Mapping[str, Any]) -> float | None:
    """What the inputs were divided by in training, if the configuration says so."""
    scaling = config.get("input_scaling")
    return _positive(scaling.get("divide_by") if isinstance(scaling, dict) else None)


def fitted_temperature(config: Mapping[str, Any]) -> float | None:
    """The temperature of the logits that was fitted on validation data, if the configuration has it."""
    return _positive(config.get("temperature"))


def _positive(value: Any) -> float | None:
    """A finite number above 0 as it is, None for whatever else a file may say."""
    number = isinstance(value, int | float) and value is not True and 0 < value <= sys.float_info.max
    return value if number else None


def own_classes(config: Mapping[str, Any], key: str) -> list[str]:
    """The user's own classes that a model has for its activations, loss, dataset or network. Raises UserError."""
    own = config.get(model_file.OWN_CLASSES, {})
    check_type(model_file.OWN_CLASSES, own, Mapping)
    check_type(f"{model_file.OWN_CLASSES}.{key}", own.get(key, []), Sequence[str])
    return list(own.get(key, []))


def _load_own_classes(config: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Import the user's own classes that a model was trained with, if the user allows them. Raises UserError."""
    for key in keys:
        for target in own_classes(config, key):
            try:
                locate(target)
            except UserError as error:
                raise UserError(f"the {key} of the model is a class of its author's: {error}") from error
    if network := own_classes(config, "model"):
        raise UserError(f"the network is {network[0]}, a class of its author's, and not a plain perceptron")


def _configuration(
    model_path: Path, weights: dict[str, np.ndarray], named: Path | None, notes: list[str]
) -> tuple[Path | None, dict[str, Any]]:
    """The configuration of a model and where it is: the one named, the one beside it, or none."""
    path = named or model_file.config_beside(model_path)
    if named or path.is_file():
        return path, model_file.load_config(path)
    other = model_path.with_name(model_file.CONFIG)  # of a model of another name, unless it is this one's
    if not other.is_file():
        return None, {}
    config = model_file.load_config(other)
    if config.get(model_file.DIGEST) == model_file.weights_sha256(weights):
        return other, config
    if model_file.DIGEST in config or other.with_name(model_file.MODEL).is_file():
        notes.append(f"{other} is not used: it belongs to another model.")
        return None, {}
    notes.append(f"taking {other} for the configuration of {model_path}.")
    return other, config


def _shown(value: str | list[str]) -> str:
    """A name or a list of names from a file, which may be long or no plain text."""
    text = value if isinstance(value, str) else f"[{', '.join(value)}]"
    return text if len(text) <= 60 and text.isprintable() else f"{text[:57]!r}..."
