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
environments in the middle. An interquartile mean of ten scores or more is not looked for beyond them; where its error
is zero though scores differ, as where most are at one end of the scale, the binomial of ranks bounds it. With very few
seeds many resamples hold one score only and have no error; then the interval is Student's, for the interquartile mean
with the degrees of freedom of its middle half.

Scores at a rate that was chosen are not independent, and what their own spread says of the error is too little. There
the whole procedure was drawn anew (`redraws.py`), and an interval is Student's with the deviation over these resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, Estimate, Floats, Interval, combine, samples_of
from rlbatch.analysis.redraws import FEWEST

RESAMPLES = 10_000
_BLOCK = 2_000_000
"""Scores that are held at a time."""
_NEGLIGIBLE = 1e-10
"""An error that is smaller than this part of the scores' size is zero, but for rounding."""

_ENOUGH = 10
"""Scores among which the middle of all there could be lies, but for one sample in 512."""
_SAME = 0.01
"""The largest part of resamples that may hold one score only, over and over."""


class Aggregates(NamedTuple):
    """Aggregates over environments; their ends are infinite where an environment has a single seed."""

    iqm: Interval
    mean: Interval
    median: Interval
    optimality_gap: Interval


class _Strata(NamedTuple):
    """How the columns of a matrix of scores (..., N) belong to environments: so many of each in turn."""

    counts: list[int]

    def weights(self) -> Floats:
        """Returns (N,) what each score weighs; the sum is 1."""
        return np.repeat([1 / (len(self.counts) * count) for count in self.counts], self.counts)

    def parts(self, scores: Floats) -> Iterator[Floats]:
        """Yields the columns of each environment."""
        start = 0
        for count in self.counts:
            yield scores[..., start : start + count]
            start += count

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
    """One statistic: its value, standard error and degrees of freedom, those of the resamples, and what is no error.

    Attributes:
        bounds: where its interval ends if its error is zero though scores differ.
        ends: beyond which its interval never goes.
    """

    value: float
    error: float
    freedom: int
    values: Floats
    errors: Floats
    least: float
    bounds: tuple[float, float]
    ends: tuple[float, float]


