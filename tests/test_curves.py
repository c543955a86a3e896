"""Curves: the definitions, by hand-computed numbers and by what noise alone must give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbatch import curves

STEPS = np.array([0.0, 10.0, 20.0, 40.0])


def test_the_area_is_the_trapezoid_over_the_span() -> None:
    # 10·(0+1)/2 + 10·(1+3)/2 + 20·(3+5)/2 = 5 + 20 + 80 = 105, over 40 steps
    assert curves.area(STEPS, np.array([0.0, 1.0, 3.0, 5.0])) == pytest.approx(105 / 40)


def test_the_area_of_one_point_is_its_height() -> None:
    assert curves.area(np.array([0.0]), np.array([7.0])) == 7.0


def test_drawdown_is_located_on_one_half_and_measured_on_the_other() -> None:
    # odd episodes: 1, 5, 2; even episodes: 3, 2, 4
    returns = np.array([[1.0, 3.0], [5.0, 2.0], [2.0, 4.0]])
    # odd peak at 1: even falls 2 − 4 = −2; even peak at 2: odd falls 2 − 2 = 0
    assert curves.drawdown(returns) == pytest.approx(-1.0)


def test_max_drawdown_takes_the_deepest_fall() -> None:
    returns = np.array([[1.0, 1.0], [9.0, 7.0], [2.0, 4.0], [8.0, 8.0]])
    # odd: 9 → 2, even there 7 → 4 = 3; even: 7 → 4, odd there 9 → 2 = 7
    assert curves.max_drawdown(returns) == pytest.approx(5.0)


def test_a_rising_curve_has_no_drawdown() -> None:
    rising = np.repeat(np.arange(5.0)[:, None], 4, axis=1)
    assert curves.max_drawdown(rising) == 0.0
    assert curves.drawdown(rising) == 0.0


def test_dispersion_without_episode_noise_is_the_spread_of_the_differences() -> None:
    means = np.array([0.0, 2.0, 2.0, 6.0])  # differences 2, 0, 4: variance 4
    assert curves.dispersion(np.repeat(means[:, None], 3, axis=1)) == pytest.approx(2.0)


def test_a_steady_rise_has_no_dispersion() -> None:
    assert curves.dispersion(np.repeat(np.arange(6.0)[:, None], 3, axis=1)) == pytest.approx(0.0)


def test_dispersion_subtracts_the_episode_variance() -> None:
    returns = np.array([[0.0, 2.0], [1.0, 1.0], [3.0, 5.0]])
    # means 1, 1, 4; differences 0, 3: variance 4.5. Variances of the means: 1, 0, 1.
    # expected from noise: ((1+0) + (0+1) − (1+1)/2) / 1 = 1
    assert curves.dispersion(returns) == pytest.approx(np.sqrt(3.5))


def signed_square(returns: np.ndarray) -> float:
    spread = curves.dispersion(returns)
    assert spread is not None
    return spread * abs(spread)


@pytest.mark.parametrize("score", [curves.drawdown, curves.max_drawdown, signed_square])
def test_a_constant_noisy_policy_scores_zero_on_average(score: Callable[[np.ndarray], float]) -> None:
    rng = np.random.default_rng(0)
    scores = [score(rng.normal(100, 50, (21, 10))) for _ in range(1500)]
    standard_error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert abs(np.mean(scores)) < 3 * standard_error


def test_the_naive_drawdown_of_a_constant_noisy_policy_is_not_zero() -> None:
    rng = np.random.default_rng(0)
    naive = [np.max(np.maximum.accumulate(m) - m) for m in rng.normal(100, 50, (500, 21, 10)).mean(axis=2)]
    assert np.mean(naive) > 20


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0, 1, 2, 6, 7, 8, 9], 30),
        ([0, 9, 2, 3, 4, 4, 4], None),  # one lucky evaluation: the fit pools it away
        ([0, 1, 2, 3, 4, 6, 7], None),  # crosses at the last two points only
        ([0, 1, 2, 3, 6, 7, 8], 40),
        ([9, 9, 9, 9, 9, 9, 9], 0),
        ([0, 8, 4, 6, 8, 8, 8], 10),  # 8, 4, 6 pool to 6
    ],
)
def test_the_threshold_is_crossed_by_the_isotonic_fit(means: list[float], expected: float | None) -> None:
    steps = np.arange(7) * 10.0
    assert curves.steps_to_threshold(steps, np.array(means, float), 5.0) == expected


def test_a_finished_curve_that_never_crosses_says_never() -> None:
    flat = np.zeros((4, 2))
    assert curves.summarise(STEPS, flat, 5.0, planned=5, finished=True).steps_to_threshold == "never"
    assert curves.summarise(STEPS, flat, 5.0, planned=5, finished=False).steps_to_threshold is None
    assert curves.summarise(STEPS, flat, None, planned=5, finished=True).steps_to_threshold is None


def test_an_unfinished_curve_has_no_area() -> None:
    assert curves.summarise(STEPS, np.ones((4, 2)), None, planned=5, finished=False).auc is None


def test_one_episode_cannot_tell_noise_from_change() -> None:
    single = np.arange(5.0)[:, None]
    assert curves.drawdown(single) is None
    assert curves.max_drawdown(single) is None
    assert curves.dispersion(single) is None
    assert curves.summarise(np.arange(5.0), single, None, planned=5, finished=True).best == 4.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=15), st.floats(-100, 100), st.floats(0.1, 10))
def test_scores_scale_and_shift_with_the_returns(values: list[float], shift: float, scale: float) -> None:
    rng = np.random.default_rng(len(values))
    returns = np.array(values)[:, None] + rng.normal(0, 1, (len(values), 4))
    moved = returns * scale + shift
    assert curves.max_drawdown(moved) == pytest.approx(curves.max_drawdown(returns) * scale, rel=1e-6, abs=1e-6)
    steps = np.arange(len(values), dtype=float)
    area = curves.area(steps, returns.mean(axis=1))
    assert curves.area(steps, moved.mean(axis=1)) == pytest.approx(area * scale + shift, rel=1e-6, abs=1e-6)
