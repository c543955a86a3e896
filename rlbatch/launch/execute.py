"""Which of the planned runs are left to do? Executes those, and returns how every planned run stands.

A finished run is never trained again; a failed one only when asked; a run of another command in the same folder is left
alone. The folder is locked against other commands meanwhile.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError, TemporaryError
from rlbatch.experiment import Declared, Experiment
from rlbatch.grid import PlannedRun
from rlbatch.launch import checkpoints, local
from rlbatch.launch.calibrate import calibrate
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.plan import plan_stacks
from rlbatch.launch.provenance import file_hash, provenance, without_secrets
from rlbatch.results import GOOD_OUTCOMES, RunFolder
from rlbatch.training.checkpoint import INTERVAL_S

CHECKPOINTS = "_checkpoints"
"""Where an experiment keeps the checkpoints of its stacks while they train."""

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
        jobs: stacks that train at a time; None for `default_jobs`.
        retry_failed: train failed runs again (never diverged ones).
        checkpoint_s: seconds of training between two checkpoints of a stack.
        calibration: measure first what is missing in cost.json and references.json; see `calibrate`.
        argv: the command, for the record.
        declared: the experiment file of which these runs are all or some; it becomes the folder's plan.
        checked: whether the caller has just called `check`, which reads every run folder.

    Raises:
        InputError, RefusedError: see `check`.
        BusyError, TemporaryError: another command works in the folder; the disk is full.
        Interrupted: a signal ended the command; what was done is kept.
    """
    if not checked:
        check(planned, experiment, device, stack_width, jobs)
    argv = without_secrets(argv)
    with experiment.lock() as lock:
        if declared is None:
            experiment.add_plan([run.config for run in planned], argv)
        else:
            experiment.replace_plan(declared, argv)
        todo = left_to_do(planned, experiment, retry_failed)
        kept = experiment.path / CHECKPOINTS
        if calibration and (todo or not experiment.cost_path.exists()):
            configs = [run.config for run in planned]
            calibrate(configs, experiment, report, device=device, modules=modules, gpu=_gpu_name(device))
        if todo:
            made = provenance(argv, modules)
            local.train(
                [_job(planned[i], experiment, made) for i in todo],
                lambda message: report(local.renumbered(message, todo)),
                local.Resources(
                    device=device,
                    modules=tuple(modules),
                    stack_width=stack_width,
                    env_workers=env_workers,
                    memory=free_memory(device),
                    jobs=jobs or default_jobs(device),
                    checkpoints=kept,
                    checkpoint_s=checkpoint_s,
                ),
                logs=experiment.path / "_logs",
                lock=lock,
            )
        checkpoints.sweep(kept, experiment)
    return [_outcome(experiment.run(run.config), run, i in todo, modules) for i, run in enumerate(planned)]


def left_to_do(planned: Sequence[PlannedRun], experiment: Experiment, retry_failed: bool) -> list[int]:
    """Returns the indices of the runs that `execute` would train."""
    results = [experiment.run(run.config).result() for run in planned]
    return [
        index
        for index, result in enumerate(results)
        if result is None or (retry_failed and result["outcome"] not in GOOD_OUTCOMES)
    ]


def stacks_here(
    configs: Sequence[RunConfig], device: str, stack_width: int | None, jobs: int | None = None
) -> list[list[int]]:
    """Returns which of the runs train together on this machine: `plan_stacks` with its memory and cores."""
    workers = jobs or default_jobs(device)
    return plan_stacks(configs, width=stack_width, memory=free_memory(device), device=device, jobs=workers)


def stacks_left(
    planned: Sequence[PlannedRun],
    experiment: Experiment,
    left: Sequence[int],
    device: str,
    stack_width: int | None,
    jobs: int | None = None,
) -> list[list[int]]:
    """Returns which of the runs that are left to do train together, as `execute` has it: those that go on as they were.

    Args:
        planned: the runs.
        experiment: the folder they belong to.
        left: from `left_to_do`: indices of `planned`, as those that are returned.
        device: as asked.
        stack_width: most runs of a stack; None to let the planner choose.
        jobs: stacks that train at a time; None for `default_jobs`.
    """
    resources = local.Resources(
        device=device,
        stack_width=stack_width,
        memory=free_memory(device),
        jobs=jobs or default_jobs(device),
        checkpoints=experiment.path / CHECKPOINTS,
    )
    stacks = local.stacks_of([_job(planned[index], experiment, {}) for index in left], resources)
    return [[left[place] for place in stack] for stack in stacks]


def default_jobs(device: str) -> int:
    """Returns how many stacks train at a time: one for each core that this process may use, one on a GPU."""
    return 1 if device.startswith("cuda") else len(os.sched_getaffinity(0))


