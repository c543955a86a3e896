"""How much better is the batch size that the scores choose than the reference, without the luck of having been chosen?

The highest of several means is too high. So the batch size is chosen on one half of each arm's seeds and compared with
the reference on the other half, over many random halves. What is estimated is the advantage of a batch size that was
chosen with half of the seeds. Where each batch size has its own best learning rate, the half that chooses chooses that
too, for the reference as well: scores at rates that were chosen before, on seeds of both halves, would tell the half
that chooses something of the other.

Its error is the larger of two, because each misses what the other sees:

- How far the splits lie apart. They are of the same seeds over and over, so the variance is that of one split times
  1/J + n₂/n₁, for J splits into n₁ seeds that choose and n₂ that score (the corrected resampled t test of Nadeau &
  Bengio 2003, Machine Learning 52:239). Where one arm stands out nearly all splits choose it, and then nothing here
  tells that other seeds would have chosen another.
- How far one seed moves the mean of all splits (the jackknife: Efron & Stein 1981, Annals of Statistics 9:586). Where
  arms are alike this is right on average, but varies much.

`results/statistics` has the coverage. The degrees of freedom are one less than the seeds of the smallest arm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, Estimate, Floats, Interval

SPLITS = 200


class _Halves(NamedTuple):
    """The seeds of a batch size in every split.

    Attributes:
        scores: (n, R) at each of R learning rates.
        chooses: (J, n) whether a seed is of the half that chooses; the others are scored.
    """

    scores: Floats
    chooses: NDArray[np.bool_]

    @property
    def choosing(self) -> int:
        """Seeds of a half that chooses."""
        return len(self.scores) // 2

    @property
    def scored(self) -> int:
        """Seeds of a half that is scored."""
        return len(self.scores) - self.choosing

    def means(self) -> tuple[Floats, Floats]:
        """Returns (J,) the mean of the half that chooses, and of the other, at the rate that the first chooses."""
        return _at_best(*self._by_rate())

    def means_without(self) -> tuple[Floats, Floats]:
        """Returns (J, n) the same two means where one seed after the other is left out of its half."""
        without = []
        for mean, member, count in zip(
            self._by_rate(), (self.chooses, ~self.chooses), (self.choosing, self.scored), strict=True
        ):
            left = (mean[:, None] * count - self.scores) / (count - 1)
            without.append(np.where(member[:, :, None], left, mean[:, None]))
        return _at_best(without[0], without[1])

    def _by_rate(self) -> tuple[Floats, Floats]:
        """Returns (J, R) the means of both halves."""
        return self.chooses @ self.scores / self.choosing, ~self.chooses @ self.scores / self.scored


def cross_fitted(
    samples: Mapping[int, Floats],
    reference: int,
    seed: int,
    *,
    splits: int = SPLITS,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Returns the advantage over the reference of the batch size that half of the seeds choose.

    Args:
        samples: batch size -> scores (n,), or (n, R) by seed and learning rate; higher is better.
        reference: one of the batch sizes; of equal ones it is chosen.
        seed: of the splits.
        splits: how many, J.
        confidence: of the two-sided interval.

    Returns:
        The interval, or None where an arm has fewer than `MIN_SEEDS` seeds or there is no other arm.
    """
    seeds = min(map(len, samples.values()))
    if len(samples) < 2 or seeds < MIN_SEEDS:
        return None
    rng = np.random.default_rng(seed)
    order = [reference, *(batch for batch in sorted(samples) if batch != reference)]
    given = {batch: samples[batch].reshape(len(samples[batch]), -1) for batch in order}
    arms = [_Halves(scores, _halve(len(scores), splits, rng)) for scores in given.values()]
    choosing, scored = (np.stack(means) for means in zip(*(arm.means() for arm in arms), strict=True))
    differences = _of_the_chosen(choosing, scored) - scored[0]
    uneven = max(arm.scored / arm.choosing for arm in arms)
    apart = float(differences.var(ddof=1)) * (1 / splits + uneven)
    error = math.sqrt(max(apart, _jackknife(arms, choosing, scored)))
    return Estimate(float(differences.mean()), error, min(splits, seeds) - 1, seeds).interval(confidence)


def _halve(n: int, splits: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Returns (J, n) whether a seed chooses: half of the seeds of each split, rounded down."""
    return np.asarray(rng.random((splits, n)).argsort(axis=1).argsort(axis=1) < n // 2)


def _of_the_chosen(choosing: Floats, scored: Floats) -> Floats:
    """Returns (J,) the score of the arm that each split chooses, the first of several; both are (arms, J)."""
    return np.asarray(scored[choosing.argmax(axis=0), np.arange(choosing.shape[1])])


def _at_best(choosing: Floats, scored: Floats) -> tuple[Floats, Floats]:
    """Returns (...) both means at the rate with the highest choosing mean, the first of several; both are (..., R)."""
    best = choosing.argmax(axis=-1)[..., None]
    return np.take_along_axis(choosing, best, axis=-1)[..., 0], np.take_along_axis(scored, best, axis=-1)[..., 0]


def _jackknife(arms: Sequence[_Halves], choosing: Floats, scored: Floats) -> float:
    """Returns the variance of the mean of all splits, from what it becomes without one seed of one arm.

    Args:
        arms: the seeds of each arm, the reference first.
        choosing: (arms, J) mean of the half that chooses.
        scored: (arms, J) mean of the other.
    """
    variance = 0.0
    for own, arm in enumerate(arms):
        own_choosing, own_scored = arm.means_without()
        others = [other for other in range(len(arms)) if other != own]
        rival = choosing[others].max(axis=0)[:, None]
        wins = own_choosing >= rival if own == 0 else own_choosing > rival
        chosen = np.where(wins, own_scored, _of_the_chosen(choosing[others], scored[others])[:, None])
        advantage = chosen - (own_scored if own == 0 else scored[0][:, None])
        n = len(arm.scores)
        variance += (n - 1) * float(advantage.mean(axis=0).var())
    return variance
