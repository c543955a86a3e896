"""How many seeds would decide? For a difference between two arms, and for a verdict on all of them.

Seed numbers follow from the standard deviations that the scores have so far, which a few seeds know badly: with 10
seeds of normal scores the variance, and the number of seeds with it, may be half or three times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from rlbatch.analysis.best import critical_values
from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, Estimate
from rlbatch.power import POWER, fewest_seeds, seeds_needed


def seeds_to_find(mean: Estimate, other: Estimate, difference: float, comparisons: int = 1) -> int | None:
    """Returns how many seeds each of two arms needs for a difference to be found with probability `POWER`.

    The arms get the same number of seeds, so what counts is the mean of their variances.

    Args:
        mean: of one arm.
        other: of the other.
        difference: true difference of the means to find, in the unit of the scores.
        comparisons: that are corrected for; as Bonferroni does, which asks for no fewer seeds than Holm.

    Returns:
        Seeds of each arm, at least `MIN_SEEDS`, or None where an arm has a single one, and so no deviation.
    """
    deviation = deviation_of([mean, other])
    return None if deviation is None else max(MIN_SEEDS, seeds_needed(deviation, difference, comparisons))


def deviation_of(means: Sequence[Estimate]) -> float | None:
    """Returns the deviation of one seed that the errors of means stand for, as a root mean square; None if unknown.

    For a mean of independent scores it is their standard deviation. Where a rate was chosen it is larger, and what is
    concluded from it on the safe side: the error of choosing wrong shrinks faster than 1/√n.

    Args:
        means: of the arms, at least one.
    """
    squares = [mean.error**2 * mean.seeds for mean in means]
    return math.sqrt(sum(squares) / len(squares)) if all(map(math.isfinite, squares)) else None


def seeds_to_decide(
    deviation: float, arms: int, delta: float, *, power: float | None = POWER, confidence: float = CONFIDENCE
) -> int:
    """Returns the seeds per arm with which an arm as good as all others is shown to be equivalent to the best.

    The arm's lower bound lies above −delta where the highest of the other means is no further above its own than delta
    less the length of the bound; how far that mean is above has the distribution from which the bound is taken.

    Args:
        deviation: over seeds, the same in all arms, in the unit of delta.
        arms: at least 2.
        delta: the largest difference that does not matter, above 0.
        power: probability of the verdict, above 0.5; None asks for the fewest seeds with which it is possible at all
            where all means come out the same.
        confidence: of all bounds together.

    Raises:
        ValueError: there are fewer than two arms, or delta is not above zero.
    """
    if arms < 2 or not delta > 0:
        raise ValueError(f"seeds are counted for two arms or more and a delta above 0, not {arms} and {delta}")
    levels = [confidence] if power is None else [confidence, power]
    equal = np.full((1, arms - 1), math.sqrt(0.5))
    tails = [float(special.ndtr(critical_values(equal, level)[0])) for level in levels]

    def lengths(seeds: int) -> float:
        return sum(float(special.stdtrit(2 * seeds - 2, tail)) for tail in tails) * deviation * math.sqrt(2 / seeds)

    return fewest_seeds(lambda seeds: lengths(seeds) <= delta, MIN_SEEDS)
