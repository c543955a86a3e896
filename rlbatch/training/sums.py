"""What did the updates measure since they were last asked? Sums of tags, run axis first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.stacking import batch_mask, column
from rlbatch.training.state import Arrays

_TOGETHER = 10
"""Updates whose measurements are worked out at once."""

Raw = TypeVar("Raw", bound=tuple[Tensor, ...])
"""A NamedTuple of tensors: what an update measures."""


class Sums(Generic[Raw]):
    """What updates measure: the raw numbers of the last ten of them, and sums by tag since they were last taken.

    Working the tags out for ten updates at once costs a tenth of the calls.

    Args:
        configs: the R runs of the stack.
        raw: room for what one update measures, of tensors (R, ...), on the device and in the dtype to sum in.
        tags_of: turns the raw numbers of U updates, (U, R, ...) each, into (U, R) by tag, or (U, R, B) for one per row
            of a batch.
    """

    def __init__(self, configs: Sequence[RunConfig], raw: Raw, tags_of: Callable[[Raw], Mapping[str, Tensor]]) -> None:
        self._raw = _each(raw, lambda one: one.new_zeros((_TOGETHER, *one.shape)))
        self._tags_of = tags_of
        self._batch_sizes = column([config.batch_size for config in configs], raw[0]).squeeze(1)
        self._mask = batch_mask(configs, str(raw[0].device))
        self._runs = len(configs)
        self._totals: dict[str, Tensor] = {}
        self._rates: list[float] = []
        self._lengths: list[int] = []
        self._summed, self.place = 0, 0

    def room(self, runs: slice) -> list[Raw]:
        """Returns for each `place` where an update of these runs, the next slice of the stack, writes what it measures.

        Padding rows of a batch may hold anything.
        """
        self._lengths.append(len(range(*runs.indices(self._runs))))
        return [_each(self._raw, lambda one, k=place: one[k, runs]) for place in range(_TOGETHER)]  # type: ignore[misc]

    def count(self, learning_rates: Sequence[float]) -> None:
        """Counts an update whose measurements stand at `place`, with the learning rate of each slice."""
        before = self._rates or [0.0] * len(learning_rates)
        self._rates = [total + rate for total, rate in zip(before, learning_rates, strict=True)]
        self.place += 1
        if self.place == _TOGETHER:
            self._sum_up()

    def peek(self, tags: Iterable[str]) -> dict[str, NDArray[np.float64]]:
        """Returns the means of some tags so far, (R,) each; nothing before the first update."""
        self._sum_up()
        return {tag: self._mean(self._totals[tag]) for tag in tags if tag in self._totals} if self._summed else {}

    def take(self) -> dict[str, NDArray[np.float64]]:
        """Returns the means over updates (and batches), (R,) by tag, and starts anew; empty without an update."""
        self._sum_up()
        if not self._summed:
            return {}
        means = self.peek(self._totals)
        means["update/learning_rate"] = np.repeat(self._rates, self._lengths) / self._summed
        for total in self._totals.values():
            total.zero_()
        self._rates, self._summed = [], 0
        return means

    def state(self) -> Arrays:
        """Returns the sums and the raw numbers that are not yet in them, (R, ...) each. It adds nothing up."""
        found = {f"total {tag}": total.cpu().numpy() for tag, total in self._totals.items()}
        found |= {f"raw {i}": one[: self.place].swapaxes(0, 1).cpu().numpy() for i, one in enumerate(self._raw)}
        rates = np.repeat(self._rates or [0.0] * len(self._lengths), self._lengths)
        counts = {"summed": np.full(self._runs, self._summed), "place": np.full(self._runs, self.place)}
        return found | {"rates": rates} | counts

    def restore(self, state: Arrays, runs: Sequence[slice]) -> None:
        """Takes over what `state` returned; `runs` are the slices of the stack. Padding rows may differ in number."""
        self._summed, self.place = int(state["summed"][0]), int(state["place"][0])
        self._rates = [float(state["rates"][own.start]) for own in runs]
        for name, array in state.items():
            kind, _, tag = name.partition(" ")
            saved = torch.from_numpy(array)
            if kind == "raw":
                _copy_common(self._raw[int(tag)][: saved.shape[1]], saved.swapaxes(0, 1), own_axes=2)
            elif kind == "total":
                wide = saved.shape[:1] if saved.dim() == 1 else (self._runs, self._raw[0].shape[-1])
                self._totals[tag] = self._raw[0].new_zeros(wide)
                _copy_common(self._totals[tag], saved, own_axes=1)

    def _sum_up(self) -> None:
        """Adds what the updates since the last time measured to the sums."""
        if self.place == 0:
            return
        for tag, values in self._tags_of(_each(self._raw, lambda one: one[: self.place])).items():
            if tag not in self._totals:
                self._totals[tag] = self._raw[0].new_zeros(values.shape[1:])
            for one in values.unbind(0):  # a sum over an axis depends on how many numbers lie beside it
                self._totals[tag].add_(one)
        self._summed, self.place = self._summed + self.place, 0

    def _mean(self, total: Tensor) -> NDArray[np.float64]:
        if total.dim() == 2:
            kept = total if self._mask is None else torch.where(self._mask, total, 0.0)
            total = kept.sum(dim=1) / self._batch_sizes
        mean: NDArray[np.float64] = total.double().cpu().numpy() / self._summed
        return mean


def _copy_common(target: Tensor, saved: Tensor, *, own_axes: int) -> None:
    """Copies what both tensors have: beyond the first axes, the last one counts rows of a batch, padding included."""
    rows = min(target.shape[-1], saved.shape[-1]) if target.dim() > own_axes else None
    target[..., :rows].copy_(saved[..., :rows])


def _each(raw: Raw, change: Callable[[Tensor], Tensor]) -> Raw:
    """Returns the same measurements with every tensor changed."""
    return type(raw)(*map(change, raw))
