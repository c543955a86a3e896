"""How good are the policies of a stack? The same episodes as `evaluation`, all runs and episodes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.environments import EPISODE_CAP, describe
from rlbatch.training.env_workers import RemoteInstances
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.evaluation import Evaluation
from rlbatch.training.instances import Instances
from rlbatch.training.padding import padded_rows
from rlbatch.training.randomness import episode_seed

ActGreedily = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Observations (R, rows, O) to greedy actions (R, rows, ...)."""

_AT_ONCE = 64
"""Episodes of one run that are played side by side."""


class MakeInstances(Protocol):
    """Makes N instances of the stack's environment, here or in other processes."""

    def __call__(self, count: int, *, auto_reset: bool) -> Instances | RemoteInstances:
        """Returns them; what cannot be made is among their failures."""
        ...


class StackEvaluator:
    """The evaluation environments of a stack, which training never touches.

    The networks always get the same number of rows per run, those of finished episodes too: another number of rows
    would give other bits.

    Args:
        configs: the R runs, in the stack's order.
        make: makes instances.
        reuse: keep them between evaluations: only right where `reset(seed)` restores the environment.
        alive: called at every step.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        make: MakeInstances,
        *,
        reuse: bool,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        first = configs[0]
        self._configs, self._make, self._reuse, self._alive = configs, make, reuse, alive
        self._episodes = first.n_eval_episodes
        self._at_once = min(self._episodes, _AT_ONCE)
        self._cap = describe(first.env_id, first.env_kwargs).max_episode_steps or EPISODE_CAP
        self._envs: Instances | RemoteInstances | None = None

    def __call__(
        self, number: int, act_greedily: ActGreedily, runs: Sequence[int], purpose: str = "evaluation"
    ) -> dict[int, Evaluation | EnvironmentFailure]:
        """Plays evaluation `number` (0 is the one before training) of some of the runs."""
        parts: dict[int, list[Evaluation]] = {run: [] for run in runs}
        failures: dict[int, EnvironmentFailure] = {}
        for start in range(0, self._episodes, self._at_once):
            count = min(self._at_once, self._episodes - start)
            left = [run for run in runs if run not in failures]
            envs = self._instances()
            for run in left:
                counters = range(number * self._episodes + start, number * self._episodes + start + count)
                seeds = [episode_seed(self._configs[run].seed, purpose, counter) for counter in counters]
                envs.next_seeds[run * self._at_once :][:count] = seeds
            for run, played in self._play(envs, act_greedily, left, count).items():
                if isinstance(played, EnvironmentFailure):
                    failures[run] = played
                else:
                    parts[run].append(played)
            if not self._reuse or failures:
                self.close()
        return {run: failures.get(run) or _joined(parts[run]) for run in runs}

    def close(self) -> None:
        """Closes the environments."""
        if self._envs is not None:
            self._envs.close()
        self._envs = None

    def _instances(self) -> Instances | RemoteInstances:
        if self._envs is None:
            self._envs = self._make(len(self._configs) * self._at_once, auto_reset=False)
        return self._envs

    def _play(
        self, envs: Instances | RemoteInstances, act_greedily: ActGreedily, runs: Sequence[int], count: int
    ) -> dict[int, Evaluation | EnvironmentFailure]:
        """Plays one episode in each of the first `count` instances of every run."""
        shape = (len(self._configs), self._at_once)
        returns, lengths, cut = np.zeros(shape).ravel(), np.zeros(shape, np.int64).ravel(), np.zeros(shape, bool)
        seen = np.zeros(
            (shape[0], padded_rows(shape[1], self._configs[0].activation_fn), envs.observations.shape[1]), np.float32
        )

        def sound(indices: Iterable[int]) -> list[int]:
            broken = {index // shape[1] for index in envs.failures}
            return [index for index in indices if index // shape[1] not in broken]

        playing = sound(run * shape[1] + episode for run in runs for episode in range(count))
        envs.reset(playing)
        playing = sound(playing)
        while playing:
            self._alive()
            seen[:, : shape[1]] = envs.observations.reshape(*shape, -1)
            actions = act_greedily(seen)[:, : shape[1]]
            envs.step(actions.reshape(-1, *actions.shape[2:]), playing)
            returns[playing] += envs.rewards[playing]
            lengths[playing] += 1
            over = envs.terminated | envs.truncated
            capped = ~over & (lengths >= self._cap)
            cut |= capped.reshape(shape)
            over |= capped
            if envs.failures or over.any():
                playing = sound(index for index in playing if not over[index])
        found: dict[int, Evaluation | EnvironmentFailure] = {}
        for run in runs:
            mine = slice(run * shape[1], run * shape[1] + count)
            found[run] = Evaluation(returns[mine].tolist(), lengths[mine].tolist(), int(cut[run, :count].sum()))
        return found | {i // shape[1]: failure for i, failure in envs.failures.items() if i // shape[1] in runs}


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        [r for part in parts for r in part.returns],
        [n for part in parts for n in part.lengths],
        sum(part.cut_episodes for part in parts),
    )
