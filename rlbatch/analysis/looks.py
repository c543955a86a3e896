"""How often were the runs of an experiment compared before all of them had finished?

Whoever looks at a part of the runs, and then decides whether to train more, will find differences that are not there.
So each look leaves a line in `looks.jsonl` beside the runs; looking again at the same state is the same look. A look at
a finished experiment counts once runs are added to its plan. Likewise for who confirms a claim on some fresh seeds and
then on more.
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
from rlbatch.errors import RlbatchError
from rlbatch.experiment import Experiment
from rlbatch.results import RunFolder

FILE = "looks.jsonl"


def note_look(experiment: Path, runs: Iterable[Run], unread: Collection[str] = ()) -> None:
    """Keeps that somebody looked at an experiment in this state.

    All of its planned runs tell the state, whichever of them are compared. A line is one append, so that two commands
    at a time lose none; where the folder cannot be written to, the look is not kept.

    Args:
        experiment: its folder.
        runs: those that were read, as they stand.
        unread: paths of all others that it plans.
    """
    told = [(run.path, run.status, len(run.returns) if run.status in UNFINISHED else 0) for run in runs]
    states = sorted([*told, *_standing(Experiment(experiment), unread)])
    if all(status in UNFINISHED for _, status, _ in states):
        return  # nothing was to be seen
    state = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]
    if state not in {look.get("state") for look in _told(experiment / FILE)}:
        finished = not any(status in UNFINISHED for _, status, _ in states)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        _append(experiment / FILE, {"state": state, "at": at, "runs": len(states), "finished": finished})


def _standing(experiment: Experiment, paths: Collection[str]) -> list[tuple[str, str, int]]:
    """Returns path, status and, where it has not finished, evaluations of each of these runs."""
    statuses = experiment.statuses() if paths else {}
    found = []
    for path in paths:
        count = 0
        if statuses[path] in UNFINISHED:
            with contextlib.suppress(RlbatchError):
                count = sum(1 for _ in RunFolder(experiment.path / path).rows("eval"))
        found.append((path, statuses[path], count))
    return found


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


def looks_at(experiment: Path, runs: int) -> int:
    """Returns at how many states of an experiment somebody looked before all of its runs had finished.

    Args:
        experiment: its folder.
        runs: how many it plans now; looks at fewer, finished or not, came before.
    """
    looks = [look for look in _told(experiment / FILE) if "state" in look]
    return len({look["state"] for look in looks if not look.get("finished") or look.get("runs", 0) < runs})


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
    """Adds a line by one write; where the folder cannot be written to, or a link lies there, it is not kept."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, (json.dumps(told) + "\n").encode())
        finally:
            os.close(descriptor)
