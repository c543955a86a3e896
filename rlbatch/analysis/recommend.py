"""Which batch size should be used? The answer in sentences, with what it holds for and how sure it is.

Recommended are batch sizes that are shown to be as good as the best, and among them the cheapest, the steadiest and the
one that needs the fewest env steps. One that is only not shown to be worse is never recommended for being cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.advantage import SPLITS, cross_fitted
from rlbatch.analysis.answer import Answer, Part, Verdicts
from rlbatch.analysis.best import not_worse
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.effort_tables import critical_line
from rlbatch.analysis.intervals import MIN_SEEDS, Floats, Interval, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.questions import Way
from rlbatch.analysis.seeds import seeds_to_decide
from rlbatch.analysis.steadiness import steadiness_samples
from rlbatch.config import RunConfig
from rlbatch.designs import replay_ratio

_SEED = 0
_HARDLY = 0.1
"""Part of the range below which all arms are said to have hardly learned."""


class Pick(NamedTuple):
    """One of the equivalent batch sizes.

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
    """Returns what holds over several environments together, in sentences; none where there is only one."""
    said = []
    for both in found.together[:1]:
        verdicts = both.verdicts
        where = f"Over {len(both.env_ids)} environments together, {both.kind}"
        if verdicts.equivalent:
            said.append(f"{where}: {_batches(verdicts.equivalent)} {_are(verdicts.equivalent)} as good as the best.")
        else:
            said.append(f"{where}: no batch size is shown to be as good as the best.")
        if both.slopes is not None:
            slope = both.slopes.alike.interval()
            said.append(f"Per doubling of the batch the score changes by {_signed(slope)} of the range.")
    return tuple(said)


