"""The sizes of the hidden layers."""

from collections.abc import Sequence

import numpy as np

from mlp.nn import checks

DEFAULT_NUM_LAYERS = 3


def expand_hidden_sizes(hidden_sizes: int | Sequence[int], num_layers: int | None = None) -> list[int]:
    """The number of neurons of each hidden layer.

    A single number, or a list of one, serves for all `num_layers` layers (a bare number: 3 layers if None).
    A longer list says it all; `num_layers` may repeat its length. Raises ValueError where they disagree.

    >>> expand_hidden_sizes(128, 2), expand_hidden_sizes([64, 32])
    ([128, 128], [64, 32])
    """
    if num_layers is not None:
        checks.integer("num_layers", num_layers, ge=0)
    if isinstance(hidden_sizes, int | np.integer):
        num_layers = DEFAULT_NUM_LAYERS if num_layers is None else num_layers
        hidden_sizes = [hidden_sizes]
    if not isinstance(hidden_sizes, list | tuple):
        raise ValueError(f"hidden_sizes must be an integer >= 1 or a list of them. Got {hidden_sizes!r}")
    sizes = [checks.integer("hidden_sizes", size, ge=1) for size in hidden_sizes]
    if num_layers is None or num_layers == len(sizes):
        return sizes
    if num_layers == 0:
        return []
    if len(sizes) == 1:
        return sizes * num_layers
    raise ValueError(
        f"hidden_sizes has {len(sizes)} entries {sizes}, but num_layers is {num_layers}: "
        f"give {num_layers} sizes, or one size for all layers"
    )
