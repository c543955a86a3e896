"""How often were the runs of an experiment compared before all of them were finished?

Whoever looks at unfinished runs and then decides when to stop will find differences that are not there. So each look
leaves a line in `looks.jsonl` beside the runs; looking again at the same state is the same look. Likewise for who
confirms a claim on some fresh seeds and then on more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    _append(experiment / FILE, told)
    return len(seen) + 1


def note_confirmation(folder: Path, claim: str, seeds: Collection[int]) -> list[int]:
    """Returns on how many of these fresh seeds somebody has looked at a claim before, ascending, and keeps this look.

    Args:
        folder: of the experiment that confirms.
        claim: a name for what is claimed.
        seeds: fresh ones that count now.
    """
    now, seen = set(seeds), []
    for told in _told(folder / FILE):
        if told.get("claim") == claim and isinstance(told.get("seeds"), list):
            seen.append({seed for seed in told["seeds"] if isinstance(seed, int)})
    if now and now not in seen:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        _append(folder / FILE, {"claim": claim, "at": at, "seeds": sorted(now)})
    return sorted({len(before) for before in seen if before < now and before})


def looks_at(experiment: Path) -> int:
    """Returns at how many states of an unfinished experiment somebody looked so far."""
    return len(_states(experiment / FILE))


def _states(path: Path) -> set[str]:
    """Returns the states that were looked at."""
    return {str(told["state"]) for told in _told(path) if "state" in told}


def _told(path: Path) -> list[dict[str, Any]]:
    """Returns the lines that can be read; one that a full disk cut off is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [told for told in found if isinstance(told, dict)]


def _append(path: Path, told: dict[str, Any]) -> None:
    """Adds a line by one write; where the folder cannot be written to, it is not kept."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, (json.dumps(told) + "\n").encode())
        finally:
            os.close(descriptor)
