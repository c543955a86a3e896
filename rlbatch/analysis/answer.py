"""Which batch size is best, and how sure is that? The questions of an experiment, answered once for every view.

In this order, for each environment and for all of them together: does the score rise or fall with the batch size; how
does each batch size compare with the one that was declared as the reference; which ones are as good as the best. What
compares batch sizes by one number per seed is here; what the numbers are is in `comparison.py`, how they are tested
in `verdicts.py` and `across.py`. Tables, pages and sentences only tell what stands in an `Answer`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlbatch.analysis import efficiency, trend
from rlbatch.analysis.across import Aggregates, aggregates
from rlbatch.analysis.arms import Slice
from rlbatch.analysis.comparison import Comparison, ScoredArm, ScoredTask
from rlbatch.analysis.declared import Reference, exploratory, reference_for
from rlbatch.analysis.efficiency import Budget
from rlbatch.analysis.failures import failures_of, failures_over
from rlbatch.analysis.front import Front
from rlbatch.analysis.improvement import probability_of_improvement
from rlbatch.analysis.intervals import SEED, Estimate, Floats, Interval, combine
from rlbatch.analysis.metrics import score_for
from rlbatch.analysis.rates import rate_shift
from rlbatch.analysis.scales import main_mark
from rlbatch.analysis.seed_effect import seed_correlation
from rlbatch.analysis.trend import Pooled
from rlbatch.analysis.verdicts import Verdicts, concluded, verdicts_of
from rlbatch.analysis.ways import Kind, Way, by_seed, ways_of
from rlbatch.analysis.words import design_words
from rlbatch.errors import InputError

HARDLY = 0.1
"""Part of the reference range below which runs are said to have hardly learned."""
DELTA = 0.1
"""Largest difference that does not matter, as a part of the reference range, where nothing else was declared."""


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
        reference: settings of the arm that was declared to be compared with.
        notes: ways that there are not, and why.
    """

    scored: ScoredTask
    slice: Slice
    metric: str
    ways: tuple[Way, ...]
    verdicts: Mapping[Kind, Verdicts]
    scaled: bool
    seed_correlation: float | None
    reference: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The environment, with the settings that tell this design from others."""
        return self.scored.task.name + design_words(self.slice.fixed)

    @property
    def hardly_learned(self) -> bool:
        """Whether all batch sizes score so low that they are alike for having learned nothing."""
        return self.scaled and max(mean.value for mean in self.ways[0].means.values()) < HARDLY

    @property
    def mark(self) -> str | None:
        """The mark that matters: the environment's threshold, else three quarters of the range."""
        return main_mark(self.scored.marks)

    @property
    def cells(self) -> dict[tuple[int, float], ScoredArm]:
        """(batch size, learning rate before the rule) -> arm, for those of which runs count, in ascending order."""
        return self.scored.cells(self.slice)

    @functools.cached_property
    def budgets(self) -> dict[str, Budget]:
        """Axis -> what its arms may spend on it."""
        return efficiency.budgets([arm.curves for arm in self.cells.values()], self.scored.clock)

    @functools.cached_property
    def rate_factor(self) -> Interval | None:
        """By which factor the best learning rate changes per doubling of the batch size; None where that is not known.

        Under a rule the rates that were tried follow the batch size already, and there is none.
        """
        way = self.ways[0]
        shift = None if way.withheld or self.slice.follows_rule else rate_shift(way.tuned)
        return None if shift is None else Interval(*(2**end for end in shift))

    @functools.cached_property
    def front(self) -> Front | None:
        """The updates and samples that its arms take to the mark; None without one."""
        return None if self.mark is None else self.scored.front(self.slice, self.mark)


