"""Where the time of a training step goes: python -m mlp.profile [the flags and overrides of train.py]; see --help.

Trains the configured network for a few seconds with the trainer of train.py, though without a run's callbacks, and
writes a table instead of a run directory.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlp.base import blas, streams
from mlp.cli.flags import asks_for_help, parse_flags, parser
from mlp.cli.overrides import config_folders, to_hydra

if TYPE_CHECKING:
    from mlp.experiment import Components
    from mlp.tools.stopwatch import Seconds

DESCRIPTION = "Show where the time of a training step goes, on this machine. Leaves no run directory."
EXAMPLES = """\
examples:
  COMMAND -b 32 -o sgd
  COMMAND -d fashion_mnist model.hidden_sizes=[64,32] activation=gelu
"""
SECONDS = 3.0
LEAST_EPOCHS = 4  # so that a training of a step per epoch also has steps after the first one
BAR = 30  # characters


@streams.program()
def main(argv: Sequence[str] | None = None) -> None:
    """Exits as train.py does: with 2 after a user's mistake, 3 after divergence, 130 after Ctrl-C, else with 1."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if asks_for_help(arguments):
        parser("profile", EXAMPLES, description=DESCRIPTION).print_help()
        return
    blas.prepare()
    from mlp.cli import messages
    from mlp.config.compose import compose
    from mlp.config.resolve import resolve
    from mlp.experiment import Components

    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to stderr
    overrides = arguments
    try:
        overrides, folders = overrides_of(arguments, "profile")
        parts = Components.build(resolve(compose(overrides, folders)))
        print(timing_table(parts, *measure(parts)))
    except messages.EXPECTED_ERRORS as error:
        messages.fail(error, overrides)


def overrides_of(arguments: Sequence[str], program: str) -> tuple[list[str], list[Path]]:
    """The Hydra overrides of one training run, and further configuration folders. Raises UserError for more."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from mlp.base.errors import UserError

    _, given, switches = parse_flags(arguments, program)
    places = re.compile(r"--config-dir|-cd|[^-]")  # --config-dir, and the folder after it
    beyond = [word for word in switches if not places.match(word)]
    beyond += [word for word in given if word.startswith("resume=") and word != "resume=null"]
    if beyond:
        raise UserError(f"{beyond[0]} is for training: {program} is about one configuration, from its start")
    overrides = to_hydra(arguments)[len(switches) :]
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} is a sweep: {program} is about one configuration, give one value")
    return overrides, config_folders(switches)


def measure(parts: Components) -> tuple[Seconds, int, int]:
    """Train again and again until the time is up. Returns what was found, steps measured, and training samples."""
    from mlp.tools.stopwatch import MeasuringDone, Stopwatch
    from mlp.training import Run, random_streams

    network, trainer = parts.network, parts.trainer
    train, _ = parts.dataset.split(random_streams(parts.seed)["split"])
    no_validation = dataclasses.replace(train, rows=train.rows[:0])
    trainer.epochs = max(trainer.epochs, LEAST_EPOCHS)
    initial = network.theta.copy()
    stopwatch = Stopwatch(network, SECONDS)
    try:
        while True:  # a network trained for longer than it was meant to be could run into subnormal numbers
            stopwatch.switch(timed=False)
            network.theta[...] = initial
            parts.optimizer.reset()
            run = Run(Path(), {}, network, parts.optimizer, parts.schedule, random_streams(parts.seed), [stopwatch])
            trainer.fit(run, train, no_validation, parts.augment, parts.dataset.image_shape)
    except MeasuringDone:
        return stopwatch.parts(), len(stopwatch.plain) + len(stopwatch.timed), len(train)


def timing_table(parts: Components, found: Seconds, num_steps: int, num_train: int) -> str:
    """The table, what follows from it, and where it was measured."""
    from mlp.base.environment import describe
    from mlp.tools.stopwatch import OF_INPUT, OF_WEIGHTS, PRODUCT

    network, machine = parts.network, describe()
    batch_size = min(parts.trainer.batch_size, num_train)
    step, largest, width = sum(found.values()), max(found.values()), max(map(len, found))
    products = sum(seconds for name, seconds in found.items() if name.endswith((PRODUCT, OF_WEIGHTS, OF_INPUT)))
    rows = [
        f"{name:{width}}  {1e6 * seconds:8.1f}  {100 * seconds / step:5.1f} %  {'#' * round(BAR * seconds / largest)}"
        for name, seconds in found.items()
    ]
    per_second = batch_size / step
    epoch = num_train / per_second
    return "\n".join(
        [
            f"{parts.dataset.name}, network {'-'.join(map(str, network.sizes))}, {network.dtype}, "
            f"batch {batch_size}; medians of {num_steps:,} steps",
            "",
            f"{'part of a step, in its order':{width}}  {'µs':>8}  {'share':>6}",
            *(row.rstrip() for row in rows),
            f"{'step':{width}}  {1e6 * step:8.1f}  {100:5.1f} %",
            "",
            f"The matrix products alone: {1e6 * products:.1f} µs; the least that a step takes on this BLAS.",
            f"{per_second:,.0f} samples/s; an epoch of {num_train:,}: {epoch:{'.1f' if epoch >= 1 else '.2g'}} s "
            "without validation and callbacks (gradient norms are one)",
            "",
            f"{machine['processor']}, {machine['cores']} cores; NumPy {machine['numpy']} with {machine['blas']}, "
            f"{machine['blas_kernels'] or 'unknown'} kernels, {machine['blas_threads'] or '?'} thread(s)",
            *_notes(),
        ]
    )


def _notes() -> list[str]:
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    if not chosen:
        return []
    return [
        f"Note: OPENBLAS_CORETYPE={chosen} is set; it overrides OpenBLAS' own choice of kernels for this processor."
    ]


if __name__ == "__main__":
    main()
