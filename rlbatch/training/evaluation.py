"""How good is a policy? Greedy episodes on fixed seeds, all episodes of an evaluation at once.

The seeds depend on the run's seed and the evaluation's number only, so every arm of an experiment is asked the same
questions, and the number can be had again from the saved weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from rlbatch.config import RunConfig
from rlbatch.environments import EPISODE_CAP, describe
from rlbatch.training.envs import make_env
from rlbatch.training.randomness import episode_seed

Act = Callable[[Any], Any]
"""Observations of N environments, (N, O) or a dict of such, to N greedy actions."""


@dataclass(frozen=True)
class Evaluation:
    """The episodes of one evaluation.

    Attributes:
        returns: undiscounted return of each episode, (N,).
        lengths: env steps of each episode, (N,).
        cut_episodes: episodes that were cut at the cap, not ended by the environment.
    """

    returns: list[float]
    lengths: list[int]
    cut_episodes: int

    def values(self) -> dict[str, float | None]:
        """Returns the eval tags; the deviation is the sample's, over episodes (None for a single one)."""
        returns = np.asarray(self.returns)
        return {
            "eval/return_mean": float(returns.mean()),
            "eval/return_std": float(returns.std(ddof=1)) if len(returns) > 1 else None,
            "eval/return_min": float(returns.min()),
            "eval/return_max": float(returns.max()),
            "eval/length_mean": float(np.mean(self.lengths)),
        }


class Evaluator:
    """The evaluation environments of one run, which training never touches.

    Args:
        config: the run.
        reuse: keep the instances between evaluations. Only right where `reset(seed)` restores the environment;
            otherwise each evaluation makes new ones.
    """

    def __init__(self, config: RunConfig, *, reuse: bool) -> None:
        self._config = config
        self._reuse = reuse
        self._envs: list[gymnasium.Env[Any, Any]] = []
        self._cap = describe(config.env_id, config.env_kwargs).max_episode_steps or EPISODE_CAP

    def __call__(self, number: int, act: Act, purpose: str = "evaluation") -> Evaluation:
        """Runs evaluation `number` (0 is the one before training); raises EnvironmentFailure."""
        count = self._config.n_eval_episodes
        if not self._envs:
            self._envs = [make_env(self._config) for _ in range(count)]
        seeds = [episode_seed(self._config.seed, purpose, number * count + i) for i in range(count)]
        try:
            return play(self._envs, seeds, act, self._cap)
        finally:
            if not self._reuse:
                self.close()

    def close(self) -> None:
        """Closes the environments."""
        for env in self._envs:
            env.close()
        self._envs = []


def play(envs: Sequence[gymnasium.Env[Any, Any]], seeds: Sequence[int], act: Act, cap: int) -> Evaluation:
    """Plays one episode in each environment.

    `act` always gets all N rows, those of finished episodes too: a network gives other bits for another number of rows.

    Args:
        envs: N instances.
        seeds: N reset seeds.
        act: the greedy policy.
        cap: env steps after which an episode is cut.
    """
    observations = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    returns, lengths = [0.0] * len(envs), [0] * len(envs)
    playing, cut = set(range(len(envs))), 0
    while playing:
        actions = act(_stack(observations))
        for i in sorted(playing):
            observations[i], reward, terminated, truncated, _ = envs[i].step(actions[i])
            returns[i] += float(reward)
            lengths[i] += 1
            at_cap = lengths[i] >= cap
            if terminated or truncated or at_cap:
                playing.discard(i)
                cut += at_cap and not (terminated or truncated)
    return Evaluation(returns, lengths, cut)


def _stack(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.stack([obs[key] for obs in observations]) for key in observations[0]}
    return np.stack(observations)
