"""What does an engine report of a run? Rows, with their tags and their encoding in `metrics.jsonl`, and an ending.

Values are means over the env steps since the row before, unless their name says otherwise. Units: returns are
undiscounted episode sums, lengths and ages are in env steps, losses as the algorithm defines them, memory in MiB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlbatch.config import RunConfig

_COUNTS = ("timesteps", "updates", "samples", "seconds")
_ROLLOUT = ("rollout/return_mean", "rollout/length_mean", "rollout/episodes")
_UPDATE = ("update/td_error", "update/q_mean", "update/grad_norm", "update/learning_rate")
_BATCH = ("batch/unique_fraction", "batch/age_mean", "batch/replays_per_transition", "batch/replay_ratio")
_COST = (
    "cost/env_steps_per_s",
    "cost/updates_per_s",
    "cost/samples_per_s",
    "cost/process_memory_mb",
    "cost/gpu_memory_mb",
)
TRAIN_TAGS: dict[str, tuple[str, ...]] = {
    "dqn": (*_ROLLOUT, "rollout/exploration_rate", "update/loss", *_UPDATE, "update/clip_fraction", *_BATCH, *_COST),
    "sac": (
        *_ROLLOUT,
        "update/actor_loss",
        "update/critic_loss",
        "update/ent_coef",
        "update/ent_coef_loss",
        *_UPDATE,
        "update/actor_grad_norm",
        *_BATCH,
        *_COST,
    ),
}
"""The tags of every train row, by algorithm; what could not be measured is null."""
EVAL_TAGS = ("eval/return_mean", "eval/return_std", "eval/return_min", "eval/return_max", "eval/length_mean")
LIVE_TAGS = (
    "stability/drawdown",
    "stability/dispersion",
    "efficiency/auc",
    "efficiency/best",
    "efficiency/steps_to_threshold",
)
"""What the recorder adds to every eval row."""


@dataclass(frozen=True)
class Row:
    """One row as an engine emits it.

    Attributes:
        kind: "train" or "eval".
        timesteps: the nominal grid point, in env steps.
        updates: optimiser steps done by then.
        samples: transitions drawn from the replay by then.
        seconds: wall clock since the run began to train, evaluations included.
        values: tag -> value, or None where it could not be measured.
        returns: of every episode of an eval row.
        lengths: of every episode of an eval row, in env steps.
        cut_episodes: how many of them were cut because the environment has no limit of its own.
    """

    kind: str
    timesteps: int
    updates: int
    samples: int
    seconds: float
    values: Mapping[str, float | None]
    returns: Sequence[float] = field(default=())
    lengths: Sequence[int] = field(default=())
    cut_episodes: int = 0

    def encode(self) -> str:
        """Returns the row as its line of `metrics.jsonl`; a value that is not finite becomes null."""
        flat: dict[str, Any] = {"kind": self.kind, **{name: getattr(self, name) for name in _COUNTS}}
        flat |= {tag: number_or_null(value) for tag, value in self.values.items()}
        if self.kind == "eval":
            flat |= {"returns": list(self.returns), "lengths": list(self.lengths), "cut_episodes": self.cut_episodes}
        return json.dumps(flat, allow_nan=False) + "\n"

    def numbers(self) -> dict[str, float]:
        """Returns the finite values by tag: what TensorBoard can show."""
        return {tag: float(v) for tag, v in self.values.items() if number_or_null(v) is not None and v is not None}


@dataclass(frozen=True)
class Ending:
    """How a run ended, as an engine reports it.

    Attributes:
        outcome: one of `results.OUTCOMES`.
        reason: one line for a reader; empty if ok.
        timesteps: env steps taken.
        updates: optimiser steps done.
        samples: transitions drawn.
        seconds: wall clock of the run.
        first_nonfinite: where and at which env step a value was first not finite, or None.
        policy: name -> array of the final weights, or None where there is nothing worth keeping.
        evidence: the traceback of a failure, or empty.
        resume_exact: whether a reset with a seed restores the environment exactly.
    """

    outcome: str
    reason: str
    timesteps: int
    updates: int
    samples: int
    seconds: float
    first_nonfinite: Mapping[str, Any] | None = None
    policy: Mapping[str, np.ndarray[Any, Any]] | None = None
    evidence: str = ""
    resume_exact: bool = False


Emit = Callable[[int, Row | Ending], None]
"""Takes a report of run number `run`: its rows, and last its ending."""
Commit = Callable[[Sequence[int], int], bool]
"""Hears that these runs have taken so many env steps; False asks to stop there."""


def grid_points(total_timesteps: int, count: int) -> Iterator[int]:
    """Yields the env steps at which rows are taken: ceil(i·T/n) for i = 1..n, duplicates dropped."""
    last = 0
    for index in range(1, count + 1):
        point = -(-index * total_timesteps // count)
        if point > last:
            yield point
        last = point


def evaluation_points(config: RunConfig) -> list[int]:
    """Returns the env steps at which a run is evaluated, 0 included."""
    return [0, *grid_points(config.total_timesteps, config.n_evaluations)]


def number_or_null(value: float | None) -> float | None:
    """Returns a finite number unchanged, anything else as None: rows hold numbers or null."""
    return value if value is not None and math.isfinite(value) else None
