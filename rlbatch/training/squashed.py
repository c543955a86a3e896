"""How does a policy draw bounded actions? Squashed Gaussians, their log probabilities and the gradients of both.

The equations of Haarnoja et al. 2018a (appendix C), run axis first: C runs, B rows of a batch, A numbers in an action.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_SQUASH_EPS = 1e-6


class Squashed(NamedTuple):
    """Actions drawn from squashed Gaussians, and what their gradients need.

    Attributes:
        actions: a = tanh(mean + std · noise), (C, B, A), in (-1, 1).
        log_prob: log π(a | s), (C, B).
        spread: std · noise, (C, B, A): the derivative of the unsquashed action by log std.
        slack: 1 − a², (C, B, A): the derivative of tanh.
        unclamped: (C, B, A) where the log deviation was within its bounds.
    """

    actions: Tensor
    log_prob: Tensor
    spread: Tensor
    slack: Tensor
    unclamped: Tensor


def squash(outputs: Tensor, noise: Tensor) -> Squashed:
    """Draws actions by the reparameterisation trick (Haarnoja et al. 2018a, appendix C).

    Args:
        outputs: (C, B, 2A) of the actor: means, then log deviations, which are clamped to [-20, 2].
        noise: (C, B, A) standard normal.
    """
    mean, raw = torch.split(outputs, outputs.shape[2] // 2, dim=2)
    log_std = raw.clamp(LOG_STD_MIN, LOG_STD_MAX)
    spread = log_std.exp() * noise
    actions = (mean + spread).tanh_()
    slack = 1.0 - actions * actions
    terms = noise.square().mul_(-0.5) - log_std - _HALF_LOG_2PI - (slack + _SQUASH_EPS).log_()
    return Squashed(actions, add_up(terms), spread, slack, raw == log_std)


def squash_gradient(drawn: Squashed, by_action: Tensor, by_log_prob: Tensor) -> Tensor:
    """Returns the gradient of a loss by the actor's outputs, (C, B, 2A).

    Args:
        drawn: from `squash`.
        by_action: (C, B, A) gradient of the loss by the actions.
        by_log_prob: (C, B) gradient of the loss by their log probabilities.
    """
    by_log_prob = by_log_prob.unsqueeze(2)
    correction = 2.0 * drawn.actions / (drawn.slack + _SQUASH_EPS)
    by_mean = (by_action + by_log_prob * correction) * drawn.slack
    by_log_std = torch.where(drawn.unclamped, by_mean * drawn.spread - by_log_prob, 0.0)
    return torch.cat((by_mean, by_log_std), dim=2)


def add_up(terms: Tensor) -> Tensor:
    """Returns the sum over the last axis, (C, B, A) to (C, B), in order of the axis wherever the run stands."""
    total = terms[..., 0]
    for index in range(1, terms.shape[2]):
        total = total + terms[..., index]
    return total
