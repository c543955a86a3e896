"""Which of the planned runs are left to do? Executes those, and returns how every planned run stands.

A finished run is never trained again; a failed one only when asked; a run of another command in the same folder is left
alone. The folder is locked against other commands meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig
from rlbatch.errors import RefusedError, TemporaryError
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun
from rlbatch.launch import attempts, checkpoints, local, remote
from rlbatch.launch.calibrate import calibrate
from rlbatch.launch.cluster import Cluster, cluster_of
from rlbatch.launch.job import Job, Resources, renumbered, stacks_of
from rlbatch.launch.machine import capacity, check_device, check_memory, gpu_name
from rlbatch.launch.plan import Capacity
from rlbatch.launch.provenance import file_hash, provenance, without_secrets
from rlbatch.plans import Declared
from rlbatch.results import GOOD_OUTCOMES, RunFolder
from rlbatch.training.checkpoint import INTERVAL_S

Report = Callable[[dict[str, Any]], None]
"""Takes one progress message: {"type": "started" | "train" | "eval" | "finished", "run": index, ...} of one run, or
{"type": "tick", "runs": [index, ...], "timesteps": n} of all runs of a stack that are still in training. A worker also
tells {"type": "device", "device": name} at first, and {"type": "alive"} while it evaluates. Before the first stack come
{"type": "measuring", "done": n, "of": n} and {"type": "note", "text": text}, if any; see `calibrate`."""


@dataclass(frozen=True)
class Outcome:
    """How one planned run stands when the command ends.

    Attributes:
        planned: the run.
        folder: where its record lies.
        result: what result.json says.
        new: whether it was trained by this command.
        changed: modules of the user's whose file is another one than when the run was trained.
    """

    planned: PlannedRun
    folder: RunFolder
    result: dict[str, Any]
    new: bool
    changed: tuple[str, ...] = ()


def execute(
    planned: Sequence[PlannedRun],
    experiment: Experiment,
    report: Report,
    *,
    device: str = "auto",
    modules: Sequence[str] = (),
    stack_width: int | None = None,
    env_workers: int = 0,
    jobs: int | None = None,
    retry_failed: bool = False,
    checkpoint_s: float = INTERVAL_S,
    calibration: bool = False,
    launcher: str = "local",
    ray_address: str | None = None,
    ray_no_auth_ok: bool = False,
    cluster: Cluster | None = None,
    argv: Sequence[str] = (),
    declared: Declared | None = None,
    checked: bool = False,
) -> list[Outcome]:
    """Trains what is missing of the planned runs and returns how each of them stands, in the order of the plan.

    Args:
        planned: the runs, from `grid` or an experiment file.
        experiment: the folder they belong to.
        report: is told of progress.
        device: as asked; see `check_device`.
        modules: to be imported by the workers; the command line named them.
        stack_width: most runs that train as one program; None to let the planner choose.
        env_workers: processes that step the environments of a stack; 0 for none.
        jobs: stacks that train at a time; None for `default_jobs`, or as many as a cluster has room for.
        retry_failed: train failed runs again (never diverged ones).
        checkpoint_s: seconds of training between two checkpoints of a stack.
        calibration: measure first, on this machine, what is missing in cost.json and references.json; see `calibrate`.
        launcher: local for processes on this machine, ray for tasks on a Ray cluster.
        ray_address: as asked; see `cluster_of`.
        ray_no_auth_ok: use a cluster that asks for no token.
        cluster: the one these three name, if the caller has made it for `check`; it is closed at the end.
        argv: the command, for the record.
        declared: the experiment file of which these runs are all or some; it becomes the folder's plan.
        checked: whether the caller has just called `check`, which reads every run folder.

    Raises:
        InputError, RefusedError: see `check`.
        BusyError, TemporaryError: another command works in the folder; the disk is full.
        Interrupted: a signal ended the command; what was done is kept.
    """
    cluster = cluster or cluster_of(launcher, ray_address, no_auth_ok=ray_no_auth_ok)
    asked = Resources(device, tuple(modules), stack_width, env_workers, checkpoint_s=checkpoint_s)
    argv, configs = without_secrets(argv), [run.config for run in planned]
    with contextlib.closing(cluster) if cluster else contextlib.nullcontext():
        if not checked:
            check(planned, experiment, device, stack_width, jobs, env_workers=env_workers, cluster=cluster)
        with experiment.lock() as lock:
            _write_plan(configs, experiment, declared, argv)
            attempts.salvage(experiment, configs)
            todo = left_to_do(planned, experiment, retry_failed)
            if calibration and (todo or not experiment.cost_path.exists()):
                calibrate(configs, experiment, report, device=device, modules=modules, gpu=gpu_name(device))
            if todo:
                there = capacity(device, jobs, env_workers=env_workers, cluster=cluster)
                resources = replace(asked, memory=there.memory, jobs=there.jobs, homes=homes_of(experiment))
                made = provenance(argv, modules)
                left = [_job(planned[i], experiment, made) for i in todo]
                _train(left, lambda message: report(renumbered(message, todo)), resources, experiment, lock, cluster)
            checkpoints.sweep(experiment)
            attempts.sweep_attempts(experiment)
    return [_outcome(experiment.run(run.config), run, i in todo, modules) for i, run in enumerate(planned)]


def _write_plan(
    configs: Sequence[RunConfig], experiment: Experiment, declared: Declared | None, argv: Sequence[str]
) -> None:
    """Keeps in the folder what is asked for: a file's runs become its plan, those of a command come to it."""
    if declared is None:
        experiment.add_plan(configs, argv)
    else:
        experiment.replace_plan(declared, argv)


