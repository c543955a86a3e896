"""How sure is a score at a rate that was chosen? The choice is made again and again, on seeds drawn anew.

`rates.py` chooses a rate on each half of the seeds and scores it on the other. Its n scores are not n independent ones:
where both halves choose the same rate both score high, where they differ both score low, and which of these it is
belongs to what chance does. So seeds are drawn with replacement within each half, the rates are chosen again, and
scored again on the other half. The standard deviation of these means over the resamples, times √(n / (n − 2)), is the
standard error: within its half each of the n scores varies around that half's mean, which takes one degree of freedom
per half (for a rate that nobody chose, the result is Student's error but for those two).

It is too large rather than too small, since the means that the resamples choose by vary more than those of fresh seeds:
by a tenth to a third where rates are nearly as good as the best. `results/statistics` has the errors of the verdicts.

The seeds of a rate are drawn by the same random numbers as those of the others, so that what runs of one seed share
stays together, but where a run is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.intervals import Estimate, Floats

RESAMPLES = 1_000
_ROUNDING = 1e-12
"""A standard deviation that is smaller than this part of the means is zero."""

Half = Sequence[Sequence[int]]
"""For each rate, the places of the runs of one half of the seeds among all runs."""


class Redrawn(NamedTuple):
    """What the resamples of one batch size score.

    Attributes:
        runs: (rate, seed) of all runs of the batch size.
        drawn: (B, n) places in `runs` of those that each resample scores; B is 0 where a half has a single seed, of
            which nothing can be drawn anew.
    """

    runs: tuple[tuple[float, int], ...]
    drawn: NDArray[np.int64]

    def scores(self, values: Mapping[tuple[float, int], float]) -> Floats:
        """Returns (B, n) what the resamples score in any metric; (rate, seed) -> its value for each of the runs."""
        return np.asarray(np.array([values[run] for run in self.runs])[self.drawn])

    def mean(self, scores: Floats, values: Mapping[tuple[float, int], float]) -> Estimate:
        """Returns the mean of the scores (n,) at the chosen rates, with the error of scores and choice together.

        Args:
            scores: of the choice that was made.
            values: (rate, seed) -> score of each of the runs; those that are not a number are left out where they are
                drawn.
        """
        count, value = len(scores), float(scores.mean())
        redrawn = self.scores(values)
        known = np.isfinite(redrawn)
        told = known.any(axis=1)
        if told.sum() < 2:
            return Estimate(value, math.inf, 1.0, count)
        means = np.where(known, redrawn, 0.0).sum(axis=1)[told] / known.sum(axis=1)[told]
        deviation = float(means.std(ddof=1))
        if deviation <= _ROUNDING * float(np.abs(means).max()):
            deviation = 0.0
        return Estimate(value, deviation * math.sqrt(count / (count - 2)), count - 2.0, count)


def redraw(
    runs: Sequence[tuple[float, int]],
    scores: Floats,
    halves: tuple[Half, Half],
    counts: tuple[int, int],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> Redrawn:
    """Returns which runs are scored when seeds are drawn anew, by half, and rates are chosen by them.

    Args:
        runs: (rate, seed) of all runs of a batch size.
        scores: (N,) of these, by which rates are chosen: the highest mean, the first of several.
        halves: for each half and rate, where its runs are.
        counts: scores that each half gives.
        rng: of the draws.
        resamples: B, number of draws.
    """
    if min(len(places) for half in halves for places in half) < 2 or min(counts) < 2:
        return Redrawn(tuple(runs), np.empty((0, sum(counts)), dtype=np.int64))
    drawn, chosen = [], []
    for half in halves:
        luck = rng.random((resamples, max(map(len, half))))
        own = np.stack([np.array(places)[(luck * len(places)).astype(np.int64)] for places in half])
        means = [scores[at[:, : len(places)]].mean(axis=1) for at, places in zip(own, half, strict=True)]
        drawn.append(own)
        chosen.append(np.argmax(means, axis=0))
    every = np.arange(resamples)
    crossed = [drawn[i][chosen[1 - i], every, : counts[i]] for i in (0, 1)]
    return Redrawn(tuple(runs), np.concatenate(crossed, axis=1))


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
