"""Which of several batch sizes is the cheapest, the steadiest, the quickest? Asked only of those that score alike.

Over several environments every one has the same weight. What differs by luck is compared on the very runs that the
score is taken from, with bounds that hold for all batch sizes at once; what is known, as samples are and seconds
as far as they were measured, by the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Part
from rlbatch.analysis.best import not_worse
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import Clock
from rlbatch.analysis.intervals import Estimate, Floats, combine
from rlbatch.analysis.same_runs import Number, metric_of, same_means, same_runs
from rlbatch.analysis.steadiness import steadiness_samples
from rlbatch.analysis.ways import values_of

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
    if all(steadiness_samples(part, "drawdown_max", sizes) and not part.hardly_learned for part in parts):
        falls = [same_means(part.ways[0], part.cells, metric_of("drawdown_max"), sizes) for part in parts]
        found["steadiest"] = _lowest(falls, sizes, "of the range is its deepest fall of the return")
    quickest = _quickest(parts, sizes)
    return found if quickest is None else found | {"fewest env steps": quickest}


def _cheapest(parts: Sequence[Part], sizes: Sequence[int]) -> Pick:
    arms = {size: [(part.ways[0].arms[size], part.scored.clock) for part in parts] for size in sizes}
    seconds = {size: [_seconds(arm, clock) for arm, clock in these] for size, these in arms.items()}
    if all(one is not None for these in seconds.values() for one in these):
        spent = {size: np.sum([one for one in these if one is not None], axis=0) for size, these in seconds.items()}
        return _known(spent, "seconds of a run alone")
    drawn = {size: np.full(3, sum(float(arm.curves.samples[-1]) for arm, _ in these)) for size, these in arms.items()}
    return _known(drawn, "samples drawn; no cost.json tells the seconds")


def _seconds(arm: ScoredArm, clock: Clock | None) -> Floats | None:
    """Returns (3,) seconds of a whole run alone, with the least and the most that measuring an update allows."""
    price = efficiency.price_of(arm.arm, clock)
    if price is None:
        return None
    steps, updates = float(arm.curves.timesteps[-1]), float(arm.curves.updates[-1])
    return np.array([steps * price.t_env + updates * one for one in (price.t_update, *price.t_update_range)])


def _quickest(parts: Sequence[Part], sizes: Sequence[int]) -> Pick | None:
    """Returns the pick by env steps to the mark, of which a run that never reaches it takes its budget.

    There is none where an environment has no mark, or hardly any run reaches it: under half of those of every size.
    """
    found = []
    for part in parts:
        if part.mark is None:
            return None
        way, metric = part.ways[0], f"steps_to_{part.mark}"
        reached = same_runs(way, part.cells, _reaches(metric))
        if max(float(reached[size].mean()) for size in sizes) < _REACHED:
            return None
        budget = max(float(way.arms[size].curves.timesteps[-1]) for size in sizes)
        means = same_means(way, part.cells, metric_of(metric, -budget), sizes)
        unit = budget if len(parts) > 1 else 1.0
        found.append({size: combine([mean], [1 / unit]) for size, mean in means.items()})
    (first, *others) = parts
    if others:
        return _lowest(found, sizes, "of the budget to the mark; a run that never gets there has all of it")
    return _lowest(
        found,
        sizes,
        f"env steps to {first.scored.marks[str(first.mark)]:g}; a run that never gets there has its budget",
    )


def _reaches(metric: str) -> Number:
    """Returns what gives 1 for each run that reaches a mark, and 0 for the others."""
    return lambda arm: np.isfinite(values_of(arm, metric)).astype(np.float64)


def _known(values: Mapping[int, Floats], by: str) -> Pick:
    """Returns the pick by numbers (3,) that are known up to their least and most: the lowest, of several the smallest.

    Alike are those of which the least is no higher than the most of the pick.
    """
    lowest = min(value for value, _, _ in values.values())
    best = min(size for size, (value, _, _) in values.items() if value <= _ALIKE * lowest)
    most = _ALIKE * values[best][2]
    return Pick(
        best, by, float(values[best][0]), tuple(s for s in sorted(values) if s != best and values[s][1] <= most)
    )


def _lowest(environments: Sequence[Mapping[int, Estimate]], sizes: Sequence[int], by: str) -> Pick:
    """Returns the pick by means of which higher, that is nearer to zero from below, is better."""
    weights = [1 / len(environments)] * len(environments)
    means = {size: combine([one[size] for one in environments], weights) for size in sorted(sizes)}
    best = max(means, key=lambda size: means[size].value)
    return Pick(best, by, 0.0 - means[best].value, tuple(size for size in not_worse(means) if size != best))
