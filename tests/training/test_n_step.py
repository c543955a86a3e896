"""Chains of rewards: where the rings lie makes no difference, nor does a ring shorter than a chain.

That they say what Stable-Baselines3's replay says is in `test_equivalence.py` and `test_replay.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlbatch.training.n_step import Chains

GAMMAS = np.array([[0.9], [0.5]])


@pytest.mark.parametrize("positions", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("steps", [1, 3, 25])
def test_what_is_written_through_a_window_is_what_is_written_in_place(positions: int, steps: int) -> None:
    """A device other than the CPU gets the newest chains as copies; "cpu:0" is one by its name."""
    both = [Chains(GAMMAS, 3, positions, 3, device=device, dtype=torch.float64) for device in ("cpu", "cpu:0")]
    rng = np.random.default_rng(positions)
    for step in range(steps):
        over = rng.random((2, 3)) < 0.3
        rewards, discounts = rng.normal(size=(2, 3)), np.where(over, 0.0, GAMMAS)
        for chains in both:
            chains.add(step, rewards, discounts, over)
    rows = torch.arange(2 * positions * 3).view(2, -1)
    one, other = ([part.clone() for part in chains.take(rows, slice(0, 2))] for chains in both)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    if steps >= positions:
        assert one[0].count_nonzero() == one[0].numel()


def test_a_chain_that_is_cut_gets_no_longer() -> None:
    chains = Chains(GAMMAS, 1, 5, 3, device="cpu", dtype=torch.float64)
    still, ones = np.zeros((2, 1), np.bool_), np.ones((2, 1))
    chains.add(0, ones, ones * GAMMAS, still)
    chains.cut(0, np.array([[True], [False]]))
    chains.add(1, ones, ones * GAMMAS, still)
    returns, discounts, lasts = chains.take(torch.tensor([[0], [5]]), slice(0, 2))
    assert returns.tolist() == [[1.0], [1.5]]
    assert discounts.tolist() == [[0.9], [0.25]]
    assert lasts.tolist() == [[0], [6]]
    assert chains.over[:, 0].tolist() == [[True], [False]]
