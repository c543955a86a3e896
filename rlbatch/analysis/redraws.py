"""How sure is a score at a rate that was chosen? The choice is made again and again, on seeds drawn anew.

`halves.py` chooses rates on halves of the seeds and scores them on the others. Its n scores are not n independent ones:
where most halves choose a good rate all of them are high, and whether they do is a matter of chance. So seeds are drawn
with replacement, and all of it is done again with them; a seed that is drawn twice is twice in the same half, so that
still none has a part in choosing its rate. The variance of the mean over the resamples, times n / (n − 2), is one part
of its squared error, with n − 2 degrees of freedom: one less for each half. That alone is too small where rates are
nearly as good as each other, since all resamples have what these seeds say of the rates. The other part is half of the
variance of the mean between the splits. Where there is nothing to choose it is zero, and the error that of Student but
for the degrees of freedom.

Together they err on the safe side: `results/statistics` has the coverage, and the errors of the verdicts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.halves import Choices, weigh, weights_again
from rlbatch.analysis.intervals import Estimate, Floats

RESAMPLES = 1_000
FEWEST = 4
"""Seeds from which on each half has two; of a single one nothing can be drawn anew."""
_ROUNDING = 1e-12
"""A standard deviation that is smaller than this part of the means is zero."""


class Redrawn(NamedTuple):
    """What was chosen for one batch size, and what its resamples choose.

    Attributes:
        made: the choices that count.
        drawn: (B, n) places of the seeds of each resample; B is 0 with fewer than `FEWEST`.
        weights: (B, n, R) at which rates each resample scores its seeds, as `Choices` has it.
    """

    made: Choices
    drawn: NDArray[np.int64]
    weights: Floats

    def scores(self, values: Floats) -> Floats:
        """Returns (B', n) what the resamples score in any metric; a seed that cannot tell has the mean of the others.

        Left out are those of a single seed over and over, which has no other half to choose for it.

        They are moved apart so far that the deviation of their means, times √(n / (n − 2)), is the standard error.

        Args:
            values: (n, R) by seed and rate; NaN where a run is missing or cannot tell.
        """
        again = np.take_along_axis(weigh(self.weights, values), self.drawn, axis=1)
        again = again[np.isfinite(again).any(axis=1)]
        if len(again) < 2:
            return again[:0]
        means = np.nanmean(again, axis=1)
        again = np.where(np.isnan(again), means[:, None], again)
        variance = float(means.var(ddof=1))
        if variance <= (_ROUNDING * float(np.abs(means).max())) ** 2:
            return again
        n = len(values)
        wider = math.sqrt(1 + self._between_splits(values) / 2 / (variance * n / (n - 2)))
        return np.asarray(again + (wider - 1) * (means - means.mean())[:, None])

    def mean(self, values: Floats) -> Estimate:
        """Returns the mean of a metric at the chosen rates, with the error of scores and choice together.

        Args:
            values: (n, R) by seed and rate; NaN where a run is missing or cannot tell, but not everywhere.
        """
        told = self.made.weigh(values)
        told = told[np.isfinite(told)]
        count, value, again = len(told), float(told.mean()), self.scores(values)
        if count < FEWEST or not len(again):
            return Estimate(value, math.inf, 1.0, count)
        means = again.mean(axis=1)
        deviation = float(means.std(ddof=1))
        if deviation <= _ROUNDING * float(np.abs(means).max()):
            deviation = 0.0
        return Estimate(value, deviation * math.sqrt(count / (count - 2)), count - 2.0, count)

    def _between_splits(self, values: Floats) -> float:
        """Returns the variance of the mean between the splits; 0 with a single one."""
        scored = values[np.arange(len(values)), self.made.scored_at]
        told = scored[np.isfinite(scored).any(axis=1)]
        return float(np.nanmean(told, axis=1).var(ddof=1)) if len(told) > 1 else 0.0


def redraw(scores: Floats, made: Choices, rng: np.random.Generator, *, resamples: int = RESAMPLES) -> Redrawn:
    """Returns what is chosen and scored when the seeds of a batch size are drawn anew.

    Args:
        scores: (n, R) by seed and rate, by which rates are chosen; NaN where a run is missing.
        made: `halves.choices` of these.
        rng: of the draws.
        resamples: B, number of draws.
    """
    n, R = scores.shape
    if n < FEWEST:
        return Redrawn(made, np.empty((0, n), dtype=np.int64), np.empty((0, n, R)))
    drawn = rng.integers(n, size=(resamples, n))
    times = np.zeros((resamples, n))
    np.add.at(times, (np.arange(resamples)[:, None], drawn), 1.0)
    return Redrawn(made, drawn, weights_again(scores, times))


def effective_size(mean: Estimate, scores: Floats) -> float:
    """Returns how many independent scores like these (n,) would tell as much of their mean as is known of it; up to n.

    By it, an interval that is made for independent scores becomes as long as the choice of the rate demands.
    """
    count = len(scores)
    plain = float(scores.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    if mean.error <= plain:
        return float(count)
    return max(_LEAST, count * (plain / mean.error) ** 2)


_LEAST = 0.01
"""Of a score at least, where nothing is known: its intervals hold nearly everything."""
