"""How long will runs take? As long as finished runs of their kind took, which the results folder remembers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict
from rlbatch.errors import RlbatchError
from rlbatch.launch.cost import makespan
from rlbatch.results import RunFolder, find_runs, read_json

Kind = tuple[Any, ...]
"""Environment, algorithm, networks, batch size, engine, and updates per env step: what decides the speed."""


def recorded_speeds(root: Path) -> dict[Kind, float]:
    """Returns env steps per second of a whole stack, evaluation included, by kind: the median over finished runs.

    Args:
        root: the folder of all experiments; it need not exist. What cannot be read there is passed over.
    """
    speeds: dict[Kind, list[float]] = {}
    for run in find_runs(root) if root.is_dir() else ():
        if run.result_path.is_file() and (found := _speed(run)) is not None:
            speeds.setdefault(found[0], []).append(found[1])
    return {kind: statistics.median(values) for kind, values in speeds.items()}


def expected_seconds(
    configs: Sequence[RunConfig],
    stacks: Sequence[Sequence[int]],
    speeds: Mapping[Kind, float],
    jobs: int,
    starts: Sequence[int] = (),
) -> tuple[float, int]:
    """Returns in how many seconds the last of the stacks ends, and how many runs it is unknown of.

    Args:
        configs: the runs.
        stacks: indices of the runs that train together.
        speeds: from `recorded_speeds`.
        jobs: stacks that train at a time.
        starts: env step from which each stack goes on; 0 for all by default.
    """
    seconds, unknown = [], 0
    for stack, start in zip(stacks, starts or [0] * len(stacks), strict=True):
        speed = speeds.get(kind_of(as_dict(configs[stack[0]])))
        if speed is None:
            unknown += len(stack)
        else:
            seconds.append(sum(configs[index].total_timesteps - start for index in stack) / speed)
    return makespan(seconds, jobs), unknown


def kind_of(config: Mapping[str, Any]) -> Kind:
    """Returns the kind of a run, from all fields of its config."""
    updates = config["gradient_steps"] / (config["train_freq"] * config["n_envs"])
    own = (config[field] for field in ("env_id", "algo", "batch_size", "engine"))
    return (*own, tuple(config["net_arch"]), round(updates, 6))


def _speed(run: RunFolder) -> tuple[Kind, float] | None:
    try:
        record, result = read_json(run.config_path), read_json(run.result_path)
        if result["outcome"] != "ok" or not result["seconds"] > 0:
            return None
        return kind_of(record["config"]), result["timesteps"] * record.get("stack_width", 1) / result["seconds"]
    except (RlbatchError, KeyError, TypeError, ZeroDivisionError):
        return None
