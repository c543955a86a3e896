"""Kaplan-Meier by hand: runs that reach a threshold, never do, or have not finished."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.intervals import mean_of, wilson
from rlbatch.analysis.survival import kaplan_meier, reaching


def test_the_curve_by_hand() -> None:
    # at 10: 1 of 5; the run of 20 is censored; at 30: 1 of 3 left, so 1 − 4/5·2/3; the last two never reach it
    curve = kaplan_meier([10, 20, 30, 40, 40], [True, False, True, False, False])
    assert curve.amounts.tolist() == [10, 30]
    assert curve.at_risk.tolist() == [5, 3]
    assert curve.reached == pytest.approx([1 / 5, 1 - 4 / 5 * 2 / 3])
    # Greenwood: 1/(5·4) + 1/(3·2), so the trials are p / ((1 − p)·G)
    trials = (7 / 15) / ((8 / 15) * (1 / 20 + 1 / 6))
    assert (curve.low[1], curve.high[1]) == pytest.approx(wilson(7 / 15 * trials, trials)[1:])


def test_at_other_amounts_too_the_curve_is_that_of_the_runs_seen_by_then() -> None:
    runs = [10, 20, 30, 40, 40], [True, False, True, False, False]
    own, curve = kaplan_meier(*runs), kaplan_meier(*runs, at=[5, 5, 10, 20, 30, 40, 50])
    assert curve.amounts.tolist() == [5, 10, 20, 30, 40]  # no run is seen up to 50
    assert curve.at_risk.tolist() == [5, 5, 4, 3, 2]
    assert curve.reached[[1, 2, 3, 4]].tolist() == own.reached[[0, 0, 1, 1]].tolist()
    assert curve.high[[1, 3]].tolist() == own.high.tolist()
    assert (curve.reached[0], curve.low[0], curve.high[0]) == pytest.approx(wilson(0, 5))


def test_when_all_have_reached_it_nothing_is_left_open() -> None:
    curve = kaplan_meier([10, 20], [True, True], at=[10, 20, 30])
    assert curve.reached.tolist() == [0.5, 1.0, 1.0]
    assert curve.low[2] == curve.low[1] == pytest.approx(wilson(2, 2).low)


def test_without_censoring_the_interval_is_wilsons_of_all_runs() -> None:
    steps, reached = [10, 20, 30, 50, 50], [True, True, True, False, False]
    found = reaching(steps, reached, 50)
    assert found.probability == pytest.approx(wilson(3, 5))
    assert found.median == 30


def test_without_censoring_the_restricted_mean_is_the_mean() -> None:
    steps = [10.0, 20.0, 20.0, 35.0, 50.0, 50.0]
    found = reaching(steps, [True, True, True, True, False, False], 50)
    assert found.restricted_mean == pytest.approx(mean_of(steps).interval())


def test_steps_beyond_the_budget_count_as_never() -> None:
    found = reaching([10, 20, 80, 90], [True, True, True, False], 50)
    assert found.probability is not None
    assert found.probability.estimate == 0.5
    assert found.restricted_mean is not None
    assert found.restricted_mean.estimate == pytest.approx((10 + 20 + 50 + 50) / 4)


def test_never_is_no_number_of_steps_and_is_not_left_out() -> None:
    found = reaching([50] * 6, [False] * 6, 50)
    assert found.probability == pytest.approx(wilson(0, 6))
    assert found.median is None
    # as many as Wilson's bound allows may reach it, and at once
    assert found.probability is not None
    assert found.restricted_mean == pytest.approx((50.0, (1 - found.probability.high) * 50.0, 50.0))


def test_all_runs_reach_it_at_once() -> None:
    found = reaching([10] * 6, [True] * 6, 50)
    assert found.probability == pytest.approx(wilson(6, 6))
    assert found.median == 10
    assert found.restricted_mean == (10.0, 10.0, 10.0)


def test_what_unfinished_runs_leave_open_is_none() -> None:
    found = reaching([10, 20, 30], [True, False, False], 50)
    assert found == (None, None, None)
    assert reaching([10, 12, 30], [True, True, False], 50).median == 12


def test_one_run_tells_little() -> None:
    found = reaching([20], [True], 50)
    assert found.restricted_mean == (20.0, 0.0, 50.0)
    assert found.probability == pytest.approx(wilson(1, 1))


def test_censored_runs_make_the_interval_longer() -> None:
    whole = reaching([10, 20, 30, 40, 50, 50, 50, 50], [True] * 4 + [False] * 4, 50).probability
    partly = reaching([10, 20, 30, 40, 25, 25, 50, 50], [True] * 4 + [False] * 4, 50).probability
    assert whole is not None
    assert partly is not None
    assert partly.high - partly.low > whole.high - whole.low


@pytest.mark.parametrize(
    ("steps", "reached", "budget", "message"),
    [
        ([], [], 50, "at least one"),
        ([10], [True, False], 50, "does not match the 1 runs"),
        ([math.nan], [False], 50, "not finite"),
        ([10], [True], 0, "budget: 0 is not above zero"),
    ],
)
def test_what_makes_no_sense_is_refused(steps: list[float], reached: list[bool], budget: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reaching(steps, reached, budget)


def test_the_probability_covers_as_often_as_it_says_with_censored_runs() -> None:
    rng, repeats, covered = np.random.default_rng(6), 1_000, 0
    truth = 1 - math.exp(-1.0)
    for _ in range(repeats):
        steps, limit = rng.exponential(50.0, size=40), rng.uniform(20, 120, size=40)
        found = reaching(np.minimum(np.minimum(steps, limit), 50.0), (steps <= limit) & (steps <= 50), 50.0).probability
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered / repeats == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("runs", [*range(2, 61, 2), 100, 200])
def test_the_median_is_the_amount_at_which_exactly_half_have_reached_it(runs: int) -> None:
    assert reaching(np.arange(1.0, runs + 1), np.ones(runs, dtype=bool), 1_000.0).median == runs / 2
    half = np.arange(runs) < runs // 2
    for distinct in range(1, min(runs // 2, 7) + 1):
        amounts = np.where(half, 10.0 + np.arange(runs) % distinct, 1_000.0)
        assert reaching(amounts, half, 1_000.0).median == amounts[half].max()
