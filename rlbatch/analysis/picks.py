"""Which of several batch sizes is the cheapest, the steadiest, the quickest? Asked only of those that score alike.

Over several environments every one has the same weight. What differs by luck is compared on the very runs that the
score is taken from, with bounds that hold for all batch sizes at once; what is known, as samples and calibrated seconds
are, by the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Part
from rlbatch.analysis.best import not_worse
from rlbatch.analysis.intervals import Floats, combine, mean_of
from rlbatch.analysis.questions import same_runs
from rlbatch.analysis.steadiness import steadiness_samples

Samples = Mapping[int, Sequence[Floats]]
"""Batch size -> (n,) one number per seed, for each environment; lower is better."""

_ALIKE = 1.01
"""Of what is known, the largest multiple of the least that counts as equal: schedules round."""
_REACHED = 0.5
"""Share of the runs of some batch size that have to reach a mark for the way there to be compared."""


class Pick(NamedTuple):
    """One of the batch sizes.

    Attributes:
        batch_size: the one with the lowest mean.
        by: what it is lowest in, in words.
        value: its mean.
        alike: others of them whose mean is not shown to be higher than that of the lowest, all at once.
    """

    batch_size: int
    by: str
    value: float
    alike: tuple[int, ...]


def picks_of(parts: Sequence[Part], sizes: Sequence[int]) -> dict[str, Pick]:
    """Returns "cheapest", "steadiest" and "fewest env steps", as far as they can be told.

    Args:
        parts: environments under one design, at least one.
        sizes: batch sizes that score alike there.
    """
    if not sizes or any(size not in part.ways[0].arms for part in parts for size in sizes):
        return {}
    found = {"cheapest": _cheapest(parts, sizes)}
    falls = [steadiness_samples(part, "drawdown_max", sizes) for part in parts]
    if all(falls):
        lower = {size: [-one[size] for one in falls] for size in sizes}
        found["steadiest"] = _lowest(lower, "of the range is its deepest fall of the return")
    quickest = _quickest(parts, sizes)
    return found if quickest is None else found | {"fewest env steps": quickest}


def _cheapest(parts: Sequence[Part], sizes: Sequence[int]) -> Pick:
    seconds = {size: [_spent(part, size, "seconds") for part in parts] for size in sizes}
    if all(one is not None for these in seconds.values() for one in these):
        return _known({size: sum(filter(None, these)) for size, these in seconds.items()}, "seconds of a run alone")
    drawn = {size: sum(filter(None, (_spent(part, size, "samples") for part in parts))) for size in sizes}
    return _known(drawn, "samples drawn; no cost.json tells the seconds")


def _spent(part: Part, size: int, axis: str) -> float | None:
    """Returns what a whole run takes of an axis, or None where it is not known."""
    spent = efficiency.amounts(part.ways[0].arms[size].curves, axis, part.scored.clock)
    return None if spent is None else float(spent[-1])


def _quickest(parts: Sequence[Part], sizes: Sequence[int]) -> Pick | None:
    """Returns the pick by env steps to the mark, of which a run that never reaches it takes its budget.

    There is none where an environment has no mark, or hardly any run reaches it: under half of those of every size.
    """
    samples: dict[int, list[Floats]] = {size: [] for size in sizes}
    for part in parts:
        if part.mark is None:
            return None
        steps = same_runs(part.ways[0], part.cells, f"steps_to_{part.mark}")
        if max(np.isfinite(steps[size]).mean() for size in sizes) < _REACHED:
            return None
        for size in sizes:
            budget = float(part.ways[0].arms[size].curves.timesteps[-1])
            samples[size].append(np.minimum(-steps[size], budget) / (budget if len(parts) > 1 else 1))
    (first, *others) = parts
    if others:
        return _lowest(samples, "of the budget to the mark, at most all of it")
    return _lowest(samples, f"env steps to {first.scored.marks[str(first.mark)]:g}, at most the budget")


def _known(values: Mapping[int, float], by: str) -> Pick:
    least = min(values.values())
    best, *alike = (size for size in sorted(values) if values[size] <= _ALIKE * least)
    return Pick(best, by, values[best], tuple(alike))


def _lowest(samples: Samples, by: str) -> Pick:
    means = {
        size: combine([mean_of(-values) for values in these], [1 / len(these)] * len(these))
        for size, these in sorted(samples.items())
    }
    best = max(means, key=lambda size: means[size].value)
    return Pick(best, by, 0.0 - means[best].value, tuple(size for size in not_worse(means) if size != best))
