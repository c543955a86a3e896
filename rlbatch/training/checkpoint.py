"""When is a stack's state kept, so that it outlives its process? A checkpoint now and then, each with what is new.

A stack's folder holds its last two checkpoints. What the replays stored lies beside them, in segments of vector steps
that checkpoints share: each writes only what is new since the one before.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from rlbatch.training.checkpoint_files import Kept, kept_in, sweep, write, write_segment
from rlbatch.training.state import Segment, State

INTERVAL_S = 120.0
"""Seconds of training between two checkpoints, unless one takes more than 2 % of that."""
_SHARE = 0.02
_KEPT = 2
_SEGMENT_BYTES = 1 << 26
_SMALL_BYTES = 1 << 22
_MOST_SMALL = 64
"""So many small segments in a row become one."""

Mark = dict[str, Any]
"""What a run's record had at a checkpoint: see `Recorder.mark`."""


class Source(Protocol):
    """A stack as checkpoints see it."""

    @property
    def step(self) -> int:
        """Vector steps that were taken."""
        ...

    @property
    def timesteps(self) -> int:
        """Env steps that each run has taken."""
        ...

    @property
    def oldest(self) -> int:
        """Vector steps before the oldest one that the replays hold."""
        ...

    def state(self) -> State:
        """Returns the state of the live runs."""
        ...

    def stored(self, first: int, last: int) -> Segment:
        """Returns what their replays hold of some vector steps."""
        ...


class Checkpoints:
    """Writes the checkpoints of one stack.

    Args:
        folder: the stack's own; what is in it is removed but for `start` and those before it.
        device: torch's name of the device.
        interval_s: seconds between two.
        mark: returns what a run's record has now, once it is safe on disk.
        note: takes a line for the log.
        start: the checkpoint that the stack goes on from, if any.
        resume: its state and replays, for the engine to take over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        mark: Callable[[str], Mark],
        note: Callable[[str], None],
        interval_s: float = INTERVAL_S,
        start: Kept | None = None,
        resume: tuple[State, Iterator[Segment]] | None = None,
    ) -> None:
        self._folder, self._device, self._mark, self.note = folder, device.partition(":")[0], mark, note
        self._interval_s, self._due = interval_s, time.monotonic() + interval_s
        self.resume = resume
        self._parts: list[dict[str, Any]] = []
        self._kept: list[Kept] = []
        if start is not None and start.path.parent == folder:
            self._parts = list(start.manifest["replay"])
            self._kept = [kept for kept in kept_in(folder)[0] if kept.step <= start.step]
        sweep(self._folder, self._kept)

    def offer(self, stack: Source, *, stopping: bool) -> None:
        """Writes a checkpoint if one is due or training is about to stop. If it cannot, training goes on."""
        began = time.monotonic()
        if began < self._due and not stopping:
            return
        try:
            self._write(stack)
        except (OSError, MemoryError) as error:
            self.note(f"no checkpoint at env step {stack.timesteps}: {error!r}; training goes on")
        sweep(self._folder, self._kept)
        now = time.monotonic()
        self._due = now + max(self._interval_s, (now - began) / _SHARE)

    def close(self) -> None:
        """Removes them all: the runs are finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, stack: Source) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        state = stack.state()
        marks = [{"run_id": run_id, **self._mark(run_id)} for run_id in state.run_ids]
        parts = self._parts_until(stack)
        known = {"device": self._device, "timesteps": stack.timesteps, "runs": marks, "replay": parts}
        written = write(self._folder, state, known)
        self._parts = parts
        self._kept = [written, *(kept for kept in self._kept if kept.path != written.path)][:_KEPT]

    def _parts_until(self, stack: Source) -> list[dict[str, Any]]:
        """Writes what is new in the replays; returns the segments that hold all of them now."""
        parts = [part for part in self._parts if part["last"] > stack.oldest]
        small = 0
        while small < len(parts) and parts[-1 - small]["size"] < _SMALL_BYTES:
            small += 1
        if small >= _MOST_SMALL:
            parts = parts[:-small]
        first = max(parts[-1]["last"] if parts else 0, stack.oldest)
        while first < stack.step:
            one = stack.stored(first, first + 1)
            per_step = sum(array.nbytes for array in one.arrays.values())
            last = min(stack.step, first + max(1, _SEGMENT_BYTES // per_step))
            parts.append(write_segment(self._folder, stack.stored(first, last)))
            first = last
        return parts
