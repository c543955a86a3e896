"""What do updates learn from? The transitions of all runs of a stack, packed on the training device, and the draws.

A transition is one row: observation, next observation, action, reward, discount. The discount is gamma, or 0 where the
episode terminated: a time limit is not an ending (Pardo et al. 2018), so after a truncation the value of the last
observation counts. A batch is one gather, but for large observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.environments import LARGE_OBSERVATION
from rlbatch.training.clock import Clock
from rlbatch.training.randomness import Stream, Words, integers
from rlbatch.training.stacking import batch_rows
from rlbatch.training.state import Arrays

Floats = NDArray[np.floating]

_NONE = -1


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


class Drawn(NamedTuple):
    """One update's draws: indices (R, B padded) for `StackedReplay.batch`, and what is told of them, (R,) each."""

    rows: Tensor
    age: NDArray[np.float64]
    unique_fraction: NDArray[np.float64]


class ReplayDraws:
    """Which transitions are in which batch: uniform with replacement over what is stored, as in Stable-Baselines3.

    Args:
        configs: the R runs of the stack.
        device: where the indices are wanted.
    """

    def __init__(self, configs: Sequence[RunConfig], device: str = "cpu") -> None:
        self._clock = Clock(configs[0])
        self._envs = configs[0].n_envs
        self._batch_sizes = [config.batch_size for config in configs]
        self._padding = batch_rows(configs) - max(self._batch_sizes)
        self._rings = (np.arange(len(configs)) * self._clock.positions * self._envs)[None, :, None]
        self._device = device
        self._stream = Stream([c.seed for c in configs], "replay", self._batch_sizes, self._draw)

    def at(self, update: int) -> Drawn:
        """Returns the draws of an update, counted from 0."""
        drawn: Drawn = self._stream.at(update)
        return drawn

    def _draw(self, z: Words, first: int) -> list[Drawn]:
        steps = [self._clock.step_of_update(update) for update in range(first, first + len(z))]
        stored = np.array([self._clock.stored(step) for step in steps])[:, None, None]
        slots = integers(z, (stored * self._envs).astype(np.uint64))
        newest = (np.array(steps)[:, None, None] - 1) % self._clock.positions
        positions = slots // self._envs if self._envs > 1 else slots
        ages = (newest - positions) % stored * self._envs
        rows = slots + self._rings
        if self._padding:
            rows = np.pad(rows, ((0, 0), (0, 0), (0, self._padding)), mode="edge")
        tensors = torch.from_numpy(rows).to(self._device, non_blocking=True)
        told = [self._told(ages, slots, run) for run in range(z.shape[1])]
        age, unique = (np.stack(columns, axis=1) for columns in zip(*told, strict=True))
        return [Drawn(*one) for one in zip(tensors, age, unique, strict=True)]

    def _told(
        self, ages: NDArray[np.int64], slots: NDArray[np.int64], run: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the mean age (env steps) and the share of distinct transitions of each update of one run, (S,)."""
        size = self._batch_sizes[run]
        ordered = np.sort(slots[:, run, :size].astype(np.int32), axis=1)
        distinct = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
        return ages[:, run, :size].mean(axis=1), distinct / size
