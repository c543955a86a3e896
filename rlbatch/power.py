"""What can a number of seeds tell? Differences that will be found, and margins within which equality can be shown.

Two arms of n runs each are compared by the mean of the area under the evaluation curve, with the same standard
deviation s over seeds. With t(p) the quantile of Student's t at 2n − 2 degrees of freedom:

    detectable difference   (t(1 − α/2) + t(power)) · s · √(2/n)          two-sided test at level α
    smallest margin         (t(1 − α) + t((1 + power)/2)) · s · √(2/n)    two one-sided tests at level α each,
                                                                          where the arms do not differ

Usual approximations of the noncentral t (Julious 2004, Statistics in Medicine 23:1921); a tenth too large at worst from
n = 3 on. s comes from `environments.yaml`, where it is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rlbatch.environments import listed

ALPHA = 0.05
POWER = 0.8


class Power(NamedTuple):
    """What a comparison of two arms in one environment can tell, as parts of the environment's reference range."""

    seeds: int
    difference: float
    margin: float


def power_of(env_id: str, seeds: int) -> Power | None:
    """Returns what arms of `seeds` runs each can tell, or None where the environment's deviation is not known.

    Args:
        env_id: gymnasium id.
        seeds: at least 2 for an answer.
    """
    facts = listed().get(env_id)
    if facts is None or facts.auc_sd is None or facts.reference is None or seeds < 2:
        return None
    deviation = facts.auc_sd / (facts.reference - facts.low)
    return Power(seeds, detectable_difference(deviation, seeds), smallest_margin(deviation, seeds))


def detectable_difference(deviation: float, seeds: int, comparisons: int = 1) -> float:
    """Returns the true difference that a two-sided t test finds with probability `POWER`, in the deviation's unit.

    Args:
        deviation: over seeds.
        seeds: of each arm.
        comparisons: among which the level is shared (Bonferroni).
    """
    return (
        (_quantile(1 - ALPHA / (2 * comparisons), seeds) + _quantile(POWER, seeds)) * deviation * math.sqrt(2 / seeds)
    )


def smallest_margin(deviation: float, seeds: int) -> float:
    """Returns the margin within which two equal arms are shown to be equivalent with probability `POWER`."""
    return (_quantile(1 - ALPHA, seeds) + _quantile((1 + POWER) / 2, seeds)) * deviation * math.sqrt(2 / seeds)


def seeds_needed(deviation: float, difference: float, comparisons: int = 1) -> int:
    """Returns the smallest number of runs per arm, at least 2, that find a true difference with probability `POWER`.

    Args:
        deviation: over seeds, in any unit.
        difference: above zero, in the same unit.
        comparisons: among which the level is shared.

    Raises:
        ValueError: the difference is not above zero.
    """
    if not difference > 0:
        raise ValueError(f"difference: {difference:g} is not above zero")
    return fewest_seeds(lambda seeds: detectable_difference(deviation, seeds, comparisons) <= difference, 2)


def fewest_seeds(enough: Callable[[int], bool], least: int) -> int:
    """Returns the smallest number of seeds, at least `least`, that is enough; any larger number is enough too."""
    few, many = least - 1, least
    while not enough(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def _quantile(probability: float, seeds: int) -> float:
    from scipy import special  # scipy.stats would take half a second to load

    return float(special.stdtrit(2 * seeds - 2, probability))
