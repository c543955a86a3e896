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

from rlbatch.training.state import Arrays

Floats = NDArray[np.floating]


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
        self._n_steps = n_steps
        self._over = torch.zeros(runs * self._slots if n_steps > 1 else 0, dtype=torch.bool, device=device)
        self._gamma_of = torch.as_tensor(self._gammas, device=device).to(dtype)
        self._steps = 0

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
        if self._n_steps > 1:
            self._over.view(-1, self._slots)[:, at : at + self._envs] = torch.from_numpy(over).to(self._rows.device)
        self._steps += 1

    def batch(self, rows: Tensor, runs: slice) -> Batch:
        """Returns the transitions with the given indices.

        Args:
            rows: (C, B) indices into the rings of all runs laid end to end.
            runs: the C runs that they belong to.
        """
        taken = self._take(rows, runs)
        if self._n_steps == 1:
            return taken
        returns, last, reach = self._chain(rows, taken.rewards, self._gamma_of[runs])
        end = self._take(last, runs, place=1)
        return Batch(taken.observations, end.next_observations, taken.actions, returns, reach * end.discounts)

    def stored(self, first: int, last: int) -> Arrays:
        """Returns what the vector steps first + 1 to last stored and is still there, (R, steps, ...) each."""
        at = self._at(first, last)
        found = {"rows": self._by_position(self._rings)[:, at].cpu().numpy()}
        if self._n_steps > 1:
            found["over"] = self._by_position(self._over)[:, at].cpu().numpy()
        return found

    def refill(self, first: int, last: int, arrays: Arrays) -> None:
        """Stores again what `stored` returned; the newest steps come last."""
        at, device = self._at(first, last), self._rows.device
        self._by_position(self._rings)[:, at] = torch.from_numpy(arrays["rows"]).to(device)
        if self._n_steps > 1:
            self._by_position(self._over)[:, at] = torch.from_numpy(arrays["over"]).to(device)
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
        if self._n_steps > 1:
            newest = self._by_position(self._over)[:, self._at(self._steps - 1, self._steps)[0]]
            newest |= torch.from_numpy(which).to(newest.device)

    def _at(self, first: int, last: int) -> Tensor:
        """Returns the positions of the vector steps first + 1 to last."""
        return torch.arange(first, last, device=self._rows.device) % self._positions

    def _by_position(self, ring: Tensor) -> Tensor:
        """Returns a ring (R, slots, ...) or (R · slots) as (R, positions, E, ...)."""
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

    def _chain(self, rows: Tensor, rewards: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Follows each transition for n steps, until its episode or the stored part ends.

        As in Stable-Baselines3 the chain is assembled when it is drawn, so the newest transitions have shorter ones.

        Returns:
            The discounted sum of rewards, the index of the chain's last transition, and the discount up to before it:
            (C, B) each.
        """
        ring = rows // self._slots * self._slots
        slot = rows - ring
        newest = (self._steps - 1) % self._positions
        returns, last, reach = rewards.clone(), rows, torch.ones_like(rewards)
        goes_on = ~(self._over[rows] | (slot // self._envs == newest))
        for _ in range(self._n_steps - 1):
            slot = (slot + self._envs) % self._slots
            following = ring + slot
            reach = torch.where(goes_on, reach * gamma, reach)
            reward = self._rows[:, -2][following]
            returns = torch.where(goes_on, returns + reach * reward, returns)
            last = torch.where(goes_on, following, last)
            goes_on = goes_on & ~(self._over[following] | (slot // self._envs == newest))
        return returns, last, reach
