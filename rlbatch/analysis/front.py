"""At which batch size does a larger one stop saving updates? The front of updates and samples to a mark, and its bend.

McCandlish et al. 2018 (arXiv 1812.06162): with S updates and E = S·B samples to the same mark,

    S = S_min (1 + B_crit / B)        E = E_min (1 + B / B_crit)        (S/S_min − 1)(E/E_min − 1) = 1

At B_crit both are twice their least. Their evidence in reinforcement learning is on-policy; for replay it is a
description of the measured batch sizes, not a law beyond them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, SEED, Floats

Cells = Mapping[tuple[int, float], Floats]
"""(batch size, learning rate) -> (R,) updates until runs reach the mark; infinite if never, NaN if they still may."""

SIZES = 5
"""Batch sizes from which on a bend can be told."""
EVALUATIONS = 41
"""Evaluations of a run, the one before training included, from which on amounts are known well enough."""
RESAMPLES = 1_000

_BEYOND = 64.0
"""How far below the smallest and above the largest batch size the bend is looked for."""
_STEPS = 600


class Hyperbola(NamedTuple):
    """The fitted front.

    Attributes:
        updates_min: S_min.
        samples_min: E_min.
        critical: B_crit, transitions.
        low: of its interval; 0 where that is open.
        high: of its interval; infinite where that is open.
        misfit: root mean square of the residuals of log S.
    """

    updates_min: float
    samples_min: float
    critical: float
    low: float
    high: float
    misfit: float


class Front(NamedTuple):
    """What each batch size takes to a mark, at the learning rate at which it takes the fewest updates.

    Attributes:
        batch_sizes: (B,) those at which at least half of the runs reach the mark at some rate.
        learning_rates: (B,) those rates, before the rule.
        updates: (B,) median over runs.
        samples: (B,) updates times batch size.
        beyond: batch sizes of which all runs are there, and at which fewer than half of them reach it.
        unfinished: batch sizes of which runs are missing or not finished; nothing is told of them.
        fit: the hyperbola, or None where it is not identifiable.
        reason: why it is not; empty where it is.
    """

    batch_sizes: Floats
    learning_rates: Floats
    updates: Floats
    samples: Floats
    beyond: tuple[int, ...]
    unfinished: tuple[int, ...]
    fit: Hyperbola | None
    reason: str

    @property
    def words(self) -> str:
        """The critical batch size, or why it cannot be told."""
        if self.fit is None:
            return f"critical batch size: not identifiable, {self.reason}"
        low, high = self.fit.low, self.fit.high
        ends = f"[{low:.0f}, {high:.0f}]"
        if not low > 0 or not np.isfinite(high):
            ends = f"(at least {low:.0f})" if low > 0 else f"(at most {high:.0f})"
        told = f"critical batch size: {self.fit.critical:.0f} {ends}"
        return f"{told}; there a run takes twice the updates of a very large batch"


def front_of(cells: Cells, *, evaluations: int, rule: bool, lacking: Collection[int] = ()) -> Front:
    """Returns the front of one design, with the fitted hyperbola where the design allows it.

    The interval of B_crit is a percentile bootstrap over the runs of each cell; the best rate of each batch size is
    chosen anew in each resample.

    Args:
        cells: of arms between which only batch size and learning rate differ.
        evaluations: of each run, the one before training included.
        rule: whether the learning rate follows the batch size by a rule.
        lacking: batch sizes of which some runs are not in the cells: missing, not finished or never begun.
    """
    open_ = {batch for (batch, _), amounts in cells.items() if np.isnan(amounts).any()} | set(lacking)
    sizes = sorted({batch for batch, _ in cells} - open_)
    best = {size: min((float(_median(cells[cell])), cell[1]) for cell in cells if cell[0] == size) for size in sizes}
    reached = [size for size in sizes if np.isfinite(best[size][0])]
    batches = np.array(reached, dtype=np.float64)
    updates = np.array([best[size][0] for size in reached])
    reason = _why_not(cells, updates, evaluations, open_, rule=rule)
    fit = None
    if not reason:
        fit = _fitted(batches, updates, _resampled(cells, reached, np.random.default_rng(SEED)))
        reason = "" if fit is not None else "updates to the mark show no bend within the batch sizes that were tried"
    rates = np.array([best[size][1] for size in reached])
    beyond = tuple(size for size in sizes if size not in reached)
    return Front(batches, rates, updates, updates * batches, beyond, tuple(sorted(open_)), fit, reason)


def _why_not(cells: Cells, updates: Floats, evaluations: int, unfinished: Collection[int], *, rule: bool) -> str:
    """Returns what keeps a design from telling the critical batch size, or the empty string."""
    if unfinished:
        return f"some runs of batch {', '.join(map(str, sorted(unfinished)))} are missing or not finished"
    if len(updates) < SIZES:
        return f"{len(updates)} batch sizes reach the mark, {SIZES} are needed"
    if updates.min() <= 0:
        return "the mark is reached before the first update"
    if evaluations < EVALUATIONS:
        return f"{evaluations} evaluations of a run are too coarse, {EVALUATIONS} are needed (n_evaluations: 40)"
    if not rule and len({rate for _, rate in cells}) < 2:
        return "one learning rate for all batch sizes: a rate axis or a rule is needed"
    if min(len(amounts) for amounts in cells.values()) < MIN_SEEDS:
        return f"an interval needs {MIN_SEEDS} seeds of each batch size"
    return ""


def _resampled(cells: Cells, sizes: list[int], rng: np.random.Generator) -> Floats:
    """Returns (K, B) the median updates of resampled runs at each batch size's best rate; may be infinite.

    A median of no update at all, which has no logarithm, is taken as infinite too.
    """
    medians: dict[int, list[Floats]] = {size: [] for size in sizes}
    for (size, _), amounts in sorted(cells.items()):
        if size in medians:
            chosen = rng.integers(len(amounts), size=(RESAMPLES, len(amounts)))
            medians[size].append(_median(amounts[chosen]))
    drawn = np.stack([np.min(medians[size], axis=0) for size in sizes], axis=1)
    return np.where(drawn > 0, drawn, np.inf)


def _median(amounts: Floats) -> Floats:
    """Returns the median over the last axis: the lower of the two in the middle where the upper one is infinite."""
    middle = np.median(amounts, axis=-1)
    lower = np.sort(amounts, axis=-1)[..., (amounts.shape[-1] - 1) // 2]
    return np.where(np.isinf(middle), lower, middle)


def _fitted(batches: Floats, updates: Floats, resampled: Floats) -> Hyperbola | None:
    """Returns the hyperbola through the medians, or None where the data do not hold B_crit between any bounds."""
    critical, height, misfit = _least_squares(batches, np.log(updates)[None])
    ends = batches[0] / _BEYOND, batches[-1] * _BEYOND
    usable = np.isfinite(resampled).sum(axis=1) >= 3
    bends, _, _ = _least_squares(batches, np.log(resampled[usable]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(bends, [tail, 1 - tail], method="nearest") if len(bends) else ends
    if low <= ends[0] * 1.01:
        low = 0.0
    if high >= ends[1] / 1.01:
        high = np.inf
    if not ends[0] * 1.01 < critical[0] < ends[1] / 1.01 or (low == 0 and high == np.inf):
        return None
    least = float(np.exp(height[0]))
    return Hyperbola(least, least * float(critical[0]), float(critical[0]), float(low), float(high), float(misfit[0]))


def _least_squares(batches: Floats, logs: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns B_crit, log S_min and the misfit, each (K,), of log S = log S_min + log(1 + B_crit / B).

    For a given B_crit the best log S_min is a mean, so that B_crit alone is searched, on a grid of equal ratios.

    Args:
        batches: (B,) ascending.
        logs: (K, B) log S; infinite values take no part.
    """
    known = np.isfinite(logs).astype(np.float64)
    count = known.sum(axis=1)
    values = np.where(known > 0, logs, 0.0)
    centre = values.sum(axis=1) / count
    values = (values - centre[:, None]) * known
    critical = np.geomspace(batches[0] / _BEYOND, batches[-1] * _BEYOND, _STEPS)
    bends = np.log1p(critical[None] / batches[:, None])
    squares = (values**2).sum(axis=1)[:, None] + known @ bends**2 - 2 * values @ bends
    squares -= (known @ bends) ** 2 / count[:, None]
    best = squares.argmin(axis=1)
    height = centre - (known @ bends)[np.arange(len(logs)), best] / count
    return critical[best], height, np.sqrt(np.maximum(squares.min(axis=1), 0.0) / count)
