"""TensorBoard: event files in the run directory, written without TensorFlow."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mlp.tracking import record
from mlp.tracking.record import TrackedRun
from mlp.tracking.tracker import Tracker

log = logging.getLogger(__name__)

FOLDER = "tensorboard"


@dataclass(eq=False)
class TensorBoardTracker(Tracker):
    """A callback that writes what TensorBoard shows to `<run directory>/tensorboard`.

    The hyper-parameters, which a resumed run does not change, have the name `group` for the search. Its folder has
    those of all its trials. The model stays where it is: TensorBoard shows no files.

    tensorboard's own EventFileWriter would import TensorFlow where it is installed; below it is RecordWriter, which
    writes where it is told.
    """

    package = "tensorboard"

    group: str | None = None
    histograms: bool = True
    log_plots: bool = True

    def start(self, run: TrackedRun) -> bool:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.directory / FOLDER
        folder.mkdir(exist_ok=True)
        earlier = len(list(folder.glob("events.out.tfevents.*")))
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{int(time.time()):010d}.{earlier}.{socket.gethostname()}.{os.getpid()}"
        self.session = RecordWriter((folder / name).open("xb"))
        self._write(file_version="brain.Event:2")
        values = {"group": self.group} | record.parameters(run)
        simple = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items()}
        if earlier:  # what an interrupted run has written beyond its checkpoint is void
            self._write(run.epoch + 1, session_log=SessionLog(status=SessionLog.START))
        else:  # later ones would not be read
            self._write(summary=hparams_pb(simple, trial_id=record.run_name(run.directory)))
        self._write(run.epoch, summary=text_pb("configuration", _table([["name", "value"], *values.items()])))
        self.session.flush()
        log.info("TensorBoard: tensorboard --logdir %s", shlex.quote(str(run.directory.absolute().parent)))
        return earlier > 0

    def _write(self, step: int = 0, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.session.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def _add(self, step: int, tag: str, **content: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(step, summary=Summary(value=[Summary.Value(tag=tag, **content)]))

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._add(epoch, name, simple_value=value)
        self.session.flush()

    def log_parameters(self, run: TrackedRun) -> None:
        from tensorboard.plugins.histogram.metadata import create_summary_metadata
        from tensorboard.util.tensor_util import make_tensor_proto

        if not self.histograms:
            return
        for name, counts, edges in record.histograms(run):
            bins = make_tensor_proto(np.stack([edges[:-1], edges[1:], counts], axis=1), dtype=np.float64)
            self._add(run.epoch, name, metadata=create_summary_metadata(None, None), tensor=bins)
        self.session.flush()

    def log_results(self, run: TrackedRun) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.summary_v2 import text_pb

        self.log_epoch(run.epoch, record.results(run))
        self._write(run.epoch, summary=text_pb("status", run.status))
        if (table := record.confusion_rows(run.directory)) is not None:
            self._write(run.epoch, summary=text_pb("confusion_matrix", _table([table[0], *table[1]])))
        for path in record.pictures(run.directory) if self.log_plots else ():
            width, height = _size(path)
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=path.read_bytes())
            self._add(run.epoch, f"plots/{path.stem}", image=image)

    def finish(self, run: TrackedRun) -> None:
        self.session.close()


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """In Markdown, whose own characters are marked; the first row is the head."""
    cells = ([re.sub(r"([\\`*_{}\[\]|])", r"\\\1", escape(str(cell), quote=False)) for cell in row] for row in rows)
    head, *others = (f"|{'|'.join(row)}|" for row in cells)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others])


def _size(png: Path) -> tuple[int, int]:
    """Width and height, from the header."""
    with png.open("rb") as file:
        width, height = struct.unpack(">II", file.read(24)[16:])
    return width, height
