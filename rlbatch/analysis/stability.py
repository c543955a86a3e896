"""How steady is a run, and how alike are the runs of an arm? Measures from which evaluation noise is taken out.

Within a run the evaluation to look at is located on one half of the episodes and measured on the other, both ways, as
in `curves`. Two evaluations of a policy that never changes are exchangeable on the half that measures; so every measure
here compares two of them, one way minus the other, and is zero on average for such a policy. That is why they can be
slightly negative, and retention slightly above 1.

Differences of evaluations span a twentieth of the budget (`curves.windows`). Tails are the worst quarter: of 20
evaluations or 10 runs, less would be one number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rlbatch import curves

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TAIL = 0.25
"""Part of the evaluations, or of the runs, that is the tail."""
MARGIN = 0.1
"""Part of the reference range by which an evaluation has to lie below the best so far."""
LEARNED = 0.25
"""Part of the reference range that a run has to have reached above low before it can collapse."""


def stability_of(
    returns: Floats,
    span: float | None,
    threshold: float | None,
    diverged: Bools | None = None,
    made: NDArray[np.int64] | None = None,
) -> dict[str, Floats]:
    """Returns metric -> (R,) of each run, NaN where a curve cannot tell.

    In units of return: "drawdown_max" (see `curves.max_drawdown`), "drawdown_tail", "fall_tail" and "dispersion" (see
    `curves.dispersion`). Shares: "below_best" and "retention".

    A diverged run lies at the floor, where nothing falls any more: it counts as having fallen by the whole range at
    least, as being below its best throughout, and as having kept nothing, so that to diverge never makes it steadier.

    Args:
        returns: (R, T, N) over the whole budget.
        span: length of the reference range, in units of return, or None.
        threshold: the mark after which retention is measured, or None.
        diverged: (R,) which runs did; none by default.
        made: (R,) evaluations of each before it diverged; all T by default. Among them it reached the mark, or did not.
    """
    own = returns if made is None else [run[: max(count, 1)] for run, count in zip(returns, made, strict=True)]
    thinned = returns[:, curves.windows(returns.shape[1])]
    found = {
        "drawdown_max": _numbers(curves.max_drawdown(run) for run in returns),
        "drawdown_tail": _numbers(drawdown_tail(run) for run in returns),
        "fall_tail": _numbers(fall_tail(run) for run in thinned),
        "dispersion": _numbers(curves.dispersion(run) for run in returns),
        "below_best": _numbers(None if span is None else below_best(run, MARGIN * span) for run in returns),
        "retention": _numbers(None if threshold is None else retention(run, threshold) for run in own),
    }
    if diverged is not None and span is not None:
        for name in ("drawdown_max", "drawdown_tail", "fall_tail", "dispersion"):
            found[name][diverged] = np.fmax(found[name][diverged], span)
        found["below_best"][diverged] = 1.0
    if diverged is not None:
        found["retention"][diverged] = np.where(np.isnan(found["retention"][diverged]), np.nan, 0.0)
    return found


def drawdown_tail(returns: Floats) -> float | None:
    """Returns the mean over the worst quarter of the evaluations of how far each lies below the best so far.

    Chan et al. 2020 (arXiv 1912.05663) call it long-term risk; their code averages the mildest drawdowns instead.

    Args:
        returns: (T, N) of one run.
    """
    both = curves.halves(returns)
    if both is None:
        return None
    tails = []
    for located, measured in (both, both[::-1]):
        best = _best_so_far(located)
        worst = _tail(located[best] - located)
        tails.append((measured[best] - measured)[worst].mean())
    return float(np.mean(tails))


def fall_tail(returns: Floats) -> float | None:
    """Returns the mean fall to the next evaluation, over the worst quarter of the steps; negative where even they rise.

    Short-term risk in Chan et al. 2020, with the sign turned.

    Args:
        returns: (T, N) of one run.
    """
    both = curves.halves(returns)
    if both is None or len(returns) < 2:
        return None
    tails = [-np.diff(measured)[_tail(-np.diff(located))].mean() for located, measured in (both, both[::-1])]
    return float(np.mean(tails))


def below_best(returns: Floats, margin: float) -> float | None:
    """Returns the share of evaluations that lie below the best so far by more than a margin, minus those above it.

    Args:
        returns: (T, N) of one run.
        margin: in units of return.
    """
    both = curves.halves(returns)
    if both is None:
        return None
    shares = []
    for located, measured in (both, both[::-1]):
        below = measured[_best_so_far(located)] - measured
        shares.append((below > margin).mean() - (below < -margin).mean())
    return float(np.mean(shares))


def retention(returns: Floats, threshold: float) -> float | None:
    """Returns which share of the evaluations after a threshold was reached still reaches it; None where none did.

    Each later evaluation is compared with the best since the crossing: lost is the share that reaches the threshold
    there, minus the share that reaches it now.

    Args:
        returns: (T, N) of one run.
        threshold: a return.
    """
    both = curves.halves(returns)
    if both is None:
        return None
    kept = []
    for located, measured in (both, both[::-1]):
        (start,) = curves.crossings(located, [threshold])
        if start is not None:
            best = start + _best_so_far(located[start:])[:-1]
            reaches = measured >= threshold
            kept.append(1 - reaches[best].mean() + reaches[start + 1 :].mean())
    return float(np.mean(kept)) if kept else None


def collapsed(returns: Floats, low: float, span: float) -> Bools:
    """Returns (R,) whether each run learned a quarter of the range and ended at less than half of what it had learned.

    What it had learned before the end is located on one half of the episodes and measured on the other; the end is the
    mean of the last three evaluations. A run of no more evaluations than those cannot have collapsed.

    Args:
        returns: (R, T, N) over the whole budget.
        low: where the score scale begins.
        span: its length, in units of return.
    """
    final = returns.mean(axis=2)[:, -curves.LAST :].mean(axis=1) - low
    if returns.shape[1] <= curves.LAST:
        return np.zeros(len(returns), dtype=np.bool_)
    learned = []
    for run in returns[:, : -curves.LAST]:
        both = curves.halves(run) or (run[:, 0], run[:, 0])
        learned.append(np.mean([b[np.argmax(a)] for a, b in (both, both[::-1])]) - low)
    reached: Floats = np.array(learned)
    return np.asarray((reached >= LEARNED * span) & (final < reached / 2))


def iqr(values: Floats) -> float:
    """Returns the distance of the quartiles of the values of an arm's runs (R,)."""
    upper, lower = np.percentile(values, [75, 25])
    return float(upper - lower)


def worst_quarter(scores: Floats) -> float:
    """Returns the mean of the lowest quarter of the scores (R,); where R / 4 is not whole, one run counts in part.

    Fewer than four runs have their worst one as their worst quarter.
    """
    weights = np.clip(max(TAIL * len(scores), 1) - np.arange(len(scores)), 0, 1)
    return float(np.average(np.sort(scores), weights=weights))


def _best_so_far(means: Floats) -> NDArray[np.int64]:
    """Returns (E,) the index of the highest evaluation up to each one, the first of equals."""
    new = means > np.concatenate(([-np.inf], np.maximum.accumulate(means)[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(means)), 0))


def _tail(values: Floats) -> NDArray[np.int64]:
    """Returns the indices of the largest quarter of the values, at least one."""
    return np.argsort(values, kind="stable")[-math.ceil(TAIL * len(values)) :]


def _numbers(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
