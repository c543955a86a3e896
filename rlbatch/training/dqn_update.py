"""What is one DQN update of many runs? The equations of Mnih et al. 2015 as Stable-Baselines3 has them.

Shapes: C runs that update together, B rows of a batch, A actions, P parameters of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlbatch.training.clock import Clock
from rlbatch.training.networks import StackedMLP
from rlbatch.training.optimizer import Adam
from rlbatch.training.replay import Batch


class Measured(NamedTuple):
    """What an update measures: of the batch (C, B) each, and the gradient's norm before clipping, (C,)."""

    q_values: Tensor
    td_error: Tensor
    grad_norm: Tensor


class Slice(NamedTuple):
    """Runs that update together: they agree in Adam's constants, tau and the target's interval.

    `actions` (C, B, 1), `targets` (C, B), `by_q` (C, B) and `by_outputs` (C, B, A) is memory of their updates.
    """

    runs: slice
    parameters: Tensor
    target_parameters: Tensor
    gradients: Tensor
    online: StackedMLP
    target: StackedMLP
    adam: Adam
    limits: Tensor
    batch_sizes: Tensor
    padding: Tensor | None
    tau: float
    clock: Clock
    measured: Sequence[Measured]
    actions: Tensor
    targets: Tensor
    by_q: Tensor
    by_outputs: Tensor


def learn(part: Slice, measured: Measured, batch: Batch, progress: float) -> float:
    """Takes the optimiser step of one update; returns the learning rate.

    Args:
        part: the runs.
        measured: where to write what the update measures.
        batch: (C, B) transitions.
        progress: share of the budget that is spent.
    """
    actions = part.actions
    next_q_values = part.target.forward(batch.next_observations)
    targets = td_target(batch.rewards, batch.discounts, next_q_values, out=part.targets)
    q_all, tape = part.online.forward_taped(batch.observations)
    actions.copy_(batch.actions)
    torch.gather(q_all, 2, actions, out=measured.q_values.unsqueeze(2))
    torch.sub(measured.q_values, targets, out=measured.td_error)
    by_q = huber_gradient(measured.td_error, out=part.by_q)
    if part.padding is not None:
        by_q.masked_fill_(part.padding, 0.0)
    by_q.div_(part.batch_sizes)
    by_outputs = part.by_outputs.zero_().scatter_(2, actions, by_q.unsqueeze(2))
    part.online.backward(tape, by_outputs)
    clip_by_norm(part.gradients, part.limits, measured.grad_norm)
    return part.adam.step(progress)


def td_target(rewards: Tensor, discounts: Tensor, next_q_values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns r + γ max_a Q'(s', a), (C, B), with the discount 0 where the episode terminated.

    Args:
        rewards: (C, B).
        discounts: (C, B).
        next_q_values: (C, B, A) of the target network.
        out: where to write it.
    """
    best = torch.amax(next_q_values, 2, out=out)
    return torch.addcmul(rewards, discounts, best, out=out)


def huber_gradient(td_error: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the derivative of the Huber loss by the Q-value, (C, B): the TD error, at most 1 in size."""
    return torch.clamp(td_error, -1.0, 1.0, out=out)


def huber_loss(td_error: Tensor, gradient: Tensor) -> Tensor:
    """Returns ½d² for |d| < 1 and |d| − ½ beyond, (C, B), from d and its clamped value g as g · (d − ½g)."""
    return gradient * torch.sub(td_error, gradient, alpha=0.5)


def clip_by_norm(gradients: Tensor, limits: Tensor, norms: Tensor) -> None:
    """Scales each run's gradient to an L2 norm of at most its limit, in place.

    Args:
        gradients: (C, P).
        limits: (C,).
        norms: (C,) is where the norms before are written.
    """
    torch.linalg.vector_norm(gradients, dim=1, out=norms)
    gradients.mul_(limits.div(norms + 1e-6).clamp_(max=1.0).unsqueeze(1))


def tags_of(measured: Measured, limits: Tensor) -> dict[str, Tensor]:
    """Returns the tags of some updates, from what they measured and the limits (R,) of the norm."""
    td_error = measured.td_error
    return {
        "update/loss": huber_loss(td_error, huber_gradient(td_error)),
        "update/td_error": td_error.abs(),
        "update/q_mean": measured.q_values,
        "update/grad_norm": measured.grad_norm,
        "update/clip_fraction": measured.grad_norm > limits,
    }
