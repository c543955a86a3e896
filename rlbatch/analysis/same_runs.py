"""Which other numbers do the very runs have that a way of comparing takes its scores from?"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np

from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.intervals import Estimate, Floats, mean_of
from rlbatch.analysis.rates import Scores
from rlbatch.analysis.ways import Cells, Way, values_of

Number = Callable[[ScoredArm], Floats]
"""Arm -> (R,) a number of each of its runs."""


def same_runs(way: Way, cells: Cells, number: Number) -> dict[int, Floats]:
    """Returns batch size -> (n,) another number of the very runs that a way compares, NaN where it is not known.

    Where each batch size has its own best rate, these are the runs at rates that the way's own metric chose on other
    seeds, each as often as it counts in the score. Empty where scores are averages over all rates.

    Args:
        way: from `ways_of`.
        cells: the arms of its slice.
        number: of each run; see `metric_of`.
    """
    if not way.tuned:
        return {batch: number(arm) for batch, arm in way.arms.items()}
    return {batch: tuned.weigh(_of_batch(cells, batch, number)) for batch, tuned in way.tuned.items()}


def same_means(way: Way, cells: Cells, number: Number, sizes: Collection[int]) -> dict[int, Estimate]:
    """Returns batch size -> mean of `same_runs`, with the error of the choice where a rate was chosen.

    Runs that cannot tell (NaN) are left out.

    Args:
        way: from `ways_of`.
        cells: the arms of its slice.
        number: of each run.
        sizes: batch sizes of which some of these runs have it.
    """
    if way.tuned:
        return {batch: way.tuned[batch].mean_of(_of_batch(cells, batch, number)) for batch in sizes}
    samples = same_runs(way, cells, number)
    return {batch: mean_of(samples[batch][~np.isnan(samples[batch])]) for batch in sizes}


def metric_of(metric: str, least: float = -math.inf) -> Number:
    """Returns what gives each run's metric, as `values_of` has it.

    Args:
        metric: of a run.
        least: what anything lower counts as, such as minus the budget where a mark is never reached.
    """
    return lambda arm: np.maximum(values_of(arm, metric), least)


def _of_batch(cells: Cells, batch: int, number: Number) -> Scores:
    """Returns a number of each run of a batch size, by rate and seed."""
    arms = {rate: arm for (size, rate), arm in cells.items() if size == batch}
    return {rate: dict(zip(arm.curves.seeds.tolist(), number(arm).tolist(), strict=True)) for rate, arm in arms.items()}
