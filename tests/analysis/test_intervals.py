"""Intervals of means, of weighted sums of means, and of shares: by hand, against scipy, and where little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rlbatch.analysis.intervals import (
    Interval,
    combine,
    difference_of,
    equivalent,
    mean_of,
    mean_over,
    sample_of,
    wilson,
)


def test_the_mean_and_its_standard_error_by_hand() -> None:
    # the variance of 1, 2, 3, 4 is 5/3
    assert mean_of([1.0, 2.0, 3.0, 4.0]) == pytest.approx((2.5, math.sqrt(5 / 3) / 2, 3, 4))


def test_the_interval_of_a_mean_is_students() -> None:
    values = [2.0, 4.0, 6.0, 8.0, 30.0]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_of(values).interval(0.9) == pytest.approx((10.0, expected.low, expected.high))


def test_welchs_interval_of_equal_variances_by_hand() -> None:
    # both variances are 2, so the squared error is 2/2 + 2/2 = 2, with 2² / (1² + 1²) = 2 degrees of freedom;
    # the table gives t(0.95, 2) = 2.920, times √2 is 4.129
    interval = difference_of([1.0, 3.0], [0.0, 2.0]).interval(0.9)
    assert interval.estimate == 1.0
    assert interval[1:] == pytest.approx((1 - 4.129, 1 + 4.129), abs=2e-3)


def test_welchs_interval_and_test_of_unequal_variances_and_counts_are_scipys() -> None:
    values, others = [2.0, 4.0, 6.0, 8.0, 10.0, 30.0], [1.0, 2.0, 3.0, 4.0]
    expected = stats.ttest_ind(values, others, equal_var=False)
    difference = difference_of(values, others)
    ends = expected.confidence_interval(0.9)
    assert difference.interval(0.9)[1:] == pytest.approx((ends.low, ends.high))
    assert difference.p_value() == pytest.approx(expected.pvalue)
    above = stats.ttest_ind(values, others, equal_var=False, alternative="greater").pvalue
    assert difference.p_above() == pytest.approx(above)
    assert difference.seeds == 4


def test_samples_without_variance_have_an_interval_without_length() -> None:
    assert difference_of([3.0, 3.0], [1.0, 1.0]).interval() == (2.0, 2.0, 2.0)
    assert difference_of([3.0, 3.0], [1.0, 1.0]).p_value() == 0
    assert difference_of([0.1] * 3, [0.1] * 7).interval() == (0.0, 0.0, 0.0)
    assert difference_of([0.1] * 3, [0.1] * 7).p_value() == 1
    assert mean_of([500.0] * 20).interval() == (500.0, 500.0, 500.0)


def test_one_seed_excludes_nothing() -> None:
    assert mean_of([7.0]).interval() == (7.0, -math.inf, math.inf)
    difference = difference_of([7.0], [1.0, 2.0, 3.0])
    assert difference.interval()[1:] == (-math.inf, math.inf)
    assert difference.p_value() == 1


def test_two_seeds_have_the_interval_of_one_degree_of_freedom() -> None:
    low, high = stats.t.interval(0.95, 1, loc=1.5, scale=0.5)
    assert mean_of([1.0, 2.0]).interval()[1:] == pytest.approx((low, high))


def test_an_arm_with_one_seed_less_is_compared_all_the_same() -> None:
    assert difference_of([1.0, 2.0, 4.0], [1.0, 2.0]).interval().estimate == pytest.approx(7 / 3 - 1.5)


def test_a_weighted_sum_by_hand() -> None:
    # errors √(2/2) = 1 and √(8/2) = 2: (2·1)² + (3·2)² = 40, freedom 40² / (4² + 36²)
    total = combine([mean_of([0.0, 2.0]), mean_of([0.0, 4.0])], [2, 3])
    assert total == pytest.approx((2 * 1 + 3 * 2, math.sqrt(40), 1600 / (16 + 1296), 2))


def test_what_has_no_weight_does_not_count() -> None:
    assert combine([mean_of([0.0, 2.0]), mean_of([5.0])], [1, 0]) == mean_of([0.0, 2.0])


def test_the_mean_over_environments_weighs_them_equally() -> None:
    assert mean_over([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0]]).value == 0.5
    assert mean_over([[0.0, 2.0], [4.0, 8.0]]).error == pytest.approx(math.sqrt(1 + 4) / 2)


@pytest.mark.parametrize("scores", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]], 3.0])
def test_what_is_no_sample_is_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="batch 64"):
        sample_of(scores, "batch 64")  # type: ignore[arg-type]


def test_the_refusal_counts_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match=r"^scores: 2 of 3 are not finite numbers$"):
        mean_of([1.0, math.nan, math.inf])


def test_equivalence_is_both_one_sided_tests_at_five_per_cent() -> None:
    values, others = [10.0, 11.0, 12.0, 14.0], [10.5, 11.0, 11.5, 13.0, 13.5]
    interval = difference_of(values, others).interval(0.9)
    for margin in (1.0, 1.5, 1.9, 2.0, 2.1, 3.0):
        above = stats.ttest_ind([v + margin for v in values], others, equal_var=False, alternative="greater").pvalue
        below = stats.ttest_ind([v - margin for v in values], others, equal_var=False, alternative="less").pvalue
        assert equivalent(interval, margin) == (max(above, below) < 0.05)
    assert not equivalent(interval, 1.0)
    assert equivalent(interval, 3.0)


def test_an_interval_that_leaves_the_margin_on_one_side_is_not_equivalent() -> None:
    assert equivalent(Interval(0.0, -0.9, 0.9), 1.0)
    assert not equivalent(Interval(0.3, -0.5, 1.1), 1.0)
    assert not equivalent(Interval(-0.3, -1.1, 0.5), 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 10), (10, 10), (17, 40)])
def test_wilsons_interval_is_scipys(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    found = wilson(successes, trials)
    assert found == pytest.approx((successes / trials, expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(successes, trials)


def test_intervals_of_normal_scores_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    covered = [mean_of(rng.normal(size=5)).interval() for _ in range(2_000)]
    share = np.mean([interval.low <= 0 <= interval.high for interval in covered])
    assert share == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2_000))
