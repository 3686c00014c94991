"""The objects of an experiment, built from its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlp.base.errors import UserError, unknown
from mlp.config.build import build, check_type, construct, locate
from mlp.config.resolve import tracker_nodes
from mlp.data import Augmentation, Dataset
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.nn import MLP, Activation, Initializer, Loss, Normalization, Optimizer, Schedule
from mlp.training import Callback, Trainer, random_streams
from mlp.training.callbacks import CallbackOptions


@dataclass(frozen=True)
class Components:
    """The objects of an experiment that need no data. Building them checks the whole configuration."""

    dataset: Dataset
    augment: Augmentation
    activation: Activation
    init: Initializer
    loss: Loss
    normalization: Normalization
    network: MLP
    optimizer: Optimizer
    schedule: Schedule
    trainer: Trainer
    callback_options: CallbackOptions
    trackers: Mapping[str, Callback]
    seed: int

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Components:
        """Raises UserError for the first thing that is wrong."""
        check_type("seed", config["seed"], int)
        if config["seed"] < 0:
            raise UserError(f"seed must be an integer >= 0. Got {config['seed']}")
        check_type("plots", config["plots"], bool | None)
        kinds = {
            "dataset": Dataset, "augment": Augmentation, "activation": Activation, "init": Initializer, "loss": Loss,
            "normalization": Normalization, "optimizer": Optimizer, "schedule": Schedule,
        }  # fmt: skip
        objects = {group: build(config[group], group, kind) for group, kind in kinds.items()}
        dataset, augment, normalization = (objects[group] for group in ("dataset", "augment", "normalization"))
        network = build(
            config["model"],
            "model",
            MLP,
            input_size=dataset.num_features,
            output_size=dataset.num_classes,
            **{group: objects[group] for group in ("activation", "init", "loss", "normalization")},
            rng=random_streams(config["seed"])["init"],
        )
        trainer, options = build_training(config["training"])
        trainer.check_monitor(dataset.validation_fraction > 0, config["resume"] is not None, options.patience)
        if trainer.batch_size < normalization.least_batch:
            raise UserError(
                f"training.batch_size must be >= {normalization.least_batch} with normalization="
                f"{normalization.name}. Got {trainer.batch_size}"
            )
        if augment.needs_images and not is_picture(dataset.image_shape):
            raise UserError(
                f"augment changes images: samples {PICTURE_SHAPES}. Those of {dataset.name} are "
                f"{dataset.image_shape or (dataset.num_features,)}: choose augment=none or augment=mixup"
            )
        trainer.check_class_weight(dataset.num_classes, augment)
        # Callbacks by their methods: tracking does not know training.
        for path, node in tracker_nodes(config["tracker"]).items():
            if "_target_" in node and not hasattr(kind := locate(node["_target_"]), "on_run_end"):
                raise UserError(f"{path} must be a Callback. Got {kind.__name__}")
        trackers = {path: build(node, path) for path, node in tracker_nodes(config["tracker"]).items()}
        callbacks = {f"training.callbacks.{name}": callback for name, callback in options.callbacks.items()}
        for path, callback in {**trackers, **callbacks}.items():
            if not hasattr(callback, "on_run_end"):
                raise UserError(f"{path} must be a Callback. Got {type(callback).__name__}")
        return cls(
            network=network,
            trainer=trainer,
            callback_options=options,
            trackers=trackers,
            seed=config["seed"],
            **objects,
        )


def build_training(node: Mapping[str, Any]) -> tuple[Trainer, CallbackOptions]:
    """What `training` says to the trainer, and what it says of the callbacks around it."""
    trainer, around = (list(inspect.signature(kind).parameters) for kind in (Trainer, CallbackOptions))
    for key in node:
        if key not in ("_target_", *trainer, *around):
            raise UserError(unknown("key", f"training.{key}", [f"training.{name}" for name in (*trainer, *around)]))
    of_callbacks = {key: value for key, value in node.items() if key in around}
    of_trainer = {key: value for key, value in node.items() if key not in around}
    return build(of_trainer, "training", Trainer), construct(CallbackOptions, of_callbacks, "training")