def _recommend(part: Part, found: Answer) -> Recommendation:
    way = part.ways[0]
    verdicts = part.verdicts[way.kind]
    standings = {
        verdict: tuple(batch for batch, standing in verdicts.standings.items() if standing.verdict == verdict)
        for verdict in ("equivalent", "worse", "undecided")
    }
    picks = _picks(part, way, standings["equivalent"])
    reference = verdicts.reference
    advantage = None if reference is None else cross_fitted(way.samples, reference, _SEED)
    sentences = [
        *_verdict(part, way, standings, found),
        *(_pick_words(what, pick) for what, pick in picks.items() if len(standings["equivalent"]) > 1),
        *_against(verdicts, advantage, part.scaled),
        *_critical(part),
        *_sure(part, way, standings, found),
        _holds_for(part, way, found),
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


def _picks(part: Part, way: Way, equivalent: tuple[int, ...]) -> dict[str, Pick]:
    arms = {batch: way.arms[batch] for batch in equivalent if batch in way.arms}
    if not arms:
        return {}
    found: dict[str, Pick] = {}
    spent = {batch: efficiency.amounts(arm.curves, "seconds", part.scored.clock) for batch, arm in arms.items()}
    known = {batch: one[-1:] for batch, one in spent.items() if one is not None}
    if len(known) == len(arms):
        found["cheapest"] = _lowest(known, "seconds of a run alone")
    else:
        drawn = {batch: arm.curves.samples[-1:] for batch, arm in arms.items()}
        found["cheapest"] = _lowest(drawn, "samples drawn; no cost.json tells the seconds")
    falls = {batch: -steady for batch, steady in steadiness_samples(part, "drawdown_max").items() if batch in arms}
    if falls:
        found["steadiest"] = _lowest(falls, "of the range is its deepest fall of the return")
    mark = part.mark
    if mark is not None:
        steps = {batch: _steps_to(arm, mark) for batch, arm in arms.items()}
        found["fewest env steps"] = _lowest(steps, f"env steps to {part.scored.marks[mark]:g}, at most the budget")
    return found


def _steps_to(arm: ScoredArm, mark: str) -> Floats:
    """Returns (R,) env steps to a mark, the budget where it is not reached."""
    steps: Floats = np.minimum(arm.values[f"steps_to_{mark}"], arm.curves.timesteps[-1])
    return steps


def _lowest(values: Mapping[int, Floats], by: str) -> Pick:
    """Returns the batch size with the lowest mean; a single value is one that is known, and has no error."""
    means = {batch: float(values[batch].mean()) for batch in sorted(values)}
    best = min(means, key=lambda batch: means[batch])
    if all(len(one) == 1 for one in values.values()):
        near = [batch for batch in means if means[batch] == means[best]]
    else:
        near = not_worse({batch: mean_of(-values[batch]) for batch in means})
    return Pick(best, by, means[best], tuple(batch for batch in near if batch != best))


def _verdict(part: Part, way: Way, standings: Mapping[str, tuple[int, ...]], found: Answer) -> list[str]:
    where = f"{part.name}: "
    if not standings["equivalent"] and not standings["worse"] and not standings["undecided"]:
        why = "there is one batch size" if len(way.samples) < 2 else part.scored.scale.note or "there is no scale"
        return [f"{where}no batch size can be recommended: {why}."]
    said = []
    if standings["equivalent"]:
        these = standings["equivalent"]
        said.append(
            f"{where}{_batches(these)} {_are(these)} as good as the best, within {found.delta:.0%} of the range."
        )
    else:
        said.append(f"{where}no batch size is shown to be as good as the best, within {found.delta:.0%} of the range.")
    for verdict in ("worse", "undecided"):
        if these := standings[verdict]:
            said.append(f"{_batches(these).capitalize()} {_are(these)} {verdict}.")
    return said


def _pick_words(what: str, pick: Pick) -> str:
    alike = f"; {_batches(pick.alike)} not told apart from it" if pick.alike else ""
    return f"Of these, {what}: batch {pick.batch_size} ({pick.value:,.4g} {pick.by}{alike})."


def _critical(part: Part) -> list[str]:
    """Returns the critical batch size in a sentence, where it can be told."""
    mark = part.mark
    front = None if mark is None else part.scored.front(part.slice, mark)
    return [] if front is None or front.fit is None else [critical_line(front).capitalize() + "."]


def _against(verdicts: Verdicts, advantage: Interval | None, scaled: bool) -> list[str]:
    if advantage is None or verdicts.reference is None:
        return []
    unit = "of the range" if scaled else "of return"
    return [
        f"A batch size chosen on half of the seeds scores {_signed(advantage)} {unit} over batch {verdicts.reference} "
        f"on the other half ({SPLITS} splits)."
    ]


def _sure(part: Part, way: Way, standings: Mapping[str, tuple[int, ...]], found: Answer) -> list[str]:
    counts = sorted({len(scores) for scores in way.samples.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    said = [f"{seeds} seeds per batch size; simultaneous 95 % bounds (Hsu's comparison with the best, Welch's errors)."]
    if counts[0] < MIN_SEEDS:
        said.append(f"Under {MIN_SEEDS} seeds nothing is called better: a variance of so few numbers is hardly known.")
    if (
        part.scaled
        and (standings["undecided"] or not standings["equivalent"])
        and counts[0] > 1
        and len(way.samples) > 1
    ):
        deviation = float(np.sqrt(np.mean([scores.var(ddof=1) for scores in way.samples.values()])))
        if deviation > 0:
            needed = seeds_to_decide(deviation, len(way.samples), found.delta)
            said.append(f"About {needed} seeds per batch size would decide, at the deviation seen so far.")
    if (
        part.scaled
        and max(float(scores.mean()) for scores in way.samples.values()) < _HARDLY
        and METRICS[found.metric].kind == "score"
    ):
        said.append(f"All of them score below {_HARDLY:.0%} of the range: runs that hardly learned are alike.")
    missing = sum(len(arm.missing) + len(arm.unfinished) for arm in part.slice.cells.values())
    if missing:
        said.append(f"Incomplete: {missing} planned {'run is' if missing == 1 else 'runs are'} not in these numbers.")
    return said


def _holds_for(part: Part, way: Way, found: Answer) -> str:
    arm = next(iter(way.arms.values()), None)
    about = METRICS[found.metric].about
    config: RunConfig | None = None if arm is None else arm.arm.config
    if arm is None or config is None:
        return f"Compared by {about}; {way.words}."
    labels = arm.arm.labels[0]
    ratios = sorted({replay_ratio(one.arm.config) for one in way.arms.values() if one.arm.config is not None})
    updates = " to ".join(f"{ratio:g}" for ratio in dict.fromkeys((ratios[0], ratios[-1])))
    return (
        f"Compared by {about}; {way.words}. It holds for {config.algo.upper()} with networks "
        f"{list(config.net_arch)}, {config.total_timesteps:,} env steps, n-step {config.n_steps}, match "
        f"{labels['match']}, learning-rate rule {labels['lr_rule']}, {updates} updates per env step."
    )


def _batches(sizes: tuple[int, ...] | list[int]) -> str:
    named = [str(size) for size in sorted(sizes)]
    return "batch " + (named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}")


def _are(sizes: tuple[int, ...] | list[int]) -> str:
    return "is" if len(sizes) == 1 else "are"


def _signed(interval: Interval) -> str:
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
