"""Which batch size is best, and how sure is that? The questions of an experiment, answered once for every view.

In this order, for each environment and for all of them together: does the score rise or fall with the batch size; how
does each batch size compare with the one that was declared as the reference; which ones are as good as the best. What
compares batch sizes by one number per seed is here; what the numbers are is in `comparison.py`, and how they are tested
in `trend.py`, `best.py` and `across.py`. Tables, pages and sentences only tell what stands in an `Answer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlbatch.analysis import best, trend
from rlbatch.analysis.across import Aggregates, aggregates
from rlbatch.analysis.arms import Slice, design_words
from rlbatch.analysis.best import Comparison as Against
from rlbatch.analysis.best import Standing
from rlbatch.analysis.comparison import Comparison, ScoredArm, ScoredTask
from rlbatch.analysis.failures import Failures, failures_of, failures_over
from rlbatch.analysis.improvement import probability_of_improvement
from rlbatch.analysis.intervals import Estimate, Floats, Interval, combine
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.questions import Kind, Way, by_seed, ways_of
from rlbatch.analysis.scales import SHARES, THRESHOLD
from rlbatch.analysis.seed_effect import seed_correlation
from rlbatch.analysis.seeds import deviation_of, more_seeds
from rlbatch.analysis.trend import Hump, Pooled
from rlbatch.errors import InputError, nearest

DELTA = 0.1
"""Largest difference that does not matter, as a part of the reference range, where nothing else was declared."""
_SEED = 0
"""Of the resamples: the same folders give the same numbers."""
_OLD_NAMES = {"steps_to_threshold": "auc"}
"""Declared metrics that say nothing about a whole arm -> what is compared instead."""


@dataclass(frozen=True)
class Verdicts:
    """What is said of the batch sizes of one sample each.

    Attributes:
        means: batch size -> mean score.
        trend: change of the mean score per doubling of the batch size; None with a single batch size.
        hump: where the score rises and then falls, or None with fewer than three batch sizes.
        reference: batch size that the others are compared with, or None where it is not there.
        against: batch size -> how it compares with the reference.
        standings: batch size -> how it compares with the best; empty where there is no scale to say what matters.
        frequency: batch size -> how often it comes out highest when seeds are drawn anew; no probability.
        more: batch size -> more seeds per arm with which a difference of delta from the reference would be found.
        failures: batch size -> the seeds that failed; what a verdict cannot know of, see `failures.py`.
    """

    means: Mapping[int, Estimate]
    trend: Estimate | None
    hump: Hump | None
    reference: int | None
    against: Mapping[int, Against]
    standings: Mapping[int, Standing]
    frequency: Mapping[int, float]
    more: Mapping[int, int | None]
    failures: Mapping[int, Failures]

    @property
    def equivalent(self) -> list[int]:
        """Batch sizes that are shown to be as good as the best, within delta."""
        return best.indifference_set(self.standings)

    @property
    def deviation(self) -> float | None:
        """Deviation of one seed, over all arms; None where some arm has a single one."""
        return deviation_of(list(self.means.values()))


@dataclass(frozen=True)
class Part:
    """The batch sizes of one environment under one design.

    Attributes:
        scored: the environment.
        slice: its arms that differ in batch size and learning rate alone.
        metric: what they are compared by.
        ways: in which ways; the first is the one that conclusions rest on.
        verdicts: kind of each way -> what is said.
        scaled: whether the scores are on the environment's scale; else they are returns, and delta has no meaning.
        seed_correlation: of the scores of one seed at different batch sizes; None where too few seeds tell.
    """

    scored: ScoredTask
    slice: Slice
    metric: str
    ways: tuple[Way, ...]
    verdicts: Mapping[Kind, Verdicts]
    scaled: bool
    seed_correlation: float | None

    @property
    def name(self) -> str:
        """The environment, with the settings that tell this design from others."""
        return self.scored.task.env_id + design_words(self.slice.fixed)

    @property
    def mark(self) -> str | None:
        """The mark that matters: the environment's threshold, else three quarters of the range."""
        return next((mark for mark in (THRESHOLD, f"{SHARES[2]:.0%}") if mark in self.scored.marks), None)

    @property
    def cells(self) -> dict[tuple[int, float], ScoredArm]:
        """(batch size, learning rate before the rule) -> arm, for those of which runs count, in ascending order."""
        arms = self.scored.arms
        return {cell: arms[arm.path] for cell, arm in sorted(self.slice.cells.items()) if arm.path in arms}


