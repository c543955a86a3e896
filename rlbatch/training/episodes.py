"""Where do the training environments of a stack stand? Their episodes' seeds, and the actions since these began.

Every episode is reset with a seed of its own, so an environment that `reset(seed)` restores is brought back to the
middle of an episode by taking the same actions again. Whether that worked shows in where it leads: the observation, the
length and the sum of the rewards, to the bit, without an ending on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbatch.training.env_workers import RemoteInstances
from rlbatch.training.instances import Instances
from rlbatch.training.randomness import episode_seed
from rlbatch.training.state import Arrays

_ROOM = 1024
"""Vector steps whose actions there is room for at first."""


class Episodes:
    """The episodes of N = R · E environments.

    Args:
        envs: the environments.
        seeds: (R,) of the runs.
    """

    def __init__(self, envs: Instances | RemoteInstances, seeds: Sequence[int]) -> None:
        self._envs, self._seeds = envs, seeds
        self._per_run = len(envs.rewards) // len(seeds)
        self._counts = np.zeros(len(envs.rewards), np.int64)
        self._began = np.zeros(len(envs.rewards), np.int64)
        self._noted = 0
        self._actions: NDArray[Any] | None = None

    def renew(self, index: int) -> None:
        """Sets the seed of an environment's next episode; its current one begins here."""
        self._envs.next_seeds[index] = self._seed_of(index, int(self._counts[index]))
        self._counts[index] += 1
        self._began[index] = self._noted

    def note(self, actions: NDArray[Any], which: Sequence[int]) -> None:
        """Remembers the actions (N, ...) of a vector step, before they are taken by the given environments."""
        if self._actions is None or self._noted == len(self._actions):
            self._make_room(actions, which)
        self._actions[self._noted] = actions  # type: ignore[index]
        self._noted += 1

    def state(self, which: Sequence[int]) -> Arrays:
        """Returns the state, (R, E, ...) each; for environments that are not among the given ones it has no meaning."""
        lengths = self._noted - self._began
        longest = int(lengths[which].max())
        taken = self._actions[self._noted - longest : self._noted]  # type: ignore[index]
        whole = {
            "counts": self._counts,
            "lengths": lengths,
            "observations": self._envs.observations,
            "actions": taken.swapaxes(0, 1),
        }
        return {name: array.reshape(len(self._seeds), self._per_run, *array.shape[1:]) for name, array in whole.items()}

    def restore(self, state: Arrays, returns: NDArray[np.float64], *, exact: bool) -> NDArray[np.bool_]:
        """Brings the environments to where they were, those that cannot be to the beginning of a new episode.

        Args:
            state: what `state` returned.
            returns: (R, E) sums of the rewards since the episodes began.
            exact: whether `reset(seed)` restores an environment; otherwise none is brought back.

        Returns:
            Which ones had to begin anew, (R, E).
        """
        flat = {name: array.reshape(len(self._counts), *array.shape[2:]) for name, array in state.items()}
        self._counts[...] = flat["counts"]
        lengths, actions = flat["lengths"], flat["actions"].swapaxes(0, 1)
        self._actions, self._noted = actions.copy(), len(actions)
        self._began[...] = self._noted - lengths
        everywhere = range(len(lengths))
        lost = np.ones(len(lengths), np.bool_)
        if exact:
            self._envs.next_seeds[...] = [self._seed_of(i, int(self._counts[i]) - 2) for i in everywhere]
            found, ended = self._replay(actions, lengths)
            same = (found == returns.ravel()) & (self._envs.observations == flat["observations"]).all(axis=1)
            lost = ended | ~same
        self._envs.next_seeds[...] = [self._seed_of(i, int(self._counts[i]) - 1) for i in everywhere]
        anew = [int(index) for index in np.flatnonzero(lost) if index not in self._envs.failures]
        self._envs.reset(anew)
        for index in anew:
            self.renew(index)
        return lost.reshape(returns.shape)

    def _replay(
        self, actions: NDArray[Any], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Takes the actions (T, N, ...) again, of each environment the last ones; returns rewards and endings, (N,)."""
        envs, returns, ended = self._envs, np.zeros(len(lengths)), np.zeros(len(lengths), np.bool_)
        envs.reset([int(index) for index in np.flatnonzero(lengths > 0) if index not in envs.failures])
        for left in range(len(actions), 0, -1):
            which = [int(index) for index in np.flatnonzero(lengths >= left) if index not in envs.failures]
            envs.step(actions[len(actions) - left].copy(), which)  # an environment may keep its action
            returns[which] += envs.rewards[which]
            ended |= envs.terminated | envs.truncated
        # last, since a step gives every environment an observation, also those that do not take it
        envs.reset([int(index) for index in np.flatnonzero(lengths == 0) if index not in envs.failures])
        return returns, ended

    def _seed_of(self, index: int, episode: int) -> int:
        """Returns the seed of an environment's episode: the run's stream at episode · E + environment."""
        run, env = divmod(index, self._per_run)
        return episode_seed(self._seeds[run], "episode", episode * self._per_run + env)

    def _make_room(self, actions: NDArray[Any], which: Sequence[int]) -> None:
        """Forgets the actions of episodes that are over; doubles the room where that does not leave half of it."""
        longest = int((self._noted - self._began[which]).max(initial=0))
        kept = actions[None][:0] if self._actions is None else self._actions[self._noted - longest : self._noted]
        self._began -= self._noted - longest
        self._noted = longest
        self._actions = np.zeros((max(_ROOM, 2 * longest), *actions.shape), actions.dtype)
        self._actions[:longest] = kept
