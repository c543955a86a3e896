"""How is a stack divided and measured? Slices of runs that update together, columns of constants, sums of tags."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.networks import padded_rows
from rlbatch.training.optimizer import constants_of

_CACHE_NUMBERS = 1 << 17
"""float32 numbers in one layer's activations of a slice, above which updates leave a second-level cache of 1 MiB."""


def batch_rows(configs: Sequence[RunConfig]) -> int:
    """Returns the rows B of the stack's padded batches."""
    return padded_rows(max(config.batch_size for config in configs), configs[0].activation_fn)


class Actions(NamedTuple):
    """The actions of a vector step.

    Attributes:
        taken: (R, E, ...) what the environments get.
        stored: (R, E, A) what the replay keeps.
        finite: (R,) whether what they were chosen by is finite; None where nothing was computed.
    """

    taken: NDArray[Any]
    stored: NDArray[Any]
    finite: NDArray[np.bool_] | None


def order(configs: Sequence[RunConfig]) -> list[int]:
    """Returns the order of the runs in their stack: those with the same constants of Adam and target side by side."""
    return sorted(range(len(configs)), key=lambda i: (constants_of(configs[i]), configs[i].batch_size, i))


def slices(configs: Sequence[RunConfig], device: str) -> list[slice]:
    """Returns the slices of a stack in order; on a GPU each set of constants is one slice."""
    rows = batch_rows(configs)
    widest = max(_CACHE_NUMBERS // (rows * max((*configs[0].net_arch, 1))), 1)
    found, start = [], 0
    for _, group in itertools.groupby(configs, key=constants_of):
        end = start + len(list(group))
        parts = -(-(end - start) // widest) if device == "cpu" else 1
        edges = [start + (end - start) * part // parts for part in range(parts + 1)]
        found += [slice(a, b) for a, b in itertools.pairwise(edges)]
        start = end
    return found


def column(values: Sequence[float], like: Tensor) -> Tensor:
    """Returns one number per run as (R, 1), of the same kind as another tensor."""
    return torch.tensor(values, dtype=torch.float64).to(like.device, like.dtype).unsqueeze(1)


def batch_mask(configs: Sequence[RunConfig], device: str) -> Tensor | None:
    """Returns which rows of the padded batches are a run's own, (R, B) bool; None if all are.

    The other rows are left out by selection, never by multiplying: 0 · NaN is NaN.
    """
    sizes = torch.tensor([config.batch_size for config in configs], device=device)
    width = batch_rows(configs)
    if bool((sizes == width).all()):
        return None
    return torch.arange(width, device=device) < sizes[:, None]


class Sums:
    """What updates measure, summed since it was last taken.

    Args:
        configs: the R runs of the stack.
        like: a tensor of the device and dtype to sum on.
    """

    def __init__(self, configs: Sequence[RunConfig], like: Tensor) -> None:
        self._batch_sizes = column([config.batch_size for config in configs], like).squeeze(1)
        self._mask = batch_mask(configs, str(like.device))
        self._shape = (len(configs), batch_rows(configs))
        self._like = like
        self._sums: dict[str, Tensor] = {}
        self._parts: dict[tuple[str, int, int], Tensor] = {}
        self._rates = np.zeros(len(configs))
        self._updates = 0

    def add(self, tag: str, runs: slice, values: Tensor) -> None:
        """Adds one number per run, (C,), or one per row of its batch, (C, B)."""
        key = (tag, runs.start, runs.stop)
        if key not in self._parts:
            whole = self._sums.setdefault(tag, self._like.new_zeros(self._shape[: values.dim()]))
            self._parts[key] = whole[runs]
        self._parts[key].add_(values)

    def add_rate(self, runs: slice, learning_rate: float) -> None:
        """Adds the learning rate of some runs' update."""
        self._rates[runs] += learning_rate

    def count(self) -> None:
        """Counts an update."""
        self._updates += 1

    def peek(self, tags: Iterable[str]) -> dict[str, NDArray[np.float64]]:
        """Returns the means of some tags so far, (R,) each: of those that were added to."""
        return {tag: self._mean(self._sums[tag]) for tag in tags if tag in self._sums}

    def take(self) -> dict[str, NDArray[np.float64]]:
        """Returns the means over updates (and batches), (R,) by tag, and starts anew; empty without an update."""
        if self._updates == 0:
            return {}
        means = self.peek(self._sums) | {"update/learning_rate": self._rates / self._updates}
        for total in self._sums.values():
            total.zero_()
        self._rates = np.zeros_like(self._rates)
        self._updates = 0
        return means

    def _mean(self, total: Tensor) -> NDArray[np.float64]:
        if total.dim() == 2:
            kept = total if self._mask is None else torch.where(self._mask, total, 0.0)
            total = kept.sum(dim=1) / self._batch_sizes
        mean: NDArray[np.float64] = total.double().cpu().numpy() / max(self._updates, 1)
        return mean
