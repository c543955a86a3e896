"""What is a worker to its crew? It is hired for a stack, told things, heard and ended, wherever it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from rlbatch.launch.job import Job
from rlbatch.results import RunFolder


class Hand(Protocol):
    """A worker as its crew sees it: it trains one stack, wherever that may be.

    Attributes:
        log: what it and its environments print.
        hung: whether it is ended because it said nothing for too long.
    """

    log: Path
    hung: bool

    @property
    def heard(self) -> float:
        """Monotonic seconds when it last said something, or could not yet have."""

    @property
    def lost(self) -> bool:
        """Whether it ended with the machine it worked on."""

    def say(self, line: str) -> None:
        """Tells it something, if it still listens."""

    def kill(self) -> None:
        """Ends it, whatever it is doing."""

    def close(self) -> None:
        """Sees to it that it ends."""

    def how_it_ended(self) -> str:
        """Returns how, in words that follow "its process"."""

    def lacked_memory(self) -> bool:
        """Tells whether it ended for want of memory."""

    def folder_of(self, job: Job) -> RunFolder:
        """Returns where it keeps the record of a run in training."""

    def deliver(self, job: Job) -> dict[str, Any] | None:
        """Brings the record of a run to its place if it is finished; returns the result, or None."""


Inbox = SimpleQueue[tuple[Hand, dict[str, Any] | None]]
"""Gets (worker, message) for everything a worker says, and (worker, None) when it has ended."""
Hire = Callable[[Sequence[Job], Inbox], Hand]
"""Starts a worker for some jobs that form a stack; raises RlbatchError or OSError."""
