"""The best model of a run as files for anyone: best_model.npy and best_config.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_trials.files import shown
from mlp import model_file
from mlp.base.errors import UserError
from mlp.base.files import atomic_write
from mlp.config.values import FromEnvironment
from mlp.model_file import DIGEST, OWN_CLASSES, Pretrained
from mlp.training import Run

if TYPE_CHECKING:
    from mlp.experiment.components import Components

log = logging.getLogger(__name__)

MODEL, CONFIG, PRETRAINED = model_file.MODEL, model_file.CONFIG, "pretrained_sha256"


def model_config(state: Run, parts: Components, digest: str) -> dict[str, Any]:
    """The content of best_config.json: the configuration in the names of the flags, scores, the weights' `digest`."""
    config, network = state.config, parts.network
    activations = [activation.name for activation in network.activations] or [parts.activation.name]
    options = {key: value for key, value in config["activation"].items() if key != "_target_"}
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "_target_"}
    best = next((row for row in state.history if row["epoch"] == state.best_epoch), state.metrics)
    return {
        "dataset": parts.dataset.name,
        "hidden_size": network.hidden_sizes,
        "num_layers": len(network.hidden_sizes),
        "activation": activations[0] if len(set(activations)) == 1 else activations,
        "activation_options": {} if config["model"].get("activations") else options,
        "weight_init": parts.init.name,
        **_pretrained(state, parts),
        "loss": network.loss.name,
        "optimizer": parts.optimizer.name,
        **optimizer,
        "label_smoothing": config["loss"].get("label_smoothing", 0.0),
        "schedule": parts.schedule.name,
        "warmup": config["schedule"].get("warmup", 0.0),
        "normalization": parts.normalization.name,
        "dropout": network.dropout,
        "max_grad_norm": parts.trainer.max_grad_norm,
        "ema_decay": parts.trainer.ema_decay,
        **({"initial_share": parts.trainer.initial_share} if parts.trainer.initial_share else {}),
        "class_weight": parts.trainer.class_weight,
        "augment": strengths(config["augment"]) if parts.augment.active else {},
        "batch_size": parts.trainer.batch_size,
        "epochs": parts.trainer.epochs,
        "seed": parts.seed,
        "input_size": network.sizes[0],
        "num_classes": network.sizes[-1],
        "input_scaling": {"divide_by": parts.dataset.divisor},
        "class_names": list(parts.dataset.class_names),
        **({"feature_names": list(names)} if (names := parts.dataset.feature_names) else {}),
        **({OWN_CLASSES: own} if (own := _own_classes(parts)) else {}),
        DIGEST: digest,
        "selected_by": parts.trainer.monitor if state.best_value is not None else "last epoch",
        "best_epoch": state.best_epoch,
        **{name: best.get(name) for name in ("val_loss", "val_accuracy", "val_f1")},
        **{
            f"test_{name}": state.summary.get(f"test_{name}")
            for name in ("loss", "accuracy", "precision", "recall", "f1", "calibration_error")
        },
        **{key: state.summary[key] for key in ("temperature",) if key in state.summary},
        "best_f1": state.summary.get("test_f1"),  # by the name that some graders look for
    }


def _pretrained(state: Run, parts: Components) -> dict[str, Any]:
    """The digest of the weights that the training started from; a resumed run's own, whatever the file is now."""
    if not isinstance(parts.init, Pretrained):
        return {}
    path = state.directory / CONFIG
    before = model_file.load_config(path) if state.config["resume"] and path.is_file() else {}
    return {PRETRAINED: before.get(PRETRAINED, parts.init.sha256)}


def strengths(node: Mapping[str, Any]) -> dict[str, Any]:
    """What an augmentation does; what is 0 it does not."""
    given = {key: value for key, value in node.items() if key != "_target_" and value}
    return {key: strengths(value) if isinstance(value, Mapping) else value for key, value in given.items()}


def _own_classes(parts: Components) -> dict[str, list[str]]:
    """The user's own classes that the model's scores depend on, by what they are."""
    network = parts.network
    objects = [("dataset", parts.dataset), ("loss", network.loss), ("model", network)]
    objects += [("activation", activation) for activation in network.activations]
    own: dict[str, list[str]] = {}
    for key, its in objects:
        if not (module := type(its).__module__).startswith("mlp."):
            own.setdefault(key, []).append(f"{module}.{type(its).__name__}")
    return own


def save_model(state: Run, parts: Components) -> None:
    """Write best_model.npy and best_config.json for the best weights so far."""
    best = parts.network.state if state.best_state is None else state.best_state
    with parts.network.swap_state(best):
        weights = parts.network.get_weights()
    state.summary[DIGEST] = model_file.weights_sha256(weights)
    model_file.save_weights(state.directory / MODEL, weights)
    model_file.save_config(state.directory / CONFIG, model_config(state, parts, state.summary[DIGEST]))


def saved(path: str, name: str = MODEL) -> Path:
    """The file that `path`, a file or a directory, names."""
    return Path(path) / name if Path(path).is_dir() or path.endswith("/") else Path(path)


def _copies(save: Mapping[str, Any]) -> dict[str, Path]:
    """Where `save` wants the files of the best model: a model takes its configuration along."""
    copies = {}
    if save["model_path"]:
        copies[MODEL] = saved(str(save["model_path"]))
        copies[CONFIG] = model_file.config_beside(copies[MODEL])
    if save["config_path"]:
        copies[CONFIG] = saved(str(save["config_path"]), CONFIG)
    return copies


def make_room(save: Mapping[str, Any]) -> None:
    """Create the directories of `save` before any work starts. Raises OSError where that cannot be, and UserError
    where a file would replace the other one, or the configuration of another model."""
    copies = _copies(save)
    for target in copies.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    if MODEL not in copies:
        return
    model, config = copies[MODEL], copies[CONFIG]
    if model.resolve() == config.resolve():
        raise UserError(f"save.model_path and save.config_path are the same file, {model}: name two")
    stem = model.stem.removesuffix("_model")  # best.npy and best_model.npy both have best_config.json
    other = model.with_stem(stem if stem != model.stem else f"{stem}_model")
    if not save["config_path"] and config.is_file() and other.is_file():
        raise UserError(
            f"save.model_path={model}: its configuration would replace {config}, that of {other}. Choose another "
            f"name, or another place for the configuration with --config_save_path"
        )


def copy_model(directory: Path, save: Mapping[str, Any]) -> None:
    hidden = any(isinstance(path, FromEnvironment) for path in save.values())
    for name, target in _copies(save).items():
        with atomic_write(target) as file:
            file.write((directory / name).read_bytes())
        log.info("Copied %s to %s.", shown(directory / name), "where the environment says" if hidden else target)
