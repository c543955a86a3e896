"""Which batch size should be used? The answer in sentences, with what it holds for and how sure it is.

Recommended are batch sizes that are shown to be as good as the best, and among them the cheapest, the steadiest and the
one that needs the fewest env steps. One that is only not shown to be worse is never recommended for being cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlbatch.analysis.advantage import SPLITS, cross_fitted
from rlbatch.analysis.answer import HARDLY, Answer, Part, Together
from rlbatch.analysis.contrasts import Contrast, contrasts_of
from rlbatch.analysis.intervals import MIN_SEEDS, SEED, Interval
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.picks import Pick, picks_of
from rlbatch.analysis.scope import holds_for
from rlbatch.analysis.seeds import seeds_to_decide
from rlbatch.analysis.table import shown
from rlbatch.analysis.verdicts import Verdicts
from rlbatch.analysis.ways import Way, by_rate
from rlbatch.analysis.words import batches, design_words, percent
from rlbatch.power import POWER


@dataclass(frozen=True)
class Recommendation:
    """What is recommended in one environment under one design.

    Attributes:
        env_id: of the environment.
        equivalent: batch sizes shown to be as good as the best, within delta.
        worse: shown not to be the best.
        undecided: neither.
        picks: "cheapest", "steadiest", "fewest env steps" -> which of the equivalent ones.
        advantage: of the batch size that half of the seeds choose, over the reference; see `advantage.py`.
        sentences: all of it in words.
    """

    env_id: str
    equivalent: tuple[int, ...]
    worse: tuple[int, ...]
    undecided: tuple[int, ...]
    picks: Mapping[str, Pick]
    advantage: Interval | None
    sentences: tuple[str, ...]


def recommend(found: Answer) -> tuple[Recommendation, ...]:
    """Returns what is recommended for each environment and design."""
    return tuple(_recommend(part, found) for part in found.parts)


def overall(found: Answer) -> tuple[str, ...]:
    """Returns what holds over several designs, and over several environments, in sentences; none for a single one."""
    said = [_contrast_words(one) for one in contrasts_of(found.parts) if one.kind == one.part.ways[0].kind]
    designs = []
    for both in found.together:
        if both.fixed not in designs:  # the first way is the one that conclusions rest on
            designs.append(both.fixed)
            said += _together(both, [part for part in found.parts if part.slice.fixed == both.fixed], found.delta)
    return tuple(said)


def _together(both: Together, parts: Sequence[Part], delta: float) -> list[str]:
    verdicts = both.verdicts
    alike = tuple(verdicts.equivalent)
    where = f"Over {len(both.names)} environments together{design_words(both.fixed)}, {both.words}"
    counts = [len(scores) for these in both.samples.values() for scores in these]
    whether = f"{batches(alike)} {_are(alike)}" if alike else "no batch size is shown to be"
    said = [f"{where}: {whether} as good as the best, within {percent(delta)} of the range."]
    members = [part for part in parts if part.scored.task.name in both.names]
    learned = not all(part.hardly_learned for part in members)
    if learned and len(alike) > 1 and all(part.ways[0].kind == both.kind for part in members):
        said += _pick_lines(picks_of(members, alike), alike)
    if both.slopes is not None:
        slope = _signed(both.slopes.alike.interval())
        said.append(f"Per doubling of the batch the score changes by {slope} of the range, in environments like these.")
    said += _hump(verdicts)
    seeds = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    said.append(
        f"{seeds} seeds per batch size and environment, environments of equal weight; simultaneous 95 % bounds. "
        "It holds for these environments, and for what stands with each of them."
    )
    return said


def _recommend(part: Part, found: Answer) -> Recommendation:
    way = part.ways[0]
    verdicts = part.verdicts[way.kind]
    standings = {
        verdict: tuple(batch for batch, standing in verdicts.standings.items() if standing.verdict == verdict)
        for verdict in ("equivalent", "worse", "undecided")
    }
    picks = {} if part.hardly_learned else picks_of([part], standings["equivalent"])
    reference = verdicts.reference
    advantage = None if reference is None else cross_fitted(by_rate(way, part.cells, part.metric), reference, SEED)
    sentences = [
        *_verdict(part, way, standings, found),
        *_trend(part, verdicts),
        *_pick_lines(picks, standings["equivalent"]),
        *_rates(part, way),
        *_against(verdicts, advantage, part.scaled),
        *_critical(part),
        *_sure(part, way, standings, found),
        f"Compared by {METRICS[found.metric].about}; {way.words}. {holds_for(part)}",
    ]
    return Recommendation(
        part.scored.task.env_id,
        standings["equivalent"],
        standings["worse"],
        standings["undecided"],
        picks,
        advantage,
        tuple(sentences),
    )


def _verdict(part: Part, way: Way, standings: Mapping[str, tuple[int, ...]], found: Answer) -> list[str]:
    where = f"{part.name}: "
    if not standings["equivalent"] and not standings["worse"] and not standings["undecided"]:
        why = (
            "there is one batch size"
            if len(way.samples) < 2
            else way.withheld or part.scored.scale.note or "there is no scale"
        )
        return [f"{where}no batch size can be recommended: {why}."]
    said = []
    if standings["equivalent"]:
        these = standings["equivalent"]
        said.append(
            f"{where}{batches(these)} {_are(these)} as good as the best, within {percent(found.delta)} of the range."
        )
    else:
        said.append(
            f"{where}no batch size is shown to be as good as the best, within {percent(found.delta)} of the range."
        )
    for verdict in ("worse", "undecided"):
        if these := standings[verdict]:
            said.append(f"{batches(these).capitalize()} {_are(these)} {verdict}.")
    return said


def _trend(part: Part, verdicts: Verdicts) -> list[str]:
    """Returns whether the score rises with the batch size, and whether there is a score to speak of."""
    said = []
    if part.hardly_learned:
        said.append(f"All of them score below {HARDLY:.0%} of the range: runs that hardly learned are alike.")
    if verdicts.trend is not None:
        unit = "of the range" if part.scaled else "of return"
        said.append(f"Per doubling of the batch the score changes by {_signed(verdicts.trend.interval())} {unit}.")
    return said + _hump(verdicts)


def _hump(verdicts: Verdicts) -> list[str]:
    """Returns that the score rises and then falls, where that is shown: a slope alone says nothing of it."""
    hump = verdicts.shown_hump
    if hump is None:
        return []
    return [
        f"It rises up to about batch {hump.batch_size} and falls from there (p {shown(hump.p_value)}), "
        "which one slope does not tell."
    ]


def _rates(part: Part, way: Way) -> list[str]:
    """Returns at which learning rate each batch size is best, where several were tried, and whether that moves."""
    told = [
        f"{tuned.best:g} at batch {batch}{' (edge)' if tuned.at_edge else ''}" for batch, tuned in way.tuned.items()
    ]
    said = [f"Best learning rates on all seeds: {'; '.join(told)}."] if told else []
    if part.rate_factor is not None:
        said.append(
            f"Per doubling of the batch the best rate changes by a factor of {shown(part.rate_factor)}, as far as "
            "rates tried at steps can tell; 1.41 would be the square root of the batch size."
        )
    return said


def _pick_lines(picks: Mapping[str, Pick], sizes: Sequence[int]) -> list[str]:
    """Returns which of the batch sizes is the cheapest, the steadiest, the quickest; nothing of a single one."""
    said = []
    for what, pick in picks.items() if len(sizes) > 1 else ():
        alike = f"; {batches(pick.alike)} not told apart from it" if pick.alike else ""
        told = f"{shown(round(pick.value, 6))} {pick.by}"
        if what == "steadiest" and not pick.value > 0:
            told = "no fall of the return beyond the noise of evaluations"
        said.append(f"Of {batches(sizes)}, {what}: batch {pick.batch_size} ({told}{alike}).")
    return said


def _critical(part: Part) -> list[str]:
    """Returns the critical batch size in a sentence, where it can be told."""
    front = part.front
    return [] if front is None or front.fit is None else [front.words.capitalize() + "."]


def _contrast_words(one: Contrast) -> str:
    unit = "of the range" if one.part.scaled else "of return"
    also = f", with which {', '.join(one.also)} varies" if one.also else ""
    return (
        f"{one.where}, {one.kind}: per doubling of the batch the score changes by {_signed(one.difference.interval())} "
        f"{unit} more with {one.axis} {one.value} than with {one.axis} {one.base_value}{also}."
    )


def _against(verdicts: Verdicts, advantage: Interval | None, scaled: bool) -> list[str]:
    if advantage is None or verdicts.reference is None:
        return []
    unit = "of the range" if scaled else "of return"
    if advantage.low == advantage.high == 0:
        return [f"Half of the seeds always choose batch {verdicts.reference} itself: there is no advantage to tell."]
    return [
        f"A batch size chosen on half of the seeds scores {_signed(advantage)} {unit} over batch {verdicts.reference} "
        f"on the other half ({SPLITS} splits)."
    ]


def _sure(part: Part, way: Way, standings: Mapping[str, tuple[int, ...]], found: Answer) -> list[str]:
    counts = sorted({len(scores) for scores in way.samples.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    many = f"{seeds} seed{'' if seeds == '1' else 's'} per batch size"
    said = [f"{many}; simultaneous 95 % bounds (below after Hsu, above after Tukey)."]
    if counts[0] < MIN_SEEDS:
        said.append(f"Under {MIN_SEEDS} seeds nothing is called better: a variance of so few numbers is hardly known.")
    if part.scaled and len(way.samples) > 1 and counts[0] > 1 and not way.withheld:
        said += _surer(part.verdicts[way.kind], way, standings, found.delta)
    missing = sum(len(arm.missing) + len(arm.unfinished) for arm in part.scored.task.arms)
    if missing:
        runs = "run of this environment is" if missing == 1 else "runs of this environment are"
        said.append(f"Incomplete: {missing} planned {runs} not in these numbers.")
    return said


def _surer(verdicts: Verdicts, way: Way, standings: Mapping[str, tuple[int, ...]], delta: float) -> list[str]:
    """Returns what would make the verdicts surer: more seeds, told as the seeds of each batch size in all."""
    said = []
    deviation = verdicts.deviation
    if deviation and (standings["undecided"] or not standings["equivalent"]):
        needed = seeds_to_decide(deviation, len(way.samples), delta)
        said.append(
            f"With about {needed} seeds per batch size, one that equals the best would be shown to be as good, at the "
            "deviation seen so far; one whose loss is near the margin may stay undecided."
        )
    if verdicts.needed:
        told = ", ".join(f"{count} for batch {batch}" for batch, count in sorted(verdicts.needed.items()))
        where = f"of {percent(delta)} of the range from batch {verdicts.reference}"
        said.append(f"To find a difference {where} with a probability of {POWER:.0%} takes as many seeds: {told}.")
    return said


def _are(sizes: Sequence[int]) -> str:
    return "is" if len(sizes) == 1 else "are"


def _signed(interval: Interval) -> str:
    ends = f"{interval.low:+.3f}, {interval.high:+.3f}" if math.isfinite(interval.high - interval.low) else "?"
    return f"{interval.estimate:+.3f} [{ends}]"
