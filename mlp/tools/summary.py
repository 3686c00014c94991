"""What a network consists of: mlp summary [the flags and overrides of training | a model file | a run].

Layers, shapes and parameters, as Keras' model.summary() has them. Trains nothing and leaves nothing behind.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlp.base import blas, streams
from mlp.cli.flags import asks_for_help, parser
from mlp.tools.profile import overrides_of

if TYPE_CHECKING:
    import numpy as np

    from mlp.nn.network import MLP

DESCRIPTION = "Show the layers of a network, their shapes and parameters. Leaves no run directory."
EXAMPLES = """\
examples:
  COMMAND -sz 256 128 -a tanh normalization=batch_norm
  COMMAND +experiment=best_mnist
  COMMAND best_model.npy                              any saved model
  COMMAND outputs/2026-01-31/12-00-00-1a2b3c          the network of a run; also by name, last or best
"""


@streams.program()
def main(argv: Sequence[str] | None = None) -> None:
    """Exits as train.py does: with 2 after a user's mistake, else with 1."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if asks_for_help(arguments):
        parser("summary", EXAMPLES, description=DESCRIPTION, files=" | FILE | RUN").print_help()
        return
    blas.prepare()
    from mlp.cli import messages

    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # to stderr
    try:
        named = len(arguments) == 1 and re.match(r"[^-+~][^=]*$", arguments[0])
        print(of_file(_place(arguments[0])) if named else of_configuration(arguments))
    except messages.EXPECTED_ERRORS as error:
        messages.fail(error, arguments)


def _place(name: str) -> Path:
    """The model file or run directory that a user means, a run also as `mlp runs` finds it. Raises UserError."""
    from mlp.base.errors import UserError
    from mlp.runs import select

    if Path(name).exists():
        return Path(name)
    try:
        return select.directory(name)
    except UserError as error:
        raise UserError(f"{name} is no file, and {error}") from None


def of_configuration(arguments: Sequence[str]) -> str:
    """The network that training with these flags and overrides would have."""
    from mlp.config.compose import compose
    from mlp.config.resolve import resolve
    from mlp.experiment import Components

    overrides, folders = overrides_of(arguments, "summary")
    parts = Components.build(resolve(compose(overrides, folders)))
    slots = len(parts.optimizer.slots)
    keeps = (
        f"\n{parts.optimizer.name} keeps {slots} more number{'s' * (slots != 1)} for each parameter." if slots else ""
    )
    return f"{parts.dataset.name}, {layer_table(parts.network)}{keeps}"


def of_file(path: Path) -> str:
    """The network of a run directory or a model file. Raises UserError for what is neither."""
    from mlp import inference, model_file
    from mlp.base.errors import UserError
    from mlp.base.files import check_directory
    from mlp.config.resolve import resolve_saved
    from mlp.experiment import Components

    if (path / "config.yaml").is_file():
        check_directory(path)
        parts = Components.build(resolve_saved(path, resume=None))
        return f"{path}: {parts.dataset.name}, {layer_table(parts.network)}"
    if path.is_dir():
        raise UserError(f"{path} holds no run: it has no config.yaml. Give a run directory or a model file")
    weights = model_file.load_weights(path)
    notes: list[str] = []
    config = inference.saved_config(path, weights, None, {"dataset": "", "loss": "cross_entropy"}, notes)
    inference.say([note.replace(", unless -a is given", "") for note in notes if "activation" in note])
    network = inference.network_of(
        weights, config["activation"], config["loss"], config.get("activation_options")
    ).network
    return f"{path}: {layer_table(network, weights['W0'].dtype)}"


def layer_table(network: MLP, dtype: np.dtype | None = None) -> str:
    """A line for each layer; at the end the sums, in the type of a file's numbers if it is another one."""
    from mlp.nn.layers import Dropout, Linear
    from mlp.nn.normalization import Normalization

    width = network.sizes[0]
    rows = [("layer", "output", "parameters of shape", "number"), _layer_row("input", width)]
    for module in network.modules:
        if isinstance(module, Linear):
            width = module.W.shape[1]
            number = next(i for i, layer in enumerate(network.layers, 1) if layer is module)
            name = "output" if number == len(network.layers) else f"linear {number}"
            # Where a normalisation follows, it adds the bias.
            rows.append(_layer_row(name, width, module.W.shape, *[module.b.shape] * module.adds_bias))
        elif isinstance(module, Normalization):
            rows.append(_layer_row(module.name, width, module.gamma.shape, module.gamma.shape))
        else:
            rows.append(_layer_row(f"dropout {module.rate:g}" if isinstance(module, Dropout) else module.name, width))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{name:{widths[0]}}  {output:{widths[1]}}  {shapes:{widths[2]}}  {number:>{widths[3]}}"
        for name, output, shapes, number in rows
    ]
    rule = "-" * len(lines[0])
    dtype = dtype or network.dtype
    size, statistics = network.state.size * dtype.itemsize, network.state.size - network.theta.size
    kept = f"; {statistics:,} running statistics, which are not trained" if statistics else ""
    return "\n".join(
        [
            f"network {'-'.join(map(str, network.sizes))}, {dtype}",
            "",
            *(lines[0], rule, *lines[1:], rule),
            f"{network.theta.size:,} parameters{kept}; {size / 1e6:.2f} MB",
        ]
    )


def _layer_row(name: str, width: int, *shapes: tuple[int, ...]) -> tuple[str, str, str, str]:
    """Name, shape of the output, shapes of the parameters, and their number."""
    texts = " + ".join(" x ".join(map(str, shape)) for shape in shapes)
    return name, f"(batch, {width})", texts, f"{sum(map(math.prod, shapes)):,}"


if __name__ == "__main__":
    main()
