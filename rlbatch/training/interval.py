"""What happened between two train rows? The values that both engines compute from the same counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def interval_values(
    episodes: Sequence[tuple[float, int]], env_steps: int, updates: int, batch_size: int, seconds: float
) -> dict[str, float | None]:
    """Returns the rollout, batch and cost values of a run's interval.

    Args:
        episodes: (return, length) of the training episodes that ended.
        env_steps: taken; 0 where two grid points fall into one vector step, which leaves no rates.
        updates: made.
        batch_size: transitions in each.
        seconds: that training took.
    """
    samples = updates * batch_size
    return {
        "rollout/return_mean": float(np.mean([r for r, _ in episodes])) if episodes else None,
        "rollout/length_mean": float(np.mean([n for _, n in episodes])) if episodes else None,
        "rollout/episodes": len(episodes),
        "batch/replay_ratio": updates / env_steps if env_steps else None,
        "batch/replays_per_transition": samples / env_steps if env_steps else None,
        "cost/env_steps_per_s": env_steps / seconds if env_steps else None,
        "cost/updates_per_s": updates / seconds if env_steps else None,
        "cost/samples_per_s": samples / seconds if env_steps else None,
    }
