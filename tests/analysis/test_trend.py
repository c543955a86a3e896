"""Slopes per doubling: by hand, over environments, and a hump that is not taken from a curve that levels off."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from rlbatch.analysis.intervals import Estimate, mean_of
from rlbatch.analysis.trend import hump, pool, slope

BATCHES = [8, 16, 32, 64, 128, 256, 512]


def arms_of(height: Callable[[float], float], deviation: float, seeds: int, rng: np.random.Generator) -> dict:
    return {b: mean_of(rng.normal(height(math.log2(b)), deviation, size=seeds)) for b in BATCHES}


def test_the_slope_by_hand() -> None:
    # means 1, 2, 6 at log2 of 3, 4, 5: (6 − 1) / 2; errors 1 and 2 at the ends, weighted by 1/2
    arms = {8: mean_of([0.0, 2.0]), 16: mean_of([2.0, 2.0]), 32: mean_of([4.0, 8.0])}
    found = slope(arms)
    assert found.value == pytest.approx(2.5)
    assert found.error == pytest.approx(math.sqrt(1 + 4) / 2)
    assert found.freedom == pytest.approx(25 / (1 + 16))


def test_the_slope_is_that_of_least_squares_with_equal_counts_and_the_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scores = {b: rng.normal(size=4) for b in (256, 8, 32)}
    expected = stats.linregress(np.repeat([8, 3, 5], 4), np.concatenate(list(scores.values()))).slope
    assert slope({b: mean_of(s) for b, s in scores.items()}).value == pytest.approx(expected)


def test_a_slope_of_equal_scores_is_zero_for_certain() -> None:
    found = slope({b: mean_of([500.0] * 5) for b in BATCHES})
    assert found.interval() == (0.0, 0.0, 0.0)
    assert found.p_value() == 1


def test_one_seed_in_an_arm_leaves_the_slope_open() -> None:
    assert slope({8: mean_of([1.0]), 16: mean_of([2.0, 3.0])}).interval()[1:] == (-math.inf, math.inf)


@pytest.mark.parametrize("batches", [[], [8], [0, 8], [-1, 1]])
def test_a_slope_over_less_than_two_sizes_is_refused(batches: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="two batch sizes above zero"):
        slope({b: mean_of([1.0, 2.0]) for b in batches})


def test_a_rise_and_fall_is_a_hump() -> None:
    found = hump(arms_of(lambda x: -abs(x - 5), 0.3, 10, np.random.default_rng(0)))
    assert found is not None
    assert found.batch_size == 32
    assert found.p_value < 1e-6
    assert found.rise.value > 0 > found.fall.value


def test_a_curve_that_levels_off_is_no_hump_though_it_bends() -> None:
    rng, repeats = np.random.default_rng(1), 400
    found = [hump(arms_of(lambda x: min(x, 6.0), 0.3, 10, rng)) for _ in range(repeats)]
    wrong = np.mean([one is not None and one.p_value < 0.05 for one in found])
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_and_a_dip_are_no_humps(sign: int) -> None:
    rng = np.random.default_rng(2)
    for height in (lambda x: sign * x, lambda x: abs(x - 6)):
        found = hump(arms_of(height, 0.1, 10, rng))
        assert found is not None
        assert found.p_value > 0.5


def test_two_batch_sizes_have_no_hump() -> None:
    assert hump({8: mean_of([1.0, 2.0]), 16: mean_of([1.0, 2.0])}) is None


def test_pooled_slopes_by_hand() -> None:
    slopes = [Estimate(1.0, 0.3, 10.0, 5), Estimate(2.0, 0.4, 10.0, 7), Estimate(6.0, 0.0, 10.0, 6)]
    found = pool(slopes)
    assert found.these.value == found.alike.value == pytest.approx(3.0)
    assert found.these.error == pytest.approx(0.5 / 3)
    # the variance of 1, 2, 6 is 7; of that, (0.09 + 0.16) / 3 is the slopes' own
    assert found.alike[1:] == pytest.approx((math.sqrt(7 / 3), 2, 5))
    assert found.deviation == pytest.approx(math.sqrt(7 - 0.25 / 3))


def test_slopes_that_differ_less_than_their_errors_have_no_deviation() -> None:
    assert pool([Estimate(1.0, 3.0, 9.0, 5), Estimate(2.0, 3.0, 9.0, 5)]).deviation == 0


def test_one_environment_tells_nothing_of_others() -> None:
    found = pool([Estimate(1.0, 0.1, 9.0, 5)])
    assert found.these == Estimate(1.0, 0.1, 9.0, 5)
    assert found.alike.interval() == (1.0, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no slopes"):
        pool([])


def test_the_pooled_slope_covers_with_few_environments_of_unequal_errors() -> None:
    rng, repeats, covered = np.random.default_rng(4), 2_000, 0
    errors = np.array([0.01, 0.1, 0.5])
    for _ in range(repeats):
        drawn = rng.normal(0.2, np.hypot(errors, 0.05))
        found = pool([Estimate(float(d), float(e), 50.0, 10) for d, e in zip(drawn, errors, strict=True)])
        _, low, high = found.alike.interval()
        covered += low <= 0.2 <= high
    assert covered / repeats >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / repeats)