@dataclass(frozen=True)
class Together:
    """The batch sizes that several environments share, under one design and compared in one way.

    Attributes:
        fixed: axis -> value of the design.
        kind: of the way.
        env_ids: of the environments.
        samples: batch size -> scores of each environment, on its scale.
        aggregates: batch size -> interquartile mean, mean, median and optimality gap.
        slopes: per doubling of the batch size, of these environments and of others like them.
        verdicts: over the environments' means.
        improvement: batch size -> probability that its run scores higher than one of the reference.
        means: batch size -> mean score in each environment.
        worth: batch size -> of how many independent scores each environment's tell as much.
    """

    fixed: Mapping[str, Any]
    kind: Kind
    env_ids: tuple[str, ...]
    samples: Mapping[int, tuple[Floats, ...]]
    aggregates: Mapping[int, Aggregates]
    slopes: Pooled | None
    verdicts: Verdicts
    improvement: Mapping[int, Interval]
    means: Mapping[int, tuple[Estimate, ...]]
    worth: Mapping[int, tuple[float, ...]]


@dataclass(frozen=True)
class Answer:
    """Everything that is concluded.

    Attributes:
        comparison: what it is concluded from.
        metric: what arms are compared by.
        delta: largest difference that does not matter, as a part of the reference range.
        declared: whether the metric and delta were declared before training.
        parts: one per environment and design.
        together: over environments, where several share batch sizes under one design.
    """

    comparison: Comparison
    metric: str
    delta: float
    declared: bool
    parts: tuple[Part, ...]
    together: tuple[Together, ...]


def answer(comparison: Comparison, *, metric: str | None = None, delta: float | None = None) -> Answer:
    """Returns what the runs say about the batch size.

    Args:
        comparison: the runs.
        metric: of a run; the declared one by default, else the area.
        delta: the largest difference that does not matter, as a part of the reference range; likewise, else 0.1.

    Raises:
        InputError: there is no such metric, or it is not one number for every run.
    """
    analysis = comparison.collected.analysis
    told = str(analysis.get("metric", "auc"))
    chosen = metric or _OLD_NAMES.get(told, told)
    known = [name for name, about in METRICS.items() if about.kind in ("score", "difference")]
    if chosen not in known:
        raise InputError("metric", f"{chosen!r} is not one number per run", nearest(chosen, known) or ", ".join(known))
    within = float(analysis.get("equivalence", DELTA)) if delta is None else delta
    reference = dict(analysis.get("reference", {}))
    parts = [_part(scored, one, chosen, within, reference) for scored in comparison.tasks for one in scored.task.slices]
    parts = [part for part in parts if part.ways]
    declared = bool(analysis) and metric in (None, told) and delta in (None, analysis.get("equivalence"))
    return Answer(comparison, chosen, within, declared, tuple(parts), tuple(_together(parts, within, reference)))


def _part(scored: ScoredTask, one: Slice, metric: str, delta: float, reference: Mapping[str, Any]) -> Part:
    ways = ways_of(scored, one, metric, reference)
    scaled = scored.scale.range is not None
    part = Part(scored, one, metric, ways, {}, scaled, None)
    verdicts = {
        way.kind: _verdicts(way, delta if scaled else None, _reference(reference, way), failures_of(way, part.cells))
        for way in ways
    }
    alike = seed_correlation([by_seed(arm, metric) for arm in ways[0].arms.values()]) if ways else None
    return replace(part, verdicts=verdicts, seed_correlation=alike)


