"""Which transitions are in which batch? Indices into the replay, for many updates ahead, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.clock import Clock
from rlbatch.training.randomness import Stream, Words, integers
from rlbatch.training.stacking import batch_rows


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
