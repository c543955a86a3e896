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


def test_few_seeds_make_a_long_interval_that_covers() -> None:
    # two deviations apart, and half of five seeds choose the better one in 97.7 % of experiments
    rng, covered = np.random.default_rng(2), 0
    for seed in range(200):
        told = cross_fitted({8: rng.normal(0, 1, 5), 16: rng.normal(2, 1, 5)}, 8, seed, splits=50)
        assert told is not None
        covered += told.low <= 2 * 0.977 <= told.high
    assert covered / 200 > 0.9


def test_one_arm_that_stands_out_is_not_taken_for_chosen_by_all_experiments() -> None:
    # nearly every split of one experiment chooses the same arm; half of other ten seeds choose another one in a seventh
    # of experiments, which the splits alone do not tell: they cover in 89 %
    rng, covered = np.random.default_rng(4), 0
    means = rng.normal(np.array([0.0, 0.0, 0.0, 1.0]), 1 / np.sqrt(5), size=(100_000, 4))
    truth = (means.argmax(axis=1) == 3).mean()
    for seed in range(1_000):
        samples = {batch: rng.normal(batch == 64, 1, 10) for batch in (8, 16, 32, 64)}
        told = cross_fitted(samples, 8, seed, splits=50)
        assert told is not None
        covered += told.low <= truth <= told.high
    assert covered / 1_000 > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1_000)


def test_rates_are_chosen_by_the_half_that_chooses_the_batch_size() -> None:
    # five equal batch sizes at three equal rates: with rates that were chosen on all seeds before, the advantage is
    # +0.012, as seeds of both halves then tell each other what they score
    rng = np.random.default_rng(3)
    estimates, covered = [], 0
    for seed in range(400):
        told = cross_fitted({batch: rng.normal(0.7, 0.13, (10, 3)) for batch in range(5)}, 0, seed, splits=50)
        assert told is not None
        estimates.append(told.estimate)
        covered += told.low <= 0 <= told.high
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(400)
    assert 4 * np.std(estimates) / np.sqrt(400) < 0.012
    assert covered / 400 > 0.93


def test_the_better_rate_of_the_better_batch_size_is_found() -> None:
    rng = np.random.default_rng(5)
    at = {8: [0.2, 0.5], 16: [0.9, 0.1]}
    told = cross_fitted({batch: rng.normal(levels, 0.01, (8, 2)) for batch, levels in at.items()}, 8, 0)
    assert told is not None
    assert told.estimate == pytest.approx(0.4, abs=0.01)


def test_of_equal_batch_sizes_the_reference_is_chosen() -> None:
    told = cross_fitted({8: np.full(6, 3.0), 16: np.full(6, 3.0)}, 16, 0)
    assert told is not None
    assert told == (0.0, 0.0, 0.0)


def test_under_five_seeds_or_with_one_arm_it_tells_nothing() -> None:
    assert cross_fitted({8: np.ones(4), 16: np.ones(5)}, 8, 0) is None
    assert cross_fitted({8: np.ones(5), 16: np.ones(5)}, 8, 0) is not None
    assert cross_fitted({8: np.ones(5)}, 8, 0) is None