def _reference(declared: Mapping[str, Any], way: Way) -> int | None:
    """Returns the batch size that was declared as the reference; the preset's where none was."""
    batch = declared.get("batch_size")
    if batch is None:
        labels = [labels["lr_reference_batch"] for arm in way.arms.values() for labels in arm.arm.labels]
        batch = labels[0] if labels else None
    return batch if batch in way.samples else None


def _verdicts(way: Way, delta: float | None, reference: int | None, failures: Mapping[int, Failures]) -> Verdicts:
    found = _concluded(way.means, delta, reference, failures)
    if len(way.means) < 2:
        return found
    frequency = best.selection_frequency(way.samples, _SEED, resampled=way.resampled)
    return replace(found, frequency=frequency, more=_more(way.means, delta, reference))


def _concluded(
    means: Mapping[int, Estimate], delta: float | None, reference: int | None, failures: Mapping[int, Failures]
) -> Verdicts:
    several, by_batch = len(means) > 1, {float(batch): mean for batch, mean in means.items()}
    return Verdicts(
        means=means,
        trend=trend.slope(by_batch) if several else None,
        hump=trend.hump(by_batch),
        reference=reference,
        against=best.against_reference(means, reference) if several and reference is not None else {},
        standings=best.compare_with_best(means, delta) if several and delta is not None else {},
        frequency={},
        more={},
        failures=failures,
    )


def _more(means: Mapping[int, Estimate], delta: float | None, reference: int | None) -> dict[int, int | None]:
    if delta is None or reference is None:
        return {}
    return {b: more_seeds(mean, means[reference], delta) for b, mean in means.items() if b != reference}


def _together(parts: Sequence[Part], delta: float, reference: Mapping[str, Any]) -> list[Together]:
    """Returns for each design and way that several environments share what they say together."""
    groups: dict[tuple[str, Kind], list[tuple[Part, Way]]] = {}
    for part in parts:
        for way in part.ways:
            if part.scaled:
                groups.setdefault((repr(sorted(part.slice.fixed.items())), way.kind), []).append((part, way))
    found = []
    for (_, kind), members in groups.items():
        envs = {part.scored.task.env_id for part, _ in members}
        shared = sorted(set.intersection(*(set(way.samples) for _, way in members)))
        if len(envs) > 1 and len(envs) == len(members) and len(shared) > 1:
            found.append(_joined(kind, members, shared, delta, _reference(reference, members[0][1])))
    return found


def _joined(
    kind: Kind, members: Sequence[tuple[Part, Way]], shared: Sequence[int], delta: float, reference: int | None
) -> Together:
    ways = [way for _, way in members]
    samples = {batch: tuple(way.samples[batch] for way in ways) for batch in shared}
    means = {batch: tuple(way.means[batch] for way in ways) for batch in shared}
    worth = {batch: tuple(way.worth(batch) for way in ways) for batch in shared}
    compared = reference if reference in samples else None
    joined = {batch: combine(these, [1 / len(ways)] * len(ways)) for batch, these in means.items()}
    failures = failures_over([part.verdicts[kind].failures for part, _ in members], shared)
    return Together(
        fixed=members[0][0].slice.fixed,
        kind=kind,
        env_ids=tuple(part.scored.task.env_id for part, _ in members),
        samples=samples,
        aggregates={batch: _aggregated(batch, ways) for batch in shared},
        slopes=trend.pool([trend.slope({batch: way.means[batch] for batch in shared}) for way in ways]),
        verdicts=_concluded(joined, delta, compared, failures),
        improvement={
            batch: probability_of_improvement(these, samples[compared], worth=(worth[batch], worth[compared]))
            for batch, these in samples.items()
            if compared is not None and batch != compared
        },
        means=means,
        worth=worth,
    )


def _aggregated(batch: int, ways: Sequence[Way]) -> Aggregates:
    drawn = [way.resampled[batch] for way in ways if batch in way.resampled]
    return aggregates([way.samples[batch] for way in ways], _SEED, resampled=drawn or None)
