"""What do updates learn from? The transitions of all runs of a stack, packed on the training device.

A transition is one row: observation, next observation, action, reward, discount. The discount is gamma, or 0 where the
episode terminated: a time limit is not an ending (Pardo et al. 2018), so after a truncation the value of the last
observation counts. A batch is one gather; see `frame_replay.py` for large observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.training.n_step import Chains, Floats
from rlbatch.training.state import Arrays


class Batch(NamedTuple):
    """Transitions of R runs: observations (R, B, O), actions (R, B, A), rewards and discounts (R, B).

    They lie in memory that the next batch of the same runs uses again.
    """

    observations: Tensor
    next_observations: Tensor
    actions: Tensor
    rewards: Tensor
    discounts: Tensor


class StackedReplay:
    """The last transitions of R runs, each in a ring of its own; all rings turn together.

    Args:
        runs: R.
        n_envs: environments that feed one run, E.
        positions: vector steps that a ring holds: it has `positions · E` transitions.
        observation_size: O.
        action_size: A; 1 for discrete actions.
        gammas: (R,) discount of each run.
        n_steps: length of the returns that batches hold.
        device: torch's name of it.
        dtype: of the rows.
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
        self._sizes = [observation_size, observation_size, action_size, 1, 1]
        self._slots = positions * n_envs
        self._positions, self._envs = positions, n_envs
        self._rows = torch.zeros((runs * self._slots, sum(self._sizes)), dtype=dtype, device=device)
        self._rings = self._rows.view(runs, self._slots, -1)
        self._staged = torch.zeros((runs, n_envs, sum(self._sizes)), dtype=dtype)
        written = self._rings if device == "cpu" else self._staged
        self._written_parts = np.split(written.numpy(), np.cumsum(self._sizes)[:-1], axis=2)
        self._room: dict[tuple[int, int, int, int], tuple[Tensor, Batch]] = {}
        self._gammas = np.asarray(gammas)[:, None]
        self._steps = 0
        self._chains: Chains | None = None
        if n_steps > 1:
            self._chains = Chains(self._gammas, n_envs, positions, n_steps, device=device, dtype=dtype)

    def add(
        self,
        observations: Floats,
        actions: Floats,
        rewards: Floats,
        next_observations: Floats,
        terminated: NDArray[np.bool_],
        over: NDArray[np.bool_],
    ) -> None:
        """Stores one vector step of every run.

        Args:
            observations: (R, E, O).
            actions: (R, E, A).
            rewards: (R, E).
            next_observations: (R, E, O), the last of an episode where it ended.
            terminated: (R, E) whether the episode reached an end of its own.
            over: (R, E) whether it ended at all.
        """
        at = self._steps % self._positions * self._envs
        on_cpu = self._rows.device.type == "cpu"
        there = slice(at, at + self._envs) if on_cpu else slice(None)
        parts = self._written_parts
        parts[0][:, there] = observations
        parts[1][:, there] = next_observations
        parts[2][:, there] = actions
        parts[3][:, there, 0] = rewards
        parts[4][:, there, 0] = self._gammas * ~terminated
        if not on_cpu:
            self._rings[:, at : at + self._envs] = self._staged.to(self._rows.device, non_blocking=True)
        if self._chains is not None:
            self._chains.add(self._steps, parts[3][:, there, 0], parts[4][:, there, 0], over)
        self._steps += 1

    def batch(self, rows: Tensor, runs: slice) -> Batch:
        """Returns the transitions with the given indices.

        Args:
            rows: (C, B) indices into the rings of all runs laid end to end.
            runs: the C runs that they belong to.
        """
        taken = self._take(rows, runs)
        if self._chains is None:
            return taken
        returns, discounts, last = self._chains.take(rows, runs)
        end = self._take(last, runs, place=1)
        return Batch(taken.observations, end.next_observations, taken.actions, returns, discounts)

    def stored(self, first: int, last: int) -> Arrays:
        """Returns what the vector steps first + 1 to last stored and is still there, (R, steps, ...) each."""
        at = self._at(first, last)
        found = {"rows": self._by_position(self._rings)[:, at].cpu().numpy()}
        if self._chains is not None:
            found["over"] = self._chains.over[:, at.cpu().numpy()]
        return found

    def refill(self, first: int, last: int, arrays: Arrays) -> None:
        """Stores again what `stored` returned; the newest steps come last."""
        rows = arrays["rows"]
        self._by_position(self._rings)[:, self._at(first, last)] = torch.from_numpy(rows).to(self._rows.device)
        if self._chains is not None:
            for i, step in enumerate(range(first, last)):
                self._chains.add(step, rows[:, i, :, -2], rows[:, i, :, -1], arrays["over"][:, i])
        self._steps = last

    def seen(self, step: int) -> tuple[Floats, Floats] | None:
        """Returns the observations (R, E, O) before and after a vector step that ended no episode, if still there."""
        if step <= self._steps - self._positions:
            return None
        rows = self._by_position(self._rings)[:, (step - 1) % self._positions]
        before, after = torch.split(rows, self._sizes, dim=2)[:2]
        return before.cpu().numpy(), after.cpu().numpy()

    def cut(self, which: NDArray[np.bool_]) -> None:
        """Ends the episodes of some environments, (R, E), with the newest transition, though it was no ending."""
        if self._chains is not None:
            self._chains.cut(self._steps - 1, which)

    def _at(self, first: int, last: int) -> Tensor:
        """Returns the positions of the vector steps first + 1 to last."""
        return torch.arange(first, last, device=self._rows.device) % self._positions

    def _by_position(self, ring: Tensor) -> Tensor:
        """Returns a ring (R, slots, ...) as (R, positions, E, ...)."""
        return ring.view(-1, self._positions, self._envs, *ring.shape[2:])

    def _take(self, rows: Tensor, runs: slice, place: int = 0) -> Batch:
        """Gathers single transitions; what is taken to another place stays."""
        key = (runs.start, runs.stop, rows.shape[1], place)
        flat, batch = self._room.get(key) or self._make_room(key, rows)
        torch.index_select(self._rows, 0, rows.reshape(-1), out=flat)
        return batch

    def _make_room(self, key: tuple[int, int, int, int], rows: Tensor) -> tuple[Tensor, Batch]:
        flat = self._rows.new_zeros((rows.numel(), self._rows.shape[1]))
        obs, next_obs, actions, rewards, discounts = torch.split(flat.view(*rows.shape, -1), self._sizes, dim=2)
        self._room[key] = flat, Batch(obs, next_obs, actions, rewards.squeeze(2), discounts.squeeze(2))
        return self._room[key]
