"""Which learning rate do halves of the seeds choose, and at which is each seed scored?

The seeds are parted into two halves in every way there is, up to `SPLITS` of them. Each half chooses the rate with its
highest mean, and the seeds of the other half are scored at it. So a seed never has a part in choosing the rate at which
it is scored, and which seeds happen to be in which half decides nothing.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.intervals import SEED, Floats

SPLITS = 126
"""As many ways as there are to part ten seeds; of more seeds as many are drawn."""
_ROUNDING = 1e-12
"""Means that differ by less than this part of the largest are equal."""


class Choices(NamedTuple):
    """At which of R rates each of n seeds is scored.

    Attributes:
        scored_at: (J, n) place of the rate in each split that counts: every half has a score at every rate.
        weights: (n, R) share of these splits in which a seed is scored at a rate.
    """

    scored_at: NDArray[np.int64]
    weights: Floats

    def weigh(self, values: Floats) -> Floats:
        """Returns (n,) the mean of a metric over the splits; NaN where a seed has it at no rate that was chosen.

        Args:
            values: (n, R) by seed and rate; NaN where a run is missing or cannot tell.
        """
        return weigh(self.weights, values)


def choices(scores: Floats) -> Choices:
    """Returns at which rates the seeds are scored; the highest mean is chosen, of several the first.

    Args:
        scores: (n, R) by seed and rate; NaN where a run is missing.

    Raises:
        ValueError: in no split do both halves have a score at every rate.
    """
    first = parted(len(scores))
    chosen, counts = _chosen(scores, first, np.ones((1, len(scores))))
    if not counts.any():
        raise ValueError("no seed has a score, in one half of the seeds at least")
    by_first, by_second = chosen
    scored_at = np.where(first, by_second.T, by_first.T)[counts[0]]
    return Choices(scored_at, _weights(chosen, counts, first, scores.shape[1])[0])


def weights_again(scores: Floats, times: Floats) -> Floats:
    """Returns (B, n, R) the weights of `choices` where each seed is there several times, or not at all.

    Args:
        scores: (n, R) by seed and rate; NaN where a run is missing.
        times: (B, n) how often each seed is there; all of its copies are in the same half.

    Returns:
        NaN for what has no split that counts.
    """
    first = parted(len(scores))
    return _weights(*_chosen(scores, first, times), first, scores.shape[1])


def weigh(weights: Floats, values: Floats) -> Floats:
    """Returns (..., n) the mean of values (n, R) by weights (..., n, R), over those that are known."""
    if np.isfinite(values).all():  # nearly always, and several times as fast
        return np.asarray(np.einsum("...nr,nr->...n", weights, values))
    counted = np.where(np.isnan(values), 0.0, weights)
    with np.errstate(invalid="ignore"):
        return np.asarray((counted * np.where(counted > 0, values, 0.0)).sum(axis=-1) / counted.sum(axis=-1))


@functools.cache
def parted(seeds: int) -> NDArray[np.bool_]:
    """Returns (J, n) which seeds are the first half of each split: ⌊n/2⌋ of them."""
    half = seeds // 2
    twice = seeds == 2 * half  # then each way of parting is there for both of its halves
    if math.comb(seeds, half) // (1 + twice) > SPLITS:
        return np.random.default_rng(SEED).random((SPLITS, seeds)).argsort(axis=1) < half
    members = [some for some in itertools.combinations(range(seeds), half) if not twice or 0 in some]
    first = np.zeros((len(members), seeds), dtype=np.bool_)
    for split, some in enumerate(members):
        first[split, list(some)] = True
    return first


def _chosen(
    scores: Floats, first: NDArray[np.bool_], times: Floats
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]:
    """Returns (B, J) the place of the rate that the first and the second half choose, and which splits count."""
    known = ~np.isnan(scores)
    filled = np.where(known, scores, 0.0)
    counts = np.ones((len(times), len(first)), dtype=np.bool_)
    chosen = []
    for half in (first, ~first):
        members = half.T.astype(np.float64)
        all_there = times @ members
        best, place = np.full(counts.shape, -np.inf), np.zeros(counts.shape, dtype=np.int64)
        for rate in range(scores.shape[1]):  # one at a time: an axis of few is slow to go over
            there = all_there if known[:, rate].all() else times @ (members * known[:, rate, None])
            counts &= there > 0
            means = times @ (members * filled[:, rate, None]) / np.where(there > 0, there, 1.0)
            higher = means > best + _ROUNDING * np.abs(means)
            place[higher] = rate
            best = np.where(higher, means, best)
        chosen.append(place)
    return (chosen[0], chosen[1]), counts


def _weights(
    chosen: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: NDArray[np.bool_],
    first: NDArray[np.bool_],
    rates: int,
) -> Floats:
    """Returns (B, n, R) the share of the splits that count in which a seed is scored at a rate."""
    by_first, by_second = chosen
    scored = np.empty((len(counts), first.shape[1], rates))
    for rate in range(rates):
        scored[:, :, rate] = (counts & (by_second == rate)) @ first.astype(np.float64)
        scored[:, :, rate] += (counts & (by_first == rate)) @ (~first).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(scored / counts.sum(axis=1)[:, None, None])
