"""What will runs cost, before they start? Env steps, updates, samples, replay memory and disk, by arithmetic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.environments import LARGE_OBSERVATION, describe

_TRAIN_ROW_BYTES = 1_050
"""One train row on disk, as a line and as an event."""
_EVAL_ROW_BYTES = 900
_EPISODE_BYTES = 25
_CONFIG_BYTES = 4_000


@dataclass(frozen=True)
class Estimate:
    """What a set of runs will cost.

    Attributes:
        runs: how many.
        env_steps: of training, all runs together.
        eval_episodes: of evaluation, all runs together.
        updates: optimiser steps, all runs together.
        samples: transitions drawn from replay, all runs together.
        replay_bytes: memory of the replays of the largest stacks that train at a time.
        disk_bytes: about what the folders will take.
    """

    runs: int
    env_steps: int
    eval_episodes: int
    updates: int
    samples: int
    replay_bytes: int
    disk_bytes: int


def estimate(configs: Sequence[RunConfig], stacks: Sequence[Sequence[int]], jobs: int = 1) -> Estimate:
    """Returns what the runs will cost together; `stacks` are indices of runs, and `jobs` stacks train at a time."""
    replays = sorted((sum(replay_bytes(configs[i]) for i in stack) for stack in stacks), reverse=True)
    return Estimate(
        runs=len(configs),
        env_steps=sum(c.total_timesteps for c in configs),
        eval_episodes=sum((c.n_evaluations + 1) * c.n_eval_episodes for c in configs),
        updates=sum(count_updates(c) for c in configs),
        samples=sum(count_updates(c) * c.batch_size for c in configs),
        replay_bytes=sum(replays[:jobs]),
        disk_bytes=sum(_disk_bytes(c) for c in configs),
    )


def replay_bytes(config: RunConfig) -> int:
    """Returns the memory that one run's replay fills.

    A transition is, in the stacked engine, one row of float32: both observations flat (large ones are stored once), the
    action (a Discrete one is one number), the reward and the discount, and with n-step returns that of the chain (two
    numbers, an index, a flag); in sb3 both observations and the action in their own types, the reward and two flags in
    float32.
    """
    environment = describe(config.env_id, config.env_kwargs)
    observation, action = environment.observation_space, environment.action_space
    if config.engine == "stacked":
        size = spaces.flatdim(observation)
        observations = 1 if size >= LARGE_OBSERVATION else 2
        chain = 2 * 4 + 8 + 1 if config.n_steps > 1 else 0
        row = 4 * (observations * size + math.prod(action.shape or ()) + 2) + chain
    else:
        row = 2 * _bytes(observation) + _bytes(action) + 3 * 4
    vector_steps = min(max(config.buffer_size // config.n_envs, 1), -(-config.total_timesteps // config.n_envs))
    return vector_steps * config.n_envs * row


def _bytes(space: spaces.Space[object]) -> int:
    if isinstance(space, spaces.Dict):
        return sum(_bytes(part) for part in space.spaces.values())
    return math.prod(space.shape or ()) * np.dtype(space.dtype or np.float32).itemsize


def _disk_bytes(config: RunConfig) -> int:
    evaluations = config.n_evaluations + 1
    rows = config.log_points * _TRAIN_ROW_BYTES
    rows += evaluations * (_EVAL_ROW_BYTES + config.n_eval_episodes * _EPISODE_BYTES)
    return rows + 4 * _weights(config) + _CONFIG_BYTES


def _weights(config: RunConfig) -> int:
    """Returns the weights that are saved: online and target networks (two critics each and an actor for SAC)."""
    environment = describe(config.env_id, config.env_kwargs)
    observation = spaces.flatdim(environment.observation_space)
    action = spaces.flatdim(environment.action_space)
    if config.algo == "dqn":
        return 2 * _mlp(observation, config.net_arch, action)
    return 4 * _mlp(observation + action, config.net_arch, 1) + _mlp(observation, config.net_arch, 2 * action)


def _mlp(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    return sum((a + 1) * b for a, b in itertools.pairwise([inputs, *hidden, outputs]))
