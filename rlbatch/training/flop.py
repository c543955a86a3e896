"""How much arithmetic is an update, against what a device can do? Operations of matrix products only.

A product of (B, in) and (in, out) takes 2 · B · in · out floating-point operations, and so do the gradient of its
weights and that of its input.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence

import torch
from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.environments import describe

_MATRICES = {"cpu": (512, 1024), "cuda": (512, 1024, 4096)}
"""Units of the square matrices that are multiplied."""
_PRODUCTS = 10
"""How many are, of each size, at least."""


def flop_per_update(config: RunConfig) -> int:
    """Returns the operations of one update of one run."""
    environment = describe(config.env_id, config.env_kwargs)
    observation, action = spaces.flatdim(environment.observation_space), environment.action_space
    if config.algo == "dqn":
        return dqn_flop((observation, *config.net_arch, spaces.flatdim(action)), config.batch_size)
    size = math.prod(action.shape or ())
    actor, critic = (observation, *config.net_arch, 2 * size), (observation + size, *config.net_arch, 1)
    return sac_flop(actor, critic, config.batch_size)


def dqn_flop(sizes: Sequence[int], batch_size: int) -> int:
    """Returns the operations of a DQN's update.

    Forward: target and online network. Backward: the weights of all layers, the inputs of all but the first.

    Args:
        sizes: units of every layer, the input's first.
        batch_size: B.
    """
    every, first = _products(sizes)
    return 2 * batch_size * (4 * every - first)


def sac_flop(actor_sizes: Sequence[int], critic_sizes: Sequence[int], batch_size: int) -> int:
    """Returns the operations of a SAC's update.

    The actor: forward at both observations, then backward as in `dqn_flop`. Each of two critics: forward of the target;
    forward and backward as in `dqn_flop`; forward with the actor's actions, and back to the inputs of all layers.

    Args:
        actor_sizes: units of every layer, the input's first.
        critic_sizes: the same of one critic.
        batch_size: B.
    """
    actor, actor_first = _products(actor_sizes)
    critic, critic_first = _products(critic_sizes)
    return 2 * batch_size * (4 * actor - actor_first + 2 * (6 * critic - critic_first))


def peak_flops(device: str, seconds: float = 0.5) -> float:
    """Returns the most operations per second that a square float32 matrix product reaches on a device.

    Args:
        device: torch's name of it.
        seconds: how long each size of matrix is tried: on a shared machine few products are undisturbed.
    """
    best = 0.0
    for size in _MATRICES[device.partition(":")[0]]:
        matrix = torch.ones((size, size), device=device)
        product = torch.empty_like(matrix)
        tried, ends = 0, now(device) + seconds
        while tried < _PRODUCTS or time.perf_counter() < ends:
            started = now(device)
            torch.mm(matrix, matrix, out=product)
            best = max(best, 2 * size**3 / (now(device) - started))
            tried += 1
    return best


def now(device: str) -> float:
    """Returns the clock in seconds, after the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _products(sizes: Sequence[int]) -> tuple[int, int]:
    """Returns in · out summed over all layers, and that of the first."""
    products = [a * b for a, b in itertools.pairwise(sizes)]
    return sum(products), products[0]
