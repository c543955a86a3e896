"""What is the learning rate at a point of training? The schedules, over the fraction of the budget that is spent."""

from __future__ import annotations

import math

from rlbatch.config import RunConfig


def learning_rate(config: RunConfig, progress: float) -> float:
    """Returns the rate of one update.

    Args:
        config: gives the rate, the schedule and the warm-up.
        progress: env steps taken / total_timesteps, clamped to [0, 1]: what overshoots the budget gets its last rate.
    """
    spent = min(max(progress, 0.0), 1.0)
    rate = config.learning_rate
    if config.lr_schedule == "linear":
        rate *= 1.0 - spent
    elif config.lr_schedule == "cosine":
        rate *= 0.5 * (1.0 + math.cos(math.pi * spent))
    if spent < config.lr_warmup:
        rate *= spent / config.lr_warmup
    return rate
