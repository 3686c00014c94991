"""What every dataset is: a training set to split, and a test set that nobody uses by accident."""

import hashlib
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np

from mlp.base.naming import snake_case
from mlp.data.cache import content_sha256
from mlp.data.pictures import PICTURE_SHAPES, is_picture
from mlp.data.samples import Samples
from mlp.data.split import stratified_split


class Dataset(ABC):
    """A source of labelled samples. Constructor arguments are the keys of its YAML file.

    A subclass says what it is and loads one part of it; the rest is here.
    """

    name: str  # the name of its YAML file: that of its class in snake_case, unless it says another one
    aliases: tuple[str, ...] = ()
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]  # of one sample, such as (28, 28) or (32, 32, 3); () when it is not a picture
    divisor: float  # stored values / divisor are the network's inputs
    feature_names: tuple[str, ...] = ()  # of the inputs, where they have names and are no pixels

    def __init_subclass__(cls) -> None:
        if "class_names" in vars(cls):  # a dataset itself, not what several have in common
            cls.name = vars(cls).get("name", snake_case(cls.__name__))

    def __init__(self, validation_fraction: float = 0.1) -> None:
        if not (isinstance(validation_fraction, (int, float)) and 0 <= validation_fraction < 1):
            raise ValueError(f"validation_fraction must be in [0, 1). Got {validation_fraction}")
        self.validation_fraction = validation_fraction
        self.sha256: dict[str, str] = {}  # of the parts that were read: "train", "test"

    @property
    def num_features(self) -> int:
        return math.prod(self.image_shape)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @abstractmethod
    def load(self, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
        """Read one part as stored: x (N, num_features), uint8 or float, and y (N,) int64."""

    def split(self, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """The training set as (train, validation): random, stratified, disjoint.

        The test set is opened too, for its faults and its checksum only: a fault must not come to light after the
        training.
        """
        x, y = self.load("train")
        self.sha256 = {"train": self.checksum(x, y), "test": self.checksum(*self.load("test"))}
        train, validation = stratified_split(y, self.validation_fraction, rng)
        return Samples(x, y, train, self.divisor), Samples(x, y, validation, self.divisor)

    def test(self) -> Samples:
        """The test set, which this call alone hands out."""
        x, y = self.load("test")
        self.sha256["test"] = self.checksum(x, y)
        return Samples(x, y, np.arange(len(y)), self.divisor)

    def files(self) -> list[Path]:
        """The files that hold the data, as far as they are on this machine; a dataset may have none."""
        return []

    def notes(self) -> list[str]:
        """What a user should know about these data before training on them."""
        if self.image_shape and not is_picture(self.image_shape):
            return [f"samples of shape {self.image_shape} are not drawn: pictures are {PICTURE_SHAPES}"]
        return []

    def checksum(self, x: np.ndarray, y: np.ndarray) -> str:
        """The SHA-256 of one part: the shape of its samples, and type, shape and content of x (n, d) and y (n,)."""
        arrays = [(array.dtype.str, array.shape, content_sha256(array)) for array in (x, y)]
        return hashlib.sha256(repr((tuple(self.image_shape), *arrays)).encode()).hexdigest()
