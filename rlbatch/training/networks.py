"""How do the networks of many runs compute as one? Linear layers with the run axis first, forward and backward.

The backward pass is written out: autograd would cost as much again for networks of this size. What makes a member's
numbers independent of its company are rows of 64 bytes (`layout.py`) and products whose parts all begin on such a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rlbatch.training.layout import Layout
from rlbatch.training.padding import LANES

_NORM_EPS = 1e-5


class Activation(NamedTuple):
    """An elementwise function and its derivative, for y = forward(x).

    Attributes:
        forward: may reuse x.
        backward: turns the gradient by y, in place, into that by x: `backward(gradient, x, y)`.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


_ops = torch.ops.aten
_threshold_backward, _tanh_backward = _ops.threshold_backward.grad_input, _ops.tanh_backward.grad_input
_elu_backward, _gelu_backward = _ops.elu_backward.grad_input, _ops.gelu_backward.grad_input
_silu_backward = _ops.silu_backward.grad_input
ACTIVATIONS = {
    "relu": Activation(torch.relu_, lambda g, x, y: _threshold_backward(g, y, 0, grad_input=g)),
    "tanh": Activation(torch.tanh_, lambda g, x, y: _tanh_backward(g, y, grad_input=g)),
    "elu": Activation(torch.nn.functional.elu, lambda g, x, y: _elu_backward(g, 1, 1, 1, True, y, grad_input=g)),
    "gelu": Activation(torch.nn.functional.gelu, lambda g, x, y: _gelu_backward(g, x, grad_input=g)),
    "silu": Activation(torch.nn.functional.silu, lambda g, x, y: _silu_backward(g, x, grad_input=g)),
}


class Tape(NamedTuple):
    """What a forward pass leaves for the backward pass: each layer's input, and what its activation saw."""

    inputs: list[Tensor]
    linear: list[Tensor]
    normed: list[tuple[Tensor, Tensor, Tensor]]


class _Work(NamedTuple):
    """Memory that passes with one number of rows use again and again.

    Attributes:
        linear: (N, rows, units) of every hidden layer before its activation.
        outputs: (N, out, rows) if a member's outputs lie unit by unit, else (N, rows, out).
        told: the same numbers as (N, rows, out).
        back: (N, rows, in) of every layer: the gradient by its input.
    """

    linear: list[Tensor]
    outputs: Tensor
    told: Tensor
    back: list[Tensor]


