"""How many seeds of a batch size failed, and how many may fail? Counted over the runs that its scores are taken from.

A run failed that diverged, or that collapsed: see `stability.collapsed`. That no seed of n failed does not say that
none will: of an arm whose seeds fail with probability p, none of n fails with probability (1 − p)^n, and then its
scores, the interval of their mean and every verdict on it know nothing of failures. With a fifth failing that is a
third of the experiments with 5 seeds, a tenth of those with 10, a hundredth of those with 20. No rule on the scores can
tell: one that doubted every arm without a failure would call none "equivalent" under 25 seeds, where a failure costs
0.75 and delta is 0.1. So verdicts stay as they are, and beside them stands this share: its upper end, times what a
failure costs, is what n seeds may not have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlbatch.analysis import stability
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.intervals import Interval, wilson
from rlbatch.analysis.same_runs import same_runs
from rlbatch.analysis.stability import Bools
from rlbatch.analysis.ways import Cells, Way


class Failures(NamedTuple):
    """The failed seeds of one batch size.

    Attributes:
        failed: seeds that diverged or collapsed; of a seed with several runs the share of them.
        seeds: all of them; over environments, runs.
        share: one over the other, with Wilson's interval.
    """

    failed: float
    seeds: int
    share: Interval


def failures_of(way: Way, cells: Cells) -> dict[int, Failures]:
    """Returns batch size -> the failures among the runs that a way compares.

    Where each batch size has its own best rate these are the runs at the rates that were chosen. Of a seed that has
    several runs, each counts as much as it does in the seed's score.

    Args:
        way: from `ways_of`.
        cells: the arms of its slice.
    """
    if not way.averaged:
        shares = same_runs(way, cells, lambda arm: failed_runs(arm).astype(np.float64))
        # weights sum to 1 but for rounding, and no more may fail than there are
        return {batch: _counted(float(np.minimum(share, 1.0).sum()), len(share)) for batch, share in shares.items()}
    found = {}
    for batch in way.samples:
        several = [_by_seed(arm) for (size, _), arm in cells.items() if size == batch]
        complete = set.intersection(*(set(one) for one in several))
        failed = [sum(one[seed] for one in several) / len(several) for seed in complete]
        found[batch] = _counted(sum(failed), len(failed))
    return found


def failures_over(environments: Sequence[Mapping[int, Failures]], sizes: Sequence[int]) -> dict[int, Failures]:
    """Returns batch size -> its failures in several environments together."""
    return {
        size: _counted(sum(one[size].failed for one in environments), sum(one[size].seeds for one in environments))
        for size in sizes
    }


def failed_runs(arm: ScoredArm) -> Bools:
    """Returns (R,) which runs of an arm diverged or collapsed; without a scale nobody knows what a collapse is."""
    these, scale = arm.curves, arm.scale
    if scale.low is None or scale.range is None:
        return these.diverged
    return np.asarray(these.diverged | stability.collapsed(these.returns, scale.low, scale.range))


def _by_seed(arm: ScoredArm) -> dict[int, bool]:
    return dict(zip(arm.curves.seeds.tolist(), failed_runs(arm).tolist(), strict=True))


def _counted(failed: float, seeds: int) -> Failures:
    return Failures(failed, seeds, wilson(failed, seeds))
