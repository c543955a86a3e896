"""How much better is the batch size that the scores choose than the reference, without the luck of having been chosen?

The highest of several means is too high. So the batch size is chosen on one half of each arm's seeds and compared with
the reference on the other half, over many random halves. What is estimated is the advantage of a batch size that was
chosen with half of the seeds.

The differences of the splits are of the same seeds over and over, so their mean is less sure than their number says:
the variance is that of one split times 1/J + 1, for J splits whose halves have the same size (the corrected resampled t
test of Nadeau & Bengio 2003, Machine Learning 52:239).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval

SPLITS = 200


def cross_fitted(
    samples: Mapping[int, Floats], reference: int, seed: int, *, splits: int = SPLITS, confidence: float = CONFIDENCE
) -> Interval | None:
    """Returns the advantage over the reference of the batch size that half of the seeds choose.

    Args:
        samples: batch size -> scores (n,), higher is better.
        reference: one of the batch sizes.
        seed: of the splits.
        splits: how many.
        confidence: of the two-sided interval.

    Returns:
        The interval, or None where an arm has fewer than two seeds or there is no other arm.
    """
    if len(samples) < 2 or min(map(len, samples.values())) < 2:
        return None
    rng = np.random.default_rng(seed)
    differences = np.empty(splits)
    for split in range(splits):
        chosen, scored = {}, {}
        for batch, scores in samples.items():
            order = rng.permutation(len(scores))
            half = len(scores) // 2
            chosen[batch], scored[batch] = scores[order[:half]].mean(), scores[order[half:]].mean()
        best = max(sorted(chosen), key=lambda batch: chosen[batch])
        differences[split] = scored[best] - scored[reference]
    mean = float(differences.mean())
    error = math.sqrt(float(differences.var(ddof=1)) * (1 / splits + 1))
    half_width = float(special.stdtrit(splits - 1, (1 + confidence) / 2)) * error
    return Interval(mean, mean - half_width, mean + half_width)
