"""How do the networks of many runs compute as one? Linear layers with the run axis first, on rows of one buffer.

A run's parameters are one row of a (R, P) buffer, in the order of Stable-Baselines3's state dict: weight (out, in),
bias (out,), and with layer normalisation gain and shift (out,). Each starts on a 64-byte boundary, and so does every
row: a run's numbers then do not depend on where in a stack it stands. The backward pass is written out: autograd would
cost as much again for networks of this size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.training.randomness import stream_key, uniforms, words

LANES = 16
"""float32 numbers in 64 bytes. Rows of a batch and of parameters are padded to multiples of it."""
_NORM_EPS = 1e-5


def padded(count: int) -> int:
    """Returns the next multiple of 16."""
    return -(-count // LANES) * LANES


def padded_rows(count: int, activation: str) -> int:
    """Returns to how many rows a run's part of a batch is padded: a multiple of 16.

    elu, gelu and silu have other bits in a vector than in the remainder of a loop, and loops take up to 32 numbers at
    once: with a multiple of 32 rows there is no remainder in any run's part.
    """
    lanes = LANES if activation in ("relu", "tanh") else 2 * LANES
    return -(-count // lanes) * lanes


class Activation(NamedTuple):
    """An elementwise function and its derivative: `backward(gradient, x, y)` for y = forward(x), which may reuse x."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


_ops = torch.ops.aten
ACTIVATIONS = {
    "relu": Activation(torch.relu_, lambda g, x, y: _ops.threshold_backward(g, y, 0)),
    "tanh": Activation(torch.tanh_, lambda g, x, y: _ops.tanh_backward(g, y)),
    "elu": Activation(torch.nn.functional.elu, lambda g, x, y: _ops.elu_backward(g, 1, 1, 1, True, y)),
    "gelu": Activation(torch.nn.functional.gelu, lambda g, x, y: _ops.gelu_backward(g, x)),
    "silu": Activation(torch.nn.functional.silu, lambda g, x, y: _ops.silu_backward(g, x)),
}


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


class Tape(NamedTuple):
    """What a forward pass leaves for the backward pass: each layer's input, and what its activation saw."""

    inputs: list[Tensor]
    linear: list[Tensor]
    normed: list[tuple[Tensor, Tensor, Tensor]]


class StackedMLP:
    """The networks of N stack members as one: every call takes and gives tensors (N, rows, units).

    Args:
        layout: of a member's row.
        parameters: (N, width), contiguous; read at every call.
        gradients: (N, width), contiguous, or None; written by `backward`.
    """

    def __init__(self, layout: Layout, parameters: Tensor, gradients: Tensor | None = None) -> None:
        views = layout.views(parameters)
        self._layers = range(len(layout.sizes) - 1)
        self._shapes = list(itertools.pairwise(layout.sizes))
        self._weights = [views[f"{i}.weight"] for i in self._layers]
        self._transposed = [w.transpose(1, 2) for w in self._weights]
        self._biases = [views[f"{i}.bias"] for i in self._layers]
        self._norms = [(views[f"{i}.gain"], views[f"{i}.shift"]) for i in self._layers if f"{i}.gain" in views]
        self._activation = ACTIVATIONS[layout.activation]
        if gradients is not None:
            slots = layout.views(gradients)
            self._weight_slots = [slots[f"{i}.weight"] for i in self._layers]
            self._bias_slots = [slots[f"{i}.bias"] for i in self._layers]
            self._norm_slots = [(slots[f"{i}.gain"], slots[f"{i}.shift"]) for i in self._layers if f"{i}.gain" in slots]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the outputs (N, rows, out) of inputs (N, rows, in)."""
        for i in self._layers[:-1]:
            x = torch.baddbmm(self._biases[i], x, self._transposed[i])
            if self._norms:
                x = self._normalise(i, x)[0]
            x = self._activation.forward(x)
        return torch.baddbmm(self._biases[-1], x, self._transposed[-1])

    def forward_taped(self, x: Tensor) -> tuple[Tensor, Tape]:
        """Returns what `forward` returns, to the bit, and the tape for `backward`."""
        tape = Tape([x], [], [])
        for i in self._layers[:-1]:
            x = torch.baddbmm(self._biases[i], x, self._transposed[i])
            if self._norms:
                x, *kept = self._normalise(i, x)
                tape.normed.append((kept[0], kept[1], kept[2]))
            tape.linear.append(x)
            x = self._activation.forward(x)
            tape.inputs.append(x)
        return torch.baddbmm(self._biases[-1], x, self._transposed[-1]), tape

    def backward(self, tape: Tape, gradient: Tensor, *, to_input: bool = False, to_parameters: bool = True) -> Tensor:
        """Writes the gradients of the parameters; returns that of the input, (N, rows, in), if `to_input`.

        Args:
            tape: of the forward pass.
            gradient: (N, rows, out) of the loss by the outputs.
            to_input: whether the gradient of the input is wanted; else what is returned has no meaning.
            to_parameters: whether those of the parameters are.
        """
        for i in reversed(self._layers):
            if to_parameters:
                self._write_weight_gradient(i, gradient, tape.inputs[i])
                torch.sum(gradient, 1, keepdim=True, out=self._bias_slots[i])
            if i == 0 and not to_input:
                break
            gradient = torch.bmm(gradient, self._weights[i])
            if i > 0:
                gradient = self._activation.backward(gradient, tape.linear[i - 1], tape.inputs[i])
                if self._norms:
                    gradient = self._normalise_backward(i - 1, gradient, tape, to_parameters)
        return gradient

    def _write_weight_gradient(self, layer: int, gradient: Tensor, x: Tensor) -> None:
        """Writes gradientᵀ · x, (N, out, in), in whichever way is fastest and the same for every member."""
        slot, (inputs, outputs) = self._weight_slots[layer], self._shapes[layer]
        if inputs * outputs % LANES != 0:
            torch.bmm(gradient.transpose(1, 2), x, out=slot)  # a product of its own would not be aligned everywhere
        elif inputs < outputs:
            slot.copy_(torch.bmm(x.transpose(1, 2), gradient).transpose(1, 2))  # 7 times as fast for 4 inputs
        else:
            slot.copy_(torch.bmm(gradient.transpose(1, 2), x))

    def _normalise(self, layer: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gain, shift = self._norms[layer]
        normed, mean, scale = torch.native_layer_norm(x, x.shape[-1:], None, None, _NORM_EPS)
        return torch.addcmul(shift, normed, gain), x, mean, scale

    def _normalise_backward(self, layer: int, gradient: Tensor, tape: Tape, to_parameters: bool) -> Tensor:
        x, mean, scale = tape.normed[layer]
        if to_parameters:
            gain_slot, shift_slot = self._norm_slots[layer]
            torch.sum(gradient * ((x - mean) * scale), 1, keepdim=True, out=gain_slot)
            torch.sum(gradient, 1, keepdim=True, out=shift_slot)
        inner = gradient * self._norms[layer][0]
        shape = list(x.shape[-1:])
        wanted = [True, False, False]
        back: Tensor = _ops.native_layer_norm_backward(inner, x, shape, mean, scale, None, None, wanted)[0]
        return back


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


def polyak(targets: Tensor, parameters: Tensor, tau: float) -> None:
    """Moves targets towards parameters, in place: (1 − τ) target + τ parameter; τ = 1 copies."""
    if tau == 1.0:
        targets.copy_(parameters)
    else:
        targets.mul_(1.0 - tau).add_(parameters, alpha=tau)
