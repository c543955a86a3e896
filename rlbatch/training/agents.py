"""Which agents does a stack have? Those of DQN for discrete actions, those of SAC for continuous ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.environments import describe
from rlbatch.training.dqn import Dqn
from rlbatch.training.sac import Sac

Agents = Dqn | Sac


def make_agents(configs: Sequence[RunConfig], device: str) -> Agents:
    """Returns the agents of a stack, as they are before training."""
    environment = describe(configs[0].env_id, configs[0].env_kwargs)
    size, actions = spaces.flatdim(environment.observation_space), environment.action_space
    if isinstance(actions, spaces.Discrete):
        return Dqn(configs, size, actions, device=device)
    return Sac(configs, size, cast("spaces.Box", actions), device=device)
