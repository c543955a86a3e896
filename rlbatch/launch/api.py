"""How does a program train runs? `train` and `run` do what the commands of these names do, and return the outcomes."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import yaml

from rlbatch.env_ids import import_module, module_of
from rlbatch.errors import InputError
from rlbatch.grid import Request
from rlbatch.launch.execute import Outcome, Report, execute
from rlbatch.launch.task import Task, task_of_document, task_of_request
from rlbatch.strict_yaml import Document, parse, read
from rlbatch.training.checkpoint import INTERVAL_S
from rlbatch.values import MAX_SEEDS, Integer

_AXES = ("batch_size", "seed")
_LEAST = {"jobs": 1, "stack_width": 1, "env_workers": 0}


class Resources(TypedDict, total=False):
    """With what runs are trained: nothing that changes their numbers on a CPU. Each may be left out.

    Attributes:
        device: auto, cpu, cuda or cuda:n.
        jobs: stacks that train at a time; one per core by default.
        stack_width: runs that train as one program, at most.
        env_workers: processes that step the environments of a stack.
        launcher: local for processes on this machine, ray for tasks on a Ray cluster.
        ray_address: host:port of the cluster's head, or auto; a cluster is started here by default.
        ray_no_auth_ok: use a cluster that asks for no token.
        checkpoint_s: seconds of training between two checkpoints of a stack.
        retry_failed: train failed runs again; diverged ones stay.
        calibration: measure first what is missing in cost.json and references.json, where there are several runs; yes
            by default.
    """

    device: str
    jobs: int | None
    stack_width: int | None
    env_workers: int
    launcher: str
    ray_address: str | None
    ray_no_auth_ok: bool
    checkpoint_s: float
    retry_failed: bool
    calibration: bool


def train(  # noqa: D417 - three arguments are described in `run`
    env_id: str,
    *,
    algo: str = "auto",
    batch_size: int | Iterable[int] = (),
    seeds: int | Iterable[int] = (0,),
    name: str | None = None,
    out: str | Path = "results",
    modules: Sequence[str] = (),
    report: Report | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Trains all combinations of batch sizes and seeds that are not finished yet; returns how every run stands.

    Args:
        env_id: Gymnasium id, or module:Id for your own; the module is imported.
        algo: dqn, sac, or auto for the one that fits the actions.
        batch_size: transitions per update, one or several; the preset's by default.
        seeds: how many (5 means 0 to 4), or which.
        name: of the experiment's folder; <env>-<algo> by default.
        out, modules, report: as in `run`.
        settings: any other field of `RunConfig`, and any of `Resources`: jobs, device and the like.

    Raises:
        RlbatchError, Interrupted: as in `run`.
    """
    own = module_of(env_id)
    named = [*modules, *([own] if own and own not in modules else [])]
    for module in named:
        import_module(module)
    resources = {key: settings.pop(key) for key in Resources.__annotations__ if key in settings}
    sizes = (_plain(batch_size),) if isinstance(batch_size, int | np.integer) else _several("batch_size", batch_size)
    chosen = tuple(range(_count(_plain(seeds)))) if isinstance(seeds, int | np.integer) else _several("seeds", seeds)
    request = Request(env_id, algo, sizes, chosen, settings, dict.fromkeys((*settings, *_AXES), "train()"))
    return _execute(task_of_request(request, named, out, name), report, resources)


def run(
    source: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    out: str | Path = "results",
    modules: Sequence[str] = (),
    report: Report | None = None,
    **resources: Unpack[Resources],
) -> list[Outcome]:
    """Trains what is missing of an experiment; returns how every run stands.

    Args:
        source: path of an experiment file, or what such a file says as a dict.
        name: of the experiment's folder; what the file says by default.
        out: folder of all experiments.
        modules: modules that register environments; imported here and by the workers.
        report: is told of progress; see `rlbatch.launch.execute.Report`.
        resources: jobs, device and the like; see `Resources`.

    Raises:
        RlbatchError: what the command line would say in one line; see `rlbatch.errors`.
        Interrupted: a signal asked to stop; the same call goes on.
    """
    return _execute(task_of_document("run", _document(source), modules, out, name), report, resources)


def _several(name: str, values: Any) -> tuple[int, ...]:
    """Returns the values of a list; raises InputError for what is none, as a text, which Python would take apart."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InputError(name, f"{values!r} is not a whole number", "give one, or a list of them")
    return tuple(map(_plain, values))


def _plain(value: Any) -> Any:
    """Returns a whole number of NumPy's as Python's own, anything else as it is."""
    return operator.index(value) if isinstance(value, np.integer) else value


def _count(seeds: int) -> int:
    try:
        return Integer(1, MAX_SEEDS)(seeds)
    except ValueError as error:
        raise InputError("seeds", str(error), "give how many, or a list of them") from error


def _document(source: str | Path | Mapping[str, Any]) -> Document:
    if isinstance(source, Mapping):  # so that a dict is held to the same rules as a file, and kept as one
        return parse(yaml.safe_dump(dict(source), sort_keys=False), "dict")
    return read(Path(source))


def _check_resources(resources: Mapping[str, Any]) -> None:
    """Raises InputError for a number that the command line would not take either."""
    for name, least in _LEAST.items():
        value = resources.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise InputError(name, f"{value!r} is not a whole number", f"give {least} or more")
    seconds = resources.get("checkpoint_s", INTERVAL_S)
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise InputError("checkpoint_s", f"{seconds!r} is not a number of seconds", "give a number above 0")


def _execute(task: Task, report: Report | None, resources: Mapping[str, Any]) -> list[Outcome]:
    _check_resources(resources)
    return execute(
        task.planned,
        task.experiment,
        report or (lambda message: None),
        modules=task.modules,
        argv=[sys.argv[0] or "python"],
        declared=None if task.file is None else task.file.declared(),
        **{"calibration": True, **resources},
    )