class StackedMLP:
    """The networks of N stack members as one: every call takes and gives tensors (N, rows, units).

    What a pass returns lies in memory that the next pass of the same kind and number of rows uses again: small products
    cost less than the memory for them. `forward` and `forward_taped` use different memory.

    Args:
        layout: of a member's row.
        parameters: (N, width), contiguous; read at every call.
        gradients: (N, width), contiguous, or None; written by `backward`.
        by_unit: whether a member's outputs lie in memory unit by unit, not row by row: twice as fast for few units. The
            gradient by the outputs should then lie likewise; `like_outputs` makes room for it.
    """

    def __init__(
        self, layout: Layout, parameters: Tensor, gradients: Tensor | None = None, *, by_unit: bool = False
    ) -> None:
        views = layout.views(parameters)
        self._layers = range(len(layout.sizes) - 1)
        self._shapes = list(itertools.pairwise(layout.sizes))
        self._parameters, self._by_unit = parameters, by_unit
        self._weights = [views[f"{i}.weight"] for i in self._layers]
        self._transposed = [w.transpose(1, 2) for w in self._weights]
        self._biases = [views[f"{i}.bias"] for i in self._layers]
        self._bias_column = self._biases[-1].transpose(1, 2)
        self._norms = [(views[f"{i}.gain"], views[f"{i}.shift"]) for i in self._layers if f"{i}.gain" in views]
        self._activation = ACTIVATIONS[layout.activation]
        self._untaped: dict[int, _Work] = {}
        self._taped: dict[int, _Work] = {}
        if gradients is not None:
            slots = layout.views(gradients)
            self._weight_slots = [slots[f"{i}.weight"] for i in self._layers]
            self._bias_slots = [slots[f"{i}.bias"] for i in self._layers]
            self._norm_slots = [(slots[f"{i}.gain"], slots[f"{i}.shift"]) for i in self._layers if f"{i}.gain" in slots]
            self._products = [self._product_of(i) for i in self._layers]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the outputs (N, rows, out) of inputs (N, rows, in)."""
        work = self._untaped.get(x.shape[1]) or self._work(self._untaped, x.shape[1])
        for i in self._layers[:-1]:
            x = torch.baddbmm(self._biases[i], x, self._transposed[i], out=work.linear[i])
            if self._norms:
                x = self._normalise(i, x)[0]
            x = self._activation.forward(x)
        return self._output(x, work)

    def forward_taped(self, x: Tensor) -> tuple[Tensor, Tape]:
        """Returns what `forward` returns, to the bit, and the tape for `backward`, which lasts until the next call."""
        work = self._taped.get(x.shape[1]) or self._work(self._taped, x.shape[1])
        tape = Tape([x], [], [])
        for i in self._layers[:-1]:
            x = torch.baddbmm(self._biases[i], x, self._transposed[i], out=work.linear[i])
            if self._norms:
                x, *kept = self._normalise(i, x)
                tape.normed.append((kept[0], kept[1], kept[2]))
            tape.linear.append(x)
            x = self._activation.forward(x)
            tape.inputs.append(x)
        return self._output(x, work), tape

    def backward(self, tape: Tape, gradient: Tensor, *, to_input: bool = False, to_parameters: bool = True) -> Tensor:
        """Writes the gradients of the parameters; returns that of the input, (N, rows, in), if `to_input`.

        Args:
            tape: of the last `forward_taped`.
            gradient: (N, rows, out) of the loss by the outputs.
            to_input: whether the gradient of the input is wanted; else what is returned has no meaning.
            to_parameters: whether those of the parameters are.
        """
        back = self._taped[gradient.shape[1]].back
        for i in reversed(self._layers):
            if to_parameters:
                self._write_weight_gradient(i, gradient, tape.inputs[i])
                torch.sum(gradient, 1, keepdim=True, out=self._bias_slots[i])
            if i == 0 and not to_input:
                break
            gradient = torch.bmm(gradient, self._weights[i], out=back[i])
            if i > 0:
                gradient = self._activation.backward(gradient, tape.linear[i - 1], tape.inputs[i])
                if self._norms:
                    gradient = self._normalise_backward(i - 1, gradient, tape, to_parameters)
        return gradient

    def like_outputs(self, rows: int) -> Tensor:
        """Returns zeros (N, rows, out) that lie in memory like the outputs."""
        return self._outputs(rows)[1]

    def _work(self, works: dict[int, _Work], rows: int) -> _Work:
        """Makes room for passes with so many rows."""
        members, like = len(self._parameters), self._parameters
        linear = [like.new_zeros((members, rows, units)) for _, units in self._shapes[:-1]]
        back = [like.new_zeros((members, rows, units)) for units, _ in self._shapes]
        works[rows] = _Work(linear, *self._outputs(rows), back)
        return works[rows]

    def _outputs(self, rows: int) -> tuple[Tensor, Tensor]:
        """Returns room for outputs as it lies in memory, and as (N, rows, out)."""
        members, units = len(self._parameters), self._shapes[-1][1]
        if not self._by_unit:
            plain = self._parameters.new_zeros((members, rows, units))
            return plain, plain
        by_unit = self._parameters.new_zeros((members, units, rows))
        return by_unit, by_unit.transpose(1, 2)

    def _output(self, x: Tensor, work: _Work) -> Tensor:
        """Computes the last layer."""
        if self._by_unit:
            torch.baddbmm(self._bias_column, self._weights[-1], x.transpose(1, 2), out=work.outputs)
        else:
            torch.baddbmm(self._biases[-1], x, self._transposed[-1], out=work.outputs)
        return work.told

    def _product_of(self, layer: int) -> Tensor:
        """Returns where the gradient of a layer's weight is computed; see `_write_weight_gradient`."""
        slot, (inputs, outputs) = self._weight_slots[layer], self._shapes[layer]
        if inputs * outputs % LANES == 0 and inputs < outputs:
            return slot.new_zeros((len(slot), inputs, outputs))
        return slot if inputs * outputs % LANES != 0 or slot.is_contiguous() else torch.zeros_like(slot)

    def _write_weight_gradient(self, layer: int, gradient: Tensor, x: Tensor) -> None:
        """Writes gradientᵀ · x, (N, out, in), in whichever way is fastest and the same for every member.

        The fastest is a product in memory of its own, copied then. Where its members' parts would not all begin on a
        cache line, it is computed in place. For few inputs the transposed product is 7 times as fast.
        """
        slot, product = self._weight_slots[layer], self._products[layer]
        if product.shape != slot.shape:
            slot.copy_(torch.bmm(x.transpose(1, 2), gradient, out=product).transpose(1, 2))
            return
        torch.bmm(gradient.transpose(1, 2), x, out=product)
        if product is not slot:
            slot.copy_(product)

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


def polyak(targets: Tensor, parameters: Tensor, tau: float) -> None:
    """Moves targets towards parameters, in place: (1 − τ) target + τ parameter; τ = 1 copies."""
    if tau == 1.0:
        targets.copy_(parameters)
    else:
        targets.mul_(1.0 - tau).add_(parameters, alpha=tau)
