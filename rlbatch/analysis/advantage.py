"""How much better is the batch size that the scores choose than the reference, without the luck of having been chosen?

The highest of several means is too high. So the batch size is chosen on one half of each arm's seeds and compared with
the reference on the other half, over many random halves. What is estimated is the advantage of a batch size that was
chosen with half of the seeds.

The differences of the splits are of the same seeds over and over, so their mean is less sure than their number says:
the variance is that of one split times 1/J + n₂/n₁, for J splits into n₁ seeds that choose and n₂ that score (the
corrected resampled t test of Nadeau & Bengio 2003, Machine Learning 52:239). The degrees of freedom are not those of
the splits either: they are one less than the seeds of the smallest arm. Where each batch size has its own best learning
rate, that is chosen once for all splits; so the variance is multiplied by how much less the scores tell than
independent ones would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, Floats, Interval

SPLITS = 200


def cross_fitted(
    samples: Mapping[int, Floats],
    reference: int,
    seed: int,
    *,
    worth: Mapping[int, float] | None = None,
    splits: int = SPLITS,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Returns the advantage over the reference of the batch size that half of the seeds choose.

    Args:
        samples: batch size -> scores (n,), higher is better.
        reference: one of the batch sizes.
        seed: of the splits.
        worth: batch size -> of how many independent scores its own tell as much; by default their number.
        splits: how many.
        confidence: of the two-sided interval.

    Returns:
        The interval, or None where an arm has fewer than `MIN_SEEDS` seeds or there is no other arm.
    """
    seeds = min(map(len, samples.values()))
    if len(samples) < 2 or seeds < MIN_SEEDS:
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
    uneven = max((len(scores) - len(scores) // 2) / (len(scores) // 2) for scores in samples.values())
    longer = max(len(scores) / (worth or {}).get(batch, len(scores)) for batch, scores in samples.items())
    error = math.sqrt(float(differences.var(ddof=1)) * (1 / splits + uneven) * longer)
    half_width = float(special.stdtrit(min(splits, seeds) - 1, (1 + confidence) / 2)) * error
    return Interval(mean, mean - half_width, mean + half_width)
