"""What is one SAC update of many runs? The equations of Haarnoja et al. 2018b, as Stable-Baselines3 has them.

Shapes: C runs that update together, B rows of a batch, A numbers in an action, O in an observation. The two critics of
a run are two members side by side: their tensors are (C, 2, ...), or (2C, ...) inside the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlbatch.training.networks import StackedMLP, Tape
from rlbatch.training.optimizer import Adam
from rlbatch.training.replay import Batch
from rlbatch.training.squashed import Squashed, squash, squash_gradient


class Measured(NamedTuple):
    """What an update measures: of both critics (C, 2, B), of the actor's actions (C, B), and numbers (C,).

    Attributes:
        q_values: of the batch's own actions.
        td_error: theirs.
        least_q: the smaller Q-value of the actor's actions.
        log_prob: of these actions.
        ent_coef: α.
        ent_coef_loss: of log α.
        grad_norm: of the critics.
        actor_grad_norm: of the actor.
    """

    q_values: Tensor
    td_error: Tensor
    least_q: Tensor
    log_prob: Tensor
    ent_coef: Tensor
    ent_coef_loss: Tensor
    grad_norm: Tensor
    actor_grad_norm: Tensor


class Slice(NamedTuple):
    """Runs that update together: they agree in Adam's constants, tau and the target's interval.

    `ent_coef` (C, 1) is log α where it `learns_entropy`, else α.
    """

    runs: slice
    actor: StackedMLP
    critics: StackedMLP
    target_critics: StackedMLP
    actor_adam: Adam
    critic_adam: Adam
    entropy_adam: Adam
    actor_gradients: Tensor
    critic_parameters: Tensor
    critic_gradients: Tensor
    critic_targets: Tensor
    ent_coef: Tensor
    learns_entropy: bool
    entropy_gradients: Tensor
    target_entropy: Tensor
    batch_sizes: Tensor
    mask: Tensor | None
    tau: float
    target_update_interval: int
    measured: Sequence[Measured]


def learn(part: Slice, measured: Measured, batch: Batch, noise: Tensor, next_noise: Tensor, progress: float) -> float:
    """Takes the optimiser steps of one update, in Stable-Baselines3's order; returns the learning rate.

    Args:
        part: the runs.
        measured: where to write what the update measures.
        batch: (C, B) transitions.
        noise: (C, B, A) standard normal, for the actions at the observations.
        next_noise: the same, for those at the next observations.
        progress: share of the budget that is spent.
    """
    outputs, tape = part.actor.forward_taped(batch.observations)
    drawn = squash(outputs, noise)
    measured.log_prob.copy_(drawn.log_prob)
    ent_coef = part.ent_coef.exp() if part.learns_entropy else part.ent_coef
    measured.ent_coef.copy_(ent_coef.squeeze(1))
    if part.learns_entropy:
        _learn_entropy(part, measured, progress)
    rate = _learn_critics(part, measured, batch, next_noise, ent_coef, progress)
    _learn_actor(part, measured, batch.observations, drawn, tape, ent_coef, progress)
    return rate


def _learn_entropy(part: Slice, measured: Measured, progress: float) -> None:
    """Steps the entropy coefficient: the loss is −log α · mean(log π + target entropy)."""
    error = _chosen(part, measured.log_prob).sum(dim=1, keepdim=True) / part.batch_sizes + part.target_entropy
    measured.ent_coef_loss.copy_(-(part.ent_coef * error).squeeze(1))
    part.entropy_gradients.copy_(-error)
    part.entropy_adam.step(progress)


def _learn_critics(
    part: Slice, measured: Measured, batch: Batch, next_noise: Tensor, ent_coef: Tensor, progress: float
) -> float:
    """Steps the critics: the loss is ½ Σ_j mean (Q_j − y)²."""
    following = squash(part.actor.forward(batch.next_observations), next_noise)
    next_q_values = _two(part.target_critics.forward(_pairs(batch.next_observations, following.actions)))
    targets = soft_target(batch.rewards, batch.discounts, next_q_values, ent_coef * following.log_prob)
    q_flat, tape = part.critics.forward_taped(_pairs(batch.observations, batch.actions))
    measured.q_values.copy_(_two(q_flat))
    torch.sub(measured.q_values, targets.unsqueeze(1), out=measured.td_error)
    gradient = _chosen(part, measured.td_error) / part.batch_sizes.unsqueeze(1)
    part.critics.backward(tape, gradient.view(q_flat.shape))
    torch.linalg.vector_norm(part.critic_gradients.flatten(1), dim=1, out=measured.grad_norm)
    return part.critic_adam.step(progress)


def _learn_actor(
    part: Slice,
    measured: Measured,
    observations: Tensor,
    drawn: Squashed,
    tape: Tape,
    ent_coef: Tensor,
    progress: float,
) -> None:
    """Steps the actor: the loss is mean(α log π − min_j Q_j), through the critics just updated."""
    q_flat, critic_tape = part.critics.forward_taped(_pairs(observations, drawn.actions))
    q_values = _two(q_flat)
    torch.amin(q_values, 1, out=measured.least_q)
    first_is_less = q_values[:, 0] <= q_values[:, 1]
    weight = _chosen(part, (1.0 / part.batch_sizes).expand_as(drawn.log_prob))
    by_q = torch.stack((torch.where(first_is_less, -weight, 0.0), torch.where(first_is_less, 0.0, -weight)), dim=1)
    by_pair = part.critics.backward(critic_tape, by_q.view(q_flat.shape), to_input=True, to_parameters=False)
    by_both = by_pair.view(-1, 2, *by_pair.shape[1:])[..., -drawn.actions.shape[2] :]
    by_outputs = squash_gradient(drawn, by_both[:, 0] + by_both[:, 1], ent_coef * weight)
    part.actor.backward(tape, by_outputs)
    torch.linalg.vector_norm(part.actor_gradients, dim=1, out=measured.actor_grad_norm)
    part.actor_adam.step(progress)


def soft_target(rewards: Tensor, discounts: Tensor, next_q_values: Tensor, entropy_bonus: Tensor) -> Tensor:
    """Returns r + γ (min_j Q'_j(s', a') − α log π(a' | s')), (C, B).

    Args:
        rewards: (C, B).
        discounts: (C, B), 0 where the episode terminated.
        next_q_values: (C, 2, B) of the target critics.
        entropy_bonus: (C, B), α log π.
    """
    return torch.addcmul(rewards, discounts, next_q_values.amin(dim=1) - entropy_bonus)


def tags_of(measured: Measured, *, learns_entropy: bool) -> dict[str, Tensor]:
    """Returns the tags of some updates, from what they measured."""
    ent_coef = measured.ent_coef
    tags = {
        "update/critic_loss": measured.td_error.square().sum(dim=2).mul_(0.5),
        "update/td_error": measured.td_error.abs().mean(dim=2),
        "update/q_mean": measured.q_values.mean(dim=2),
        "update/actor_loss": ent_coef.unsqueeze(2) * measured.log_prob - measured.least_q,
        "update/ent_coef": ent_coef,
        "update/grad_norm": measured.grad_norm,
        "update/actor_grad_norm": measured.actor_grad_norm,
    }
    return tags | ({"update/ent_coef_loss": measured.ent_coef_loss} if learns_entropy else {})


def _pairs(observations: Tensor, actions: Tensor) -> Tensor:
    """Returns the inputs of both critics: (C, B, O) and (C, B, A) to (2C, B, O + A)."""
    joined = torch.cat((observations, actions), dim=2)
    return joined.unsqueeze(1).expand(-1, 2, -1, -1).flatten(0, 1)


def _two(q_flat: Tensor) -> Tensor:
    """Returns the critics' outputs (2C, B, 1) as (C, 2, B)."""
    return q_flat.squeeze(2).view(-1, 2, q_flat.shape[1])


def _chosen(part: Slice, values: Tensor) -> Tensor:
    """Returns values (C, B) or (C, 2, B) with 0 in the rows that only pad the batch."""
    if part.mask is None:
        return values
    return torch.where(part.mask if values.dim() == 2 else part.mask.unsqueeze(1), values, 0.0)
