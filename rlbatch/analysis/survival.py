"""What does it take a run to reach a mark, and does it? Kaplan-Meier, where some never do.

Amounts are env steps, updates, samples or seconds. A run that finished without reaching the mark took more than the
budget: it is *never*, and counts. A run that has not finished may still reach it: it is *censored* (Kaplan & Meier
1958, JASA 53:457), two evaluations before its last, since at those no crossing counts yet. Both are given by the amount
up to which they were seen; leaving either out would make a batch size look faster than it is.

Amounts are those of evaluations, so one is known up to the distance between two of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, sample_of, wilson, wilson_ends

_ROUNDING = 1e-9
"""By which a product of shares can miss a half."""


class Curve(NamedTuple):
    """The share of runs that have reached the mark by each of K amounts; arrays (K,).

    Attributes:
        amounts: increasing; those at which some run does, unless others were asked for.
        at_risk: runs that had not reached it just before, and were still seen.
        reached: share that has reached it by then.
        low: lower end of the pointwise interval of `reached`.
        high: upper end.
    """

    amounts: Floats
    at_risk: NDArray[np.int64]
    reached: Floats
    low: Floats
    high: Floats


class Reaching(NamedTuple):
    """Whether and when a budget suffices; what unfinished runs leave open is None.

    Attributes:
        probability: of reaching the mark within the budget, with Wilson's interval.
        restricted_mean: mean of the amounts to the mark, where those beyond the budget count as the budget.
        median: amount by which half of the runs have reached it, or None if fewer have by the last one seen.
    """

    probability: Interval | None
    restricted_mean: Interval | None
    median: float | None


def kaplan_meier(
    amounts: ArrayLike, reached: ArrayLike, *, at: ArrayLike | None = None, confidence: float = CONFIDENCE
) -> Curve:
    """Returns the share of runs that have reached the mark, over the amount spent.

    The intervals are Wilson's, with the number of trials that have the variance of Greenwood's formula (Rothman 1978,
    J. Chronic Dis. 31:557): without censoring, the number of runs.

    Args:
        amounts: (n,) spent by a run when it reached the mark, or else when it was last seen.
        reached: (n,) whether it did.
        at: amounts to tell it at, those at which runs reach it among them; by default these alone. Of amounts up to
            which no run was seen nothing is told, unless all have reached it.
        confidence: of the two-sided intervals.

    Raises:
        ValueError: there is no run, or the lengths differ.
    """
    ends, did = _runs(amounts, reached)
    times = np.unique(ends[did]) if at is None else np.unique(sample_of(at, "at"))
    times = times if did.all() else times[times <= ends.max()]
    at_risk = (ends >= times[:, None]).sum(axis=1)
    events = (ends[did] == times[:, None]).sum(axis=1)
    share = 1 - np.cumprod(1 - events / np.maximum(at_risk, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(events > 0, events / (at_risk * (at_risk - events)), 0.0))
        # how many uncensored runs would tell as much; at shares of 0 and 1, how many were seen to the end
        trials = np.where(
            (share > 0) & (share < 1), share / ((1 - share) * greenwood), np.cumsum(events) + at_risk - events
        )
    low, high = wilson_ends(share, trials, confidence)
    return Curve(times, at_risk, share, low, high)


def reaching(amounts: ArrayLike, reached: ArrayLike, budget: float, *, confidence: float = CONFIDENCE) -> Reaching:
    """Returns whether and when runs reach the mark within a budget.

    The variance of the restricted mean is that of Kaplan-Meier's area (Klein & Moeschberger 2003, Survival Analysis,
    4.5), times n/(n − 1); its interval is a t interval of n − 1 degrees of freedom. Without censoring both are those of
    the mean of min(amounts, budget). Where no run reaches the mark, those that may were seen by none: its lower end is
    what is left by Wilson's bound of the probability.

    Args:
        amounts: (n,) spent by a run when it reached the mark, or else when it was last seen.
        reached: (n,) whether it did.
        budget: amount, above zero.
        confidence: of the two-sided intervals.

    Raises:
        ValueError: there is no run, the lengths differ, or the budget is not above zero.
    """
    if not budget > 0:
        raise ValueError(f"budget: {budget:g} is not above zero")
    ends, did = _runs(amounts, reached)
    did = did & (ends <= budget)
    ends = np.minimum(ends, budget)
    curve = kaplan_meier(ends, did, confidence=confidence)
    half = np.flatnonzero(curve.reached >= 0.5 - _ROUNDING)
    median = float(curve.amounts[half[0]]) if len(half) else None
    if ends.max() < budget and not (len(half) and curve.reached[-1] == 1):
        return Reaching(None, None, median)
    if len(curve.amounts):
        probability = Interval(float(curve.reached[-1]), float(curve.low[-1]), float(curve.high[-1]))
    else:
        probability = wilson(0, int((ends == budget).sum()), confidence)
    mean = _restricted_mean(curve, budget, len(ends), probability.high, confidence)
    return Reaching(probability, mean, median)


def _runs(amounts: ArrayLike, reached: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    ends, did = sample_of(amounts, "amounts"), np.asarray(reached, dtype=np.bool_)
    if did.shape != ends.shape:
        raise ValueError(f"reached: {did.shape} does not match the {len(ends)} runs of amounts")
    return ends, did


def _restricted_mean(curve: Curve, budget: float, runs: int, most: float, confidence: float) -> Interval:
    """Returns the area under the share that has not reached the mark, from 0 to the budget.

    Args:
        curve: the share that has.
        budget: amount.
        runs: how many there are.
        most: largest probability of reaching the mark within the budget, as far as is known.
        confidence: of the two-sided interval.
    """
    edges = np.concatenate([[0.0], curve.amounts, [budget]])
    left = np.concatenate([[1.0], 1 - curve.reached])
    pieces = left * np.diff(edges)
    mean = float(pieces.sum())
    if runs < 2:
        return Interval(mean, 0.0, budget)
    if not len(curve.amounts):  # nobody has reached it, which does not say that nobody will, and soon
        return Interval(mean, (1 - most) * budget, budget)
    after = pieces[::-1].cumsum()[::-1][1:]  # area beyond each of the K amounts
    stay = left[1:] / left[:-1]
    hazards = 1 - stay
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(stay > 0, after**2 * hazards / (stay * curve.at_risk), 0.0)
    error = math.sqrt(float(terms.sum()) * runs / (runs - 1))
    reach = float(special.stdtrit(runs - 1, (1 + confidence) / 2)) * error
    return Interval(mean, max(0.0, mean - reach), min(budget, mean + reach))
