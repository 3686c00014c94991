"""The objects of an experiment, built from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlp.config.build import build, check_type
from mlp.data import Augmentation, Dataset
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.errors import UserError
from mlp.nn import MLP, Activation, Initializer, Loss, Normalization, Optimizer, Schedule
from mlp.training import Callback, Trainer, random_streams


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
    tracker: Callback
    seed: int

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Components:
        """Raises UserError for the first thing that is wrong."""
        check_type("seed", config["seed"], int)
        if config["seed"] < 0:
            raise UserError(f"seed must be an integer >= 0. Got {config['seed']}")
        check_type("plots", config["plots"], bool | None)
        kinds = {
            "dataset": Dataset,
            "augment": Augmentation,
            "activation": Activation,
            "init": Initializer,
            "loss": Loss,
            "normalization": Normalization,
            "optimizer": Optimizer,
            "schedule": Schedule,
            "tracker": object,  # a callback by its methods: tracking does not know training
        }
        objects = {group: build(config[group], group, kind) for group, kind in kinds.items()}
        network = build(
            config["model"],
            "model",
            MLP,
            input_size=objects["dataset"].num_features,
            output_size=objects["dataset"].num_classes,
            **{group: objects[group] for group in ("activation", "init", "loss", "normalization")},
            rng=random_streams(config["seed"])["init"],
        )
        trainer = build(config["training"], "training", Trainer)
        trainer.check_monitor(objects["dataset"].validation_fraction > 0, config["resume"] is not None)
        if trainer.batch_size < (least := objects["normalization"].least_batch):
            raise UserError(
                f"training.batch_size must be >= {least} with normalization={objects['normalization'].name}. "
                f"Got {trainer.batch_size}"
            )
        augment, shape = objects["augment"], objects["dataset"].image_shape
        if augment.needs_images and not is_picture(shape):
            raise UserError(
                f"augment changes images: samples of shape {PICTURE_SHAPES}. Those of {objects['dataset'].name} are "
                f"{shape or (objects['dataset'].num_features,)}: choose augment=none or augment=mixup"
            )
        callbacks = {f"training.callbacks.{name}": callback for name, callback in trainer.callbacks.items()}
        for path, callback in {"tracker": objects["tracker"], **callbacks}.items():
            if not hasattr(callback, "on_run_end"):
                raise UserError(f"{path} must be a Callback. Got {type(callback).__name__}")
        return cls(network=network, trainer=trainer, seed=config["seed"], **objects)
