"""The program inference.py: evaluate a saved model on a test set."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from mlp import model_file
from mlp.base import paths, streams
from mlp.base.errors import UserError
from mlp.cli.flags import GROUP_FLAGS, parse_flags, parser, training_flags
from mlp.cli.overrides import TEXT_KEYS, activation_names, config_folders
from mlp.config.build import build
from mlp.config.files import canonical, read_option
from mlp.config.grammar import unquoted
from mlp.config.user_classes import allow
from mlp.data import Dataset
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.data.published import downloads
from mlp.data.user_data import OwnData, some_of
from mlp.experiment.best_model import saved
from mlp.inference import (
    evaluate_model,
    fitted_temperature,
    joined,
    network_for,
    own_classes,
    saved_config,
    say,
    training_divisor,
)
from mlp.nn.metrics import confusion_matrix, per_class, scores, temperature, wilson_interval
from mlp.training.evaluate import Evaluation
from mlp.training.predictions import prediction_arrays


@streams.program()
def main(argv: Sequence[str] | None = None, places: Sequence[Path] = ()) -> dict[str, Any]:
    """Evaluate a model as the command line says; print the scores; return logits, loss, accuracy, f1, precision,
    recall. `places` are folders where best_model.npy may be; by default this one, then the repository.

    Exits with 2 after a user's mistake, with 1 where something cannot be written.
    """
    flags, overrides, switches = parse_flags(sys.argv[1:] if argv is None else argv, "inference")
    allow(flags.allow)
    if flags.help:
        parser("inference").print_help()
        raise SystemExit(0)
    folders = config_folders(switches)
    if beyond := [word for word in switches if not re.match(r"--config-dir|-cd|[^-]", word)]:
        raise UserError(f"{beyond[0]} is for training; inference takes flags and dataset.key=value")
    notes: list[str] = []  # said when it is clear that there is no mistake to report instead
    model_paths, config_path = _paths(flags, places or (Path(), paths.home()), notes)
    models = []
    for path in model_paths:
        skipped: list[str] = []
        models.append(model_file.load_weights(path, skipped))
        if skipped:
            notes.append(f"{path} also holds {some_of(skipped)}: no numbers, and left out.")
    given = _given(flags, folders)
    configs = [
        saved_config(path, weights, config_path, given, notes)
        for path, weights in zip(model_paths, models, strict=True)
    ]
    config = configs[0]
    dataset = _dataset(config, given, overrides, folders)
    members = [network_for(*model, dataset) for model in zip(model_paths, models, configs, strict=True)]
    network = joined(model_paths, members, configs)
    if flags.robustness and not is_picture(dataset.image_shape):
        shape = dataset.image_shape or (dataset.num_features,)
        raise UserError(
            f"--robustness needs images: samples of shape {PICTURE_SHAPES}. Those of {dataset.name} are {shape}"
        )
    say([*notes, *_scaling(config, dataset)])
    with downloads("dataset" in given):
        samples = dataset.test()
    result = evaluate_model(network, samples.inputs(dtype=np.float64), samples.labels)
    evaluation = Evaluation(result["loss"], samples.labels, result["logits"])
    sizes = ["-".join(map(str, member.sizes)) for member in members]
    what = f"network {sizes[0]}" if len(sizes) == 1 else f"mean of {len(sizes)} networks, {', '.join(sizes)}"
    title = f"{', '.join(map(str, model_paths))} on the test set of {dataset.name}: {what}"
    fitted = fitted_temperature(config) if len(members) == 1 else None
    print(streams.escaped(f"{title}\n{_report(evaluation, dataset.class_names, fitted)}"))
    table: list[tuple[str, float]] = []
    if flags.robustness:
        from mlp.tools import robustness

        inputs = samples.inputs(dtype=np.float64)
        table = robustness.accuracies(network.forward, inputs, samples.labels, dataset.image_shape)
        print(f"\n{'test images':40} accuracy  95 % interval")
        for name, accuracy in table:
            print(f"  {name:38}   {accuracy:.4f}  {_interval(accuracy, len(samples))}")
    if flags.plots:
        from mlp.report.run_plots import draw_predictions

        directory = Path(flags.plots)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--plots {directory}: {error.strerror}") from error
        arrays = prediction_arrays(evaluation, samples, dataset.class_names, dataset.image_shape)
        for path in draw_predictions(arrays, directory, table, len(samples)):
            print(streams.escaped(f"Wrote {path}"))
    return result


def _paths(flags: argparse.Namespace, places: Sequence[Path], notes: list[str]) -> tuple[list[Path], Path | None]:
    """The models to read, and its configuration where the flags name it. Notes the flags that are not read."""
    files = {name: getattr(flags, f"{name}_path") for name in ("model", "config")}
    if flags.model_path is None:  # whoever repeats the command line of training means the model that it saved
        for name, default in (("model", model_file.MODEL), ("config", model_file.CONFIG)):
            save = getattr(flags, f"save.{name}_path")
            if save is not None and files[name] is None:
                path = saved(save, default)
                files[name] = [path] if name == "model" else path
                notes.append(f"inference.py saves nothing: it reads the {name} {path} (--{name}_path).")
                setattr(flags, f"save.{name}_path", None)
    if ignored := training_flags(flags):
        notes.append(f"inference.py ignores {', '.join(ignored)}, which only training reads.")
    models = [Path(path) for path in files["model"] or [_default_model(places)]]
    if files["config"] and len(models) > 1:
        raise UserError("--config_path is for one model; the members of an ensemble have theirs beside them")
    return models, Path(files["config"]) if files["config"] else None


def _default_model(places: Sequence[Path]) -> Path:
    """The model of the first folder that has one. Raises UserError where none has."""
    models = [place / model_file.MODEL for place in places]
    found = next((model for model in models if model.is_file()), None)
    if found is None:
        raise UserError(
            f"no {model_file.MODEL} in {', '.join(dict.fromkeys(str(place.resolve()) for place in places))}: "
            f"name a model with -mp FILE, or train one with {paths.command('train', '-msp', model_file.MODEL)}"
        )
    return found


def _given(flags: argparse.Namespace, folders: Sequence[Path]) -> dict[str, Any]:
    """What the flags say of the dataset, the activation and the loss. All names are checked."""
    given: dict[str, Any] = {}
    for _, key, _, _ in GROUP_FLAGS:
        if getattr(flags, key) is not None:
            given[key] = canonical(key, getattr(flags, key), folders)
    if flags.activation:
        names = activation_names(flags.activation, folders)
        given["activation"] = names[0] if len(names) == 1 else names
    return given


def _scaling(config: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """A note where a user's data are not scaled as the inputs were in training."""
    divisor = training_divisor(config)
    if not isinstance(dataset, OwnData) or divisor in (None, dataset.divisor):
        return []
    how = "dataset.divide_by=" if dataset.name == "csv" else "uint8 by 255, all other types by 1"
    return [f"in training, inputs were divided by {divisor:g}; these are divided by {dataset.divisor:g} ({how})."]


