"""Batch sizes over learning rates: what is chosen on some seeds is scored on others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.halves import choices
from rlbatch.analysis.rates import Grid, at_best_rate, averaged, good_band, rate_shift

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
FINE = (1e-4, 2e-4, 4e-4, 8e-4, 16e-4)


def constant(**scores: float) -> dict[float, dict[int, float]]:
    return {float(rate): dict.fromkeys(range(6), score) for rate, score in scores.items()}


GRID: Grid = {
    16: {1e-4: {0: 1.0, 1: 2.0, 2: 3.0}, 1e-3: {0: 5.0, 1: 1.0, 2: 6.0}},
    64: {1e-4: {0: 4.0, 1: 4.0, 2: 4.0}, 1e-3: {0: 0.0, 1: 0.0, 2: 0.0}},
}


def test_rates_are_chosen_by_other_seeds() -> None:
    # batch 16: seeds 0 and 2 alone or together with another choose 1e-3; where seed 1 is the half, it chooses 1e-4
    found = at_best_rate(GRID)
    assert found[16].seeds == (0, 1, 2)
    assert found[16].scores.tolist() == pytest.approx([(1 + 5 + 5) / 3, 1.0, (3 + 6 + 6) / 3])
    assert found[16].chosen == {1e-4: pytest.approx(2 / 9), 1e-3: pytest.approx(7 / 9)}
    assert found[16].best == 1e-3
    assert found[64].scores.tolist() == [4.0, 4.0, 4.0]
    assert found[64].chosen == {1e-4: 1.0, 1e-3: 0.0}


def test_another_metric_is_that_of_the_very_runs() -> None:
    found = at_best_rate(GRID)[16]
    other = {1e-4: {0: 0.0, 1: 0.0, 2: math.nan}, 1e-3: {0: 1.0, 1: 1.0, 2: 6.0}}
    assert found.weigh(other).tolist() == pytest.approx([2 / 3, 1.0, 6.0])
    assert found.mean_of(other).value == pytest.approx((2 / 3 + 1 + 6) / 3)


def test_an_optimum_at_the_edge_of_the_grid_is_marked() -> None:
    middle = constant(**{"1e-4": 0.1, "1e-3": 0.5, "1e-2": 0.2})
    edge = constant(**{"1e-4": 0.1, "1e-3": 0.5, "1e-2": 0.7})
    found = at_best_rate({16: middle, 64: edge, 256: {1e-3: dict.fromkeys(range(6), 0.5)}})
    assert {batch: tuned.at_edge for batch, tuned in found.items()} == {16: False, 64: True, 256: True}


def peaked(best: dict[int, int], seeds: int = 8, spread: float = 0.1) -> Grid:
    """Returns batch sizes that score highest at the rate of this place."""
    rng = np.random.default_rng(0)
    return {
        batch: {
            rate: dict(enumerate(rng.normal(1.0 if i == at else 0.0, spread, seeds))) for i, rate in enumerate(FINE)
        }
        for batch, at in best.items()
    }


def test_whether_the_best_rate_moves_is_told_in_doublings_per_doubling() -> None:
    moved = rate_shift(at_best_rate(peaked({16: 1, 32: 2, 64: 3})))
    still = rate_shift(at_best_rate(peaked({16: 2, 32: 2, 64: 2})))
    # steps of a factor of two: each end may lie half a doubling off, over two doublings
    assert moved == pytest.approx((1.0, 0.5, 1.5))
    assert still == pytest.approx((0.0, -0.5, 0.5))
    unsure = rate_shift(at_best_rate(peaked({16: 2, 32: 2, 64: 2}, spread=1.0)))
    assert unsure is not None
    assert unsure.low < -1 < 1 < unsure.high


def test_a_best_rate_at_the_edge_says_nothing_of_how_it_moves() -> None:
    assert rate_shift(at_best_rate(peaked({16: 0, 32: 1, 64: 2}))) is None
    assert rate_shift(at_best_rate(peaked({16: 1}))) is None
    assert rate_shift(at_best_rate(peaked({16: 1, 32: 2}, seeds=3))) is None
    assert rate_shift(at_best_rate({batch: {1e-3: dict.fromkeys(range(4), 0.5)} for batch in (16, 64)})) is None


def test_luck_does_not_raise_the_score_at_the_best_of_equal_rates() -> None:
    rng, crossed, naive = np.random.default_rng(0), [], []
    for _ in range(500):
        scores = rng.normal(size=(10, len(RATES)))
        crossed.append(choices(scores).weigh(scores).mean())
        naive.append(scores.mean(axis=0).max())
    error = math.sqrt(1 / 10 / 500)
    assert np.mean(crossed) == pytest.approx(0, abs=4 * error)
    assert np.mean(naive) > 20 * error  # the highest of four means is about one standard error too high


def test_a_seed_that_is_missing_where_the_others_choose_has_no_score() -> None:
    scores = {1e-4: {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}, 1e-3: {0: 1.0, 2: 1.0, 3: 1.0}}
    found = at_best_rate({64: scores})[64]
    assert found.chosen == {1e-4: 0.0, 1e-3: 1.0}
    assert found.seeds == (0, 1, 2, 3)
    assert found.counted.tolist() == [True, False, True, True]
    assert found.scores.tolist() == [1.0, 1.0, 1.0]
    assert found.weigh({1e-4: {}, 1e-3: {0: 5.0, 1: 9.0, 2: math.nan, 3: 7.0}}).tolist()[::2] == [5.0, 7.0]


def test_one_seed_cannot_choose_and_score() -> None:
    with pytest.raises(ValueError, match="batch 64: no seed has a score, in one half"):
        at_best_rate({64: {1e-3: {0: 1.0}}})
    with pytest.raises(ValueError, match=r"batch 64, rate 0\.001: no seed has a score"):
        at_best_rate({64: {1e-3: {}, 1e-4: {0: 1.0}}})


def test_averages_are_over_the_rates_of_each_seed() -> None:
    found = averaged(GRID)
    assert found[16].scores.tolist() == [3.0, 1.5, 4.5]
    assert found[64].left_out == []


def test_a_seed_without_a_score_at_some_rate_is_left_out_by_name() -> None:
    found = averaged({64: {1e-4: {0: 1.0, 1: 2.0}, 1e-3: {0: 3.0, 2: 9.0}}})[64]
    assert found.scores.tolist() == [2.0]
    assert found.left_out == [1, 2]


def test_averages_over_different_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="batch 64 has other rates than batch 16"):
        averaged({16: GRID[16], 64: {1e-4: {0: 1.0}}})
    with pytest.raises(ValueError, match="batch 64 has no seed with a score at every rate"):
        averaged({64: {1e-4: {0: 1.0}, 1e-3: {1: 1.0}}})
    assert averaged({}) == {}


def test_the_good_band_is_the_run_of_rates_around_the_best() -> None:
    band = good_band(constant(**{"1e-5": 0.8, "1e-4": 0.1, "1e-3": 0.75, "1e-2": 0.85, "1e-1": 0.2}), 0.1)
    assert band[:2] == (1e-3, 1e-2)  # 1e-5 is as good, but not next to them
    assert band.decades == pytest.approx(1)
    assert not band.open


def test_a_band_that_reaches_an_end_is_open() -> None:
    assert good_band(constant(**{"1e-4": 0.1, "1e-3": 0.8}), 0.1) == (1e-3, 1e-3, 0.0, True)


def test_scores_that_are_not_finite_are_refused_by_place() -> None:
    with pytest.raises(ValueError, match=r"batch 16, rate 0\.001: 1 of 4 are not finite"):
        at_best_rate({16: {1e-3: {0: 1.0, 1: 0.0, 2: math.nan, 3: 0.0}}})
