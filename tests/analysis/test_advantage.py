"""The advantage of a chosen batch size: chosen on one half of the seeds, it has no luck of the choice in it."""

from __future__ import annotations

import numpy as np
import pytest

from rlbatch.analysis.advantage import cross_fitted


def test_equal_arms_have_no_advantage_and_the_interval_covers_that() -> None:
    rng = np.random.default_rng(0)
    found = []
    for seed in range(200):
        samples = {batch: rng.normal(size=20) for batch in (8, 16, 32, 64)}
        told = cross_fitted(samples, 8, seed, splits=50)
        assert told is not None
        found.append(told)
    naive = [max(rng.normal(size=20).mean() for _ in range(4)) - rng.normal(size=20).mean() for _ in range(200)]
    estimates = np.array([one.estimate for one in found])
    assert abs(estimates.mean()) < 4 * estimates.std() / np.sqrt(200)
    assert np.mean(naive) > 0.15  # what choosing and scoring on the same seeds would say
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_clear_advantage_is_found() -> None:
    rng = np.random.default_rng(1)
    samples = {8: rng.normal(0, 0.1, 12), 16: rng.normal(1, 0.1, 12)}
    told = cross_fitted(samples, 8, 0)
    assert told is not None
    assert told.estimate == pytest.approx(samples[16].mean() - samples[8].mean(), abs=0.01)
    assert told.low > 0.5
    assert cross_fitted(samples, 8, 0) == told
    assert cross_fitted(samples, 16, 0).estimate == pytest.approx(0.0, abs=0.02)  # type: ignore[union-attr]


def test_one_seed_or_one_arm_tells_nothing() -> None:
    assert cross_fitted({8: np.ones(1), 16: np.ones(5)}, 8, 0) is None
    assert cross_fitted({8: np.ones(5)}, 8, 0) is None
