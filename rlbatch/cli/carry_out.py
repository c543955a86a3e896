"""How does a command have planned runs trained? It says what it will do, shows progress, and says how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from rlbatch.cli import narrate
from rlbatch.cli.progress import progress
from rlbatch.errors import InputError
from rlbatch.grid import PlannedRun
from rlbatch.launch import Interrupted, execute
from rlbatch.launch.api import Resources
from rlbatch.launch.cluster import cluster_of
from rlbatch.launch.execute import left_to_do
from rlbatch.launch.task import Task
from rlbatch.results import GOOD_OUTCOMES

_STACKED_OPTIONS = {
    "--stack-width": "stack_width",
    "--env-workers": "env_workers",
    "--checkpoint-every": "checkpoint_s",
}
"""Options that only the engine stacked can use."""


def plan_and_carry_out(plan: Callable[[Mapping[str, Any]], Task], given: Mapping[str, Any]) -> int:
    """Has a command's words turned into a task and carries it out, here or on a cluster; returns the exit code."""
    cluster = cluster_of(given["launcher"], given["ray_address"], no_auth_ok=given["ray_no_auth_ok"])
    with contextlib.closing(cluster) if cluster is not None else contextlib.nullcontext():
        told = {**given, "cluster": cluster}
        return carry_out(plan(told), told)


def carry_out(task: Task, given: Mapping[str, Any]) -> int:
    """Trains what is missing of a checked task and tells about it, or only tells with --dry-run; returns the exit code.

    Checked is what `check` has accepted.
    """
    talks = not given["quiet"] and not given["as_json"]
    if talks or (given["dry_run"] and given["as_json"]):
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: training goes on
            narrate.announce(task, given)
    if given["dry_run"]:
        return 0
    resources = {name: given[name] for name in Resources.__annotations__ if given[name] is not None}
    left = left_to_do(task.planned, task.experiment, given["retry_failed"])
    try:
        with progress([run.config for run in task.planned], quiet=not talks, left=left) as show:
            outcomes = execute(
                task.planned,
                task.experiment,
                show,
                modules=task.modules,
                argv=["rlbatch", *click.get_current_context().obj],
                declared=task.file.declared() if task.file is not None else None,
                confirms=task.confirms,
                checked=True,
                cluster=given["cluster"],
                **resources,
            )
    except Interrupted as stop:
        return narrate.stopped(stop, task.experiment, given)
    with contextlib.suppress(BrokenPipeError):
        narrate.conclude(outcomes, task, given)
    return 0 if all(o.result["outcome"] in GOOD_OUTCOMES for o in outcomes) else 3


def check_stacked(given: Mapping[str, Any], planned: Sequence[PlannedRun]) -> None:
    """Refuses what only a stack can use where there is none."""
    if any(run.config.engine == "stacked" for run in planned):
        return
    for option, field in _STACKED_OPTIONS.items():
        if given[field] and planned:
            why = planned[0].origins["engine"]
            raise InputError(option, f"is of no use with the engine sb3 ({why})", "leave it out")
