"""How sure is a mean, a weighted sum of means, or a share? Welch's and Wilson's intervals.

A sample holds one score per seed, in one unit throughout. What is compared here is a weighted sum of sample means: one
mean, a difference of two, the mean over environments, the slope over batch sizes. Samples are independent, and their
variances may differ: the squared standard errors add up, and Satterthwaite's degrees of freedom (Welch 1947, Biometrika
34:28; Satterthwaite 1946, Biometrics Bulletin 2:110) make the sum's t interval. For one mean it is Student's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SEED = 0
"""Of all resamples: the same folders give the same numbers, in every view."""
MIN_SEEDS = 5
"""With fewer seeds per arm no arm is called better than another."""
_ROUNDING = 1e-12
"""A sum that is smaller than this part of its terms is zero."""


class Interval(NamedTuple):
    """An estimate and its confidence interval, in the unit of the scores; its ends are infinite where nothing is known.

    Not a number is what cannot be estimated.
    """

    estimate: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A mean of independent scores, or a weighted sum of such means.

    Attributes:
        value: in the unit of the scores.
        error: its standard error; infinite where a sample has a single seed.
        freedom: degrees of freedom of the error.
        seeds: of the smallest sample.
    """

    value: float
    error: float
    freedom: float
    seeds: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Returns the two-sided t interval; one seed excludes nothing, equal scores have length 0."""
        half = float(special.stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def p_value(self) -> float:
        """Returns the probability of a sum at least as far from zero, where zero is the truth."""
        return min(1.0, 2 * self._tail(abs(self.value)))

    def p_above(self) -> float:
        """Returns the probability of a sum at least as high, where zero or less is the truth."""
        return self._tail(self.value)

    def _tail(self, value: float) -> float:
        if self.error == 0:
            return 0.0 if value > 0 else 1.0
        return float(special.stdtr(self.freedom, -value / self.error))


def sample_of(scores: ArrayLike, what: str = "scores") -> Floats:
    """Returns a sample as an array (n,), n at least 1.

    Raises:
        ValueError: it is empty, not one-dimensional, or holds what is not a finite number. A run that diverged counts
            with its environment's low score; one that is missing is left out by name, before it comes here.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{what}: a sample is a list of at least one score, not of shape {values.shape}")
    strange = int((~np.isfinite(values)).sum())
    if strange:
        raise ValueError(f"{what}: {strange} of {len(values)} are not finite numbers")
    return values


def samples_of(environments: Sequence[ArrayLike]) -> list[Floats]:
    """Returns one sample per environment.

    Raises:
        ValueError: there is none, or one is no sample.
    """
    if len(environments) == 0:
        raise ValueError("there is no environment")
    return [sample_of(scores, f"environment {i}") for i, scores in enumerate(environments)]


def mean_of(scores: ArrayLike) -> Estimate:
    """Returns the mean of one sample (n,)."""
    values = sample_of(scores)
    count = len(values)
    if count == 1:
        return Estimate(float(values[0]), math.inf, 1.0, 1)
    if values.min() == values.max():  # rounding would make a little variance of this
        return Estimate(float(values[0]), 0.0, count - 1.0, count)
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(count), count - 1.0, count)


def combine(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Returns the weighted sum of independent estimates; those of weight zero do not count."""
    terms = [(e, w) for e, w in zip(estimates, weights, strict=True) if w != 0]
    value = sum(w * e.value for e, w in terms)
    if abs(value) <= _ROUNDING * sum(abs(w * e.value) for e, w in terms):
        value = 0.0
    squares = [(w * e.error) ** 2 for e, w in terms]
    total, freedom = sum(squares), 1.0
    if 0 < total < math.inf:
        freedom = total**2 / sum(s**2 / e.freedom for s, (e, _) in zip(squares, terms, strict=True))
    return Estimate(
        value, math.sqrt(total), freedom, min(e.seeds for e, _ in terms or zip(estimates, weights, strict=True))
    )


def difference_of(scores: ArrayLike, others: ArrayLike) -> Estimate:
    """Returns the mean of one sample (n,) minus that of another (m,)."""
    return combine([mean_of(scores), mean_of(others)], [1, -1])


def mean_over(environments: Sequence[ArrayLike]) -> Estimate:
    """Returns the mean of the environments' means, each with the same weight.

    Args:
        environments: one sample per environment, on one scale.
    """
    means = [mean_of(scores) for scores in samples_of(environments)]
    return combine(means, [1 / len(means)] * len(means))


def equivalent(interval: Interval, margin: float) -> bool:
    """Tells whether a difference is shown to be smaller than the margin either way.

    Two one-sided tests at level alpha (Schuirmann 1987) reject both "at most −margin" and "at least +margin" exactly
    where the interval of confidence 1 − 2·alpha lies inside ±margin.
    """
    return -margin < interval.low and interval.high < margin


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """Returns a share and its score interval (Wilson 1927, JASA 22:209).

    Args:
        successes: from 0 to `trials`.
        trials: above 0; need not be whole, where it stands for the number of trials that would tell as much.
        confidence: of the two-sided interval.

    Raises:
        ValueError: there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes:g} successes in {trials:g} trials is no share")
    share = successes / trials
    low, high = wilson_ends(np.array(share), trials, confidence)
    return Interval(share, float(low), float(high))


def wilson_ends(shares: Floats, trials: float | Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Returns the ends of the score intervals of many shares, each of its own or all of the same number of trials."""
    z = float(special.ndtri((1 + confidence) / 2))
    centre = shares + z**2 / (2 * trials)
    half = z * np.sqrt(shares * (1 - shares) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z**2 / trials
    # rounding must not leave the share outside
    low = np.clip((centre - half) / scale, 0.0, shares)
    return low, np.clip((centre + half) / scale, shares, 1.0)
