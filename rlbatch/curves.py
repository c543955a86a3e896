"""How good, how stable and how fast is one learning curve? The definitions, used live by runs and by the analysis.

A curve is a matrix of evaluation episodes: `returns: (E, N)`, E evaluations of N episodes each, at `timesteps: (E,)`
env steps, the first one before training. Episode returns are undiscounted.

Evaluation noise must not look like instability. So drawdown is located on the odd episodes and measured on the even
ones, and the other way round; dispersion has the variance of the episodes subtracted, and is that of differences over a
twentieth of the budget, however often a run is evaluated. For a policy that never changes
drawdown and the square of dispersion are zero on average, so both can be negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEVER = "never"
LAST = 3
"""Evaluations whose mean is the final score."""
WINDOWS = 20
"""Parts of the budget between which differences of evaluations are taken, so that more evaluations tell the same."""
UNCONFIRMED = 2
"""Last evaluations of a curve at which no crossing counts: nothing confirms it."""


class Summary(NamedTuple):
    """The scores of a finished curve; None where the curve cannot tell."""

    return_mean: float
    auc: float | None
    best: float
    drawdown_max: float | None
    dispersion: float | None
    steps_to_threshold: float | str | None


def area(timesteps: Floats, means: Floats) -> float:
    """Returns the mean height of the curve, (1/T) ∫ y dt by the trapezoid rule over the T env steps it spans.

    Args:
        timesteps: (E,) increasing, in env steps.
        means: (E,) mean return of each evaluation.

    Returns:
        A return; with a single evaluation, that evaluation's mean.
    """
    span = timesteps[-1] - timesteps[0]
    return float(np.trapezoid(means, timesteps) / span) if span > 0 else float(means[-1])


def drawdown(returns: Floats) -> float | None:
    """Returns how far the last evaluation lies below the best so far, free of evaluation noise.

    The best evaluation is located on one half of the episodes, the fall to the last one measured on the other half,
    both ways, and averaged.

    Args:
        returns: (E, N) of every evaluation so far.

    Returns:
        A difference of returns, or None with fewer than two episodes per evaluation.
    """
    both = halves(returns)
    if both is None:
        return None
    falls = []
    for located, measured in (both, both[::-1]):
        peak = int(np.argmax(located))
        falls.append(measured[peak] - measured[-1])
    return float(np.mean(falls))


def max_drawdown(returns: Floats) -> float | None:
    """Returns the deepest fall from an evaluation to a later one, located and measured on different episodes.

    Args:
        returns: (E, N) of the whole curve.

    Returns:
        A difference of returns, or None with fewer than two episodes per evaluation.
    """
    both = halves(returns)
    if both is None:
        return None
    falls = []
    for located, measured in (both, both[::-1]):
        trough = int(np.argmax(np.maximum.accumulate(located) - located))
        peak = int(np.argmax(located[: trough + 1]))
        falls.append(measured[peak] - measured[trough])
    return float(np.mean(falls))


def windows(planned: int) -> NDArray[np.int64]:
    """Returns the indices of the evaluations, from first to last, that lie a twentieth of the budget apart.

    To the nearest evaluation; all of them where there are fewer than 20 intervals.

    Args:
        planned: evaluations over the whole budget, the one before training included.
    """
    last = planned - 1
    parts = min(WINDOWS, max(last, 1))
    return (2 * np.arange(parts + 1) * last + parts) // (2 * parts) if last else np.zeros(1, np.int64)


def dispersion(returns: Floats, planned: int | None = None) -> float | None:
    """Returns the standard deviation of the differences of evaluations a twentieth apart, episode noise subtracted.

    With d_t = m_{t+1} − m_t, the sample variance of d over its K values expects, from noise alone,
    (Σ(v_t + v_{t+1}) − (v_0 + v_K)/K) / (K − 1), where v_t is the variance of the mean m_t. That is subtracted; the
    root keeps the sign: from noise alone the square is zero on average. A steady rise is no dispersion.

    Args:
        returns: (E, N), of which those at `windows` are taken.
        planned: evaluations over the whole budget, of which these are the first; None for no more than these.

    Returns:
        In units of return, negative where noise explains more than all; None with fewer than two episodes per
        evaluation or fewer than three such evaluations.
    """
    taken = windows(planned or len(returns))
    returns = returns[taken[taken < len(returns)]]
    if returns.shape[0] < 3 or returns.shape[1] < 2:
        return None
    means = returns.mean(axis=1)
    noise = returns.var(axis=1, ddof=1) / returns.shape[1]
    count = len(means) - 1
    expected = ((noise[:-1] + noise[1:]).sum() - (noise[0] + noise[-1]) / count) / (count - 1)
    excess = float(np.diff(means).var(ddof=1) - expected)
    return math.copysign(math.sqrt(abs(excess)), excess)


def steps_to_threshold(timesteps: Floats, means: Floats, threshold: float) -> float | None:
    """Returns the env steps at which the isotonic fit of the curve first reaches a threshold.

    The fit pools what falls, so a lucky evaluation does not count. A crossing at one of the last two points does not
    count either: nothing confirms it.

    Args:
        timesteps: (E,).
        means: (E,).
        threshold: a return.

    Returns:
        Env steps of an evaluation, or None where the curve does not cross.
    """
    (index,) = crossings(means, [threshold])
    return None if index is None else float(timesteps[index])


def crossings(means: Floats, thresholds: Sequence[float]) -> list[int | None]:
    """Returns the index of the evaluation at which the isotonic fit first reaches each threshold, or None.

    Args:
        means: (E,).
        thresholds: returns, in any order.
    """
    if means.max() < min(thresholds, default=math.inf):
        return [None] * len(thresholds)  # a fit lies nowhere above what it fits

    from scipy.optimize import isotonic_regression  # takes a third of a second to load, and a driver never comes here

    fit = isotonic_regression(means).x
    found = [int(np.searchsorted(fit, threshold)) for threshold in thresholds]
    return [index if index < len(means) - UNCONFIRMED else None for index in found]


def summarise(timesteps: Floats, returns: Floats, threshold: float | None, *, planned: int, finished: bool) -> Summary:
    """Returns the scores of a run's whole curve.

    Args:
        timesteps: (E,) in env steps.
        returns: (E, N).
        threshold: the environment's, or None.
        planned: evaluations over the whole budget.
        finished: whether the run reached its budget; an unfinished curve has no area, and never "never" crosses.

    Returns:
        The scores, with `steps_to_threshold` a number, "never", or None (no threshold, or unfinished and not crossed).
    """
    means = returns.mean(axis=1)
    crossing: float | str | None = None
    if threshold is not None:
        crossing = steps_to_threshold(timesteps, means, threshold)
        if crossing is None and finished:
            crossing = NEVER
    return Summary(
        return_mean=float(means[-1]),
        auc=area(timesteps, means) if finished else None,
        best=float(means.max()),
        drawdown_max=max_drawdown(returns),
        dispersion=dispersion(returns, planned),
        steps_to_threshold=crossing,
    )


def halves(returns: Floats) -> tuple[Floats, Floats] | None:
    """Returns the means (E,) of the odd episodes (first, third, ...) and of the even ones, or None with one episode."""
    if returns.shape[1] < 2:
        return None
    return returns[:, 0::2].mean(axis=1), returns[:, 1::2].mean(axis=1)
