"""How do large observations fit into memory? A replay that stores each of them once, not twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.environments import LARGE_OBSERVATION
from rlbatch.training.n_step import Floats
from rlbatch.training.replay import Batch, StackedReplay
from rlbatch.training.state import Arrays

_NONE = -1


class FrameReplay(StackedReplay):
    """A replay for large observations, which stores each of them once.

    The observation that a transition leads to is the one at which the next transition starts. Only where an episode
    ended it is kept apart, in a table that grows with the episodes that the ring holds. Observations have a ring of
    their own, one position longer: the newest transition leads to an observation at which none has started yet.

    The arguments are those of `StackedReplay`.
    """

    def __init__(
        self,
        runs: int,
        n_envs: int,
        positions: int,
        observation_size: int,
        action_size: int,
        gammas: Sequence[float],
        *,
        n_steps: int = 1,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(runs, n_envs, positions, 0, action_size, gammas, n_steps=n_steps, device=device, dtype=dtype)
        self._turn = positions + 1
        self._frames = torch.zeros((runs, self._turn, n_envs, observation_size), dtype=dtype, device=device)
        self._lasts = torch.zeros((16, observation_size), dtype=dtype, device=device)
        self._free = list(range(16))
        self._last_of = np.full((runs, self._turn, n_envs), _NONE, np.int64)
        self._last_rows = torch.full((runs, self._turn, n_envs), _NONE, dtype=torch.int64, device=device)

    def add(
        self,
        observations: Floats,
        actions: Floats,
        rewards: Floats,
        next_observations: Floats,
        terminated: NDArray[np.bool_],
        over: NDArray[np.bool_],
    ) -> None:
        """Stores one vector step of every run, as `StackedReplay.add`."""
        at, after = self._steps % self._turn, (self._steps + 1) % self._turn
        frames, device = self._frames, self._frames.device
        frames[:, at] = torch.as_tensor(observations).to(device, frames.dtype)
        frames[:, after] = torch.as_tensor(next_observations).to(device, frames.dtype)
        self._free += self._last_of[:, at][self._last_of[:, at] != _NONE].tolist()
        self._last_of[:, at] = _NONE
        for run, env in zip(*np.nonzero(over), strict=True):
            self._keep_last(run, at, env, next_observations[run, env])
        self._last_rows[:, at] = torch.from_numpy(self._last_of[:, at]).to(device)
        super().add(observations[..., :0], actions, rewards, next_observations[..., :0], terminated, over)

    def stored(self, first: int, last: int) -> Arrays:
        """Returns what `StackedReplay.stored` does, and the observations (R, steps + 1, E, O).

        `ended` (R, steps, E) tells where an episode ended, `lasts` (R, K, O) the observations there in order.
        """
        turns = np.arange(first, last + 1) % self._turn
        last_of = self._last_of[:, turns[:-1]]
        ended = last_of != _NONE
        most = int(ended.sum(axis=(1, 2)).max())
        lasts = np.zeros((len(ended), most, self._frames.shape[3]), self._staged.numpy().dtype)
        for run, rows in enumerate(last_of):
            chosen = rows[rows != _NONE]
            lasts[run, : len(chosen)] = self._lasts[torch.from_numpy(chosen).to(self._lasts.device)].cpu().numpy()
        frames = self._frames[:, torch.from_numpy(turns).to(self._frames.device)].cpu().numpy()
        return super().stored(first, last) | {"frames": frames, "ended": ended, "lasts": lasts}

    def refill(self, first: int, last: int, arrays: Arrays) -> None:
        """Stores again what `stored` returned."""
        super().refill(first, last, arrays)
        turns, device = np.arange(first, last + 1) % self._turn, self._frames.device
        self._frames[:, torch.from_numpy(turns).to(device)] = torch.from_numpy(arrays["frames"]).to(device)
        self._free += self._last_of[:, turns[:-1]][self._last_of[:, turns[:-1]] != _NONE].tolist()
        self._last_of[:, turns[:-1]] = _NONE
        for run, ended in enumerate(arrays["ended"]):
            for number, (step, env) in enumerate(zip(*np.nonzero(ended), strict=True)):
                self._keep_last(run, int(turns[step]), int(env), arrays["lasts"][run, number])
        self._last_rows = torch.from_numpy(self._last_of).to(device).clone()

    def seen(self, step: int) -> tuple[Floats, Floats] | None:
        """Returns the observations before and after a vector step, as `StackedReplay.seen`."""
        if step <= self._steps - self._positions:
            return None
        before, after = self._frames[:, (step - 1) % self._turn], self._frames[:, step % self._turn]
        return before.cpu().numpy(), after.cpu().numpy()

    def cut(self, which: NDArray[np.bool_]) -> None:
        """Ends the episodes of some environments with the newest transition, as `StackedReplay.cut`."""
        super().cut(which)
        at, after = (self._steps - 1) % self._turn, self._steps % self._turn
        for run, env in zip(*np.nonzero(which & (self._last_of[:, at] == _NONE)), strict=True):
            self._keep_last(run, at, env, self._frames[run, after, env].cpu().numpy())
        self._last_rows[:, at] = torch.from_numpy(self._last_of[:, at]).to(self._frames.device)

    def _keep_last(self, run: int, at: int, env: int, observation: Floats) -> None:
        """Keeps the observation that an episode ended with."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._lasts[row] = torch.as_tensor(observation).to(self._frames.device, self._frames.dtype)
        self._last_of[run, at, env] = row

    def _grow(self) -> None:
        size = len(self._lasts)
        self._lasts = torch.cat((self._lasts, torch.zeros_like(self._lasts)))
        self._free = list(range(size, 2 * size))

    def _take(self, rows: Tensor, runs: slice, place: int = 0) -> Batch:
        taken = super()._take(rows, runs, place)
        run, slot = rows // self._slots, rows % self._slots
        position, env = slot // self._envs, slot % self._envs
        age = ((self._steps - 1) % self._positions - position) % self._positions
        start = (self._steps - 1 - age) % self._turn
        frames = self._frames.view(-1, self._frames.shape[3])
        here = (run * self._turn + start) * self._envs + env
        there = (run * self._turn + (start + 1) % self._turn) * self._envs + env
        last = self._last_rows.view(-1)[here]
        ended = self._lasts[last.clamp(min=0)]
        next_observations = torch.where((last != _NONE).unsqueeze(2), ended, frames[there])
        return taken._replace(observations=frames[here], next_observations=next_observations)


def make_replay(observation_size: int) -> type[StackedReplay]:
    """Returns the kind of replay for observations of this many numbers."""
    return FrameReplay if observation_size >= LARGE_OBSERVATION else StackedReplay
