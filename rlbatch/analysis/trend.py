"""Does the score rise or fall with the batch size, and is there a hump? Slopes per doubling of the batch.

The slope is that of the straight line through the arms' mean scores over log2 of the batch size, every arm with the
same weight; the arms' variances may differ. It is a weighted sum of means, so its interval is that of `intervals.py`.

Over environments there are two questions. The mean slope of *these* environments is a weighted sum of means again. The
mean slope of environments *like these* takes each environment's slope as one draw: Student's t over the M slopes with
M − 1 degrees of freedom, which holds its level whatever the slopes' own errors, equal or not (Ibragimov & Müller 2010,
J. Bus. Econ. Stat. 28:453, for two-sided levels up to 8.3 %); weights from estimated errors would not, and an
environment where every run reaches the top would take all the weight.

A hump is a rise, then a fall. A parabola is no test of it: a score that rises and levels off bends too. So lines are
tested on both sides of a batch size (Simonsohn 2018, AMPPS 1:538): the slope up to it above zero *and* the slope from
it on below zero, each one-sided. The batch is not known before, so every one between the ends is tried, and the
smallest p-value is multiplied by their number (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.intervals import Estimate, combine, mean_of


class Hump(NamedTuple):
    """The batch size with the clearest rise before and fall after it.

    Attributes:
        batch_size: the turning point.
        rise: slope up to it, per doubling.
        fall: slope from it on, per doubling.
        p_value: of the test that there is no hump at any batch size.
    """

    batch_size: int
    rise: Estimate
    fall: Estimate
    p_value: float


class Pooled(NamedTuple):
    """The slopes of several environments together.

    Attributes:
        these: their mean, for these environments.
        alike: their mean, for environments like these; its error is infinite with a single environment.
        deviation: of the true slopes between environments, estimated: what the slopes' own errors do not explain.
    """

    these: Estimate
    alike: Estimate
    deviation: float


def slope(arms: Mapping[int, Estimate]) -> Estimate:
    """Returns the change of the mean score per doubling of the batch size.

    Args:
        arms: batch size -> mean score of its arm; at least two batch sizes.

    Raises:
        ValueError: there are fewer than two batch sizes, or one is not above zero.
    """
    return combine(list(arms.values()), weights(list(arms)))


def weights(batch_sizes: Sequence[int]) -> list[float]:
    """Returns what the mean at each batch size weighs in the slope per doubling.

    Raises:
        ValueError: like `slope`.
    """
    if len(batch_sizes) < 2 or min(batch_sizes) <= 0:
        told = ", ".join(f"{size:g}" for size in batch_sizes) or "none"
        raise ValueError(f"a slope needs two batch sizes above zero, not {told}")
    doublings = np.log2(np.array(batch_sizes, dtype=np.float64))
    distance = doublings - doublings.mean()
    found: list[float] = (distance / (distance**2).sum()).tolist()
    return found


def hump(arms: Mapping[int, Estimate]) -> Hump | None:
    """Returns the clearest hump, or None with fewer than three batch sizes.

    Args:
        arms: batch size -> mean score of its arm.
    """
    ordered = sorted(arms)
    if len(ordered) < 3:
        return None
    tried = []
    for turn in ordered[1:-1]:
        rise = slope({batch: arms[batch] for batch in ordered if batch <= turn})
        fall = slope({batch: arms[batch] for batch in ordered if batch >= turn})
        both = max(rise.p_above(), combine([fall], [-1]).p_above())
        tried.append(Hump(turn, rise, fall, min(1.0, both * (len(ordered) - 2))))
    return min(tried, key=lambda found: found.p_value)


def pool(slopes: Sequence[Estimate]) -> Pooled:
    """Returns the slopes of several environments together, each with the same weight.

    Args:
        slopes: one per environment, of scores on one scale.

    Raises:
        ValueError: there is none.
    """
    if not slopes:
        raise ValueError("there are no slopes to pool")
    count = len(slopes)
    these = combine(slopes, [1 / count] * count)
    values = np.array([found.value for found in slopes])
    alike = mean_of(values)._replace(seeds=these.seeds)
    own = sum(found.error**2 for found in slopes) / count
    excess = float(values.var(ddof=1)) - own if count > 1 else 0.0
    return Pooled(these, alike, math.sqrt(max(0.0, excess)))
