"""What do one env step and one update cost here, of a run alone? Short stretches of training, and their medians."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import torch

from rlbatch.config import RunConfig
from rlbatch.training.bench_sides import Stacked, Stretch

_BLOCKS = 5
_RANDOM_STEPS = 500
"""Env steps of random acting before updates; more where a batch is larger, up to `_MOST_RANDOM_STEPS`."""
_MOST_RANDOM_STEPS = 2_000
_BUFFER = 10_000
_GENTLE = 1e-4
"""The learning rate costs nothing; a large one could end the run."""


class Block(NamedTuple):
    """What a stretch says: seconds of one env step without updates, and of one update."""

    t_env: float
    t_update: float


def measure_cost(config: RunConfig, device: str, seconds: float) -> dict[str, Any]:
    """Trains one run alone for a moment, on one thread; returns what an env step and an update cost.

    Both in seconds: the medians and ranges of some blocks, besides how many there were and what was done in them.

    The run is this one with little to wait for: the replay holds at most 10,000 transitions, of which a few thousand
    are filled, so drawing a batch touches less memory than late in a long run. Nothing is evaluated and no row is
    written. Everything but updates is put down to env steps.

    Args:
        config: the run; its seed does not matter.
        device: torch's name of it.
        seconds: how long to train, about, where an update does not take longer than that.

    Raises:
        InputError: the run ends meanwhile, as one whose environment fails.
        Exception: whatever else training can raise.
    """
    torch.set_num_threads(1)
    stretches: list[Stretch] = []
    blocks: list[Block] = []
    with closing(Stacked([_short(config)], lambda run, row: None, device, 0, ())) as stack:
        stack.warm_up(steps=1, evaluates=False)
        span, ends = seconds / (_BLOCKS + 1), time.perf_counter() + seconds
        stack.train(span)
        while not blocks or (len(blocks) < _BLOCKS and time.perf_counter() < ends):
            stretches.append(stack.train(span))
            waiting = None if device == "cpu" else stack.train(span, waits=True)
            blocks.append(block_of(stretches[-1], waiting))
    told: dict[str, Any] = {}
    for name, values in zip(Block._fields, zip(*blocks, strict=True), strict=True):
        told[name] = _rounded(median(values))
        told[f"{name}_range"] = [_rounded(min(values)), _rounded(max(values))]
    queued = sum(one.queued for one in stretches) / sum(one.seconds for one in stretches)
    return told | {
        "blocks": len(blocks),
        "env_steps": sum(one.env_steps for one in stretches),
        "updates": sum(one.updates for one in stretches),
        "queued_share": round(queued, 3),
    }


def block_of(stretch: Stretch, waiting: Stretch | None = None) -> Block:
    """Divides the time of a stretch between env steps and updates.

    What other processes took does not count: neither the time in which this one waited for a core nor, on a CPU,
    anything but processor time in updates. Time without a core that nobody else had is the environment's.

    Args:
        stretch: the stretch.
        waiting: on a GPU, another one that waited for the device after each activity, which this one did not: it says
            which share of the time updates have.
    """
    own = max(stretch.seconds - stretch.queued, stretch.cpu)  # waiting is told late, at times in the next stretch
    in_updates = stretch.update_cpu if waiting is None else own * waiting.spent["update"] / waiting.seconds
    return Block((own - in_updates) / stretch.env_steps, in_updates / stretch.updates)


def _short(config: RunConfig) -> RunConfig:
    """Returns the run with little to wait for; a DQN explores as it does at last, for a random action costs nothing."""
    return replace(
        config,
        seed=0,
        learning_starts=min(max(config.batch_size, _RANDOM_STEPS), _MOST_RANDOM_STEPS),
        buffer_size=min(config.buffer_size, max(_BUFFER, config.batch_size)),
        learning_rate=min(config.learning_rate, _GENTLE),
        exploration_initial_eps=config.exploration_final_eps,
    )


def _rounded(value: float) -> float:
    """Returns a measured number without the digits that are noise."""
    return float(f"{value:.4g}")
