"""Luck that the runs of one seed share: known correlations are found, and nothing is said of a few seeds."""

from __future__ import annotations

import numpy as np
import pytest

from rlbatch.analysis.seed_effect import FEWEST, seed_correlation


def arms(common: float, *, seeds: int = 400, count: int = 3) -> list[dict[int, float]]:
    """Scores of which so much of the variance is common to all arms."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=seeds) * np.sqrt(common)
    return [dict(enumerate(shared + rng.normal(size=seeds) * np.sqrt(1 - common))) for _ in range(count)]


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9])
def test_the_part_of_the_variance_that_a_seed_decides_is_the_correlation(common: float) -> None:
    assert seed_correlation(arms(common)) == pytest.approx(common, abs=0.1)


def test_seeds_are_matched_by_their_number() -> None:
    one = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0, 9: -50.0}
    other = {4: 10.0, 3: 8.0, 2: 6.0, 1: 4.0, 0: 2.0, 7: 99.0}
    assert seed_correlation([one, other]) == pytest.approx(1)


def test_few_seeds_and_equal_scores_say_nothing() -> None:
    few = [{seed: float(seed) for seed in range(FEWEST - 1)}] * 2
    assert seed_correlation(few) is None
    assert seed_correlation([dict.fromkeys(range(9), 1.0), dict(enumerate(np.arange(9.0)))]) is None
    assert seed_correlation([dict(enumerate(np.arange(9.0)))]) is None
