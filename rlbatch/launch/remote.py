"""How are runs trained on a Ray cluster? Several stacks at a time, each as one task, in a folder of its own.

Ray only places the tasks: which stack is tried again, and how, is decided here, where it is known what it died of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from json import dumps
from pathlib import Path

from rlbatch.environments import describe, image_observations
from rlbatch.launch import attempts, crew
from rlbatch.launch.cluster import Cluster
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.hand import Inbox
from rlbatch.launch.job import Job, Resources, worker_job
from rlbatch.launch.ray_worker import Needs, RayWorker
from rlbatch.paths import run_path
from rlbatch.results import RunFolder

_PROCESS_BYTES = 700 * 2**20
"""What a worker needs beside its replays: most of it is torch."""


def train(
    jobs: Sequence[Job], report: crew.Report, resources: Resources, *, cluster: Cluster, experiment: Path
) -> None:
    """Trains the jobs, several stacks at a time; raises what a worker could not cope with.

    Args:
        jobs: the runs.
        report: is told of progress, "run" and "runs" being indices of jobs.
        resources: with what.
        cluster: where; it is connected.
        experiment: the folder of the runs, on a path that all nodes share.

    Raises:
        Interrupted, RlbatchError: as `crew.train`.
    """

    def hire(stack: Sequence[Job], inbox: Inbox) -> RayWorker:
        attempt = attempts.new_attempt(experiment, stack).resolve()
        here = [replace(job, folder=RunFolder(attempt / run_path(job.config))) for job in stack]
        needs = _needs(stack, resources, cluster)
        homes = (attempt, experiment, *(path for path in attempts.attempts_in(experiment) if path.resolve() != attempt))
        told = replace(resources, homes=homes, device="cuda" if needs.gpus else "cpu")
        return RayWorker(attempt, dumps(worker_job(here, [len(here)], None, told)), needs, inbox)

    crew.train(jobs, report, resources, hire)


def _needs(stack: Sequence[Job], resources: Resources, cluster: Cluster) -> Needs:
    """Returns what the task of a stack asks of Ray."""
    first = stack[0].config
    images = image_observations(describe(first.env_id, first.env_kwargs).observation_space)
    device = resources.device
    if device == "auto":
        device = "cuda" if images and cluster.has_gpus() else "cpu"
    share = cluster.share(device, resources.env_workers, resources.jobs)
    on_gpu = share.gpus > 0 and first.engine == "stacked"
    replays = 0 if on_gpu else sum(replay_bytes(job.config) for job in stack)
    return Needs(share.cpus, share.gpus, min(replays + _PROCESS_BYTES, cluster.most_memory()))
