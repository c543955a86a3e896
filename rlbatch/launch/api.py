"""How does a program train runs? `train` and `run` do what the commands of these names do, and return the outcomes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rlbatch.environments import import_module
from rlbatch.grid import Request
from rlbatch.launch.cluster import cluster_of
from rlbatch.launch.execute import Outcome, Report, execute
from rlbatch.launch.task import Task, task_of_document, task_of_request
from rlbatch.strict_yaml import Document, parse, read

_AXES = ("batch_size", "seed")


def train(
    env_id: str,
    *,
    algo: str = "auto",
    batch_size: int | Iterable[int] = (),
    seeds: int | Iterable[int] = (0,),
    name: str | None = None,
    out: str | Path = "results",
    modules: Sequence[str] = (),
    report: Report | None = None,
    device: str = "auto",
    jobs: int | None = None,
    stack_width: int | None = None,
    env_workers: int = 0,
    launcher: str = "local",
    ray_address: str | None = None,
    ray_no_auth_ok: bool = False,
    retry_failed: bool = False,
    **settings: Any,
) -> list[Outcome]:
    """Trains all combinations of batch sizes and seeds that are not finished yet; returns how every run stands.

    Args:
        env_id: Gymnasium id, or module:Id for your own; the module is imported.
        algo: dqn, sac, or auto for the one that fits the actions.
        batch_size: transitions per update, one or several; the preset's by default.
        seeds: how many (5 means 0 to 4), or which.
        name: of the experiment's folder; <env>-<algo> by default.
        out: folder of all experiments.
        modules: modules that register environments; imported here and by the workers.
        report: is told of progress; see `rlbatch.launch.execute.Report`.
        device: auto, cpu, cuda or cuda:n.
        jobs: stacks that train at a time; one per core by default.
        stack_width: runs that train as one program, at most.
        env_workers: processes that step the environments of a stack.
        launcher: local for processes on this machine, ray for tasks on a Ray cluster.
        ray_address: host:port of the cluster's head, or auto; a cluster is started here by default.
        ray_no_auth_ok: use a cluster that asks for no token.
        retry_failed: train failed runs again; diverged ones stay.
        settings: any other field of `RunConfig`.

    Raises:
        RlbatchError: what the command line would say in one line; see `rlbatch.errors`.
        Interrupted: a signal asked to stop; the same call goes on.
    """
    own = env_id.rpartition(":")[0] if env_id.count(":") == 1 else ""
    named = [*modules, *([own] if own and own not in modules else [])]
    for module in named:
        import_module(module)
    sizes = (batch_size,) if isinstance(batch_size, int) else tuple(batch_size)
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    request = Request(env_id, algo, sizes, chosen, settings, dict.fromkeys((*settings, *_AXES), "train()"))
    resources: dict[str, Any] = {"device": device, "jobs": jobs, "stack_width": stack_width, "env_workers": env_workers}
    resources["cluster"] = cluster_of(launcher, ray_address, no_auth_ok=ray_no_auth_ok)
    return _execute(task_of_request(request, named, out, name), report, retry_failed, resources)


def run(
    source: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    out: str | Path = "results",
    modules: Sequence[str] = (),
    report: Report | None = None,
    device: str = "auto",
    jobs: int | None = None,
    stack_width: int | None = None,
    env_workers: int = 0,
    launcher: str = "local",
    ray_address: str | None = None,
    ray_no_auth_ok: bool = False,
    retry_failed: bool = False,
) -> list[Outcome]:
    """Trains what is missing of an experiment; returns how every run stands.

    Args:
        source: path of an experiment file, or what such a file says as a dict.
        name: of the experiment's folder; what the file says by default.
        out: folder of all experiments.
        modules: modules that register environments; imported here and by the workers.
        report: is told of progress; see `rlbatch.launch.execute.Report`.
        device: auto, cpu, cuda or cuda:n.
        jobs: stacks that train at a time; one per core by default.
        stack_width: runs that train as one program, at most.
        env_workers: processes that step the environments of a stack.
        launcher: local for processes on this machine, ray for tasks on a Ray cluster.
        ray_address: host:port of the cluster's head, or auto; a cluster is started here by default.
        ray_no_auth_ok: use a cluster that asks for no token.
        retry_failed: train failed runs again; diverged ones stay.

    Raises:
        RlbatchError: what the command line would say in one line; see `rlbatch.errors`.
        Interrupted: a signal asked to stop; the same call goes on.
    """
    task = task_of_document("run", _document(source), modules, out, name)
    resources: dict[str, Any] = {"device": device, "jobs": jobs, "stack_width": stack_width, "env_workers": env_workers}
    resources["cluster"] = cluster_of(launcher, ray_address, no_auth_ok=ray_no_auth_ok)
    return _execute(task, report, retry_failed, resources)


def _document(source: str | Path | Mapping[str, Any]) -> Document:
    if isinstance(source, Mapping):  # so that a dict is held to the same rules as a file, and kept as one
        return parse(yaml.safe_dump(dict(source), sort_keys=False), "dict")
    return read(Path(source))


def _execute(task: Task, report: Report | None, retry_failed: bool, resources: Mapping[str, Any]) -> list[Outcome]:
    return execute(
        task.planned,
        task.experiment,
        report or (lambda message: None),
        modules=task.modules,
        retry_failed=retry_failed,
        argv=[sys.argv[0] or "python"],
        declared=None if task.file is None else task.file.declared(),
        **resources,
    )
