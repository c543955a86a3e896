"""How do batch sizes score where each was trained at several learning rates, if nobody knows which rate is right?

    at_best_rate   each batch size at its own best rate: as if everybody tuned
    averaged       over all rates, with the width of the band of good rates: how much tuning it takes

The highest of several means is too high by what luck adds to it, and the more so the more rates there are. So the best
rate is chosen on one half of the seeds and scored on the other, both ways: every score that counts comes from a seed
that had no part in choosing its rate. The halves are the same for all arms, since runs of one seed share their random
numbers. What is estimated is the score at a rate that was tuned with half of the seeds.

Each function returns scores per batch size, for `intervals.mean_of` and what builds on it; but those at a rate that was
chosen are not independent, and their mean comes with an error of its own: see `redraws.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.intervals import SEED, Estimate, Floats, sample_of
from rlbatch.analysis.redraws import Redrawn, redraw

Scores = Mapping[float, Mapping[int, float]]
"""Learning rate -> seed -> score, at one batch size."""
Grid = Mapping[int, Scores]
"""Batch size -> its scores."""

_Half = dict[float, dict[int, float]]
"""Learning rate -> seed -> score, of one half of the seeds."""


class Tuned(NamedTuple):
    """The scores of one batch size at its own best rate.

    Attributes:
        scores: (n,) each seed's at the rate that the other half of the seeds chose, in the order of the seeds.
        runs: (rate, seed) of each of these scores.
        chosen: the rates that the first and the second half chose.
        best: the rate with the highest mean over all seeds.
        at_edge: one of these rates is the lowest or the highest tried, so a better one may lie beyond.
        redrawn: resamples of choice and scores.
        mean: of the scores, with the error of choice and scores together; infinite under four seeds.
    """

    scores: Floats
    runs: tuple[tuple[float, int], ...]
    chosen: tuple[float, float]
    best: float
    at_edge: bool
    redrawn: Redrawn
    mean: Estimate


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
        ValueError: some arm has no seed in one of the halves.
    """
    return {batch: _tuned(batch, grid[batch], halves) for batch, halves in _halves(grid).items()}


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


def _halves(grid: Grid) -> dict[int, tuple[_Half, _Half]]:
    """Returns batch size -> its scores, parted by the seeds of all batch sizes: every other one."""
    seeds = sorted({seed for scores in grid.values() for arm in scores.values() for seed in arm})
    first, second = set(seeds[0::2]), set(seeds[1::2])
    return {batch: (_part(scores, first), _part(scores, second)) for batch, scores in grid.items()}


def _part(scores: Scores, seeds: set[int]) -> _Half:
    return {rate: {seed: arm[seed] for seed in sorted(arm) if seed in seeds} for rate, arm in sorted(scores.items())}


def _tuned(batch: int, scores: Scores, halves: tuple[_Half, _Half]) -> Tuned:
    first, second = (_best(half, batch) for half in halves)
    rate_of = {**dict.fromkeys(halves[1][first], first), **dict.fromkeys(halves[0][second], second)}
    runs = tuple((rate_of[seed], seed) for seed in sorted(rate_of))
    crossed = sample_of([scores[rate][seed] for rate, seed in runs])
    best = _best(scores, batch)
    at_edge = not {min(scores), max(scores)}.isdisjoint({first, second, best})
    redrawn = _redrawn(batch, scores, halves, (len(halves[0][second]), len(halves[1][first])))
    values = {(rate, seed): score for rate, arm in scores.items() for seed, score in arm.items()}
    return Tuned(crossed, runs, (first, second), best, at_edge, redrawn, redrawn.mean(crossed, values))


def _redrawn(batch: int, scores: Scores, halves: tuple[_Half, _Half], counts: tuple[int, int]) -> Redrawn:
    """Returns the resamples of a batch size; `counts` are the scores that each half gives."""
    runs = [(rate, seed) for rate, arm in sorted(scores.items()) for seed in sorted(arm)]
    place = {run: i for i, run in enumerate(runs)}
    first, second = ([[place[rate, seed] for seed in arm] for rate, arm in half.items()] for half in halves)
    # an own stream for each batch size: what is drawn for one does not depend on which others there are
    rng = np.random.default_rng([SEED, batch])
    return redraw(runs, sample_of([scores[rate][seed] for rate, seed in runs]), (first, second), counts, rng)


def _best(scores: Scores, batch: int) -> float:
    """Returns the rate with the highest mean, the lowest of several."""
    return max(sorted(scores), key=lambda rate: float(_values(scores[rate], batch, rate).mean()))


def _values(arm: Mapping[int, float], batch: int | None, rate: float) -> Floats:
    where = f"rate {rate:g}" if batch is None else f"batch {batch}, rate {rate:g}"
    if not arm:
        raise ValueError(f"{where}: no seed has a score, in one half of the seeds at least")
    return sample_of([arm[seed] for seed in sorted(arm)], where)
