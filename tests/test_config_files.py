"""Every YAML file with a `_target_` says what its class says: name, arguments, order and defaults."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mlp.base.naming import subclasses
from mlp.cli.overrides import to_hydra
from mlp.config.build import locate
from mlp.config.compose import compose
from mlp.config.files import CONF, RENAMED, renamed
from mlp.config.resolve import resolve
from mlp.data import Dataset
from mlp.nn import MLP, Activation, Initializer, Loss, Normalization, Optimizer, Schedule
from mlp.training import Trainer
from mlp.training.callbacks import CallbackOptions

GROUPS = {
    "activation": Activation,
    "init": Initializer,
    "loss": Loss,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "normalization": Normalization,
    "dataset": Dataset,
}

#: Arguments of mlp.nn.MLP that the program supplies: sizes from the data, objects from other groups.
SUPPLIED = {"input_size", "output_size", "activation", "init", "loss", "normalization", "rng", "dropout_rng"}


@cache
def content(path: Path) -> dict[str, Any]:
    return {str(key): value for key, value in OmegaConf.to_container(OmegaConf.load(path)).items()}  # type: ignore[union-attr]


FILES = [path for path in sorted(CONF.glob("*/*.yaml")) if "_target_" in content(path)]

#: Several files of one class, which differ in their values: recipes.
RECIPES = [path for path in FILES if path.parent.name == "augment" and path.stem != "none"]


def target(path: Path) -> Any:
    return locate(content(path)["_target_"])


def arguments(kind: type) -> dict[str, Any]:
    """The arguments of a constructor and their defaults, tuples as lists, without those that are supplied."""
    kinds = (Trainer, CallbackOptions) if kind is Trainer else (kind,)  # `training` is for both
    return {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for one in kinds
        for p in inspect.signature(one).parameters.values()
        if kind is not MLP or p.name not in SUPPLIED
    }


def test_keys_are_the_arguments_in_their_order() -> None:
    for path in FILES:
        keys, expected = list(content(path)), ["_target_", *arguments(target(path))]
        assert keys == expected or (path.parent.name == "training" and sorted(keys) == sorted(expected)), path


def test_values_are_the_defaults_of_the_arguments() -> None:
    for path in FILES:
        for name, default in arguments(target(path)).items() if path not in RECIPES else ():
            value = content(path)[name]
            if value != {}:  # which is how YAML writes the None that stands for an empty mapping in Python
                assert (value, type(value)) == (default, type(default)), (path, name)
            else:
                assert default in (None, {}), (path, name)


def test_a_file_is_named_after_its_class() -> None:
    for path in FILES:
        assert getattr(target(path), "name", None) in (path.stem, None), path  # a tracker's is an option


def test_a_class_is_named_as_its_package_exports_it() -> None:
    """`mlp.nn.Adam`, not `mlp.nn.optimizers.Adam`: where it lives inside its package may change."""
    for path in FILES:
        package, name = content(path)["_target_"].rsplit(".", 1)
        assert (package.count("."), name) == (1, target(path).__name__), path


@pytest.mark.parametrize("group", GROUPS)
def test_every_class_has_a_file_and_every_file_a_class(group: str) -> None:
    # IDXDataset, which MNIST and Fashion-MNIST share, has no name: it is no dataset itself.
    classes = {kind for kind in subclasses(GROUPS[group]) if hasattr(kind, "name")}
    with_files = {target(path) for path in FILES if path.parent.name == group}
    # Pretrained has no name for Python.
    assert {kind for kind in with_files if not getattr(kind, "needs_more", False)} == classes
    assert {path.stem for path in (CONF / group).iterdir()} == {kind.name for kind in with_files}


@pytest.mark.parametrize("old", [key if "." in key else f"{key}.beta1" for key in RENAMED])
def test_a_key_goes_on_working_under_its_former_name(old: str) -> None:
    new = renamed(old)
    assert to_hydra([f"{old}=0.5", f"+{old}=0.5"]) == [f"{new}=0.5", f"+{new}=0.5"]
    saved = compose([])
    OmegaConf.update(saved, old, 0.5, force_add=True)
    assert resolve(saved) == resolve(compose([f"{new}=0.5"]))
