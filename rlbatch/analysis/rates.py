"""How do batch sizes compare where each was trained at several learning rates? Three questions, three answers.

    at_rate        at one rate: as if nobody tuned
    at_best_rate   each batch size at its own best rate: as if everybody tuned
    averaged       over all rates, with the width of the band of good rates: how much tuning it takes

The highest of several means is too high by what luck adds to it, and the more so the more rates there are. So the best
rate is chosen on one half of the seeds and scored on the other, both ways: every score that counts comes from a seed
that had no part in choosing its rate. The halves are the same for all arms, since runs of one seed share their random
numbers. What is estimated is the score at a rate that was tuned with half of the seeds.

Each function returns scores per batch size, for `intervals.mean_of` and what builds on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.intervals import Floats, sample_of

Scores = Mapping[float, Mapping[int, float]]
"""Learning rate -> seed -> score, at one batch size."""
Grid = Mapping[float, Scores]
"""Batch size -> its scores."""


class Tuned(NamedTuple):
    """The scores of one batch size at its own best rate.

    Attributes:
        scores: (n,) each seed's at the rate that the other half of the seeds chose, in the order of the seeds.
        runs: (rate, seed) of each of these scores.
        chosen: the rates that the first and the second half chose.
        best: the rate with the highest mean over all seeds.
        at_edge: one of these rates is the lowest or the highest tried, so a better one may lie beyond.
    """

    scores: Floats
    runs: tuple[tuple[float, int], ...]
    chosen: tuple[float, float]
    best: float
    at_edge: bool


class Averaged(NamedTuple):
    """The scores of one batch size over all rates.

    Attributes:
        scores: (n,) each seed's mean over the rates.
        left_out: seeds that have no score at some rate.
    """

    scores: Floats
    left_out: list[int]


class Band(NamedTuple):
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


def at_rate(grid: Grid, rate: float) -> dict[float, Floats]:
    """Returns the scores (n,) of every batch size at one rate.

    Raises:
        ValueError: a batch size was not trained at it.
    """
    for batch, scores in grid.items():
        if rate not in scores:
            raise ValueError(f"batch {batch:g} has no rate {rate:g}, only {_listed(scores)}")
    return {batch: _values(scores[rate], batch, rate) for batch, scores in grid.items()}


def at_best_rate(grid: Grid) -> dict[float, Tuned]:
    """Returns the scores of every batch size at the rates that suit it, chosen and scored on different seeds.

    Raises:
        ValueError: some arm has no seed in one of the halves.
    """
    seeds = sorted({seed for scores in grid.values() for arm in scores.values() for seed in arm})
    halves = (set(seeds[0::2]), set(seeds[1::2]))
    return {batch: _tuned(batch, scores, halves) for batch, scores in grid.items()}


def averaged(grid: Grid) -> dict[float, Averaged]:
    """Returns the scores of every batch size, averaged over the rates.

    Raises:
        ValueError: the batch sizes were not trained at the same rates, or no seed of one has a score at all of them.
    """
    for batch, scores in grid.items():
        first = next(iter(grid))
        if set(scores) != set(grid[first]):
            raise ValueError(
                f"batch {batch:g} has other rates than batch {first:g}: an average would compare the rates"
            )
    found = {}
    for batch, scores in grid.items():
        complete = sorted(set.intersection(*(set(arm) for arm in scores.values())))
        if not complete:
            raise ValueError(f"batch {batch:g} has no seed with a score at every rate")
        means = [np.mean([arm[seed] for arm in scores.values()]) for seed in complete]
        left_out = sorted({seed for arm in scores.values() for seed in arm} - set(complete))
        found[batch] = Averaged(sample_of(means), left_out)
    return found


def good_band(scores: Scores, delta: float) -> Band:
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
    return Band(rates[low], rates[high], math.log10(rates[high] / rates[low]), edge)


def _tuned(batch: float, scores: Scores, halves: tuple[set[int], set[int]]) -> Tuned:
    parts = [{rate: {s: arm[s] for s in arm if s in half} for rate, arm in scores.items()} for half in halves]
    chosen = tuple(_best(part, batch) for part in parts)
    rate_of = {**dict.fromkeys(parts[1][chosen[0]], chosen[0]), **dict.fromkeys(parts[0][chosen[1]], chosen[1])}
    runs = tuple((rate_of[seed], seed) for seed in sorted(rate_of))
    crossed = sample_of([scores[rate][seed] for rate, seed in runs])
    best = _best(scores, batch)
    ends = {min(scores), max(scores)}
    return Tuned(crossed, runs, (chosen[0], chosen[1]), best, not ends.isdisjoint({*chosen, best}))


def _best(scores: Scores, batch: float) -> float:
    """Returns the rate with the highest mean, the lowest of several."""
    return max(sorted(scores), key=lambda rate: float(_values(scores[rate], batch, rate).mean()))


def _values(arm: Mapping[int, float], batch: float | None, rate: float) -> Floats:
    where = f"rate {rate:g}" if batch is None else f"batch {batch:g}, rate {rate:g}"
    if not arm:
        raise ValueError(f"{where}: no seed has a score, in one half of the seeds at least")
    return sample_of([arm[seed] for seed in sorted(arm)], where)


def _listed(scores: Scores) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted(scores)) or "none"
