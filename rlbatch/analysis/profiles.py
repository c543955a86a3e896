"""Which share of the runs scores above each threshold?

The performance profile of rliable (Agarwal et al. 2021, arXiv 2108.13264): one minus the distribution function of the
scores, averaged over environments. Profiles that do not cross order two arms whatever the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlbatch.analysis.intervals import CONFIDENCE, Floats, sample_of, samples_of, wilson_ends


class Profile(NamedTuple):
    """The share of runs above each threshold, with pointwise intervals; all arrays are (K,)."""

    thresholds: Floats
    share: Floats
    low: Floats
    high: Floats


def performance_profile(
    environments: Sequence[ArrayLike],
    thresholds: ArrayLike,
    *,
    effective_sizes: Sequence[float] | None = None,
    confidence: float = CONFIDENCE,
) -> Profile:
    """Returns the share of runs whose score exceeds each threshold, averaged over environments.

    The intervals are pointwise: Wilson's of each environment, joined by their distances from the shares (Zou & Donner
    2008, Stat. Med. 27:1693).

    Args:
        environments: one sample (n,) per environment.
        thresholds: (K,) scores.
        effective_sizes: of how many independent scores each sample tells as much; by default its own number.
        confidence: of the two-sided interval at each threshold.
    """
    samples, points = samples_of(environments), sample_of(thresholds, "thresholds")
    shares = np.stack([(sample > points[:, None]).mean(axis=1) for sample in samples])
    trials = [len(sample) for sample in samples] if effective_sizes is None else effective_sizes
    ends = [wilson_ends(share, count, confidence) for share, count in zip(shares, trials, strict=True)]
    low, high = _joined(shares, *np.array(ends).transpose(1, 0, 2))
    return Profile(points, shares.mean(axis=0), low, high)


def _joined(shares: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Returns the ends for the mean over environments (axis 0) from those of each environment."""
    M, centre = len(shares), shares.mean(axis=0)
    return (
        centre - np.sqrt(((shares - low) ** 2).sum(axis=0)) / M,
        centre + np.sqrt(((high - shares) ** 2).sum(axis=0)) / M,
    )
