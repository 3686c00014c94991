"""What the diagnostic callbacks share: rows of arrays, kept in a file of the run directory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mlp.base.arrays import read_npz
from mlp.base.errors import UserError
from mlp.base.files import atomic_write
from mlp.nn.types import Array, Labels
from mlp.training.run import Callback, Run


class Recorder(Callback):
    """Keeps rows of arrays, one row for each look at the network, in `file`.

    The file is an .npz: `step` (rows,), and every other name (rows, ...). It is replaced as a whole at the end of
    each epoch; a resumed run keeps the rows up to its checkpoint, so that an interruption leaves no trace.
    """

    file: ClassVar[str]

    def __init__(self) -> None:
        self._rows: list[dict[str, Array | Labels]] = []

    def on_run_start(self, run: Run) -> None:
        self._rows = []
        path = run.directory / self.file
        if run.epoch and path.exists():
            table = read_npz(path)
            if "step" not in table or any(values.shape[:1] != table["step"].shape for values in table.values()):
                raise UserError(f"{path} must have a row of each array for each step")
            kept = np.flatnonzero(table["step"] <= run.step)
            self._rows = [{name: values[i] for name, values in table.items()} for i in kept]

    def add(self, run: Run, **values: Array | Labels | float) -> None:
        """A row for the step that was just made."""
        self._rows.append({"step": np.asarray(run.step), **{name: np.array(v) for name, v in values.items()}})

    def on_epoch_end(self, run: Run) -> None:
        if self._rows:
            table = {name: np.stack([row[name] for row in self._rows]) for name in self._rows[0]}
            with atomic_write(run.directory / self.file) as file:
                np.savez_compressed(file, **table)  # type: ignore[arg-type]
