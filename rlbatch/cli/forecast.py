"""What will the runs of a command be, cost and be able to tell? By arithmetic, and from what finished runs took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlbatch.cli.output import duration, plural, size
from rlbatch.config import RunConfig, as_dict
from rlbatch.env_ids import bare_id
from rlbatch.launch.attempts import status_of
from rlbatch.launch.checkpoints import first_steps
from rlbatch.launch.estimate import Estimate, estimate
from rlbatch.launch.execute import homes_of, left_to_do, stacks_left
from rlbatch.launch.machine import capacity, stacks_here
from rlbatch.launch.speeds import expected_seconds, recorded_speeds
from rlbatch.launch.task import Task
from rlbatch.power import ALPHA, POWER, Power, power_of

_MOST_STARTS = 5
"""Env steps from which stacks go on that are told apart."""


@dataclass(frozen=True)
class Forecast:
    """What is known of runs before they are trained.

    Attributes:
        cost: of all runs.
        statuses: of each run.
        stacks: indices of the runs that will train together; only of those that are left to do.
        starts: env step from which each stack goes on, 0 for one that starts from zero; empty where nobody looked.
        jobs: stacks that train at a time.
        seconds: what the stacks will take, as far as that is known.
        unknown: runs left to do of which that is not known.
        power: environment -> number of seeds of its smallest arm, and what they can tell, if that is known.
    """

    cost: Estimate
    statuses: list[str]
    stacks: list[list[int]]
    starts: list[int]
    jobs: int
    seconds: float
    unknown: int
    power: dict[str, tuple[int, Power | None]]


def foresee(task: Task, given: Mapping[str, Any], *, with_speeds: bool) -> Forecast:
    """Returns what is known of a command's runs; torch is not needed for it.

    Args:
        task: the runs and their folder.
        given: device, stack_width, jobs, env_workers, cluster, retry_failed and dry_run, as the command has them; only
            with the last are checkpoints read.
        with_speeds: look into every finished run below the results folder for its speed.
    """
    configs = [run.config for run in task.planned]
    left = left_to_do(task.planned, task.experiment, given["retry_failed"])
    device, width = given["device"], given["stack_width"]
    there = capacity(device, given["jobs"], env_workers=given["env_workers"], cluster=given["cluster"])
    stacks = stacks_left(task.planned, task.experiment, left, device, width, there)
    starts: list[int] = []
    if given["dry_run"]:
        starts = first_steps(homes_of(task.experiment), [[configs[i] for i in stack] for stack in stacks], device)
    speeds = recorded_speeds(task.experiment.path.parent) if stacks and with_speeds else {}
    seconds, unknown = expected_seconds(configs, stacks, speeds, there.jobs, starts)
    cost = estimate(configs, stacks_here(configs, device, width, there), there.jobs)
    statuses = [status_of(task.experiment, config) for config in configs]
    return Forecast(cost, statuses, stacks, starts, there.jobs, seconds, unknown, _power(configs))


def as_json(task: Task, forecast: Forecast) -> dict[str, Any]:
    """Returns the forecast as --json has it."""
    configs = [run.config for run in task.planned]
    return {
        "folder": str(task.experiment.path),
        "cost": vars(forecast.cost),
        "stacks": forecast.stacks,
        "starts": forecast.starts,
        "expected_seconds": forecast.seconds,
        "runs_of_unknown_speed": forecast.unknown,
        "power": {
            env_id: {"seeds": seeds, "difference": power and power.difference, "margin": power and power.margin}
            for env_id, (seeds, power) in forecast.power.items()
        },
        "runs": [
            {"run_id": config.run_id, "status": status, "config": as_dict(config), "also": list(run.also)}
            for run, config, status in zip(task.planned, configs, forecast.statuses, strict=True)
        ],
    }


def forecast_lines(task: Task, forecast: Forecast, *, full: bool) -> list[str]:
    """Returns the forecast in words; if not `full`, only what the runs cost."""
    cost = forecast.cost
    lines = [
        f"{plural(cost.updates, 'update')}, {plural(cost.samples, 'sample')}, "
        f"{plural(cost.eval_episodes, 'evaluation episode')}; "
        f"replay memory {size(cost.replay_bytes)}, about {size(cost.disk_bytes)} on disk"
    ]
    if not full:
        return lines
    lines.insert(0, f"{_counts(task, forecast)}; {plural(cost.env_steps, 'env step')}")
    if forecast.stacks:
        lines += [stacks_line(forecast.stacks, forecast.jobs), *_starts_lines(forecast), _time_line(forecast)]
    return lines + [_power_line(env_id, *known) for env_id, known in forecast.power.items()]


def stacks_line(stacks: Sequence[Sequence[int]], jobs: int) -> str:
    """Returns how many stacks there are, how wide they are, and how many of them train at a time."""
    widths = sorted(Counter(map(len, stacks)).items(), reverse=True)
    parts = [f"{plural(count, 'stack')} of {plural(width, 'run')}" for width, count in widths]
    at_a_time = "one after the other" if jobs == 1 else f"{min(jobs, len(stacks))} at a time"
    return ", ".join(parts) + (f", {at_a_time}" if len(stacks) > 1 else "")


def _starts_lines(forecast: Forecast) -> list[str]:
    """Returns how many runs go on from which env step, as one line, if any does."""
    runs: Counter[int] = Counter()
    for stack, start in zip(forecast.stacks, forecast.starts, strict=bool(forecast.starts)):
        runs[start] += len(stack)
    new = runs.pop(0, 0)
    if not runs:
        return []
    told = [f"{plural(runs[start], 'run')} from env step {start:,}" for start in sorted(runs, reverse=True)]
    if len(told) > _MOST_STARTS:
        rest = sum(runs[start] for start in sorted(runs)[:-_MOST_STARTS])
        told = [*told[:_MOST_STARTS], f"{plural(rest, 'run')} from earlier ones"]
    return ["goes on from checkpoints: " + ", ".join(told) + (f"; {plural(new, 'run')} from zero" if new else "")]


def _counts(task: Task, forecast: Forecast) -> str:
    """Returns how many runs there are in how many arms, and how they stand."""
    kinds = {"ok": "done", "diverged": "done", "planned": "to do", "partial": "partial"}
    states = Counter(kinds.get(status, "failed") for status in forecast.statuses)
    arms = len({run.config.arm_id for run in task.planned})
    told = ", ".join(f"{states[kind]:,} {kind}" for kind in ("done", "partial", "to do", "failed") if states[kind])
    return f"{plural(len(task.planned), 'run')} in {plural(arms, 'arm')}: {told}"


def _time_line(forecast: Forecast) -> str:
    left = sum(map(len, forecast.stacks))
    if forecast.unknown == left:
        return "expected time unknown: no finished run here has this environment, batch size and network"
    unknown = f", and {plural(forecast.unknown, 'run')} of unknown speed" if forecast.unknown else ""
    return f"expected time {duration(forecast.seconds)}{unknown}, from the speed of finished runs"


def _power_line(env_id: str, seeds: int, power: Power | None) -> str:
    """Returns what comparing two arms can tell, in percent of the environment's reference range."""
    if seeds < 2:
        return f"{env_id}: one seed per arm can tell nothing about two arms"
    if power is None:
        return f"{env_id}: what {seeds} seeds per arm can tell is unknown, for want of the deviation over seeds"
    return (
        f"{env_id}: two arms of {seeds} seeds at one learning rate show a difference of {power.difference:.1%} of the "
        f"reference range in the area, or equality within {power.margin:.1%} (power {POWER:.0%}, level {ALPHA:.0%}, by "
        "the deviation of other runs); each at its own best rate needs more"
    )


def _power(configs: Sequence[RunConfig]) -> dict[str, tuple[int, Power | None]]:
    """Returns what comparisons can tell in each environment with several arms, by its arm with the fewest seeds."""
    arms: dict[str, Counter[str]] = {}
    for config in configs:
        arms.setdefault(config.env_id, Counter())[config.arm_id] += 1
    fewest = {env_id: min(seeds.values()) for env_id, seeds in arms.items() if len(seeds) > 1}
    return {env_id: (seeds, power_of(bare_id(env_id), seeds)) for env_id, seeds in fewest.items()}
