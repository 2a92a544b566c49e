"""A curve as TensorBoard scalars, written point by point while the work goes on."""

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

# The version of event files since which TensorBoard forgets, at a session's start, the steps that are done again.
FILE_VERSION = "brain.Event:2"


def tensorboard_installed() -> bool:
    """Whether the package that reads and writes event files is there."""
    return find_spec("tensorboard") is not None


class TensorBoardScalars:
    """Every number of a curve's points under its own name; see loop.Scalars.

    directory: of the event files, one a session: a run that was interrupted adds a file which begins with where it goes
    on, and what an earlier file says of later steps no longer counts. Raises InputError without the package.
    """

    def __init__(self, directory: Path) -> None:
        if not tensorboard_installed():
            raise InputError(
                "TensorBoard scalars need the package tensorboard: pip install 'pocketnas[tensorboard]', "
                "or set tensorboard = false"
            )
        self.directory = directory

    def begin(self, step: int) -> None:
        """Start a session whose first step is `step`."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}.pocketnas"
        self._writer = RecordWriter((self.directory / name).open("wb"))
        self._write(Event(wall_time=time.time(), file_version=FILE_VERSION))
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def point(self, step: int, values: dict[str, float]) -> None:
        """One point of the curve, on disk when this returns."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def end(self) -> None:
        """Close the session's file."""
        self._writer.close()

    def _write(self, event: "Event") -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
