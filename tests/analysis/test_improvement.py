"""The probability of improvement and its interval: by hand, by their equation, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.improvement import probability_of_improvement

RNG = np.random.default_rng(7)
THREE = [RNG.normal(0.8, 0.1, size=10), RNG.normal(0.5, 0.2, size=10), RNG.normal(1.1, 0.1, size=10)]


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
    def exponential(share: float) -> float:
        return share * (1 - share) * (1 + 3 * ((1 - share) / (2 - share) + share / (1 + share))) / 16

    # runs beat 1/4, 3/4, 1 and 1 of the others, which beat 1/4, 1/4, 1/2 and 0: variances of 1/8 and 1/24, by 4 each
    for x, y, placed in (([1, 4, 6, 7], [2, 3, 5, 0], 1 / 24), ([0, 1, 2, 4], [3, 5, 6, 7], 1 / 128)):
        found = probability_of_improvement([x], [y])
        wider = max(1.0, placed / exponential(found.estimate))
        assert (wider > 1) == (placed == 1 / 24)
        for end in found[1:]:
            reach = 1.959964 * math.sqrt(exponential(end) * wider)
            assert abs(found.estimate - end) == pytest.approx(reach, rel=1e-5)


def test_ties_alone_are_a_half_with_an_interval_around_it() -> None:
    found = probability_of_improvement([[500.0] * 5, [1.0] * 5], [[500.0] * 5, [1.0] * 4])
    assert found.estimate == 0.5
    assert found.low < 0.4
    assert found.high > 0.6


def test_arms_of_other_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="1 environments against 2"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])


def test_the_interval_over_environments_covers_as_often_as_it_says() -> None:
    rng, repeats, covered = np.random.default_rng(1), 400, 0
    for _ in range(repeats):
        x, y = rng.normal(size=(2, 5, 10))
        found = probability_of_improvement(list(x), list(y))
        covered += found.low <= 0.5 <= found.high
    assert covered / repeats == pytest.approx(0.95, abs=3.5 * math.sqrt(0.95 * 0.05 / repeats))


def test_scores_that_tell_less_make_the_interval_longer() -> None:
    x, y = [[1.0, 2.0, 3.0, 6.0]], [[2.5, 4.0, 5.0, 7.0]]
    plain = probability_of_improvement(x, y)
    assert probability_of_improvement(x, y, effective_sizes=([4.0], [4.0])) == plain
    fewer = probability_of_improvement(x, y, effective_sizes=([2.0], [4.0]))
    assert fewer.estimate == plain.estimate
    assert fewer.low < plain.low < plain.high < fewer.high
    nothing = probability_of_improvement(x, y, effective_sizes=([0.01], [0.01]))
    assert (nothing.low, nothing.high) == pytest.approx((0.0, 1.0), abs=0.02)
