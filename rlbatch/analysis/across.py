"""How good is an arm over several environments? Aggregates of scores on one scale, with intervals.

The aggregates are those of rliable (Agarwal et al. 2021, arXiv 2108.13264), over all scores of all environments, in
which every environment has the same weight however many seeds it has:

    iqm             mean of the middle half of the scores: of N scores, ⌊N/4⌋ are left out at each end
    mean            of all scores
    median          of the environments' means
    optimality_gap  1 minus the mean of min(score, 1): how far below the reference score

Seeds are drawn anew within each environment (stratified). rliable's percentile intervals are too short: they forget
that a resample of n scores has less variance than the n scores had, and that a mean and its error vary together. So
each resample's distance from the estimate is divided by the resample's own standard error (bootstrap-t: Efron 1981;
Hall 1988, Ann. Stat. 16:927). Standard errors are those of sums over strata; for the interquartile mean, of the scores
pulled in to the ends of the middle half (Tukey & McLaughlin 1963, Sankhya A 25:331), for the median, of the one or two
environments in the middle. With very few seeds many resamples hold one score only and have no error; then the interval
is Student's, for the interquartile mean with the degrees of freedom of its middle half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, sample_of, wilson_ends

RESAMPLES = 10_000
_BLOCK = 2_000_000
"""Scores that are held at a time."""
_NEGLIGIBLE = 1e-10
"""An error that is smaller than this part of the scores' size is zero, but for rounding."""

_SAME = 0.01
"""The largest part of resamples that may hold one score only, over and over."""


class Aggregates(NamedTuple):
    """Aggregates over environments; their ends are infinite where an environment has a single seed."""

    iqm: Interval
    mean: Interval
    median: Interval
    optimality_gap: Interval


class Profile(NamedTuple):
    """The share of runs above each threshold, with pointwise intervals; all arrays are (K,)."""

    thresholds: Floats
    share: Floats
    low: Floats
    high: Floats


class _Strata(NamedTuple):
    """How the columns of a matrix of scores (..., N) belong to environments: counts and first columns of each."""

    counts: list[int]
    starts: list[int]

    def weights(self) -> Floats:
        """Returns (N,) what each score weighs; the sum is 1."""
        return np.repeat([1 / (len(self.counts) * count) for count in self.counts], self.counts)

    def parts(self, scores: Floats) -> Iterator[Floats]:
        """Yields the columns of each environment."""
        for start, count in zip(self.starts, self.counts, strict=True):
            yield scores[..., start : start + count]

    def errors(self, scores: Floats) -> Floats:
        """Returns (M, ...) the standard error of each environment's mean, infinite with a single seed."""
        with_error = [
            part.std(axis=-1, ddof=1) / np.sqrt(part.shape[-1])
            if part.shape[-1] > 1
            else np.full(part.shape[:-1], np.inf)
            for part in self.parts(scores)
        ]
        return np.stack(with_error)

    def mean_error(self, scores: Floats) -> Floats:
        """Returns (...) the standard error of the mean of the environments' means."""
        return np.asarray(np.sqrt((self.errors(scores) ** 2).sum(axis=0)) / len(self.counts))


_Statistic = Callable[[Floats, _Strata], tuple[Floats, Floats]]
"""From scores (reps, N) to the values (reps,) and their standard errors (reps,)."""


class _Seen(NamedTuple):
    """One statistic: its value, standard error and degrees of freedom, those of the resamples, and what is no error."""

    value: float
    error: float
    freedom: int
    values: Floats
    errors: Floats
    least: float