def check(
    planned: Sequence[PlannedRun],
    experiment: Experiment,
    device: str = "auto",
    stack_width: int | None = None,
    jobs: int | None = None,
) -> None:
    """Raises what `execute` would raise before it writes anything.

    Raises:
        InputError: the folder or the device cannot be used, or memory does not suffice.
        RefusedError: a run folder there was tampered with or is of another version, or a run is half done on another
            kind of device.
    """
    experiment.check_usable()
    check_device(device)
    check_memory([run.config for run in planned], device, stack_width, jobs)
    runs = [(run.config, experiment.run(run.config)) for run in planned]
    root, arms = experiment.path.resolve(), {folder.path.parent for _, folder in runs}
    outside = {arm for arm in arms if not arm.resolve().is_relative_to(root)}
    for run, (_, folder) in zip(planned, runs, strict=True):
        if folder.path.is_symlink() or folder.path.parent in outside:
            raise RefusedError(str(folder.path), "leads out of the experiment's folder")
        _check_same(folder, run)
    checkpoints.refuse_other_device(experiment.path / CHECKPOINTS, runs, device)


def check_device(asked: str) -> None:
    """Raises InputError unless the device exists. A GPU is looked for in a process of its own, which loads torch."""
    if asked in ("auto", "cpu"):
        return
    kind, _, index = asked.partition(":")
    if kind != "cuda" or (":" in asked and not (index.isascii() and index.isdigit())):
        raise InputError("--device", f"{asked!r} is not a device", "allowed: auto, cpu, cuda, cuda:0, cuda:1, ...")
    found = probe_devices()
    names = [device["device"] for device in found["devices"]]
    if ("cuda:0" if asked == "cuda" else asked) not in names:
        raise InputError("--device", f"{asked} is not available here", f"available: {', '.join(names)}")


@functools.cache
def probe_devices() -> dict[str, Any]:
    """Returns {"torch", "cuda", "devices"} as a process of its own sees them; raises InputError if torch is broken."""
    command = [sys.executable, "-P", "-m", "rlbatch.training.devices"]
    output = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    if output.returncode != 0:
        reason = (output.stderr.strip() or "no reason given").splitlines()[-1]
        raise InputError("torch", f"cannot be loaded: {reason}", "install it again")
    return dict(json.loads(output.stdout))


def free_memory(device: str) -> int:
    """Returns the bytes that replays on a device can have: of a GPU all, of the main memory what is free now."""
    if not device.startswith("cuda"):
        return int(psutil.virtual_memory().available)
    name = "cuda:0" if device == "cuda" else device
    return next(int(known["memory_mb"]) * 2**20 for known in probe_devices()["devices"] if known["device"] == name)


def _gpu_name(device: str) -> str | None:
    """Returns what the asked GPU is called, or None for the CPU."""
    name = "cuda:0" if device == "cuda" else device
    if not name.startswith("cuda"):
        return None
    return next(str(known["name"]) for known in probe_devices()["devices"] if known["device"] == name)


def check_memory(
    configs: Sequence[RunConfig], device: str = "auto", stack_width: int | None = None, jobs: int | None = None
) -> None:
    """Raises InputError if the replays of the stacks that train at a time do not fit into memory.

    The engine sb3 keeps replays in main memory, wherever it trains.
    """
    memory, workers = free_memory(device), jobs or default_jobs(device)
    needed: dict[str, list[int]] = {"stacked": [], "sb3": []}
    for stack in plan_stacks(configs, width=stack_width, memory=memory, device=device, jobs=workers):
        needed[configs[stack[0]].engine].append(sum(replay_bytes(configs[index]) for index in stack))
    for engine, sizes in needed.items():
        free = memory if engine == "stacked" else free_memory("cpu")
        largest = sorted(sizes, reverse=True)[:workers]
        if sum(largest) > free:
            first = next(config for config in configs if config.engine == engine)
            others = "" if len(largest) == 1 else f" ({len(largest)} stacks train at a time)"
            raise InputError(
                "buffer_size",
                f"replays of {first.buffer_size:,} transitions need {sum(largest) / 1e9:.1f} GB{others}, "
                f"{free / 1e9:.1f} GB are free",
                "--set buffer_size=N with a smaller N" + ("" if len(largest) == 1 else ", or --jobs 1"),
            )


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


def _job(run: PlannedRun, experiment: Experiment, made: dict[str, Any]) -> local.Job:
    beside = {
        "origins": run.origins,
        "preset_source": run.preset_source,
        "notes": run.notes,
        "provenance": made,
    }
    return local.Job(run.config, experiment.run(run.config), beside)


def _outcome(folder: RunFolder, run: PlannedRun, new: bool, modules: Sequence[str]) -> Outcome:
    result = folder.result()
    if result is None:
        raise TemporaryError(str(folder.path), "has no result", "run the same command again")
    made = folder.record().get("provenance") if modules else None
    known = made.get("modules", {}) if isinstance(made, dict) else {}
    changed = tuple(name for name in modules if not new and name in known and known[name] != file_hash(name))
    return Outcome(run, folder, result, new, changed)
