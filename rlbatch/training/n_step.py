"""What follows a transition in n steps? Returns that are kept up to date as steps are stored, for batches to gather.

As in Stable-Baselines3 a chain of rewards ends with its episode, and with the newest transition: those that have not
seen n steps yet have shorter ones. Following the chains of a batch when it is drawn costs as much as the batch itself;
a vector step changes only the chains that began in the last n.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.floating]


class Chains:
    """The chains of all transitions in the rings of R runs.

    Args:
        gammas: (R, 1) discount of a step.
        n_envs: environments that feed one run, E.
        positions: vector steps that a ring holds.
        n_steps: most steps of a chain, at least 2.
        device: torch's name of the rings'.
        dtype: of returns and discounts.

    Attributes:
        over: (R, positions, E) where chains end, since the episode did.
    """

    def __init__(
        self, gammas: Floats, n_envs: int, positions: int, n_steps: int, *, device: str, dtype: torch.dtype
    ) -> None:
        runs, self._on_cpu = len(gammas), device == "cpu"
        self._positions, self._longest = positions, min(n_steps, positions)
        self.over = np.zeros((runs, positions, n_envs), np.bool_)
        self._numbers = torch.zeros((runs, positions, n_envs, 2), dtype=dtype, device=device)
        self._lasts = torch.zeros((runs, positions, n_envs), dtype=torch.int64, device=device)
        self._window = positions if self._on_cpu else self._longest
        self._written = self._numbers if self._on_cpu else torch.zeros((runs, self._window, n_envs, 2), dtype=dtype)
        self._written_lasts = self._lasts if self._on_cpu else torch.zeros((runs, self._window, n_envs)).long()
        self._first = (np.arange(runs)[:, None] * positions * n_envs) + np.arange(n_envs)
        gamma = torch.from_numpy(gammas).to(dtype).numpy()
        self._reach = [np.ones_like(gamma)]
        for _ in range(1, self._longest):
            self._reach.append(self._reach[-1] * gamma)
        self._open: list[NDArray[np.bool_]] = []
        self._room: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def add(self, step: int, rewards: Floats, discounts: Floats, over: NDArray[np.bool_]) -> None:
        """Begins a chain with each transition of a vector step, and lengthens those that lead to it.

        Args:
            step: vector steps that were stored before.
            rewards: (R, E), in the rings' dtype.
            discounts: (R, E) of the value that follows, likewise.
            over: (R, E) whether the episode ended.
        """
        numbers, lasts, at = self._written.numpy(), self._written_lasts.numpy(), step % self._window
        here = self._first + step % self._positions * self._first.shape[1]
        numbers[:, at, :, 0], numbers[:, at, :, 1], lasts[:, at] = rewards, discounts, here
        for back, goes_on in enumerate(self._open, start=1):
            at, reach = (step - back) % self._window, self._reach[back]
            np.add(numbers[:, at, :, 0], reach * rewards, out=numbers[:, at, :, 0], where=goes_on)
            np.multiply(reach, discounts, out=numbers[:, at, :, 1], where=goes_on)
            np.copyto(lasts[:, at], here, where=goes_on)
        self.over[:, step % self._positions] = over
        self._open = [~over, *(goes_on & ~over for goes_on in self._open)][: self._longest - 1]
        if not self._on_cpu:
            self._send(step)

    def cut(self, step: int, which: NDArray[np.bool_]) -> None:
        """Ends the chains of some environments, (R, E), with the transition of the newest vector step."""
        self.over[:, step % self._positions] |= which
        self._open = [goes_on & ~which for goes_on in self._open]

    def take(self, rows: Tensor, runs: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Returns n-step returns, the discounts of the values that follow, and the indices of the last transitions.

        They lie in memory that the next call for the same runs uses again.

        Args:
            rows: (C, B) indices into the rings of all runs laid end to end; so are the results.
            runs: the C runs that they belong to.
        """
        key = (runs.start, runs.stop, rows.shape[1])
        if key not in self._room:
            self._room[key] = self._numbers.new_zeros((rows.numel(), 2)), torch.zeros_like(rows).view(-1)
        numbers, lasts = self._room[key]
        torch.index_select(self._numbers.view(-1, 2), 0, rows.reshape(-1), out=numbers)
        torch.index_select(self._lasts.view(-1), 0, rows.reshape(-1), out=lasts)
        returns, discounts = numbers.view(*rows.shape, 2).unbind(2)
        return returns, discounts, lasts.view(rows.shape)

    def _send(self, step: int) -> None:
        """Copies to the device what a vector step changed."""
        steps = np.arange(max(step - self._longest + 1, 0), step + 1)
        at, device = torch.from_numpy(steps % self._positions), self._lasts.device
        self._numbers[:, at.to(device)] = self._written[:, steps % self._window].to(device)
        self._lasts[:, at.to(device)] = self._written_lasts[:, steps % self._window].to(device)
