"""Aggregates over environments: by hand, against scipy, and at the edges; see test_golden.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rlbatch.analysis.across import aggregates, interquartile_mean
from rlbatch.analysis.intervals import mean_of

RNG = np.random.default_rng(7)
THREE = [RNG.normal(0.8, 0.1, size=10), RNG.normal(0.5, 0.2, size=10), RNG.normal(1.1, 0.1, size=10)]


def few(environments: object, seed: int = 1):
    return aggregates(environments, seed, resamples=1_000)  # type: ignore[arg-type]


def test_aggregates_by_hand() -> None:
    found = few([[0.0, 1.0, 2.0, 3.0], [0.5, 0.5, 0.6, 0.8]])
    # sorted 0, .5, .5, .6, .8, 1, 2, 3: two are left out at each end
    assert found.iqm.estimate == pytest.approx((0.5 + 0.6 + 0.8 + 1.0) / 4)
    assert found.mean.estimate == pytest.approx((1.5 + 0.6) / 2)
    assert found.median.estimate == pytest.approx((1.5 + 0.6) / 2)
    # misses of 1: 1, 0, 0, 0 and .5, .5, .4, .2
    assert found.optimality_gap.estimate == pytest.approx(2.6 / 8)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10, 23])
def test_the_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert few([values]).iqm.estimate == pytest.approx(stats.trim_mean(values, 0.25))


def test_environments_count_the_same_with_unequal_counts() -> None:
    found = few([[0.0] * 12, [1.0] * 4])
    assert found.mean.estimate == 0.5
    assert found.iqm.estimate == pytest.approx(0.5)  # of 16 weights of unequal size, a quarter is cut at either end
    assert few([[0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]).optimality_gap.estimate == 0.5


def test_the_same_seed_gives_the_same_interval() -> None:
    assert few(THREE, 3) == few(THREE, 3)
    assert few(THREE, 3) == aggregates(THREE, np.random.default_rng(3), resamples=1_000)
    assert few(THREE, 3).iqm != few(THREE, 4).iqm


def test_the_interval_of_the_mean_is_near_welchs_where_scores_are_normal() -> None:
    values = np.random.default_rng(1).normal(size=40)
    found = aggregates([values], 1).mean
    assert found[1:] == pytest.approx(mean_of(values).interval()[1:], abs=0.06)


def test_studentised_intervals_are_longer_than_percentile_intervals() -> None:
    short = aggregates(THREE, 1, method="percentile", resamples=2_000)
    long = aggregates(THREE, 1, resamples=2_000)
    for one, other in zip(short, long, strict=True):
        assert other.high - other.low > one.high - one.low


def test_equal_scores_have_intervals_without_length() -> None:
    for interval in few([[1.0] * 5, [0.1] * 5])[:2]:
        assert interval.low == interval.estimate == interval.high


def test_where_most_scores_are_equal_ranks_bound_the_interquartile_mean() -> None:
    told = interquartile_mean([1.0] * 8 + [0.2, 0.3], 0)
    assert told == pytest.approx((1.0, 0.2, 1.0))  # the lowest of ten lies below the quarter, but for 0.75^10 = 5.6 %
    told = interquartile_mean([0.0] * 37 + [0.5, 0.8, 0.9], 0)
    assert told == (0.0, 0.0, 0.0)  # that the upper quarter is one of the highest four of 40 has 1.6 %


def test_the_interval_of_an_interquartile_mean_of_ten_scores_does_not_leave_them() -> None:
    told = interquartile_mean([0.0] * 5 + [0.01, 0.02, 0.5, 0.9, 1.0], 0)
    assert 0.0 <= told.low < told.estimate < told.high <= 1.0


def test_degrees_of_freedom_over_strata_are_those_of_the_one_that_scatters() -> None:
    rng = np.random.default_rng(0)
    resampled = [rng.normal(0.5, 1.0, (500, 4)), rng.normal(0.5, 0.001, (500, 40))]
    told = aggregates([one[0] for one in resampled], 0, resampled=resampled).mean
    error = resampled[0].mean(axis=1).std(ddof=1) / 2 * math.sqrt(4 / 2)
    assert told.high - told.estimate == pytest.approx(stats.t.ppf(0.975, 2) * error, rel=1e-3)


def test_one_seed_in_an_environment_leaves_the_interval_open() -> None:
    found = few([[1.0, 2.0, 3.0], [1.0]])
    assert found.mean == (1.5, -math.inf, math.inf)


def test_two_seeds_have_intervals_that_are_numbers() -> None:
    for interval in few([[1.0, 2.0], [0.0, 0.5], [0.3, 0.3]]):
        assert interval.low <= interval.estimate <= interval.high


def test_no_environment_and_missing_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="no environment"):
        few([])
    with pytest.raises(ValueError, match="environment 1: 1 of 2 are not finite"):
        few([[1.0], [1.0, math.nan]])


def test_studentised_intervals_cover_as_often_as_they_say() -> None:
    rng, repeats, covered = np.random.default_rng(5), 400, 0
    for _ in range(repeats):
        found = aggregates(list(rng.normal(0.5, 0.1, size=(5, 10))), rng, resamples=400).mean
        covered += found.low <= 0.5 <= found.high
    assert covered / repeats == pytest.approx(0.95, abs=3.5 * math.sqrt(0.95 * 0.05 / repeats))


def test_with_three_seeds_the_interval_of_the_mean_is_students() -> None:
    assert few([[1.0, 2.0, 4.0]]).mean == pytest.approx(mean_of([1.0, 2.0, 4.0]).interval())


def test_with_five_seeds_the_interval_of_the_interquartile_mean_by_hand() -> None:
    # pulled in, 0, 1, 2, 3, 10 is 1, 1, 2, 3, 3 with deviation 1; t(0.975, 2) = 4.3027, and 3 of 5 are kept
    half = 4.3027 / math.sqrt(5) / 0.6
    assert few([[0.0, 1.0, 2.0, 3.0, 10.0]]).iqm == pytest.approx((2.0, 2 - half, 2 + half), abs=1e-3)


def test_the_interval_reaches_further_to_the_side_of_the_long_tail() -> None:
    found = few([np.random.default_rng(0).exponential(size=20)]).mean
    assert found.high - found.estimate > 1.2 * (found.estimate - found.low)


def test_resamples_that_are_given_make_the_interval() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0.7, 0.1, 10)
    again = rng.normal(0.7, 0.1, (1_000, 1)) + np.zeros(10)  # whole samples that move together
    told = aggregates([scores, scores], 0, resampled=[again, again])
    reach = 2.12 * 0.1 * math.sqrt(10 / 8)  # of t at 16 degrees of freedom
    assert told.mean.estimate == pytest.approx(scores.mean())
    assert told.mean.high - told.mean.estimate == pytest.approx(reach / math.sqrt(2), rel=0.1)
    one = interquartile_mean(scores, 0, resampled=again)
    assert one.high - one.estimate == pytest.approx(2.31 * 0.1 * math.sqrt(10 / 8), rel=0.1)
    assert interquartile_mean(scores, 0, resampled=again[:0]).high == math.inf