def aggregates(
    environments: Sequence[ArrayLike],
    seed: int | np.random.Generator,
    *,
    method: Literal["studentised", "percentile"] = "studentised",
    resampled: Sequence[Floats] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Aggregates:
    """Returns the four aggregates of one arm, each with its interval.

    Args:
        environments: one sample (n,) of scores per environment, normalised; the counts may differ. With a single
            environment, `iqm` and `mean` are that environment's.
        seed: of the draws, or a generator; the same seed gives the same intervals.
        method: "percentile" is rliable's interval, for comparison with it.
        resampled: (B, n) for each environment, scores that were drawn anew already, where they are not independent.
        resamples: number of draws of all seeds.
        confidence: of the two-sided intervals.

    Raises:
        ValueError: there is no environment, or one has no scores or some that are not finite.
    """
    if resampled is not None:
        rng = np.random.default_rng(seed)
        return Aggregates(*_redrawn(samples_of(environments), resampled, _STATISTICS, rng, confidence))
    make = _studentised if method == "studentised" else _percentile
    seen = _seen(samples_of(environments), _STATISTICS, np.random.default_rng(seed), resamples)
    return Aggregates(*(make(one, confidence) for one in seen))


def interquartile_mean(
    scores: ArrayLike,
    seed: int | np.random.Generator,
    *,
    resampled: Floats | None = None,
    resamples: int = RESAMPLES,
) -> Interval:
    """Returns the interquartile mean of one sample (n,) with its interval: `aggregates([scores]).iqm`."""
    samples, rng = samples_of([scores]), np.random.default_rng(seed)
    if resampled is not None:
        return _redrawn(samples, [resampled], (_iqm,), rng, CONFIDENCE)[0]
    (seen,) = _seen(samples, (_iqm,), rng, resamples)
    return _studentised(seen, CONFIDENCE)


def _seen(
    samples: Sequence[Floats], statistics: Sequence[_Statistic], rng: np.random.Generator, resamples: int
) -> list[_Seen]:
    """Returns what there is to know of each statistic; of environments with a single seed the errors are infinite."""
    strata = _Strata([len(sample) for sample in samples])
    scores = np.concatenate(samples)
    drawn = (
        _drawn(samples, statistics, rng, resamples) if min(strata.counts) > 1 else [(scores[:0],) * 2] * len(statistics)
    )
    least = _NEGLIGIBLE * float(np.abs(scores).max())
    seen = []
    for statistic, found in zip(statistics, drawn, strict=True):
        (value,), (error,) = statistic(scores[None], strata)
        freedom = len(scores) - len(samples) - (2 * (len(scores) // 4) if statistic is _iqm else 0)
        bounds, ends = (float(value), float(value)), (-np.inf, np.inf)
        if statistic is _iqm:
            bounds = _quarters(scores) if any(np.ptp(sample) > 0 for sample in samples) else bounds
            ends = (float(scores.min()), float(scores.max())) if len(scores) >= _ENOUGH else ends
        seen.append(_Seen(float(value), float(error), max(1, freedom), *found, least, bounds, ends))
    return seen


def _drawn(
    samples: Sequence[Floats], statistics: Sequence[_Statistic], rng: np.random.Generator, resamples: int
) -> list[tuple[Floats, Floats]]:
    """Returns values and errors (resamples,) of each statistic, of scores drawn with replacement per environment."""
    strata = _Strata([len(sample) for sample in samples])
    found: list[list[tuple[Floats, Floats]]] = [[] for _ in statistics]
    size = max(1, _BLOCK // sum(strata.counts))
    for start in range(0, resamples, size):
        reps = min(size, resamples - start)
        scores = np.concatenate([s[rng.integers(len(s), size=(reps, len(s)))] for s in samples], axis=1)
        for blocks, statistic in zip(found, statistics, strict=True):
            blocks.append(statistic(scores, strata))
    return [(np.concatenate([v for v, _ in blocks]), np.concatenate([e for _, e in blocks])) for blocks in found]


def _mean(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    return scores @ strata.weights(), strata.mean_error(scores)


def _optimality_gap(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    return _mean(np.maximum(1 - scores, 0.0), strata)


def _iqm(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    """Returns the weighted mean of what lies between the quarters, of which a score may have a part."""
    N = scores.shape[-1]
    cut = (N // 4) / N
    weights = strata.weights()
    if len(set(strata.counts)) == 1:
        ordered = np.sort(scores, axis=-1)  # several times as fast as the order itself, which weighs nothing here
    else:
        order = np.argsort(scores, axis=-1)
        ordered, weights = np.take_along_axis(scores, order, axis=-1), weights[order]
    upper = weights.cumsum(axis=-1)
    kept = np.clip(np.minimum(upper, 1 - cut) - np.maximum(upper - weights, cut), 0.0, None)
    inside = np.broadcast_to(kept > _NEGLIGIBLE, ordered.shape)
    value = (np.where(inside, kept, 0.0) * ordered).sum(axis=-1) / (1 - 2 * cut)
    first, last = inside.argmax(axis=-1), N - 1 - inside[..., ::-1].argmax(axis=-1)
    ends = (np.take_along_axis(ordered, i[..., None], axis=-1) for i in (first, last))
    return value, strata.mean_error(np.clip(scores, *ends)) / (1 - 2 * cut)


def _quarters(scores: Floats) -> tuple[float, float]:
    """Returns between which scores (N,) the middle half lies with 95 %: bounds of its ends by the binomial of ranks.

    Where most scores are equal, as at the end of a scale, this is all that is known of their interquartile mean.
    """
    ordered, N = np.sort(scores), len(scores)
    rank = int((special.bdtr(np.arange(N), N, 0.25) < (1 - CONFIDENCE) / 2).sum())
    return float(ordered[max(rank - 1, 0)]), float(ordered[min(N - rank, N - 1)])


def _median(scores: Floats, strata: _Strata) -> tuple[Floats, Floats]:
    means = np.stack([part.mean(axis=-1) for part in strata.parts(scores)])
    M = len(means)
    middle = np.argsort(means, axis=0)[(M - 1) // 2 : M // 2 + 1]
    errors = np.take_along_axis(strata.errors(scores), middle, axis=0)
    return np.median(means, axis=0), np.sqrt((errors**2).sum(axis=0)) / len(middle)


_STATISTICS: tuple[_Statistic, ...] = (_iqm, _mean, _median, _optimality_gap)
"""In the order of `Aggregates`."""


def _studentised(seen: _Seen, confidence: float) -> Interval:
    """Returns the bootstrap-t interval, or Student's where too many resamples say nothing of their error."""
    if not len(seen.values):
        return Interval(seen.value, -np.inf, np.inf)
    if seen.error <= seen.least:
        return Interval(seen.value, *seen.bounds)
    varied = seen.errors > seen.least
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    if varied.mean() < 1 - _SAME:
        below, above = special.stdtrit(seen.freedom, tails)
    else:
        below, above = np.quantile((seen.values[varied] - seen.value) / seen.errors[varied], tails)
    low, high = (float(np.clip(seen.value - tail * seen.error, *seen.ends)) for tail in (above, below))
    return Interval(seen.value, low, high)


def _redrawn(
    samples: Sequence[Floats],
    resampled: Sequence[Floats],
    statistics: Sequence[_Statistic],
    rng: np.random.Generator,
    confidence: float,
) -> list[Interval]:
    """Returns Student's intervals, with errors as `redraws.py` has them for the mean: two seeds less per stratum.

    The degrees of freedom are Satterthwaite's, from what each stratum has of the variance of the mean.

    A seed without a score of its own, whose run is missing at the rate that others chose, may have some in resamples.
    """
    strata, scores = _Strata([len(sample) for sample in samples]), np.concatenate(samples)
    fewest, drawn = min(strata.counts), min(map(len, resampled))
    again = np.concatenate([one[rng.permutation(len(one))[:drawn]] for one in resampled], axis=1)
    found = []
    for statistic in statistics:
        value, reach = float(statistic(scores[None], strata)[0][0]), np.inf
        if drawn > 1 and fewest >= FEWEST:
            freedom = _freedom(strata.counts, resampled)
            varied = statistic(again, _Strata([one.shape[1] for one in resampled]))[0]
            error = float(varied.std(ddof=1)) * np.sqrt(fewest / (fewest - 2))
            reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
        found.append(Interval(value, value - reach, value + reach))
    return found


def _freedom(counts: Sequence[int], resampled: Sequence[Floats]) -> float:
    """Returns the degrees of freedom of a mean over strata of so many seeds, of which each has two less of its own."""
    variances = [float(one.mean(axis=1).var(ddof=1)) for one in resampled]
    means = [Estimate(0.0, variance**0.5, n - 2.0, n) for variance, n in zip(variances, counts, strict=True)]
    return combine(means, [1.0] * len(means)).freedom if any(variances) else min(counts) - 2.0


def _percentile(seen: _Seen, confidence: float) -> Interval:
    if not len(seen.values):
        return Interval(seen.value, -np.inf, np.inf)
    low, high = np.quantile(seen.values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(seen.value, float(low), float(high))
