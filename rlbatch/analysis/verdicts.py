"""What is said of batch sizes that are compared in one way? Trend, reference, best, and what else a reader needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rlbatch.analysis import best, trend
from rlbatch.analysis.best import AgainstReference, Standing
from rlbatch.analysis.failures import Failures
from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, SEED, Estimate
from rlbatch.analysis.seeds import deviation_of, seeds_to_find
from rlbatch.analysis.trend import Hump
from rlbatch.analysis.ways import Way


@dataclass(frozen=True)
class Verdicts:
    """What is said of the batch sizes of one sample each; no more than means and failures where a verdict is withheld.

    Attributes:
        means: batch size -> mean score.
        failures: batch size -> the seeds that failed; what a verdict cannot know of, see `failures.py`.
        trend: change of the mean score per doubling of the batch size; None with a single batch size.
        hump: where the score rises and then falls, or None with fewer than three batch sizes.
        reference: batch size that the others are compared with, or None where it is not there.
        against: batch size -> how it compares with the reference.
        standings: batch size -> how it compares with the best; empty where there is no scale to say what matters, or
            where something else differs too.
        frequency: batch size -> how often it comes out highest when seeds are drawn anew; no probability.
        needed: batch size -> seeds of it and of the reference with which a difference of delta would be found, where
            that is more than there are.
    """

    means: Mapping[int, Estimate]
    failures: Mapping[int, Failures]
    trend: Estimate | None = None
    hump: Hump | None = None
    reference: int | None = None
    against: Mapping[int, AgainstReference] = field(default_factory=dict)
    standings: Mapping[int, Standing] = field(default_factory=dict)
    frequency: Mapping[int, float] = field(default_factory=dict)
    needed: Mapping[int, int] = field(default_factory=dict)

    @property
    def equivalent(self) -> list[int]:
        """Batch sizes that are shown to be as good as the best, within delta."""
        return best.indifference_set(self.standings)

    @property
    def shown_hump(self) -> Hump | None:
        """The hump, where it is shown and no batch size has fewer than `MIN_SEEDS`."""
        if self.hump is None or self.hump.p_value > 1 - CONFIDENCE:
            return None
        return self.hump if min(mean.seeds for mean in self.means.values()) >= MIN_SEEDS else None

    @property
    def deviation(self) -> float | None:
        """Deviation of one seed, over all arms; None where some arm has a single one."""
        return deviation_of(list(self.means.values()))


def verdicts_of(way: Way, delta: float | None, reference: int | None, failures: Mapping[int, Failures]) -> Verdicts:
    """Returns what is said of the batch sizes in one way of comparing them.

    Args:
        way: from `ways_of`.
        delta: largest difference that does not matter; None without a scale.
        reference: batch size to compare with, or None.
        failures: batch size -> its failed seeds.
    """
    if way.withheld:
        return Verdicts(means=way.means, failures=failures)
    compared = reference if reference in way.means else None
    found = concluded(way.means, delta, compared, failures)
    if len(way.means) < 2:
        return found
    enough = min(map(len, way.samples.values())) >= MIN_SEEDS  # the few there are would come out over and over
    frequency = best.selection_frequency(way.samples, SEED, resampled=way.resampled) if enough else {}
    return replace(found, frequency=frequency, needed=_needed(way.means, delta, compared))


def concluded(
    means: Mapping[int, Estimate], delta: float | None, reference: int | None, failures: Mapping[int, Failures]
) -> Verdicts:
    """Returns what is said of means alone; the arguments are those of `verdicts_of`."""
    several = len(means) > 1
    return Verdicts(
        means=means,
        failures=failures,
        trend=trend.slope(means) if several else None,
        hump=trend.hump(means),
        reference=reference,
        against=best.against_reference(means, reference) if several and reference is not None else {},
        standings=best.compare_with_best(means, delta) if several and delta is not None else {},
    )


def _needed(means: Mapping[int, Estimate], delta: float | None, reference: int | None) -> dict[int, int]:
    if delta is None or reference is None:
        return {}
    others = {batch: mean for batch, mean in means.items() if batch != reference}
    found = {batch: seeds_to_find(mean, means[reference], delta, len(others)) for batch, mean in others.items()}
    there = {batch: min(mean.seeds, means[reference].seeds) for batch, mean in others.items()}
    return {batch: count for batch, count in found.items() if count is not None and count > there[batch]}
