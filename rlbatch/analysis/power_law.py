"""How does the best batch size depend on the replay ratio? A power law through the best batch size of each ratio.

Rybkin et al. 2025 (arXiv 2502.04327) fit B* = B₁ · σ^exponent at σ updates per env step, and find exponents of −0.3 to
−0.5 where several environments share one; single environments scatter widely. Nothing is said beyond the ratios tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, SEED, Floats

Cells = Mapping[tuple[float, int, float], Floats]
"""(updates per env step, batch size, learning rate) -> (R,) scores of its runs, higher being better."""

RATIOS = 3
"""Replay ratios from which on an exponent can be told, and batch sizes likewise."""
RESAMPLES = 1_000


class PowerLaw(NamedTuple):
    """The best batch size of each replay ratio, and the line through their logarithms.

    Attributes:
        ratios: (K,) updates per env step, ascending.
        best: (K,) batch size with the highest mean score, at its own best rate.
        at_edge: (K,) whether it is the smallest or largest that was tried: the optimum may lie beyond.
        exponent: of the fit, or None where it is not identifiable.
        low: of its interval, or None.
        high: of its interval, or None.
        fitted: (K,) batch sizes of the fit; empty without one.
        reason: why there is none; empty where there is.
    """

    ratios: Floats
    best: Floats
    at_edge: NDArray[np.bool_]
    exponent: float | None
    low: float | None
    high: float | None
    fitted: Floats
    reason: str


def power_law_of(cells: Cells) -> PowerLaw:
    """Returns how the best batch size follows the replay ratio.

    The interval is a percentile bootstrap over the runs of each cell, in which the best rate and batch size are chosen
    anew. The optimum of a grid stands for half a step of the grid to either side, so each one is moved within that at
    random.

    Args:
        cells: of arms between which only replay ratio, batch size and learning rate differ; the same batch sizes at
            each ratio.
    """
    ratios = sorted({ratio for ratio, _, _ in cells})
    sizes = sorted({size for _, size, _ in cells})
    means = {cell: float(np.mean(scores)) for cell, scores in cells.items()}
    best = np.array([max((means[cell], -cell[1]) for cell in cells if cell[0] == ratio)[1] for ratio in ratios], float)
    best = -best  # of several the smallest, as in the resamples
    at_edge = np.isin(best, (sizes[0], sizes[-1])) if sizes else np.empty(0, dtype=np.bool_)
    reason = _why_not(cells, ratios, sizes, at_edge)
    if reason:
        return PowerLaw(np.array(ratios), best, at_edge, None, None, None, np.empty(0), reason)
    across, up = np.log(ratios), np.log(best)
    drawn = _resampled(cells, ratios, sizes, np.random.default_rng(SEED))
    slopes = _slopes(across, drawn)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(slopes, [tail, 1 - tail])
    exponent = float(_slopes(across, up[None])[0])
    fitted = np.exp(up.mean() + exponent * (across - across.mean()))
    return PowerLaw(np.array(ratios), best, at_edge, exponent, float(low), float(high), fitted, "")


def _why_not(cells: Cells, ratios: list[float], sizes: list[int], at_edge: NDArray[np.bool_]) -> str:
    """Returns what keeps a design from telling an exponent, or the empty string."""
    if len(ratios) < RATIOS or len(sizes) < RATIOS:
        return f"{len(ratios)} replay ratios and {len(sizes)} batch sizes, {RATIOS} of each are needed"
    if {(ratio, size) for ratio, size, _ in cells} != {(ratio, size) for ratio in ratios for size in sizes}:
        return "not every batch size was tried at every replay ratio"
    if min(len(scores) for scores in cells.values()) < MIN_SEEDS:
        return f"an interval needs {MIN_SEEDS} seeds of each arm"
    if (inside := int((~at_edge).sum())) < RATIOS:
        return f"{inside} of the best batch sizes lie inside the range that was tried, {RATIOS} are needed"
    return ""


def _resampled(cells: Cells, ratios: list[float], sizes: list[int], rng: np.random.Generator) -> Floats:
    """Returns (M, K) the logarithm of the best batch size of resampled runs, moved within its step of the grid."""
    grid = np.log(sizes)
    ends = np.concatenate((grid[:1], (grid[1:] + grid[:-1]) / 2, grid[-1:]))
    chosen = []
    for ratio in ratios:
        means: list[list[Floats]] = [[] for _ in sizes]
        for (own, size, _), scores in sorted(cells.items()):
            if own == ratio:
                drawn = rng.integers(len(scores), size=(RESAMPLES, len(scores)))
                means[sizes.index(size)].append(scores[drawn].mean(axis=1))
        best = np.argmax([np.max(of_rates, axis=0) for of_rates in means], axis=0)
        chosen.append(rng.uniform(ends[best], ends[best + 1]))
    return np.stack(chosen, axis=1)


def _slopes(across: Floats, up: Floats) -> Floats:
    """Returns (M,) the least-squares slopes of `up` (M, K) over `across` (K,)."""
    centred = across - across.mean()
    return np.asarray(up @ centred / (centred @ centred))
