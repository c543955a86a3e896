"""The power law: a known exponent is found, within what a grid of batch sizes can tell, and never extrapolated."""

from __future__ import annotations

import numpy as np
import pytest

from rlbatch.analysis.power_law import power_law_of

SIZES = (16, 32, 64, 128, 256, 512)
RATIOS = (0.25, 1.0, 4.0)


def cells(exponent: float, *, spread: float = 0.02, seeds: int = 10, seed: int = 0, ratios: tuple[float, ...] = RATIOS):
    """Scores that fall with the square of the distance from the best batch size, 100 at one update per env step."""
    rng = np.random.default_rng(seed)
    return {
        (ratio, size, rate): rng.normal(worse - np.log2(size / (100 * ratio**exponent)) ** 2 / 10, spread, seeds)
        for ratio in ratios
        for size in SIZES
        for rate, worse in ((1e-3, 1.0), (1e-2, 0.5))
    }


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.4])
def test_the_interval_holds_a_known_exponent(exponent: float) -> None:
    told = power_law_of(cells(exponent))
    assert told.exponent is not None
    assert told.low is not None
    assert told.high is not None
    assert told.low < exponent < told.high
    assert told.high - told.low < 0.8
    assert told.reason == ""


def test_the_best_of_a_grid_is_known_to_half_a_step_and_not_better() -> None:
    told = power_law_of(cells(-0.5, spread=0.0))
    assert told.best.tolist() == [256, 128, 64]
    assert told.exponent == pytest.approx(-0.5)
    assert told.low is not None
    assert told.high is not None
    assert told.high - told.low > 0.2


def test_a_batch_size_counts_at_its_own_best_rate() -> None:
    own = cells(-0.5)
    worse = {cell: np.full(10, -np.log2(cell[1])) for cell in own if cell[2] == 1e-2}  # poor, and best at batch 16
    told = power_law_of(own | worse)
    assert told.best.tolist() == [256, 128, 64]
    assert told.low is not None
    assert told.high is not None
    assert told.low < -0.5 < told.high


def test_it_is_told_at_the_ratios_that_were_tried_and_nowhere_else() -> None:
    told = power_law_of(cells(-0.5))
    assert told.ratios.tolist() == list(RATIOS)
    assert told.fitted == pytest.approx([256, 128, 64], rel=0.05)


def test_an_optimum_at_the_edge_of_the_grid_is_marked() -> None:
    assert power_law_of(cells(-1.5, spread=0.0)).at_edge.tolist() == [True, False, True]
    assert power_law_of(cells(-0.5, spread=0.0)).at_edge.tolist() == [False, False, False]


def test_where_it_cannot_be_told_the_reason_is() -> None:
    few = power_law_of(cells(-0.5, ratios=RATIOS[:2]))
    assert (few.exponent, few.fitted.tolist()) == (None, [])
    assert few.reason == "2 replay ratios and 6 batch sizes, 3 of each are needed"
    holes = {cell: scores for cell, scores in cells(-0.5).items() if cell[:2] != (4.0, 16)}
    assert "every batch size" in power_law_of(holes).reason
    assert "needs 5 seeds" in power_law_of(cells(-0.5, seeds=4)).reason
    assert (
        power_law_of(cells(-1.5)).reason
        == "1 of the best batch sizes lie inside the range that was tried, 3 are needed"
    )
