"""Does a batch size that the scores chose keep its advantage on seeds that had no part in the choice?

The chosen arm and the reference are trained on fresh seeds, from the highest seed of the experiment on, in a folder of
their own. Nothing is chosen there: what it says is one difference of two means, and the number to quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rlbatch.analysis.answer import Answer
from rlbatch.analysis.comparison import Comparison, ScoredArm
from rlbatch.analysis.intervals import Interval, difference_of
from rlbatch.analysis.questions import values_of
from rlbatch.config import RunConfig

SUFFIX = "-confirm"


class Claim(NamedTuple):
    """What is to be confirmed in one environment under one design.

    Attributes:
        env_id: of the environment.
        chosen: the arm with the highest mean.
        reference: the declared arm.
    """

    env_id: str
    chosen: ScoredArm
    reference: ScoredArm


class Confirmed(NamedTuple):
    """What fresh seeds say of a claim.

    Attributes:
        claim: the claim.
        difference: chosen minus reference, on the environment's scale where it has one, with Welch's interval.
        seeds: of the smaller arm.
    """

    claim: Claim
    difference: Interval
    seeds: int


def claims_of(found: Answer) -> list[Claim]:
    """Returns what there is to confirm: nothing where the reference itself has the highest mean, or is not there."""
    claims = []
    for part in found.parts:
        way = part.ways[0]
        verdicts = part.verdicts[way.kind]
        best = max(way.samples, key=lambda batch, means=verdicts.means: means[batch].value)  # type: ignore[misc]
        reference = verdicts.reference
        if reference is not None and best != reference and best in way.arms and reference in way.arms:
            claims.append(Claim(part.scored.task.env_id, way.arms[best], way.arms[reference]))
    return claims


def fresh_configs(claims: Sequence[Claim], found: Answer, count: int) -> list[RunConfig]:
    """Returns the runs that confirm the claims: so many fresh seeds of both arms of each."""
    first = 1 + max(run.seed for run in found.comparison.collected.runs)
    arms = {arm.arm.path: arm.arm.config for claim in claims for arm in (claim.chosen, claim.reference)}
    return [
        replace(config, seed=seed)
        for config in arms.values()
        if config is not None
        for seed in range(first, first + count)
    ]


def confirmed(claims: Sequence[Claim], fresh: Comparison, metric: str) -> list[Confirmed]:
    """Returns what the fresh runs say of each claim of which both arms have finished runs.

    Args:
        claims: from `claims_of`.
        fresh: the runs of the folder that confirms.
        metric: that the claims were made by.
    """
    arms = {path: arm for scored in fresh.tasks for path, arm in scored.arms.items()}
    found = []
    for claim in claims:
        both = arms.get(claim.chosen.arm.path), arms.get(claim.reference.arm.path)
        if both[0] is not None and both[1] is not None:
            # on the scale of the experiment that made the claim, not on one of the fresh runs' own
            values = [values_of(replace(arm, scale=claim.chosen.scale), metric) for arm in (both[0], both[1])]
            difference = difference_of(*values)
            found.append(Confirmed(claim, difference.interval(), difference.seeds))
    return found


def sentence_of(one: Confirmed) -> str:
    """Returns a confirmed claim in words."""
    found, claim = one.difference, one.claim
    unit = "of the range" if claim.chosen.scale.range is not None else "of return"
    verdict = "confirmed" if found.low > 0 else "refuted" if found.high < 0 else "not confirmed: the interval holds 0"
    return (
        f"{claim.env_id}: batch {claim.chosen.arm.batch_size} minus batch {claim.reference.arm.batch_size} on "
        f"{one.seeds} fresh seeds: {found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {unit}; {verdict}."
    )
