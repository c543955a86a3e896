"""Aggregates, probability of improvement, profiles: by hand, against scipy, and at the edges; see test_golden.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rlbatch.analysis.across import aggregates, performance_profile, probability_of_improvement
from rlbatch.analysis.intervals import mean_of, wilson

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
    with pytest.raises(ValueError, match="zip"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])


def test_the_probability_of_improvement_by_hand() -> None:
    # 3 beats 1 and 2, ties with 3; 1 ties with 1: (2.5 + 0.5) / 6; the second environment: all of 4
    found = probability_of_improvement([[3.0, 1.0], [5.0, 6.0]], [[1.0, 2.0, 3.0], [1.0, 1.0]])
    assert found.estimate == pytest.approx((3 / 6 + 1) / 2)


def test_the_probability_of_improvement_of_an_arm_over_itself_is_a_half() -> None:
    found = probability_of_improvement(THREE, THREE)
    assert found.estimate == 0.5
    assert 0.5 - found.low == pytest.approx(found.high - 0.5)


def test_a_clear_improvement_has_an_interval_with_some_length_within_bounds() -> None:
    found = probability_of_improvement([[2.0] * 10], [[1.0] * 10])
    assert found.high == pytest.approx(1.0)
    assert 0.6 < found.low < 0.9


def test_the_interval_of_the_probability_of_improvement_solves_its_equation() -> None:
    x, y = [1.0, 4.0, 6.0, 7.0], [2.0, 3.0, 5.0, 0.0]
    found = probability_of_improvement([x], [y])
    for end in found[1:]:
        spread = 1 + 3 * ((1 - end) / (2 - end) + end / (1 + end))
        assert abs(found.estimate - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) * spread / 16), rel=1e-5)


def test_a_profile_by_hand_and_its_interval_in_one_environment_is_wilsons() -> None:
    found = performance_profile([[0.1, 0.5, 0.9, 1.0]], [0.0, 0.5, 1.0])
    assert found.share.tolist() == [1.0, 0.5, 0.0]
    for i, successes in enumerate((4, 2, 0)):
        assert (found.low[i], found.high[i]) == pytest.approx(wilson(successes, 4)[1:])


def test_a_profile_over_environments_is_surer_than_over_one() -> None:
    one = performance_profile(THREE[:1], [0.8])
    three = performance_profile(THREE, [0.8])
    assert three.share[0] == pytest.approx(np.mean([(s > 0.8).mean() for s in THREE]))
    assert three.high[0] - three.low[0] < one.high[0] - one.low[0]


def test_studentised_intervals_cover_as_often_as_they_say() -> None:
    rng, repeats, covered = np.random.default_rng(5), 400, 0
    for _ in range(repeats):
        found = aggregates(list(rng.normal(0.5, 0.1, size=(5, 10))), rng, resamples=400).mean
        covered += found.low <= 0.5 <= found.high
    assert covered / repeats == pytest.approx(0.95, abs=3.5 * math.sqrt(0.95 * 0.05 / repeats))
