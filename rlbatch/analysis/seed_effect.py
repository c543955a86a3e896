"""Do runs of one seed have luck in common? How far scores of the same seed go together between batch sizes.

Runs of one seed share their initial weights, exploration and evaluation episodes. All comparisons here treat batch
sizes as independent samples. Where scores of one seed rise and fall together, the true error of a difference is smaller
than the one that is told, and the comparison is on the safe side; where they go against each other it is larger.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

FEWEST = 5
"""Seeds that two arms have to share for a correlation to say something."""


def seed_correlation(arms: Sequence[Mapping[int, float]]) -> float | None:
    """Returns the mean over all pairs of arms of Pearson's correlation of their scores over the seeds they share.

    Args:
        arms: seed -> score.

    Returns:
        None where no pair shares `FEWEST` seeds with scores that vary.
    """
    found = []
    for one, other in itertools.combinations(arms, 2):
        shared = sorted(one.keys() & other.keys())
        pair = np.array([[one[seed] for seed in shared], [other[seed] for seed in shared]])
        if len(shared) >= FEWEST and (np.ptp(pair, axis=1) > 0).all():
            found.append(float(np.corrcoef(pair)[0, 1]))
    return float(np.mean(found)) if found else None
