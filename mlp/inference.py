"""Measure a saved model on a test set: anybody's best_model.npy, the architecture found from its shapes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from mlp import cli, model_file, streams
from mlp.best_model import saved
from mlp.conf_files import CONF
from mlp.config import build, canonical
from mlp.data import Dataset, divisor_of
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.errors import UserError
from mlp.graded import NeuralNetwork
from mlp.nn.metrics import confusion_matrix, per_class, scores
from mlp.nn.naming import normalize_name
from mlp.training.evaluate import Evaluation
from mlp.training.predictions import predictions

ROOT = CONF.parent

#: What the weights do not say, what is taken where nobody says it, and the flag that does.
DEFAULTS = {"dataset": ("mnist", "-d"), "activation": ("relu", "-a"), "loss": ("cross_entropy", "-l")}


def load_model(model_path: str | Path) -> dict[str, np.ndarray]:
    """The weights in a file: {"W0": (d_in, h), "b0": (h,), "W1": ...}. Never runs code from the file.

    Reads .npy and .npz, in the layouts that people use (see `mlp.model_file`). Raises UserError otherwise.
    """
    return model_file.load_weights(model_path)


def evaluate_model(
    model: NeuralNetwork | Mapping[str, np.ndarray],
    X_test: np.ndarray,
    y_test: np.ndarray,
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
) -> dict[str, Any]:
    """Logits (n, c), loss, accuracy, and macro f1, precision and recall of `model` on X (n, d_in), y (n,).

    `model` is a network, or weights as `load_model` returns them; then `activation` and `loss` say the rest.
    X is scaled as training scales arrays of unknown origin: uint8 is taken for pixels and divided by 255, all other
    types, other integers included, are taken as they are.
    """
    network = model if isinstance(model, NeuralNetwork) else network_of(model, activation, loss)
    X = np.asarray(X_test)
    if (divisor := divisor_of(X)) != 1:
        X = X / divisor
    logits = network.forward(X)
    return {"logits": logits, **network.evaluate_logits(logits, y_test)}


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
    config = _saved_config(model_path, weights, None, {"dataset": dataset.name}, notes)
    network = _network(model_path, weights, config, dataset)
    _say(notes)
    samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=np.float64), samples.labels)
    evaluation = Evaluation(result["loss"], samples.labels, result["logits"])
    return predictions(evaluation, samples, dataset.class_names, dataset.image_shape)


def _network(
    model_path: Path, weights: dict[str, np.ndarray], config: Mapping[str, Any], dataset: Dataset
) -> NeuralNetwork:
    """The network of a file's weights, with what its configuration says of it. Raises UserError if it is of other
    data."""
    sizes = model_file.layer_sizes(weights)
    if (sizes[0], sizes[-1]) != (dataset.num_features, dataset.num_classes):
        raise UserError(
            f"{model_path} takes {sizes[0]} inputs and knows {sizes[-1]} classes, but {dataset.name} has "
            f"{dataset.num_features} inputs and {dataset.num_classes} classes. Choose the dataset with -d"
        )
    return network_of(weights, config["activation"], config["loss"], config.get("activation_options"))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a model as the command line says; print the scores; return logits, loss, accuracy, f1, precision,
    recall. Exits with 2 after a user's mistake."""
    streams.open_closed()
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(UserError.exit_code) from None


def _main(arguments: list[str]) -> dict[str, Any]:
    flags, overrides, switches = cli.parse(arguments, "inference.py")
    if flags.help:
        cli.parser("inference.py").print_help()
        raise SystemExit(0)
    if switches:
        raise UserError(f"{switches[0]} belongs to train.py; inference.py takes flags and dataset.key=value")
    notes: list[str] = []  # said when it is clear that there is no mistake to report instead
    model_path, config_path = _paths(flags, notes)
    weights = load_model(model_path)
    config = _saved_config(model_path, weights, config_path, _given(flags), notes)
    dataset = _dataset(str(config["dataset"]), overrides)
    network = _network(model_path, weights, config, dataset)
    _say([*notes, *_scaling(config, dataset)])
    samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=np.float64), samples.labels)
    evaluation = Evaluation(result["loss"], samples.labels, result["logits"])
    print(f"{model_path} on the test set of {dataset.name}: network {'-'.join(map(str, network.sizes))}")
    print(_report(evaluation, dataset.class_names))
    if flags.robustness:
        if not is_picture(dataset.image_shape):
            shape = dataset.image_shape or (dataset.num_features,)
            raise UserError(
                f"--robustness needs images: samples {PICTURE_SHAPES}. Those of {dataset.name} are {shape}"
            )
        from mlp.tools import robustness

        inputs = samples.inputs(dtype=np.float64)
        table = robustness.accuracies(network.forward, inputs, samples.labels, dataset.image_shape)
        print(f"\n{'test images':40} accuracy")
        for name, accuracy in table:
            print(f"  {name:38} {accuracy:.4f}")
    if flags.plots:
        from mlp.report.run_plots import draw_predictions

        directory = Path(flags.plots)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--plots {directory}: {error.strerror}") from error
        for path in draw_predictions(
            predictions(evaluation, samples, dataset.class_names, dataset.image_shape), directory
        ):
            print(f"Wrote {path}")
    return result


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