def aggregates(
    environments: Sequence[ArrayLike],
    seed: int | np.random.Generator,
    *,
    method: Literal["studentised", "percentile"] = "studentised",
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Aggregates:
    """Returns the four aggregates of one arm, each with its interval.

    Args:
        environments: one sample (n,) of scores per environment, normalised; the counts may differ. With a single
            environment, `iqm` and `mean` are that environment's.
        seed: of the draws, or a generator; the same seed gives the same intervals.
        method: "percentile" is rliable's interval, for comparison with it.
        resamples: number of draws of all seeds.
        confidence: of the two-sided intervals.

    Raises:
        ValueError: there is no environment, or one has no scores or some that are not finite.
    """
    samples = _samples(environments)
    counts = [len(sample) for sample in samples]
    strata = _Strata(counts, [sum(counts[:i]) for i in range(len(counts))])
    scores = np.concatenate(samples)
    statistics: tuple[_Statistic, ...] = (_iqm, _mean, _median, _optimality_gap)
    if min(counts) < 2:
        plain = [statistic(scores[None], strata)[0] for statistic in statistics]
        return Aggregates(*(Interval(float(value[0]), -np.inf, np.inf) for value in plain))
    observed = [statistic(scores[None], strata) for statistic in statistics]
    drawn: list[list[tuple[Floats, Floats]]] = [[] for _ in statistics]
    for block in _resampled(samples, np.random.default_rng(seed), resamples):
        for found, statistic in zip(drawn, statistics, strict=True):
            found.append(statistic(block, strata))
    make = _studentised if method == "studentised" else _percentile
    least = _NEGLIGIBLE * float(np.abs(scores).max())
    intervals = []
    for statistic, (value, error), found in zip(statistics, observed, drawn, strict=True):
        values, errors = map(np.concatenate, zip(*found, strict=True))
        freedom = len(scores) - len(counts) - (2 * (len(scores) // 4) if statistic is _iqm else 0)
        seen = _Seen(float(value[0]), float(error[0]), max(1, freedom), values, errors, least)
        intervals.append(make(seen, confidence))
    return Aggregates(*intervals)


def probability_of_improvement(
    environments: Sequence[ArrayLike], others: Sequence[ArrayLike], *, confidence: float = CONFIDENCE
) -> Interval:
    """Returns the probability that a run of one arm scores higher than a run of another, averaged over environments.

    A tie counts half (Mann & Whitney 1947). The interval is Newcombe's score interval (2006, Stat. Med. 25:559, method
    5), which has some length also where every run beats every other; over environments, of the mean of the shares.

    Args:
        environments: one sample (n,) per environment.
        others: one sample (m,) per environment, in the same order.
        confidence: of the two-sided interval.

    Raises:
        ValueError: the arms have not the same number of environments, or a sample is none.
    """
    pairs = list(zip(_samples(environments), _samples(others), strict=True))
    shares = np.array([(np.sign(x[:, None] - y).mean() + 1) / 2 for x, y in pairs])
    sizes = np.array([[len(x), len(y)] for x, y in pairs], dtype=np.float64)
    return Interval(float(shares.mean()), *_mann_whitney_ends(shares, sizes, confidence))


def performance_profile(
    environments: Sequence[ArrayLike], thresholds: ArrayLike, *, confidence: float = CONFIDENCE
) -> Profile:
    """Returns the share of runs whose score exceeds each threshold, averaged over environments.

    The intervals are pointwise: Wilson's of each environment, joined by their distances from the shares (Zou & Donner
    2008, Stat. Med. 27:1693).

    Args:
        environments: one sample (n,) per environment.
        thresholds: (K,) scores.
        confidence: of the two-sided interval at each threshold.
    """
    samples, points = _samples(environments), sample_of(thresholds, "thresholds")
    shares = np.stack([(sample > points[:, None]).mean(axis=1) for sample in samples])
    ends = [wilson_ends(share, len(sample), confidence) for share, sample in zip(shares, samples, strict=True)]
    low, high = _joined(shares, *np.array(ends).transpose(1, 0, 2))
    return Profile(points, shares.mean(axis=0), low, high)


def _samples(environments: Sequence[ArrayLike]) -> list[Floats]:
    if len(environments) == 0:
        raise ValueError("there is no environment")
    return [sample_of(scores, f"environment {i}") for i, scores in enumerate(environments)]


def _resampled(samples: Sequence[Floats], rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Yields blocks of scores (reps, N), drawn with replacement within each environment."""
    size = max(1, _BLOCK // sum(map(len, samples)))
    for start in range(0, resamples, size):
        reps = min(size, resamples - start)
        yield np.concatenate([s[rng.integers(len(s), size=(reps, len(s)))] for s in samples], axis=1)


def _mean(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    return scores @ strata.weights(), strata.mean_error(scores)


def _optimality_gap(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    return _mean(np.maximum(1 - scores, 0.0), strata)


def _iqm(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    """Returns the weighted mean of what lies between the quarters, of which a score may have a part."""
    N = scores.shape[-1]
    cut = (N // 4) / N
    order = np.argsort(scores, axis=-1)
    ordered = np.take_along_axis(scores, order, axis=-1)
    weights = strata.weights()[order]
    upper = weights.cumsum(axis=-1)
    kept = np.clip(np.minimum(upper, 1 - cut) - np.maximum(upper - weights, cut), 0.0, None)
    inside = kept > _NEGLIGIBLE
    value = (np.where(inside, kept, 0.0) * ordered).sum(axis=-1) / (1 - 2 * cut)
    first, last = inside.argmax(axis=-1), N - 1 - inside[..., ::-1].argmax(axis=-1)
    ends = (np.take_along_axis(ordered, i[..., None], axis=-1) for i in (first, last))
    return value, strata.mean_error(np.clip(scores, *ends)) / (1 - 2 * cut)


def _median(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    means = np.stack([part.mean(axis=-1) for part in strata.parts(scores)])
    M = len(means)
    middle = np.argsort(means, axis=0)[(M - 1) // 2 : M // 2 + 1]
    errors = np.take_along_axis(strata.errors(scores), middle, axis=0)
    return np.median(means, axis=0), np.sqrt((errors**2).sum(axis=0)) / len(middle)


def _studentised(seen: _Seen, confidence: float) -> Interval:
    """Returns the bootstrap-t interval, or Student's where too many resamples say nothing of their error."""
    if seen.error <= seen.least:
        return Interval(seen.value, seen.value, seen.value)
    varied = seen.errors > seen.least
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    if varied.mean() < 1 - _SAME:
        below, above = special.stdtrit(seen.freedom, tails)
    else:
        below, above = np.quantile((seen.values[varied] - seen.value) / seen.errors[varied], tails)
    return Interval(seen.value, seen.value - float(above) * seen.error, seen.value - float(below) * seen.error)


def _percentile(seen: _Seen, confidence: float) -> Interval:
    low, high = np.quantile(seen.values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(seen.value, float(low), float(high))


def _mann_whitney_ends(shares: Floats, sizes: Floats, confidence: float) -> tuple[float, float]:
    """Returns the means of the true shares that lie z of their mean's standard error below and above the observed one.

    The variance of a share is that of exponential scores (Hanley & McNeil 1982), with (n + m)/2 − 1 for both n − 1 and
    m − 1; the true shares lie by the same distance from the observed ones, where 0 and 1 allow it.

    Args:
        shares: (M,) observed.
        sizes: (M, 2) n and m.
        confidence: of the two-sided interval.
    """
    z, star = float(special.ndtri((1 + confidence) / 2)), sizes.mean(axis=1) - 1

    def end(outer: float) -> float:
        inner = 0.0
        for _ in range(40):
            shift = (inner + outer) / 2
            theta = np.clip(shares + shift, 0.0, 1.0)
            spread = 1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            error = np.sqrt((theta * (1 - theta) * spread / sizes.prod(axis=1)).sum()) / len(shares)
            inner, outer = (shift, outer) if abs((theta - shares).mean()) <= z * error else (inner, shift)
        return float(np.clip(shares + inner, 0.0, 1.0).mean())

    return end(-1.0), end(1.0)


def _joined(shares: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Returns the ends for the mean over environments (axis 0) from those of each environment."""
    M, centre = len(shares), shares.mean(axis=0)
    return (
        centre - np.sqrt(((shares - low) ** 2).sum(axis=0)) / M,
        centre + np.sqrt(((high - shares) ** 2).sum(axis=0)) / M,
    )
