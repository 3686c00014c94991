"""Measure a saved model on a test set: anybody's best_model.npy, the architecture found from its shapes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from mlp import cli, model_file
from mlp.best_model import CONFIG, MODEL
from mlp.conf_files import CONF
from mlp.config import build, canonical
from mlp.data import Dataset
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.errors import UserError
from mlp.nn import NeuralNetwork
from mlp.nn.metrics import confusion_matrix, per_class, scores
from mlp.training.evaluate import Evaluation
from mlp.training.predictions import predictions

ROOT = CONF.parent


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
    Pixels 0..255 (uint8, or integers that exceed 1) are divided by 255; all else is taken as it is.
    """
    network = model if isinstance(model, NeuralNetwork) else network_of(model, activation, loss)
    X = np.asarray(X_test)
    if X.dtype == np.uint8 or (X.dtype.kind in "ui" and X.size and X.max() > 1):
        X = X / 255
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
    """What a model with its best_config.json beside it says about a test set: the arrays of `predictions.npz`."""
    weights, config = load_model(model_path), model_file.load_config(model_path.with_name(CONFIG))
    network = _network(model_path, weights, config, dataset)
    samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=network.dtype), samples.labels)
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
    return network_of(
        weights,
        config.get("activation", "relu"),
        config.get("loss", "cross_entropy"),
        config.get("activation_options"),
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a model as the command line says; print the scores; return logits, loss, accuracy, f1, precision,
    recall. Exits with 2 after a user's mistake."""
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
    model_path = Path(flags.model_path or ROOT / MODEL)
    weights = load_model(model_path)
    config = _config(flags, model_path)
    dataset = _dataset(str(config.get("dataset", "mnist")), overrides)
    network = _network(model_path, weights, config, dataset)
    samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=network.dtype), samples.labels)
    evaluation = Evaluation(result["loss"], samples.labels, result["logits"])
    print(f"{model_path} on the test set of {dataset.name}: network {'-'.join(map(str, network.sizes))}")
    print(_report(evaluation, dataset.class_names))
    if flags.robustness:
        if not is_picture(dataset.image_shape):
            shape = dataset.image_shape or (dataset.num_features,)
            raise UserError(
                f"--robustness needs images: samples {PICTURE_SHAPES}. Those of {dataset.name} are {shape}"
            )
        from mlp import robustness

        inputs = samples.inputs(dtype=network.dtype)
        table = robustness.table(network.forward, inputs, samples.labels, dataset.image_shape)
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


def _config(flags: argparse.Namespace, model_path: Path) -> dict[str, Any]:
    """best_config.json (named, or beside the model), with what the flags say on top."""
    path = Path(flags.config_path or model_path.parent / CONFIG)
    config: dict[str, Any] = {}
    if flags.config_path or path.is_file():
        config = model_file.load_config(path)
    else:
        print(f"Note: no {CONFIG} beside {model_path}: taking dataset mnist and activation relu unless flags say so.")
    for _, key, _, _ in cli.GROUP_FLAGS:  # all are checked; the weights make those of training unnecessary
        if getattr(flags, key) is not None:
            config[key] = canonical(key, getattr(flags, key))
    if flags.activation:
        config.pop("activation_options", None)
        names = cli.activation_names(flags.activation)
        config["activation"] = names[0] if len(names) == 1 else names
    return config


def _dataset(name: str, overrides: Sequence[str]) -> Dataset:
    for override in overrides:
        if not override.startswith("dataset."):
            raise UserError(f"{override}: inference.py takes flags, and overrides of dataset.key=value only")
    option = OmegaConf.load(CONF / "dataset" / f"{canonical('dataset', name)}.yaml")
    config = OmegaConf.merge({"dataset": option}, OmegaConf.from_dotlist(list(overrides)))
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
