"""Halves of the seeds: every way of parting them, and what they choose for each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.halves import SPLITS, choices, parted, weigh, weights_again


@pytest.mark.parametrize(("seeds", "ways"), [(2, 1), (3, 3), (4, 3), (5, 10), (9, 126), (10, 126)])
def test_few_seeds_are_parted_in_every_way_once(seeds: int, ways: int) -> None:
    first = parted(seeds)
    assert first.shape == (ways, seeds)
    assert (first.sum(axis=1) == seeds // 2).all()
    unordered = {min(row, tuple(not member for member in row)) for row in map(tuple, first.tolist())}
    assert len(unordered) == ways


def test_many_seeds_are_parted_in_as_many_ways_as_ten_always_the_same() -> None:
    first = parted(41)
    assert first.shape == (SPLITS, 41)
    assert (first.sum(axis=1) == 20).all()
    parted.cache_clear()
    assert (parted(41) == first).all()
    assert 0.3 < first.mean(axis=0).min() < first.mean(axis=0).max() < 0.7


def test_a_seed_is_scored_where_the_half_without_it_is_best() -> None:
    # seeds 0 and 1 like the first rate, 2 and 3 the second; of the three splits, one parts them by that
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.9], [0.0, 0.9]])
    made = choices(scores)
    # {0, 1} and {2, 3} score each other at the wrong rate; a mixed half has 0.5 against 0.45: the first rate
    assert made.weights.tolist() == [[2 / 3, 1 / 3], [2 / 3, 1 / 3], [1.0, 0.0], [1.0, 0.0]]
    assert made.weigh(scores).tolist() == pytest.approx([2 / 3, 2 / 3, 0.0, 0.0])
    assert sorted(map(tuple, made.scored_at.tolist())) == [(0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 0, 0)]


def test_of_equal_rates_the_first_is_chosen() -> None:
    scores = np.repeat(np.random.default_rng(0).normal(size=(7, 1)), 5, axis=1)
    assert choices(scores).weights.tolist() == [[1.0, 0.0, 0.0, 0.0, 0.0]] * 7


def test_splits_count_where_both_halves_have_a_score_at_every_rate() -> None:
    scores = np.array([[0.0, 1.0], [0.0, math.nan], [0.0, 1.0], [0.0, 1.0]])
    made = choices(scores)
    assert made.scored_at.tolist() == [[1, 1, 1, 1]] * 3
    assert np.array_equal(made.weigh(scores), [1.0, math.nan, 1.0, 1.0], equal_nan=True)
    few = np.array([[0.0, 1.0], [0.0, math.nan], [0.0, 1.0]])
    assert len(choices(few).scored_at) == 2  # where the second seed is a half alone it cannot choose
    with pytest.raises(ValueError, match="no seed has a score, in one half of the seeds at least"):
        choices(np.array([[0.0, 1.0], [0.0, math.nan]]))


def test_seeds_that_are_there_several_times_stay_in_one_half() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 3))
    times = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    again = weights_again(scores, times)
    assert again[0] == pytest.approx(choices(scores).weights)
    expected = np.zeros((4, 3))
    for first in parted(4):
        for half, other in ((first, ~first), (~first, first)):
            chosen = np.average(scores[half], axis=0, weights=times[1, half]).argmax()
            expected[other, chosen] += 1 / 3
    assert again[1] == pytest.approx(expected)
    assert np.isnan(again[2]).all()  # a single seed has nobody to choose for it


def test_what_was_not_chosen_has_no_part_however_low_it_is() -> None:
    told = weigh(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[3.0, -np.inf], [3.0, -np.inf]]))
    assert told.tolist() == [3.0, -np.inf]
