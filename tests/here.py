"""Training in the test's own process instead of a worker's, which would load torch again for seconds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Trains in this process, and measures no costs, until the patch is undone."""
    from rlbatch.launch import job, local, worker

    def train(jobs: Any, report: Any, resources: Any, *, logs: Path, lock: int) -> None:
        (logs / jobs[0].config.run_id).mkdir(parents=True, exist_ok=True)
        stacks = job.stacks_of(jobs, resources)
        left = [index for stack in stacks for index in stack]
        told = job.worker_job([jobs[i] for i in left], [len(stack) for stack in stacks], lock, resources)
        worker.work(told, lambda message: report(job.renumbered(message, left)), lambda: False)

    patch.setattr(local, "train", train)
    patch.setattr(importlib.import_module("rlbatch.launch.execute"), "calibrate", lambda *_, **__: None)
