"""How long will a stack take on one core? A rough model, good enough to divide work: only its ratios matter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.environments import EPISODE_CAP, describe, family_of

START_S = 4.0
"""Of a worker process: loading torch, making environments."""
CALLS_US = {"dqn": 500.0, "sac": 1000.0}
"""Of one vector step with one update, whatever the width: the calls themselves."""
ACT_US = 12.0
"""Of one run's action."""
ENV_US = {"classic_control": 25.0, "box2d": 110.0, "mujoco": 200.0, "": 60.0}
"""Of one env step, by family of environments; the last for those not known."""
ROW_US = 0.1
"""Of one row of a batch: drawing, gathering and passes over activations."""
FLOP_PER_US = 45_000.0
"""Matrix products in updates."""
SB3_US = {"dqn": 1200.0, "sac": 5000.0}
"""Of an env step with an update on Stable-Baselines3, besides the matrix products."""


def stack_seconds(configs: Sequence[RunConfig]) -> float:
    """Returns about how long these runs take as one stack, or one after the other with the engine sb3.

    The constants were measured with `rlbatch bench` on one core of a server; a stack needs fewer calls per run the
    wider it is, and nothing else gets cheaper.
    """
    first = configs[0]
    steps, updates = first.total_timesteps, count_updates(first)
    env_us = ENV_US[family_of(first.env_id)]
    arithmetic = sum(_flop(config) / FLOP_PER_US + ROW_US * config.batch_size for config in configs) * updates
    if first.engine == "sb3":
        own = SB3_US[first.algo] * max(updates, steps / 4) + env_us * steps
        return START_S + (len(configs) * own + arithmetic) / 1e6
    calls = CALLS_US[first.algo] * (updates + steps / first.n_envs) / 2
    acting = len(configs) * (ACT_US + env_us) * (steps + evaluation_steps(first))
    return START_S + (calls + acting + arithmetic) / 1e6


def evaluation_steps(config: RunConfig) -> float:
    """Returns the env steps of a run's evaluations, taken as half as long as they can be."""
    limit = describe(config.env_id, config.env_kwargs).max_episode_steps or EPISODE_CAP // 10
    return (config.n_evaluations + 1) * config.n_eval_episodes * limit / 2


def makespan(seconds: Sequence[float], cores: int) -> float:
    """Returns when the last of these jobs ends if the longest are started first, each on the next free core."""
    ends = [0.0] * cores
    for one in sorted(seconds, reverse=True):
        ends[ends.index(min(ends))] += one
    return max(ends)


def _flop(config: RunConfig) -> float:
    """Returns about the operations of one update: eight for each weight and row of a batch, more for SAC."""
    environment = describe(config.env_id, config.env_kwargs)
    inputs = spaces.flatdim(environment.observation_space)
    outputs = spaces.flatdim(environment.action_space)
    weights = sum(a * b for a, b in itertools.pairwise((inputs, *config.net_arch, outputs)))
    return {"dqn": 8.0, "sac": 32.0}[config.algo] * weights * config.batch_size
