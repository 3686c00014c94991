"""How much the samples of a class count in the training loss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.data import Samples
from mlp.nn import checks

ClassWeight = Literal["balanced"] | Sequence[float] | Mapping[Any, float] | None

#: Between the largest weight of a sample and the smallest one: float32 holds both.
LARGEST_RATIO = 1e30


def checked_class_weight(class_weight: ClassWeight) -> ClassWeight:
    """`class_weight` with weights as floats and class numbers as integers, which JSON makes texts.

    Raises ValueError for what is no weight > 0, or no class number.
    """
    if class_weight is None or class_weight == "balanced":
        return class_weight
    if isinstance(class_weight, str | int | float):
        raise ValueError(
            f"class_weight must be 'balanced', a list with a weight > 0 for every class, or a mapping from class "
            f"numbers to weights. Got {class_weight!r}"
        )
    if not isinstance(class_weight, Mapping):
        return [checks.number(f"class_weight[{i}]", weight, gt=0) for i, weight in enumerate(class_weight)]
    number = {key: int(key) if isinstance(key, str) and key.isdecimal() else key for key in class_weight}
    return {
        checks.integer("class_weight: a class", number[key], ge=0): checks.number(
            f"class_weight[{key}]", weight, gt=0
        )
        for key, weight in class_weight.items()
    }


def of_classes(class_weight: ClassWeight, mass: np.ndarray) -> np.ndarray:
    """The weight of each class, (c,), where the samples of the classes weigh `mass` (c,) together without it.

    "balanced" makes them weigh the same, those of a class that does not occur left aside; other weights are as given.
    Raises UserError for weights of other classes than these.
    """
    weights = np.ones(len(mass))
    if class_weight == "balanced":
        occurs = mass > 0
        weights[occurs] = mass.sum() / (np.count_nonzero(occurs) * mass[occurs])
    elif isinstance(class_weight, Mapping):
        for number, weight in class_weight.items():
            if number >= len(mass):
                raise UserError(f"training.class_weight: the classes are 0 to {len(mass) - 1}. Got {number}")
            weights[number] = weight
    elif class_weight is not None:
        if len(class_weight) != len(mass):
            raise UserError(
                f"training.class_weight must have a weight for each of the {len(mass)} classes. Got "
                f"{len(class_weight)}; a mapping such as {{{len(mass) - 1}: 2}} leaves the others at 1"
            )
        weights[:] = class_weight
    return weights


def weigh(samples: Samples, class_weight: ClassWeight, num_classes: int) -> Samples:
    """`samples`, each with its weight times that of its class, 1 on average; as they are where there are neither."""
    if class_weight is None and samples.weights is None:
        return samples
    own = np.ones(len(samples.y)) if samples.weights is None else samples.weights
    mass = np.bincount(samples.labels, own[samples.rows], minlength=num_classes)
    weights = own * of_classes(class_weight, mass)[samples.y]
    of_part = weights[samples.rows]
    if of_part.max() > LARGEST_RATIO * of_part.min():
        raise UserError(
            f"the weights of the samples may differ by a factor of {LARGEST_RATIO:g} at most. Got {of_part.min():g} "
            f"to {of_part.max():g}"
        )
    return replace(samples, weights=weights / of_part.mean())
