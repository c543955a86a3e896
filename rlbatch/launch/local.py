"""How are runs trained on this machine? Several stacks at a time, each in a worker process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path

from rlbatch.launch import crew
from rlbatch.launch.hand import Inbox
from rlbatch.launch.job import Job, Resources, worker_job
from rlbatch.launch.process import Worker
from rlbatch.results import storage


def train(jobs: Sequence[Job], report: crew.Report, resources: Resources, *, logs: Path, lock: int) -> None:
    """Trains the jobs, several stacks at a time; raises what a worker could not cope with.

    Args:
        jobs: the runs.
        report: is told of progress, "run" and "runs" being indices of jobs.
        resources: with what.
        logs: a folder; each worker works in a folder inside it.
        lock: descriptor of the experiment's lock; workers inherit it, so it is held until the last of them is gone.

    Raises:
        Interrupted, RlbatchError: as `crew.train`.
    """

    def hire(stack: Sequence[Job], inbox: Inbox) -> Worker:
        folder = logs / stack[0].config.run_id
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            worker = Worker(folder, lock, inbox)
        worker.say(dumps(worker_job(stack, [len(stack)], lock, resources)))
        return worker

    crew.train(jobs, report, resources, hire)