@dataclass(frozen=True)
class Together:
    """The batch sizes that several environments share, under one design and compared in one way.

    Attributes:
        fixed: axis -> value of the design.
        kind: of the way.
        words: what a conclusion has to say of the learning rates.
        names: of the environments.
        samples: batch size -> scores of each environment, on its scale.
        aggregates: batch size -> interquartile mean, mean, median and optimality gap.
        slopes: per doubling of the batch size, of these environments and of others like them.
        verdicts: over the environments' means.
        improvement: batch size -> probability that its run scores higher than one of the reference.
        means: batch size -> mean score in each environment.
        effective_sizes: batch size -> of how many independent scores each environment's tell as much.
    """

    fixed: Mapping[str, Any]
    kind: Kind
    words: str
    names: tuple[str, ...]
    samples: Mapping[int, tuple[Floats, ...]]
    aggregates: Mapping[int, Aggregates]
    slopes: Pooled | None
    verdicts: Verdicts
    improvement: Mapping[int, Interval]
    means: Mapping[int, tuple[Estimate, ...]]
    effective_sizes: Mapping[int, tuple[float, ...]]


@dataclass(frozen=True)
class Answer:
    """Everything that is concluded.

    Attributes:
        comparison: what it is concluded from.
        metric: what arms are compared by.
        delta: largest difference that does not matter, as a part of the reference range.
        exploratory: why this is not the comparison that was declared before training; empty where it is.
        parts: one per environment and design.
        together: over environments, where several share batch sizes under one design.
        notes: what was asked for, declared or could be expected and is not there, a line each.
    """

    comparison: Comparison
    metric: str
    delta: float
    exploratory: str
    parts: tuple[Part, ...]
    together: tuple[Together, ...]
    notes: tuple[str, ...]

    @property
    def declared(self) -> bool:
        """Whether metric and delta were declared before training, and nothing but that is compared."""
        return not self.exploratory


def answer(
    comparison: Comparison, *, metric: str | None = None, delta: float | None = None, reference: int | None = None
) -> Answer:
    """Returns what the runs say about the batch size.

    Args:
        comparison: the runs.
        metric: of a run; the declared one by default, else the area.
        delta: the largest difference that does not matter, as a part of the reference range; likewise, else 0.1.
        reference: the batch size that others are compared with; likewise, else the preset's.

    Raises:
        InputError: no run has the reference's batch size; or like `metrics.score_for`.
    """
    collected = comparison.collected
    chosen, replaced = score_for(str(collected.analysis.get("metric", "auc")), metric)
    within = float(collected.analysis.get("equivalence", DELTA)) if delta is None else delta
    parts, notes = [], [*collected.notes, *([replaced] if replaced else [])]
    asked = [*comparison.asked, *(() if collected.whole else ("a part of the runs",))]
    for scored in comparison.tasks:
        compared = reference_for(collected.plans, scored.experiments, reference)
        asked += ["--reference"] if compared.asked else []
        notes += [f"{scored.task.name}: {compared.note}"] if compared.note else []
        parts += [_part(scored, one, chosen, within, compared) for one in scored.task.slices]
    sizes = sorted({batch for part in parts for batch in part.slice.batch_sizes})
    if reference is not None and reference not in sizes:
        raise InputError("--reference", f"no run has batch {reference}", f"they have {', '.join(map(str, sizes))}")
    notes += [f"{part.name}: {note}" for part in parts for note in part.notes]
    parts = [part for part in parts if part.ways]
    if any(len(scored.experiments) > 1 for scored in comparison.tasks):
        asked.append("several experiments in one environment")
    why = exploratory(collected.plans, chosen, within, dict.fromkeys(asked))
    together, apart = _together(parts, within)
    return Answer(comparison, chosen, within, why, tuple(parts), tuple(together), (*notes, *apart))


def _part(scored: ScoredTask, one: Slice, metric: str, delta: float, reference: Reference) -> Part:
    """Returns what is concluded of a slice."""
    ways, notes = ways_of(scored, one, metric, reference.arm)
    scaled = scored.scale.range is not None
    part = Part(scored, one, metric, ways, {}, scaled, None, reference.arm, notes)
    compared, margin = _reference(reference.arm, one), delta if scaled else None
    if ways and compared is not None and compared not in ways[0].samples and len(ways[0].samples) > 1:
        part = replace(part, notes=(*notes, f"batch {compared}, {reference.called}, has no runs to compare with"))
    verdicts = {way.kind: verdicts_of(way, margin, compared, failures_of(way, part.cells)) for way in ways}
    alike = seed_correlation([by_seed(arm, metric) for arm in ways[0].arms.values()]) if ways else None
    return replace(part, verdicts=verdicts, seed_correlation=alike)


