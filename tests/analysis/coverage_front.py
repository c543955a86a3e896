"""What is measured of the critical batch size? Made-up fronts are fitted: a part of `coverage.py`.

Samples are held fixed, so that batch B takes a tenth of the budget times (1 + B / B_crit) in env steps at the better of
two rates, twice as much at the other; seeds spread the logarithm. A mark is seen at the next of 40 evaluations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlbatch.analysis.front import Cells, front_of

SIZES = (8, 16, 32, 64, 128, 256, 512)
EVALUATIONS = 40
UPDATES = 1_000_000
"""Of the whole budget, at batch 1."""


def critical_batch(rng: np.random.Generator, spread: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether the critical batch size is told, and whether its interval misses it, for one repeat."""
    for critical in (30.0, 100.0):
        fit = front_of(made_up(critical, n, spread, rng), evaluations=EVALUATIONS + 1, rule=False).fit
        yield (
            f"a critical batch size of {critical:g} is outside its 95 % interval",
            fit is not None and not fit.low <= critical <= fit.high,
        )
        yield f"the same is called not identifiable, at {critical:g}", fit is None


def made_up(critical: float, seeds: int, spread: float, rng: np.random.Generator) -> Cells:
    """Returns the updates to a mark, half way between the evaluations around it; infinite beyond the budget."""
    cells = {}
    for size in SIZES:
        for rate, slower in ((1e-3, 1.0), (1e-2, 2.0)):
            spent = 0.1 * slower * (1 + size / critical) * np.exp(rng.normal(0, spread, seeds))
            seen = np.ceil(spent * EVALUATIONS)
            steps = np.where(seen > EVALUATIONS - 2, np.inf, (seen - 0.5) / EVALUATIONS)
            cells[size, rate] = steps * UPDATES / size
    return cells
