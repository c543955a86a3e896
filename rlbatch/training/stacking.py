"""How is a stack divided? Into slices of runs that update together, with columns of their constants."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.optimizer import constants_of
from rlbatch.training.padding import padded_rows

_CACHE_NUMBERS = 1 << 18
"""float32 numbers in one layer's activations of a slice, above which updates become slower for want of cache."""


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
