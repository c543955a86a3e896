"""What does an environment give for random actions? Whole episodes from fixed seeds, so that the answer is its own."""

from __future__ import annotations

import math
import time
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np

from rlbatch.config import RunConfig
from rlbatch.environments import EPISODE_CAP, describe
from rlbatch.training.envs import EnvironmentFailure, make_env, random_action
from rlbatch.training.randomness import stream_key

_SEED = 0
"""Of the actions; episode number i is reset with the seed i."""


def random_reference(config: RunConfig, episodes: int, env_steps: int, seconds: float) -> dict[str, Any]:
    """Plays with uniformly random actions; returns mean return, its standard error, and of how many episodes.

    No episode begins beyond `env_steps` or `seconds`; one that has begun is played to its end, or where the environment
    has no step limit to `EPISODE_CAP`. So with the seeds the returns are fixed, though not always their number, and
    stopping prefers neither short episodes nor long ones.

    Args:
        config: the run whose environment it is.
        episodes: how many, at most.
        env_steps: of all of them, about.
        seconds: of all of them, about.

    Raises:
        EnvironmentFailure: the environment raised or returned nonsense.
    """
    limit = describe(config.env_id, config.env_kwargs).max_episode_steps or EPISODE_CAP
    returns: list[float] = []
    lengths: list[int] = []
    cut, ends = 0, time.monotonic() + seconds
    with closing(make_env(config)) as env:
        while len(returns) < episodes and sum(lengths) < env_steps and time.monotonic() < ends:
            score, length, over = _play(env, len(returns), sum(lengths), limit)
            returns.append(score)
            lengths.append(length)
            cut += not over
    if not math.isfinite(sum(returns)):
        raise EnvironmentFailure("reward", "the return of an episode is not finite", nonfinite=True)
    count = len(returns)
    return {
        "random_mean": float(np.mean(returns)),
        "random_se": float(np.std(returns, ddof=1)) / math.sqrt(count) if count > 1 else None,
        "random_n": count,
        "length_mean": float(np.mean(lengths)),
        "cut_episodes": cut,
    }


def _play(env: gymnasium.Env[Any, Any], seed: int, counter: int, limit: int) -> tuple[float, int, bool]:
    """Plays an episode; returns its return, its env steps, and whether the environment ended it.

    Args:
        env: the environment.
        seed: of the reset.
        counter: env steps before it, which say where in the stream its actions lie.
        limit: env steps after which it is cut.
    """
    key, score = stream_key(_SEED, "reference"), 0.0
    env.reset(seed=seed)
    for step in range(limit):
        _, reward, terminated, truncated, _ = env.step(random_action(env.action_space, key, counter + step))
        score += float(reward)
        if terminated or truncated:
            return score, step + 1, True
    return score, limit, False
