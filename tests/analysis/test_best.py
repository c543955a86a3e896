"""Verdicts on arms: Holm by hand, critical values against tables and simulation, error rates, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.best import (
    against_reference,
    compare_with_best,
    critical_values,
    holm,
    indifference_set,
    not_worse,
    range_point,
    selection_frequency,
)
from rlbatch.analysis.intervals import Estimate, mean_of

EQUAL = math.sqrt(0.5)
"""The correlation with the control's error where all variances are equal."""


def arms(*samples: object) -> dict[int, Estimate]:
    return {2**i: mean_of(sample) for i, sample in enumerate(samples)}  # type: ignore[arg-type]


def known(mean: float, error: float, seeds: int = 1_000) -> Estimate:
    return Estimate(mean, error, seeds - 1.0, seeds)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.8 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.8
    assert holm([0.02, 0.8, 0.01, 0.03]) == pytest.approx([0.06, 0.8, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("others", "value"), [(1, 1.645), (2, 1.916), (5, 2.234), (9, 2.417)])
def test_critical_values_of_equal_variances_are_those_of_dunnetts_table(others: int, value: float) -> None:
    # Dunnett 1964, one-sided 5 %, infinite degrees of freedom, correlation 1/2 (1.64, 1.92, 2.23, 2.42 in the table)
    (found,) = critical_values(np.full((1, others), EQUAL), 0.95)
    assert found == pytest.approx(value, abs=2e-3)


def test_critical_values_of_unequal_correlations_hold_in_simulation() -> None:
    loadings = np.array([[0.0, 0.3, 0.9, 0.99], [0.995, 0.9, 0.5, 0.1]])
    points = critical_values(loadings, 0.95)
    rng = np.random.default_rng(5)
    for row, point in zip(loadings, points, strict=True):
        drawn = row * rng.normal(size=(200_000, 1)) + np.sqrt(1 - row**2) * rng.normal(size=(200_000, 4))
        assert 0.948 < (drawn.max(axis=1) <= point).mean() < 0.956


@pytest.mark.parametrize(("count", "value"), [(2, 2.772), (3, 3.314), (8, 4.286), (20, 5.012)])
def test_the_range_is_that_of_tukeys_table(count: int, value: float) -> None:
    assert range_point(count, 0.95) * math.sqrt(2) == pytest.approx(value, abs=2e-3)


def test_bounds_against_the_best_by_hand() -> None:
    # two arms of known error: below, 1.645·√2·0.1 = 0.2326, and above, two-sided, 1.960·√2·0.1 = 0.2772
    found = compare_with_best({16: known(1.0, 0.1), 64: known(0.9, 0.1)}, 0.2)
    assert found[16].gap == pytest.approx((0.1, -0.1326, 0.3772), abs=2e-3)
    assert found[64].gap == pytest.approx((-0.1, -0.3326, 0.1772), abs=2e-3)
    assert [found[arm].verdict for arm in (16, 64)] == ["equivalent", "undecided"]


def test_the_clear_best_is_alone_and_the_others_are_worse() -> None:
    found = compare_with_best({16: known(1.0, 0.01), 64: known(0.5, 0.01), 256: known(0.2, 0.01)}, 0.1)
    assert [standing.verdict for standing in found.values()] == ["equivalent", "worse", "worse"]
    assert found[16].gap.low == 0
    assert found[16].gap.high > 0.4
    assert found[64].gap.high == 0
    assert indifference_set(found) == [16]


def test_an_arm_shown_to_be_lower_by_too_little_to_matter_is_equivalent() -> None:
    found = compare_with_best({16: known(1.0, 0.001), 64: known(0.98, 0.001)}, 0.1)
    assert found[64].gap.high == 0
    assert found[64].verdict == "equivalent"
    assert indifference_set(found) == [16, 64]


def test_a_noisy_arm_that_may_be_the_best_leaves_the_others_undecided() -> None:
    found = compare_with_best({16: known(0.8, 0.01), 64: known(0.8, 0.01), 256: known(0.8, 0.3)}, 0.1)
    assert {standing.verdict for standing in found.values()} == {"undecided"}


def test_equal_scores_in_all_arms_are_equivalent() -> None:
    found = compare_with_best(arms([500.0] * 5, [500.0] * 5, [500.0] * 4 + [499.0]), 10.0)
    assert [standing.verdict for standing in found.values()] == ["equivalent"] * 3
    assert compare_with_best(arms([500.0] * 5, [500.0] * 5), 10.0)[1].gap == (0.0, 0.0, 0.0)


def test_an_arm_with_few_seeds_is_undecided_and_leaves_the_others_undecided() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.normal(1.0, 0.01, size=10), rng.normal(0.0, 0.01, size=10)
    found = compare_with_best(arms(high, low, high[:4]), 0.1)
    assert [standing.verdict for standing in found.values()] == ["undecided", "worse", "undecided"]
    assert found[4].gap[1:] == (-math.inf, math.inf)
    found = compare_with_best(arms(high, low, high[:5]), 0.1)
    assert [standing.verdict for standing in found.values()] == ["equivalent", "worse", "equivalent"]


@pytest.mark.parametrize(("count", "delta"), [(1, 0.1), (3, 0.0), (3, -1.0), (3, math.nan)])
def test_a_best_of_one_arm_or_within_nothing_is_refused(count: int, delta: float) -> None:
    with pytest.raises(ValueError, match="two arms or more and within a delta above 0"):
        compare_with_best({i: known(i, 0.1) for i in range(count)}, delta)


@pytest.mark.parametrize("failing", [0.0, 0.2])
@pytest.mark.parametrize("count", [8, 24])
def test_equally_good_arms_are_seldom_called_worse(count: int, failing: float) -> None:
    rng, wrong, repeats = np.random.default_rng(count), 0, 3_200 // count
    for _ in range(repeats):
        scores = rng.normal(0.8, 0.13, size=(count, 10)) - 0.7 * (rng.random((count, 10)) < failing)
        found = compare_with_best(dict(enumerate(map(mean_of, scores))), 0.1)
        wrong += any(standing.verdict == "worse" for standing in found.values())
    assert wrong / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_arms_that_are_delta_below_the_best_are_seldom_called_equivalent() -> None:
    rng, wrong, repeats = np.random.default_rng(9), 0, 400
    for _ in range(repeats):
        scores = rng.normal(0.7, 0.13, size=(8, 40))
        scores[0] += 0.1
        found = compare_with_best(dict(enumerate(map(mean_of, scores))), 0.1)
        wrong += any(found[arm].verdict == "equivalent" for arm in range(1, 8))
    assert wrong / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_equally_good_arms_differ_seldom_from_the_reference() -> None:
    rng, wrong, repeats = np.random.default_rng(2), 0, 400
    for _ in range(repeats):
        found = against_reference(dict(enumerate(map(mean_of, rng.normal(size=(8, 10))))), 3)
        wrong += any(comparison.verdict != "no difference shown" for comparison in found.values())
    assert wrong / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_each_arm_is_compared_with_the_reference() -> None:
    found = against_reference({16: known(1.0, 0.1), 64: known(0.0, 0.1), 256: known(0.1, 0.1), 8: known(-2.0, 0.1)}, 64)
    assert {arm: comparison.verdict for arm, comparison in found.items()} == {
        16: "better",
        256: "no difference shown",
        8: "worse",
    }
    assert found[16].difference == pytest.approx((1.0, 1 - 0.277, 1 + 0.277), abs=1e-3)


def test_the_correction_is_over_all_compared_arms() -> None:
    alone = against_reference({0: known(0.0, 0.1), 1: known(0.3, 0.1)}, 0)[1]
    many = against_reference({0: known(0.0, 0.1), 1: known(0.3, 0.1)} | {i: known(0.0, 0.1) for i in range(2, 9)}, 0)[1]
    assert many.p_value == pytest.approx(8 * alone.p_value)
    assert (alone.verdict, many.verdict) == ("better", "no difference shown")


def test_under_five_seeds_no_arm_is_called_better() -> None:
    low, high = [0.0, 0.01, 0.0, 0.02, 0.01], [1.0, 1.01, 1.0, 1.02, 1.01]
    assert against_reference(arms(low, high), 1)[2].verdict == "better"
    found = against_reference(arms(low[:4], high, high[:4]), 1)
    assert {comparison.verdict for comparison in found.values()} == {"too few seeds"}


def test_a_reference_that_is_no_arm_is_refused() -> None:
    with pytest.raises(ValueError, match="reference 32 is not among the arms: 1, 2"):
        against_reference(arms([1.0], [2.0]), 32)


def test_selection_frequency_is_the_same_for_the_same_seed_and_splits_ties() -> None:
    scores = {16: [1.0, 2.0, 3.0], 64: [2.0, 2.5], 256: [0.0, 0.5, 0.0]}
    found = selection_frequency(scores, 1, resamples=2_000)
    assert found == selection_frequency(scores, np.random.default_rng(1), resamples=2_000)
    assert found != selection_frequency(scores, 2, resamples=2_000)
    assert sum(found.values()) == pytest.approx(1)
    assert found[256] == 0
    assert selection_frequency({1: [5.0] * 3, 2: [5.0] * 4}, 0, resamples=10) == {1: 0.5, 2: 0.5}


def test_what_is_not_shown_to_be_worse_than_the_best_has_no_margin() -> None:
    close = {1: known(1.0, 0.001), 2: known(0.99, 0.001), 3: known(0.9999, 0.001)}
    assert not_worse(close) == [1, 3]
    assert not_worse({1: known(1.0, 0.001), 2: known(0.5, 0.001, seeds=4)}) == [1, 2]
    assert not_worse({7: known(0.0, 1.0)}) == [7]


def test_samples_that_were_drawn_anew_already_are_taken_for_the_frequency() -> None:
    arms = {1: [0.5] * 4, 2: [0.6] * 4}
    assert selection_frequency(arms, 0)[2] == 1
    again = {1: np.full((4, 4), 0.5), 2: np.repeat([[0.4], [0.6], [0.6], [0.6]], 4, axis=1)}
    assert selection_frequency(arms, 0, resampled=again)[2] == pytest.approx(0.75, abs=0.02)
