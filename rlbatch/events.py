"""How do rows reach TensorBoard? Event files with one event per row, written by this thread and without torch.

The file opens with the format's version and a `SessionLog.START`: with it TensorBoard drops, on every loader, what an
earlier file of the same run holds at that step and later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

FILE_VERSION = "brain.Event:2"


class EventFile:
    """One new event file in a run folder; each `add` is on disk when it returns.

    Args:
        folder: the run folder.
        start: env step at which this file's START stands: 0 for a new run.
        name: of the file, where TensorBoard is not to see it yet; such a file is written anew.
    """

    def __init__(self, folder: Path, start: int = 0, name: str | None = None) -> None:
        self.path = folder / (name or new_name(folder))
        self._file = self.path.open("xb" if name is None else "wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version=FILE_VERSION, wall_time=time.time()))
        self._write(
            Event(session_log=SessionLog(status=SessionLog.SessionStatus.START), step=start, wall_time=time.time())
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one event of numbers.

        Args:
            step: env steps.
            values: tag -> value, all finite.
        """
        self.add_summary(step, scalars(values))

    def add_summary(self, step: int, summary: Summary) -> None:
        """Writes one event that holds more than numbers."""
        self._write(Event(step=step, wall_time=time.time(), summary=summary))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


def scalars(values: Mapping[str, float]) -> Summary:
    """Returns what one event tells of tag -> value."""
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])


def new_name(folder: Path) -> str:
    """Returns a name that sorts after every event file already there: TensorBoard reads them in that order."""
    seconds = int(time.time())
    for other in folder.glob("events.out.tfevents.*"):
        stamp = other.name.split(".")[3]
        seconds = max(seconds, int(stamp) + 1) if stamp.isdigit() else seconds
    return f"events.out.tfevents.{seconds:010d}.rlbatch"
