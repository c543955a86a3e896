"""How often were the runs of an experiment compared before all of them were finished?

Whoever looks at unfinished runs and then decides when to stop will find differences that are not there. So each look
leaves a line in `looks.jsonl` beside the runs; looking again at the same state is the same look.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rlbatch.analysis.arms import UNFINISHED
from rlbatch.analysis.collect import Run

FILE = "looks.jsonl"


def note_look(experiment: Path, runs: Iterable[Run]) -> int:
    """Returns at how many states of an unfinished experiment somebody looked, this one included, and keeps it.

    All of its runs tell the state, whichever of them are compared; once all are finished a look is none.

    A line is one append, so that two commands at a time lose none. Where the folder cannot be written to, this look is
    counted but not kept.

    Args:
        experiment: its folder.
        runs: all that it plans, as they stand.
    """
    runs = list(runs)
    if not any(run.status in UNFINISHED for run in runs):
        return looks_at(experiment)
    states = sorted((run.path, run.status, len(run.returns)) for run in runs)
    state = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]
    seen = _states(experiment / FILE)
    if state in seen:
        return len(seen)
    told = {"state": state, "at": datetime.now(UTC).isoformat(timespec="seconds"), "runs": len(states)}
    with contextlib.suppress(OSError):
        descriptor = os.open(experiment / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, (json.dumps(told) + "\n").encode())
        finally:
            os.close(descriptor)
    return len(seen) + 1


def looks_at(experiment: Path) -> int:
    """Returns at how many states of an unfinished experiment somebody looked so far."""
    return len(_states(experiment / FILE))


def _states(path: Path) -> set[str]:
    """Returns the states that were looked at; a line that cannot be read, as a full disk leaves it, is none."""
    states = set()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            states.add(str(json.loads(line)["state"]))
    return states