def _paths(flags: argparse.Namespace, notes: list[str]) -> tuple[Path, Path | None]:
    """The model to read, and its configuration where the flags name it. Notes the flags that are not read."""
    paths = {name: getattr(flags, f"{name}_path") for name in ("model", "config")}
    if flags.model_path is None:  # whoever repeats the command line of train.py means the model that it saved
        for name, default in (("model", model_file.MODEL), ("config", model_file.CONFIG)):
            save = getattr(flags, f"save.{name}_path")
            if save is not None and paths[name] is None:
                paths[name] = saved(save, default)
                notes.append(f"inference.py saves nothing: it reads the {name} {paths[name]} (--{name}_path).")
                setattr(flags, f"save.{name}_path", None)
    if ignored := cli.training_flags(flags):
        notes.append(f"inference.py ignores {', '.join(ignored)}, which only training reads.")
    return Path(paths["model"] or ROOT / model_file.MODEL), Path(paths["config"]) if paths["config"] else None


def _given(flags: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of the dataset, the activation and the loss. All names are checked."""
    given: dict[str, Any] = {}
    for _, key, _, _ in cli.GROUP_FLAGS:
        if getattr(flags, key) is not None:
            given[key] = canonical(key, getattr(flags, key))
    if flags.activation:
        names = cli.activation_names(flags.activation)
        given["activation"] = names[0] if len(names) == 1 else names
    return given


def _saved_config(
    model_path: Path,
    weights: dict[str, np.ndarray],
    config_path: Path | None,
    given: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """What the model's configuration says of it, with what is `given` on top, and a note for all that is doubtful."""
    path, config = _configuration(model_path, weights, config_path, notes)
    open_questions = [key for key in DEFAULTS if key not in given]
    if path is not None:
        doubts = model_file.contradictions(config, weights)
        believed = [f"{key} {_shown(config[key])}" for key in open_questions if key in config]
        if doubts and believed:
            flags = "/".join(DEFAULTS[key][1] for key in open_questions if key in config)
            notes.append(
                f"{path} {', '.join(doubts)}. Taking its {', '.join(believed)} all the same, unless {flags} is given."
            )
        trained_on = str(config.get("dataset", given.get("dataset")))
        if "dataset" in given and normalize_name(trained_on) != normalize_name(str(given["dataset"])):
            notes.append(
                f"{path}: the model was trained on {_shown(trained_on)}. This measures it on {given['dataset']}."
            )
    if missing := [key for key in open_questions if key not in config]:
        assumed = ", ".join(f"{key} {DEFAULTS[key][0]}" for key in missing)
        flags = "/".join(DEFAULTS[key][1] for key in missing)
        what = (
            f"{path} does not say the {' and the '.join(missing)}"
            if path is not None
            else f"no {model_file.config_beside(model_path).name} beside {model_path}"
        )
        notes.append(f"{what}: taking {assumed}, unless {flags} is given.")
    if "activation" in given:
        config.pop("activation_options", None)
    elif "activation" in config:
        try:
            hidden = len(model_file.layer_sizes(weights)) - 2
            config["activation"] = model_file.hidden_activations(config["activation"], hidden)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return {key: default for key, (default, _) in DEFAULTS.items()} | config | dict(given)


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


def _scaling(config: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """A note where a user's arrays are not scaled as the inputs were in training."""
    scaling = config.get("input_scaling")
    divisor = scaling.get("divide_by") if isinstance(scaling, dict) else None
    if dataset.name != "npz" or not isinstance(divisor, int | float) or divisor == dataset.divisor:
        return []
    return [
        f"in training, inputs were divided by {divisor:g}; these are divided by {dataset.divisor:g} (uint8 by 255, "
        f"all other types by 1)."
    ]


def _dataset(name: str, overrides: Sequence[str]) -> Dataset:
    for override in overrides:
        if not override.startswith("dataset."):
            raise UserError(f"{override}: inference.py takes flags, and overrides of dataset.key=value only")
    option = OmegaConf.load(CONF / "dataset" / f"{canonical('dataset', name)}.yaml")
    config: Any = OmegaConf.create({"dataset": option})
    for key, _, value in (override.partition("=") for override in overrides):
        if key in cli.TEXT_KEYS and value != "null":
            OmegaConf.update(config, key, cli.unquoted(value))
        else:
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([f"{key}={value}"]))
    node: Any = OmegaConf.to_container(config, resolve=True)
    return cast(Dataset, build(node["dataset"], "dataset", Dataset))


def _report(evaluation: Evaluation, class_names: Sequence[str]) -> str:
    """The scores, and a table of the classes."""
    confusion = confusion_matrix(evaluation.y_true, evaluation.y_pred, len(class_names))
    total, classes = scores(confusion), per_class(confusion)
    width = max(map(len, (*class_names, "class")))
    lines = [
        f"accuracy {total['accuracy']:.4f}  precision {total['precision']:.4f}  recall {total['recall']:.4f}  "
        f"F1 {total['f1']:.4f} (macro)  loss {evaluation.loss:.4f}  samples {len(evaluation.y_true):,}",
        "",
        f"{'class':{width}}  precision  recall      F1  samples",
    ]
    for i, name in enumerate(class_names):
        precision, recall, f1 = (classes[key][i] for key in ("precision", "recall", "f1"))
        lines.append(f"{name:{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {classes['support'][i]:7d}")
    return "\n".join(lines)
