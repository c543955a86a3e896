"""Where do the training environments of a stack stand? Their episodes' seeds, and the actions since these began.

Every episode is reset with a seed of its own, so an environment that `reset(seed)` restores is brought back to the
middle of an episode by taking the same actions again. Whether that worked shows on the way: to the bit the same
observations, as the replay holds them, no ending, and at last the same sum of rewards. Watching costs training nothing.
An episode that is too long to be kept cannot be brought back; a run that goes on in its midst begins a new one instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbatch.training.env_workers import RemoteInstances
from rlbatch.training.instances import Instances
from rlbatch.training.randomness import episode_seed
from rlbatch.training.state import Arrays

Seen = tuple[NDArray[np.floating], NDArray[np.floating]]

_ROOM = 1024
"""Vector steps whose actions there is room for at first."""
LONGEST = 1 << 17
"""Most steps of an episode that can be brought back, which bounds what one without end takes of memory, of checkpoints
(8 bytes a step and environment with Discrete actions) and of the time to go on. Gymnasium's own step limits are far
below."""


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
        longest = min(int(lengths[which].max()), LONGEST)
        taken = self._actions[self._noted - longest : self._noted]  # type: ignore[index]
        whole = {
            "counts": self._counts,
            "lengths": lengths,
            "observations": self._envs.observations,
            "actions": taken.swapaxes(0, 1),
        }
        return {name: array.reshape(len(self._seeds), self._per_run, *array.shape[1:]) for name, array in whole.items()}

    def restore(
        self,
        state: Arrays,
        returns: NDArray[np.float64],
        seen: Callable[[int], Seen | None],
        *,
        exact: bool,
        alive: Callable[[], None] = lambda: None,
    ) -> NDArray[np.bool_]:
        """Brings the environments to where they were, those that cannot be to the beginning of a new episode.

        Args:
            state: what `state` returned.
            returns: (R, E) sums of the rewards since the episodes began.
            seen: returns what was observed before and after the vector step that is so many before the last one, each
                (R, E, O); None where nobody knows any more.
            exact: whether `reset(seed)` restores an environment; otherwise none is brought back.
            alive: called at every step that is taken again.

        Returns:
            Which ones had to begin anew, (R, E): those that `exact` denies, whose episode was longer than `LONGEST`, or
            that did not come back as they were.
        """
        flat = {name: array.reshape(len(self._counts), *array.shape[2:]) for name, array in state.items()}
        self._counts[...] = flat["counts"]
        lengths, actions = flat["lengths"], flat["actions"].swapaxes(0, 1)
        self._actions, self._noted = actions.copy(), len(actions)
        self._began[...] = self._noted - lengths
        everywhere, forgotten = range(len(lengths)), lengths > len(actions)
        lost = np.ones(len(lengths), np.bool_)
        if exact:
            self._envs.next_seeds[...] = [self._seed_of(i, int(self._counts[i]) - 2) for i in everywhere]
            found, lost = self._replay(actions, np.where(forgotten, 0, lengths), seen, alive)
            lost |= forgotten | (found != returns.ravel()) | _differ(self._envs.observations, flat["observations"])
        self._envs.next_seeds[...] = [self._seed_of(i, int(self._counts[i]) - 1) for i in everywhere]
        anew = self._sound(lost)
        self._envs.reset(anew)
        for index in anew:
            self.renew(index)
        return lost.reshape(returns.shape)

    def _replay(
        self,
        actions: NDArray[Any],
        lengths: NDArray[np.int64],
        seen: Callable[[int], Seen | None],
        alive: Callable[[], None],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Takes the actions (T, N, ...) again, of each environment the last ones.

        Returns:
            The sum of the rewards of each environment, and whether it observed something else or its episode ended.
        """
        envs, returns, differs = self._envs, np.zeros(len(lengths)), np.zeros(len(lengths), np.bool_)
        for left in range(int(lengths.max()), 0, -1):
            alive()
            known = seen(left - 1)
            begins = self._sound(lengths == left)
            envs.reset(begins)
            if known is not None:
                differs[begins] |= _differ(envs.observations, known[0])[begins]
            which = self._sound(lengths >= left)
            envs.step(actions[len(actions) - left].copy(), which)  # an environment may keep its action
            returns[which] += envs.rewards[which]
            differs |= envs.terminated | envs.truncated
            if known is not None:
                differs[which] |= _differ(envs.next_observations, known[1])[which]
        envs.reset(self._sound(lengths == 0))
        return returns, differs

    def _sound(self, which: NDArray[np.bool_]) -> list[int]:
        """Returns the environments among these, (N,), that did not fail."""
        return [int(index) for index in np.flatnonzero(which) if index not in self._envs.failures]

    def _seed_of(self, index: int, episode: int) -> int:
        """Returns the seed of an environment's episode: the run's stream at episode · E + environment."""
        run, env = divmod(index, self._per_run)
        return episode_seed(self._seeds[run], "episode", episode * self._per_run + env)

    def _make_room(self, actions: NDArray[Any], which: Sequence[int]) -> None:
        """Forgets the actions of episodes that are over and of steps long ago; doubles the room if half is in use."""
        longest = min(int((self._noted - self._began[which]).max(initial=0)), LONGEST)
        kept = actions[None][:0] if self._actions is None else self._actions[self._noted - longest : self._noted]
        self._began -= self._noted - longest
        self._noted = longest
        self._actions = np.zeros((max(_ROOM, 2 * longest), *actions.shape), actions.dtype)
        self._actions[:longest] = kept


def _differ(observations: NDArray[np.float32], others: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tells which environments, (N,), observe something else than another time."""
    differ: NDArray[np.bool_] = (observations != others.reshape(observations.shape)).any(axis=1)
    return differ