def _reference(declared: Mapping[str, Any], part: Slice) -> int | None:
    """Returns the batch size that was declared as the reference; the preset's where none was."""
    labels = [labels["lr_reference_batch"] for arm in part.cells.values() for labels in arm.labels]
    batch: int | None = declared.get("batch_size", labels[0] if labels else None)
    return batch


def _together(parts: Sequence[Part], delta: float) -> tuple[list[Together], list[str]]:
    """Returns for each design and way that several environments share what they say together, and what is left out."""
    groups: dict[tuple[str, Kind], list[tuple[Part, Way]]] = {}
    for part in parts:
        for way in part.ways:
            if part.scaled and not way.withheld:
                groups.setdefault((repr(sorted(part.slice.fixed.items())), way.kind), []).append((part, way))
    found, notes = [], []
    for (_, kind), members in groups.items():
        names = {part.scored.task.name for part, _ in members}
        shared = sorted(set.intersection(*(set(way.samples) for _, way in members)))
        if len(names) > 1 and len(names) == len(members) and len(shared) > 1:
            references = {part.verdicts[kind].reference for part, _ in members}
            found.append(_joined(kind, members, shared, delta, references.pop() if len(references) == 1 else None))
            others = sorted(set().union(*(way.samples for _, way in members)) - set(shared))
            if others:
                sizes = ", ".join(map(str, others))
                notes.append(f"environments together, {kind}: without batch {sizes}, which not all of them have")
    names = {name for both in found for name in both.names}
    apart = dict.fromkeys(part.scored.task.name for part in parts if part.scored.task.name not in names)
    if found and apart:
        notes.append(f"environments together: without {', '.join(apart)}")
    return found, notes


def _joined(
    kind: Kind, members: Sequence[tuple[Part, Way]], shared: Sequence[int], delta: float, reference: int | None
) -> Together:
    ways = [way for _, way in members]
    samples = {batch: tuple(way.samples[batch] for way in ways) for batch in shared}
    means = {batch: tuple(way.means[batch] for way in ways) for batch in shared}
    sizes = {batch: tuple(way.effective_size(batch) for way in ways) for batch in shared}
    compared = reference if reference in samples else None
    joined = {batch: combine(these, [1 / len(ways)] * len(ways)) for batch, these in means.items()}
    failures = failures_over([part.verdicts[kind].failures for part, _ in members], shared)
    return Together(
        fixed=members[0][0].slice.fixed,
        kind=kind,
        words=_words_of(members),
        names=tuple(part.scored.task.name for part, _ in members),
        samples=samples,
        aggregates={batch: _aggregated(batch, ways) for batch in shared},
        slopes=trend.pool([trend.slope({batch: way.means[batch] for batch in shared}) for way in ways]),
        verdicts=concluded(joined, delta, compared, failures),
        improvement={
            batch: probability_of_improvement(these, samples[compared], effective_sizes=(sizes[batch], sizes[compared]))
            for batch, these in samples.items()
            if compared is not None and batch != compared
        },
        means=means,
        effective_sizes=sizes,
    )


def _words_of(members: Sequence[tuple[Part, Way]]) -> str:
    """Returns what a conclusion over environments has to say of the learning rates, each in its own words."""
    words = {part.scored.task.name: way.words for part, way in members}
    alike = set(words.values())
    return alike.pop() if len(alike) == 1 else "; ".join(f"in {name} {one}" for name, one in words.items())


def _aggregated(batch: int, ways: Sequence[Way]) -> Aggregates:
    drawn = [way.resampled[batch] for way in ways if batch in way.resampled]
    return aggregates([way.samples[batch] for way in ways], SEED, resampled=drawn or None)
