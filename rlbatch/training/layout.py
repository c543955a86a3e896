"""Where does each parameter of many runs lie? The rows of one buffer, aligned, and from where they start.

A run's parameters are one row of a (R, P) buffer, in the order of Stable-Baselines3's state dict: weight (out, in),
bias (out,), and with layer normalisation gain and shift (out,). Each starts on a 64-byte boundary, and so does every
row: a run's numbers then do not depend on where in a stack it stands.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.training.padding import padded
from rlbatch.training.randomness import stream_key, uniforms, words


class Piece(NamedTuple):
    """Where one parameter lies in a run's row."""

    name: str
    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The row of a multi-layer perceptron: input, hidden layers, output.

    Attributes:
        sizes: units of every layer, the input's first and the output's last.
        activation: between layers.
        layer_norm: whether each hidden layer normalises before its activation (Ba, Kiros and Hinton 2016).
    """

    sizes: tuple[int, ...]
    activation: str
    layer_norm: bool = False

    def pieces(self) -> Iterator[Piece]:
        """Yields every parameter, layer by layer; names are `<layer>.weight`, `.bias`, `.gain`, `.shift`."""
        start = 0
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(self.sizes)):
            shapes = {"weight": (outputs, inputs), "bias": (outputs,)}
            if self.layer_norm and layer < len(self.sizes) - 2:
                shapes |= {"gain": (outputs,), "shift": (outputs,)}
            for name, shape in shapes.items():
                yield Piece(f"{layer}.{name}", start, shape)
                start += padded(math.prod(shape))

    @property
    def width(self) -> int:
        """Numbers in a row, padding included."""
        last = list(self.pieces())[-1]
        return last.start + padded(math.prod(last.shape))

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Returns every parameter of the rows (R, width) as a view: weights (R, out, in), the others (R, 1, out)."""
        found = {}
        for name, start, shape in self.pieces():
            flat = rows[:, start : start + math.prod(shape)]
            found[name] = flat.view(-1, *shape) if len(shape) == 2 else flat.unsqueeze(1)
        return found

    def initial(self, seed: int, purpose: str) -> NDArray[np.float64]:
        """Returns a row of initial parameters: torch's own, U(±1/√inputs) for weights and biases.

        Source: torch.nn.Linear.reset_parameters, which Stable-Baselines3's DQN and SAC leave as it is.
        """
        row = np.zeros(self.width)
        key = np.array([stream_key(seed, purpose)], dtype=np.uint64)
        for name, start, shape in self.pieces():
            layer, kind = name.split(".")
            count = math.prod(shape)
            counters = np.arange(start, start + count, dtype=np.uint64)[None, None]
            bound = 1.0 / math.sqrt(self.sizes[int(layer)])
            drawn = (2.0 * uniforms(words(key, counters))[0, 0] - 1.0) * bound
            row[start : start + count] = {"gain": 1.0, "shift": 0.0}.get(kind, drawn)
        return row

    def named(self, row: Tensor, prefix: str) -> dict[str, Tensor]:
        """Returns views of a run's row (width,) under the names and shapes of Stable-Baselines3's Sequential."""
        found = {}
        for name, start, shape in self.pieces():
            layer, kind = name.split(".")
            found[f"{prefix}{2 * int(layer)}.{kind}"] = row[start : start + math.prod(shape)].view(shape)
        return found


def initial_rows(
    layout: Layout, seeds: Sequence[int], purpose: str, *, device: str, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Returns the initial parameters of R runs, (R, width)."""
    rows = np.stack([layout.initial(seed, purpose) for seed in seeds])
    return torch.from_numpy(rows).to(device=device, dtype=dtype)


def fill(views: Mapping[str, Tensor], weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Copies saved arrays into views of the same names; raises ValueError unless names and shapes agree."""
    if set(views) != set(weights):
        raise ValueError(f"other parameters: {sorted(set(views) ^ set(weights))[:4]}")
    for name, view in views.items():
        if tuple(view.shape) != weights[name].shape:
            raise ValueError(f"{name} has shape {weights[name].shape}, the network {tuple(view.shape)}")
        view.copy_(torch.from_numpy(weights[name]))
