"""How often does the interval of the critical batch size hold the true one? Made-up fronts are fitted.

    python tests/analysis/front_coverage.py --repeats 200

Samples are held fixed, so that batch B takes a tenth of the budget times (1 + B / B_crit) in env steps at the better of
two rates, twice as much at the other; seeds spread the logarithm. A mark is seen at the next of 40 evaluations.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from rlbatch.analysis.front import Cells, front_of

SIZES = (8, 16, 32, 64, 128, 256, 512)
EVALUATIONS = 40
UPDATES = 1_000_000
"""Of the whole budget, at batch 1."""


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


def main() -> None:
    """Prints one line for each critical batch size, spread and number of seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    for critical in (30.0, 100.0):
        for spread in (0.2, 0.4):
            for seeds in (5, 10, 20):
                rng = np.random.default_rng(0)
                cells = [made_up(critical, seeds, spread, rng) for _ in range(repeats)]
                fits = [front_of(own, evaluations=EVALUATIONS + 1, rule=False).fit for own in cells]
                told = [fit for fit in fits if fit is not None]
                held = np.mean([fit.low <= critical <= fit.high for fit in told])
                middle = np.median([fit.critical for fit in told])
                sys.stdout.write(
                    f"B_crit {critical:g}, spread {spread:g}, {seeds} seeds: interval holds it in {held:.1%} of "
                    f"{len(told)}, median estimate {middle:.0f}, not identifiable {repeats - len(told)}\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
