"""How do batch sizes score where each was trained at several learning rates, if nobody knows which rate is right?

    at_best_rate   each batch size at its own best rate: as if everybody tuned
    averaged       over all rates, with the width of the band of good rates: how much tuning it takes

And does the best rate move with the batch size (`rate_shift`)?

The highest of several means is too high by what luck adds to it, and the more so the more rates there are. So rates
are chosen on one half of the seeds and scored on the other, over many such halves: every score that counts comes from a
seed that had no part in choosing its rate; see `halves.py`. What is estimated is the score at a rate that was tuned
with half of the seeds.

Each function returns scores per batch size, for `intervals.mean_of` and what builds on it; but those at a rate that was
chosen are not independent, and their mean comes with an error of its own: see `redraws.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.halves import choices
from rlbatch.analysis.intervals import SEED, Estimate, Floats, Interval, sample_of
from rlbatch.analysis.redraws import Redrawn, redraw
from rlbatch.analysis.trend import slope, weights

Scores = Mapping[float, Mapping[int, float]]
"""Learning rate -> seed -> score, at one batch size."""
Grid = Mapping[int, Scores]
"""Batch size -> its scores."""


class Tuned(NamedTuple):
    """The scores of one batch size at its own best rate.

    Attributes:
        seeds: (n,) those with a run at some rate, ascending.
        counted: (n,) whether they have a score: a run at some rate that the halves without them chose.
        rates: (R,) those tried, ascending.
        scores: (m,) of those that have one, the mean over the splits.
        chosen: rate -> share of the scores that were taken at it.
        best: the rate with the highest mean over all seeds.
        at_edge: that is the lowest or the highest tried, so a better one may lie beyond.
        redrawn: choices and their resamples.
        mean: of the scores, with the error of choice and scores together; infinite under four seeds.
    """

    seeds: tuple[int, ...]
    counted: NDArray[np.bool_]
    rates: tuple[float, ...]
    scores: Floats
    chosen: Mapping[float, float]
    best: float
    at_edge: bool
    redrawn: Redrawn
    mean: Estimate

    def weigh(self, scores: Scores) -> Floats:
        """Returns (m,) another metric of the very runs that the scores are taken from, each as often as it counts.

        Args:
            scores: of the metric; what is missing or NaN is left out, and NaN is what no run of a seed tells.
        """
        return np.asarray(self.redrawn.made.weigh(_matrix(scores, self.seeds, self.rates))[self.counted])

    def mean_of(self, scores: Scores) -> Estimate:
        """Returns the mean of `weigh`, with the error of choice and scores together."""
        return self.redrawn.mean(_matrix(scores, self.seeds, self.rates))

    def resampled(self, scores: Scores) -> Floats:
        """Returns (B', n) what the resamples of choice and scores have in a metric."""
        return self.redrawn.scores(_matrix(scores, self.seeds, self.rates))


class Averaged(NamedTuple):
    """The scores of one batch size over all rates.

    Attributes:
        scores: (n,) each seed's mean over the rates.
        left_out: seeds that have no score at some rate.
    """

    scores: Floats
    left_out: list[int]


class GoodRates(NamedTuple):
    """The rates around the best one whose mean score is at most delta below it.

    Attributes:
        low: lowest of them.
        high: highest of them.
        decades: log10 of high over low; the rates tried in between all belong to the band.
        open: it reaches an end of the rates that were tried, so it may be wider.
    """

    low: float
    high: float
    decades: float
    open: bool


def at_best_rate(grid: Grid) -> dict[int, Tuned]:
    """Returns the scores of every batch size at the rates that suit it, chosen and scored on different seeds.

    Raises:
        ValueError: of some batch size no two halves have a score at every rate.
    """
    return {batch: _tuned(batch, scores) for batch, scores in grid.items()}


def rate_shift(tuned: Mapping[int, Tuned]) -> Interval | None:
    """Returns by how many doublings the best rate changes per doubling of the batch size.

    It is 1/2 if the best rate grows with the square root of the batch size, and 1 if it grows as the batch size. The
    estimate is of the mean logarithm of the rates that the halves choose. Its interval holds the error of choosing with
    other seeds, and besides that rates were tried at steps: each best rate may lie half a step lower or higher.

    Returns:
        None with one batch size, where the best rate of one is at the edge of those tried, or where seeds are too few.
    """
    if len(tuned) < 2 or any(one.at_edge for one in tuned.values()):
        return None
    logs = {batch: np.log2(one.rates) for batch, one in tuned.items()}
    shift = slope({b: one.redrawn.mean(np.tile(logs[b], (len(one.seeds), 1))) for b, one in tuned.items()})
    if math.isinf(shift.error):
        return None
    steps = [float(np.diff(these).max()) for these in logs.values()]
    reach = sum(abs(weight) * step / 2 for weight, step in zip(weights(list(tuned)), steps, strict=True))
    told = shift.interval()
    return Interval(told.estimate, told.low - reach, told.high + reach)


def averaged(grid: Grid) -> dict[int, Averaged]:
    """Returns the scores of every batch size, averaged over the rates.

    Raises:
        ValueError: the batch sizes were not trained at the same rates, or no seed of one has a score at all of them.
    """
    for batch, scores in grid.items():
        first = next(iter(grid))
        if set(scores) != set(grid[first]):
            raise ValueError(f"batch {batch} has other rates than batch {first}: an average would compare the rates")
    found = {}
    for batch, scores in grid.items():
        complete = sorted(set.intersection(*(set(arm) for arm in scores.values())))
        if not complete:
            raise ValueError(f"batch {batch} has no seed with a score at every rate")
        means = [np.mean([arm[seed] for arm in scores.values()]) for seed in complete]
        left_out = sorted({seed for arm in scores.values() for seed in arm} - set(complete))
        found[batch] = Averaged(sample_of(means), left_out)
    return found


def good_band(scores: Scores, delta: float) -> GoodRates:
    """Returns the rates that are nearly as good as the best, by their means alone: a description, not a test.

    Args:
        scores: of one batch size.
        delta: the largest difference that does not matter, in the unit of the scores.
    """
    rates = sorted(scores)
    means = np.array([_values(scores[rate], None, rate).mean() for rate in rates])
    best = int(means.argmax())
    good = means >= means[best] - delta
    low = high = best
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(rates) - 1 and good[high + 1]:
        high += 1
    edge = low == 0 or high == len(rates) - 1
    return GoodRates(rates[low], rates[high], math.log10(rates[high] / rates[low]), edge)


def _tuned(batch: int, scores: Scores) -> Tuned:
    rates, seeds = tuple(sorted(scores)), tuple(sorted({seed for arm in scores.values() for seed in arm}))
    means = [float(_values(scores[rate], batch, rate).mean()) for rate in rates]
    values = _matrix(scores, seeds, rates)
    try:
        made = choices(values)
    except ValueError as error:
        raise ValueError(f"batch {batch}: {error}") from None
    # an own stream for each batch size: what is drawn for one does not depend on which others there are
    redrawn = redraw(values, made, np.random.default_rng([SEED, batch]))
    told, best = made.weigh(values), int(np.argmax(means))
    return Tuned(
        seeds=seeds,
        counted=np.isfinite(told),
        rates=rates,
        scores=told[np.isfinite(told)],
        chosen=dict(zip(rates, made.weights.mean(axis=0).tolist(), strict=True)),
        best=rates[best],
        at_edge=best in (0, len(rates) - 1),
        redrawn=redrawn,
        mean=redrawn.mean(values),
    )


def _matrix(scores: Scores, seeds: Sequence[int], rates: Sequence[float]) -> Floats:
    """Returns (n, R) scores by seed and rate, NaN where there is none."""
    return np.array([[scores[rate].get(seed, math.nan) for rate in rates] for seed in seeds])


def _values(arm: Mapping[int, float], batch: int | None, rate: float) -> Floats:
    where = f"rate {rate:g}" if batch is None else f"batch {batch}, rate {rate:g}"
    if not arm:
        raise ValueError(f"{where}: no seed has a score")
    return sample_of([arm[seed] for seed in sorted(arm)], where)
