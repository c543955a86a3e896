"""What is measured of effects of the batch size where the best rate is chosen, and of powers? Parts of `coverage.py`.

Batch sizes that are equal have no slope, no designs that differ in it, and the same best rate.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from coverage_choices import DELTA, covers, expected_at_chosen_rates, scores_by_rate

from rlbatch.analysis import across, best, rates
from rlbatch.analysis.intervals import combine
from rlbatch.analysis.power_law import Cells, power_law_of
from rlbatch.analysis.trend import slope

BATCHES = (16, 32, 64, 128, 256)
RATIOS = (0.25, 0.5, 1.0, 2.0)
SIZES = (8, 16, 32, 64, 128, 256, 512)
EXPONENT = -0.5


def effects_at_best_rates(rng: np.random.Generator, lower: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether intervals of effects cover where each batch size has its own best rate, for one repeat.

    Args:
        rng: of the draws.
        lower: by how much two of the three rates score below the best one.
        n: seeds.
    """
    designs = []
    for _ in range(2):
        grid = {batch: scores_by_rate(rng, lower, n) for batch in BATCHES}
        designs.append((grid, rates.at_best_rate(grid)))
    slopes = [slope({batch: one.mean for batch, one in tuned.items()}) for _, tuned in designs]
    yield "slope per doubling, five batch sizes", covers(slopes[0].interval(), 0.0)
    yield "difference of the slopes of two designs", covers(combine(slopes, [1, -1]).interval(), 0.0)
    grid, tuned = designs[0]
    shift = rates.rate_shift(tuned)
    yield "factor by which the best rate changes, or it is not told", shift is None or covers(shift, 0.0)
    yield "share of times at which it is told, for comparison", shift is not None
    redrawn = [one.resampled(grid[batch]) for batch, one in tuned.items()]
    found = across.aggregates([one.scores for one in tuned.values()], rng, resampled=redrawn)
    yield "mean over five environments", covers(found.mean, expected_at_chosen_rates(lower, n)["mean"])
    arms = {batch: one.mean for batch, one in tuned.items()}
    arms[16] = arms[16]._replace(value=arms[16].value + DELTA)  # which chooses the same rates
    alike = [one.verdict for batch, one in best.compare_with_best(arms, DELTA).items() if batch != 16]
    yield "none of 4 batch sizes 0.1 below the best is called equivalent", "equivalent" not in alike


def power_law(rng: np.random.Generator, spread: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether the exponent is told, and whether its interval misses the true one, for one repeat."""
    found = power_law_of(made_up(rng, spread, n))
    outside = found.low is not None and found.high is not None and not found.low <= EXPONENT <= found.high
    yield f"an exponent of {EXPONENT:g} is outside its 95 % interval", outside
    yield "it is called not identifiable", found.exponent is None


def made_up(rng: np.random.Generator, spread: float, seeds: int) -> Cells:
    """Returns scores that fall by 0.03 times the square of the doublings from the best batch size, at two rates."""
    cells = {}
    for ratio in RATIOS:
        optimum = np.log2(50) + EXPONENT * np.log2(ratio)
        for size in SIZES:
            for rate, lower in ((1e-3, 0.0), (1e-2, 0.05)):
                level = 0.8 - lower - 0.03 * (np.log2(size) - optimum) ** 2
                cells[ratio, size, rate] = rng.normal(level, spread, size=seeds)
    return cells