def _dataset(
    saved: Mapping[str, Any], given: Mapping[str, Any], overrides: Sequence[str], folders: Sequence[Path]
) -> Dataset:
    for override in overrides:
        if not override.startswith("dataset."):
            raise UserError(f"{override}: inference.py takes flags, and overrides of dataset.key=value only")
    own = own_classes(saved, "dataset") if "dataset" not in given else []
    option: Any = {"_target_": own[0]} if own else None
    if option is None:
        option = read_option("dataset", canonical("dataset", str(saved["dataset"]), folders), folders)
    config: Any = OmegaConf.create({"dataset": option})
    for override in overrides:
        key, _, value = override.partition("=")
        try:
            if key in TEXT_KEYS and value != "null":
                OmegaConf.update(config, key, unquoted(value))
            else:
                config = OmegaConf.merge(config, OmegaConf.from_dotlist([f"{key}={value}"]))
            node: Any = OmegaConf.to_container(config, resolve=True)
        except Exception as error:  # OmegaConf and YAML raise anything for what they do not expect
            raise UserError(f"{override}: {str(error).partition(chr(10))[0] or type(error).__name__}") from error
    node = OmegaConf.to_container(config, resolve=True)
    if node["dataset"].get("divide_by", 0) is None and saved.get("trained_on") == saved["dataset"]:
        # The file may have other values than that of the training, and so another scale by itself.
        node["dataset"]["divide_by"] = training_divisor(saved)
    return cast(Dataset, build(node["dataset"], "dataset", Dataset))


def _interval(share: float, samples: int) -> str:
    """Where a share may truly lie."""
    return "{:.4f} to {:.4f}".format(*wilson_interval(share, samples))


def _calibration(evaluation: Evaluation, fitted: float | None) -> str:
    """Whether probabilities are what they say, and the temperature that mends it: `fitted`, or found here."""
    T = temperature(evaluation.logits, evaluation.y_true) if fitted is None else fitted
    mended = Evaluation(evaluation.loss, evaluation.y_true, evaluation.logits / T)
    where = "fitted on these samples" if fitted is None else "fitted on the validation data of its training"
    return (
        f"calibration error {evaluation.calibration_error:.4f} (ECE); {mended.calibration_error:.4f} with logits "
        f"divided by the temperature {T:.3g}, {where}"
    )


def _report(evaluation: Evaluation, class_names: Sequence[str], fitted: float | None) -> str:
    """The scores, and a table of the classes."""
    confusion = confusion_matrix(evaluation.y_true, evaluation.y_pred, len(class_names))
    total, classes = scores(confusion), per_class(confusion)
    width = max(map(len, (*class_names, "class")))
    lines = [
        f"accuracy {total['accuracy']:.4f}  precision {total['precision']:.4f}  recall {total['recall']:.4f}  "
        f"F1 {total['f1']:.4f} (macro)  loss {evaluation.loss:.4f}  samples {len(evaluation.y_true):,}",
        f"95 % interval of the accuracy (Wilson): {_interval(total['accuracy'], len(evaluation.y_true))}",
        _calibration(evaluation, fitted),
        "",
        f"{'class':{width}}  precision  recall      F1  samples  95 % interval of the recall",
    ]
    for i, name in enumerate(class_names):
        precision, recall, f1 = (classes[key][i] for key in ("precision", "recall", "f1"))
        support = int(classes["support"][i])
        lines.append(
            f"{name:{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {support:7d}  {_interval(recall, support)}"
        )
    return "\n".join(lines)
