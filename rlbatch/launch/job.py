"""What is a worker told to do? Runs and their folders, with what they are trained, which of them train together."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict
from rlbatch.launch.checkpoints import continued
from rlbatch.launch.plan import plan_stacks
from rlbatch.results import RunFolder
from rlbatch.training.checkpoint import INTERVAL_S


@dataclass(frozen=True)
class Job:
    """One run to train: its config, its folder, and what config.json keeps beside the config."""

    config: RunConfig
    folder: RunFolder
    beside: dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """With what runs are trained; no part of it belongs to a run's identity.

    Attributes:
        device: as asked.
        modules: to be imported by the workers.
        stack_width: most runs of a stack; None to let the planner choose.
        env_workers: processes that step the environments of a stack; 0 for none.
        memory: bytes, of which replays may fill half; None for no such limit.
        jobs: stacks that train at a time.
        homes: folders of an experiment's shape that may hold runs that are half done, with their checkpoints: the
            experiment itself first, then the attempts of a cluster; without any, no checkpoint is written.
        checkpoint_s: seconds of training between two of them.
    """

    device: str = "auto"
    modules: tuple[str, ...] = ()
    stack_width: int | None = None
    env_workers: int = 0
    memory: int | None = None
    jobs: int = 1
    homes: tuple[Path, ...] = ()
    checkpoint_s: float = INTERVAL_S


def stacks_of(jobs: Sequence[Job], resources: Resources) -> list[list[int]]:
    """Returns which jobs train together, as indices: first those that go on, as they were, then all others."""
    kept = continued(resources.homes, [(job.config, job.folder) for job in jobs])
    new = sorted(set(range(len(jobs))).difference(*kept))
    planned = plan_stacks(
        [jobs[index].config for index in new],
        width=resources.stack_width,
        memory=resources.memory,
        device=resources.device,
        jobs=resources.jobs,
    )
    return kept + [[new[place] for place in stack] for stack in planned]


def worker_job(jobs: Sequence[Job], widths: Sequence[int], lock: int | None, resources: Resources) -> dict[str, Any]:
    """Returns what a worker is told to do: the runs, stack after stack, and how many of them form each stack."""
    modules = resources.modules
    edges = list(itertools.accumulate(widths, initial=0))
    return {
        "runs": [
            {"config": as_dict(job.config), "folder": str(job.folder.path.resolve()), "beside": job.beside}
            for job in jobs
        ],
        "stacks": [list(range(a, b)) for a, b in itertools.pairwise(edges)],
        "lock": lock,
        "homes": [str(home.resolve()) for home in resources.homes],
        "checkpoint_s": resources.checkpoint_s,
        "device": resources.device,
        "env_workers": resources.env_workers,
        "modules": list(modules),
        "directory": str(Path.cwd()),
        "path": [str(Path(folder).resolve()) for folder in sys.path if folder] if modules else [],
    }


def renumbered(message: dict[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """Returns a message whose run numbers count places in `indices` with the indices themselves in their stead."""
    told = dict(message)
    if "run" in message:
        told["run"] = indices[message["run"]]
    if "runs" in message:
        told["runs"] = [indices[run] for run in message["runs"]]
    return told