def _train(
    jobs: Sequence[Job],
    report: Report,
    resources: Resources,
    experiment: Experiment,
    lock: int,
    cluster: Cluster | None,
) -> None:
    """Has the launcher that was asked for train the jobs."""
    if cluster is None:
        local.train(jobs, report, resources, logs=experiment.path / "_logs", lock=lock)
    else:
        remote.train(jobs, report, resources, cluster=cluster, experiment=experiment.path)


def left_to_do(planned: Sequence[PlannedRun], experiment: Experiment, retry_failed: bool) -> list[int]:
    """Returns the indices of the runs that `execute` would train."""
    results = [attempts.result_of(experiment, run.config) for run in planned]
    return [
        index
        for index, result in enumerate(results)
        if result is None or (retry_failed and result["outcome"] not in GOOD_OUTCOMES)
    ]


def stacks_left(
    planned: Sequence[PlannedRun],
    experiment: Experiment,
    left: Sequence[int],
    device: str,
    stack_width: int | None,
    there: Capacity,
) -> list[list[int]]:
    """Returns which of the runs that are left to do train together, as `execute` has it: those that go on as they were.

    Args:
        planned: the runs.
        experiment: the folder they belong to.
        left: from `left_to_do`: indices of `planned`, as those that are returned.
        device: as asked.
        stack_width: most runs of a stack; None to let the planner choose.
        there: with what they train; from `capacity`.
    """
    resources = Resources(
        device=device, stack_width=stack_width, memory=there.memory, jobs=there.jobs, homes=homes_of(experiment)
    )
    stacks = stacks_of([_job(planned[index], experiment, {}) for index in left], resources)
    return [[left[place] for place in stack] for stack in stacks]


def check(
    planned: Sequence[PlannedRun],
    experiment: Experiment,
    device: str = "auto",
    stack_width: int | None = None,
    jobs: int | None = None,
    *,
    env_workers: int = 0,
    cluster: Cluster | None = None,
) -> None:
    """Raises what `execute` would raise before it writes anything; connects to the cluster, if there is one.

    Raises:
        InputError: the folder, the device or the cluster cannot be used, or memory does not suffice.
        RefusedError: a run folder there was tampered with or is of another version, or a run is half done on another
            kind of device.
    """
    experiment.check_usable()
    check_device(device, cluster)
    if cluster is not None:
        cluster.connect()
    there = capacity(device, jobs, env_workers=env_workers, cluster=cluster)
    check_memory([run.config for run in planned], device, stack_width, there)
    runs = [(run.config, experiment.run(run.config)) for run in planned]
    root, arms = experiment.path.resolve(), {folder.path.parent for _, folder in runs}
    outside = {arm for arm in arms if not arm.resolve().is_relative_to(root)}
    for run, (_, folder) in zip(planned, runs, strict=True):
        if folder.path.is_symlink() or folder.path.parent in outside:
            raise RefusedError(str(folder.path), "leads out of the experiment's folder")
        _check_same(folder, run)
    checkpoints.refuse_other_device(homes_of(experiment), runs, device)


def homes_of(experiment: Experiment) -> tuple[Path, ...]:
    """Returns the folders in which runs may be half done: the experiment's own, and its attempts' on clusters."""
    return (experiment.path, *attempts.attempts_in(experiment.path))


def _check_same(folder: RunFolder, run: PlannedRun) -> None:
    """Reads what stands in a run's folder, which raises if it is not this run's or not rlbatch's at all."""
    where = str(folder.path)
    if not folder.path.exists():
        return
    # what begins with a dot is our own: a file that is being written, or was when the power went
    if not folder.exists() and any(not path.name.startswith(".") for path in folder.path.iterdir()):
        raise RefusedError(where, "holds files but no config.json", "move them away")
    result = folder.result()
    others = folder.exists() and not folder.holds(run.config)
    if others or (result is not None and result["run_id"] != run.config.run_id):
        raise RefusedError(where, "holds another run", "use another --name")


def _job(run: PlannedRun, experiment: Experiment, made: dict[str, Any]) -> Job:
    beside = {
        "origins": run.origins,
        "preset_source": run.preset_source,
        "notes": run.notes,
        "provenance": made,
    }
    return Job(run.config, experiment.run(run.config), beside)


def _outcome(folder: RunFolder, run: PlannedRun, new: bool, modules: Sequence[str]) -> Outcome:
    result = folder.result()
    if result is None:
        raise TemporaryError(str(folder.path), "has no result", "run the same command again")
    made = folder.record().get("provenance") if modules else None
    known = made.get("modules", {}) if isinstance(made, dict) else {}
    changed = tuple(name for name in modules if not new and name in known and known[name] != file_hash(name))
    return Outcome(run, folder, result, new, changed)
