"""How probable is it that a run of one arm scores higher than a run of another?

The probability of improvement of rliable (Agarwal et al. 2021, arXiv 2108.13264): the statistic of Mann & Whitney
(1947) over the number of pairs, averaged over environments. It says how often, not by how much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, samples_of


def probability_of_improvement(
    environments: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    *,
    effective_sizes: tuple[Sequence[float], Sequence[float]] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Returns the probability that a run of one arm scores higher than a run of another, averaged over environments.

    A tie counts half. The interval is Newcombe's score interval (2006, Stat. Med. 25:559, method
    5), which has some length also where every run beats every other; over environments, of the mean of the shares.
    Its variance supposes that both arms scatter alike. Where the placements of their runs (DeLong et al. 1988,
    Biometrics 44:837) show a larger one, the variance is multiplied by as much.

    Args:
        environments: one sample (n,) per environment.
        others: one sample (m,) per environment, in the same order.
        effective_sizes: of how many independent scores each of these samples tells as much; by default its own number.
        confidence: of the two-sided interval.

    Raises:
        ValueError: the arms have not the same number of environments, or a sample is none.
    """
    if len(environments) != len(others):
        raise ValueError(f"{len(environments)} environments against {len(others)}: an arm is compared in the same ones")
    pairs = list(zip(samples_of(environments), samples_of(others), strict=True))
    shares = np.array([(np.sign(x[:, None] - y).mean() + 1) / 2 for x, y in pairs])
    sizes = np.array(
        [[len(x) for x, _ in pairs], [len(y) for _, y in pairs]] if effective_sizes is None else effective_sizes,
        np.float64,
    )
    wider = np.array([_uneven(x, y, share) for (x, y), share in zip(pairs, shares, strict=True)])
    return Interval(float(shares.mean()), *_mann_whitney_ends(shares, sizes.T, wider, confidence))


def _uneven(x: Floats, y: Floats, share: float) -> float:
    """Returns by how much the variance of a share by placements is larger than that of exponential scores; 1 at least.

    Args:
        x: (n,) scores of one arm.
        y: (m,) of the other.
        share: of the pairs in which that of x is higher.
    """
    if min(len(x), len(y)) < 2 or not 0 < share < 1:
        return 1.0
    wins = (np.sign(x[:, None] - y) + 1) / 2
    placed = wins.mean(axis=1).var(ddof=1) / len(x) + wins.mean(axis=0).var(ddof=1) / len(y)
    return max(1.0, float(placed / _variance(np.array(share), np.array([len(x), len(y)], np.float64))))


def _variance(share: Floats, sizes: Floats) -> Floats:
    """Returns the variance (...) of shares (...) among sizes (..., 2), of exponential scores (Hanley & McNeil 1982).

    With (n + m)/2 − 1 for both n − 1 and m − 1.
    """
    star = np.maximum(sizes.mean(axis=-1) - 1, 0.0)
    spread = 1 + star * ((1 - share) / (2 - share) + share / (1 + share))
    return np.asarray(share * (1 - share) * spread / sizes.prod(axis=-1))


def _mann_whitney_ends(shares: Floats, sizes: Floats, wider: Floats, confidence: float) -> tuple[float, float]:
    """Returns the means of the true shares that lie z of their mean's standard error below and above the observed one.

    The true shares lie by the same distance from the observed ones, where 0 and 1 allow it.

    Args:
        shares: (M,) observed.
        sizes: (M, 2) n and m.
        wider: (M,) what the variance of each is multiplied by.
        confidence: of the two-sided interval.
    """
    z = float(special.ndtri((1 + confidence) / 2))

    def end(outer: float) -> float:
        inner = 0.0
        for _ in range(30):
            shift = (inner + outer) / 2
            theta = np.clip(shares + shift, 0.0, 1.0)
            error = np.sqrt((_variance(theta, sizes) * wider).sum()) / len(shares)
            inner, outer = (shift, outer) if abs((theta - shares).mean()) <= z * error else (inner, shift)
        return float(np.clip(shares + inner, 0.0, 1.0).mean())

    return end(-1.0), end(1.0)
