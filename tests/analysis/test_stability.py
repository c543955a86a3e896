"""Stability: by hand, and that noise of the evaluation alone is no instability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from analysis.folders import episodes

from rlbatch import curves
from rlbatch.analysis.stability import (
    TAIL,
    below_best,
    collapsed,
    drawdown_tail,
    fall_tail,
    iqr,
    retention,
    stability_of,
    worst_quarter,
)

FALLS = episodes([0, 10, 4, 12, 6, 6, 14, 13])
"""Distances below the best so far: 0, 0, 6, 0, 6, 6, 0, 1; falls: −10, 6, −8, 6, 0, −8, 1."""


def test_the_tail_of_drawdowns_is_the_worst_quarter_of_the_evaluations() -> None:
    assert drawdown_tail(FALLS) == pytest.approx(6.0)
    assert drawdown_tail(episodes([0, 10, 4, 10])) == 6.0
    assert drawdown_tail(episodes([0, 10, 4, 10, 2, 10, 10, 10])) == 7.0
    assert drawdown_tail(episodes(np.arange(8))) == 0.0


def test_the_tail_is_located_on_one_half_and_measured_on_the_other() -> None:
    returns = np.array([[0.0, 1.0], [10.0, 2.0], [3.0, 9.0], [11.0, 4.0]])
    # odd 0, 10, 3, 11: furthest below its best is the third, by 7; even there 2 − 9 = −7
    # even 1, 2, 9, 4: the fourth, by 5; odd there 3 − 11 = −8
    assert drawdown_tail(returns) == pytest.approx(-7.5)


def test_the_tail_of_falls_is_the_worst_quarter_of_the_steps() -> None:
    assert fall_tail(FALLS) == pytest.approx(6.0)
    assert fall_tail(episodes([0, 10, 4, 10, 2, 10, 10, 10])) == 7.0
    assert fall_tail(episodes([0, 3, 5, 6, 6.5])) == pytest.approx(-0.5)  # even the worst step rises


def test_the_share_below_the_best_needs_a_margin() -> None:
    assert below_best(FALLS, 5.0) == pytest.approx(3 / 8)
    assert below_best(FALLS, 0.5) == pytest.approx(4 / 8)
    assert below_best(FALLS, 6.0) == 0.0


def test_retention_is_the_share_that_stays_above_the_threshold() -> None:
    assert retention(FALLS, 5.0) == pytest.approx(5 / 6)  # 10 and 4 pool to 7, so from the second on; 4 is below it
    assert retention(episodes([0, 9, 9, 9, 1, 9, 9, 9]), 5.0) == pytest.approx(5 / 6)
    assert retention(episodes([0, 9, 9, 9, 9]), 5.0) == 1.0
    assert retention(episodes([0, 1, 2, 3, 4]), 5.0) is None


def test_collapse_is_the_loss_of_more_than_half_of_what_was_learned() -> None:
    runs = np.stack(
        [
            episodes([0, 50, 80, 30, 30, 30]),  # ends at less than half of 80
            episodes([0, 50, 80, 50, 50, 50]),
            episodes([0, 10, 20, 0, 0, 0]),  # had not learned a quarter of the range
            episodes([0, 50, 80, 0, 100, 100]),  # came back
        ]
    )
    assert collapsed(runs, low=0.0, span=100.0).tolist() == [True, False, False, False]
    assert collapsed(runs + 40, low=40.0, span=100.0).tolist() == [True, False, False, False]
    single = np.stack([episodes([0, 80, 0, 0, 0], 1)])
    assert collapsed(single, low=0.0, span=100.0).tolist() == [True]


def signed_square(returns: np.ndarray) -> float:
    spread = stability_of(returns[None], 1.0, None)["dispersion"][0]
    return float(spread * abs(spread))


MEASURES: dict[str, Callable[[np.ndarray], float | None]] = {
    "drawdown_max": lambda returns: float(stability_of(returns[None], 1.0, None)["drawdown_max"][0]),
    "drawdown_tail": drawdown_tail,
    "fall_tail": fall_tail,
    "below_best": lambda returns: below_best(returns, 10.0),
    "dispersion": signed_square,
    "retention, well above": lambda returns: 1 - (retention(returns, 60.0) or 1),
    "retention, at the mark": lambda returns: 1 - (kept if (kept := retention(returns, 100.0)) is not None else 1),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("count", [21, 41])
def test_a_constant_noisy_policy_is_stable_on_average(measure: str, count: int) -> None:
    rng = np.random.default_rng(count)
    told = [MEASURES[measure](rng.normal(100, 50, (count, 10))) for _ in range(600)]
    assert None not in told
    values = np.array(told, dtype=float)
    assert abs(values.mean()) < 3.3 * max(values.std(ddof=1), 1e-12) / np.sqrt(len(values))


def test_the_same_measures_without_halves_would_call_it_unstable() -> None:
    rng = np.random.default_rng(0)
    naive = []
    for _ in range(300):
        means = rng.normal(100, 50, (21, 10)).mean(axis=1)
        naive.append((np.maximum.accumulate(means) - means > 10.0).mean())
    assert np.mean(naive) > 0.5


def test_what_only_rises_has_not_collapsed() -> None:
    late = episodes([9.0, 9, 9, 9, 10, 9, 9, 460])
    assert not collapsed(late[None], low=0.0, span=500.0).any()
    assert not collapsed(episodes([0.0, 400, 0])[None], low=0.0, span=500.0).any()  # all of it is the end
    assert collapsed(episodes([0.0, 400, 9, 9, 9])[None], low=0.0, span=500.0).all()


def test_a_constant_noisy_policy_does_not_collapse() -> None:
    rng = np.random.default_rng(0)
    assert collapsed(rng.normal(100, 50, (2000, 21, 10)), low=0.0, span=150.0).mean() == 0.0
    assert collapsed(rng.normal(0, 25, (2000, 21, 10)), low=0.0, span=150.0).mean() == 0.0
    assert collapsed(rng.normal(0, 50, (2000, 21, 10)), low=0.0, span=150.0).mean() < 0.05  # a third of the range


def test_differences_span_a_twentieth_of_the_budget() -> None:
    steps = np.linspace(0, 100, 41)
    fine, coarse = episodes(np.sin(steps)), episodes(np.sin(steps[::2]))
    for name in ("dispersion", "fall_tail"):
        told = [stability_of(returns[None], 1.0, None)[name][0] for returns in (fine, coarse)]
        assert told[0] == pytest.approx(told[1])


@pytest.mark.parametrize("count", [1, 2, 5, 21, 22, 30, 40, 45, 46, 101])
def test_the_evaluations_between_which_differences_are_taken_lie_a_twentieth_apart(count: int) -> None:
    chosen = curves.windows(count)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, count - 1, min(count, 21))
    if count > 1:
        wanted = np.linspace(0, count - 1, len(chosen))
        assert abs(chosen - wanted).max() <= 0.5
    last = np.zeros(count)
    last[-1] = -100.0
    if count >= 3:
        assert stability_of(episodes(last)[None], 1.0, None)["dispersion"][0] > 0  # the last one is among them


def test_what_a_curve_cannot_tell_is_not_a_number() -> None:
    single = stability_of(np.arange(5.0)[None, :, None], 1.0, 2.0)
    assert all(np.isnan(values).all() for values in single.values())
    unknown = stability_of(FALLS[None], None, None)
    assert {name for name, values in unknown.items() if np.isnan(values).all()} == {"below_best", "retention"}


def test_across_runs_by_hand() -> None:
    values = np.array([4.0, 1.0, 3.0, 2.0, 5.0])
    assert iqr(values) == 2.0
    # a quarter of five runs: the worst and a quarter of the next
    assert worst_quarter(values) == pytest.approx((1 + 0.25 * 2) / 1.25)
    assert worst_quarter(values[:2]) == 1.0
    assert worst_quarter(np.arange(8.0)) == 0.5
    assert TAIL == 0.25


def test_to_diverge_never_makes_a_run_steadier() -> None:
    rng = np.random.default_rng(4)
    whole = np.cumsum(rng.normal(3, 5, size=(6, 21, 1)), axis=1) + rng.normal(0, 2, size=(6, 21, 10))
    before = stability_of(whole, 100.0, 20.0)
    for point in range(1, 21):
        lost = whole.copy()
        lost[:, point:] = 0.0
        after = stability_of(lost, 100.0, 20.0, np.ones(6, dtype=bool), np.full(6, point))
        for name in ("drawdown_max", "drawdown_tail", "fall_tail", "dispersion", "below_best"):
            assert (after[name] >= np.minimum(before[name], 100.0)).all(), (name, point)
        reached = np.isfinite(stability_of(whole[:, :point], 100.0, 20.0)["retention"])
        assert np.array_equal(after["retention"], np.where(reached, 0.0, np.nan), equal_nan=True), point
    assert reached.sum() > 3


def test_what_a_run_that_diverged_late_had_reached_it_has_not_kept() -> None:
    whole = episodes([0.0, 50.0, *[110.0] * 13, *[0.0] * 6])[None]
    for span in (100.0, None):
        kept = stability_of(whole, span, 100.0, np.array([True]), np.array([15]))["retention"]
        assert kept.tolist() == [0.0]
