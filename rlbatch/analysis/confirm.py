"""Does a batch size that the scores chose keep its advantage on seeds that had no part in the choice?

The chosen arm and the reference are trained on fresh seeds, above the highest seed of the experiment, in a folder of
their own. Nothing is chosen there: what it says is one difference of two means for each claim, and the number to quote.
Welch's tests, with Holm's correction over the claims; under `MIN_SEEDS` there is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from rlbatch.analysis.answer import Answer
from rlbatch.analysis.best import holm
from rlbatch.analysis.collect import Run
from rlbatch.analysis.comparison import Comparison, ScoredArm
from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, Estimate, Floats, Interval, difference_of
from rlbatch.analysis.looks import note_confirmation
from rlbatch.analysis.ways import values_of
from rlbatch.config import RunConfig
from rlbatch.experiment import Experiment
from rlbatch.paths import facts_of, is_run_path
from rlbatch.results import find_runs

SUFFIX = "-confirm"

Verdict = Literal["confirmed", "refuted", "not confirmed", "too few seeds"]


class Claim(NamedTuple):
    """What is to be confirmed in one environment under one design.

    Attributes:
        env_id: of the environment.
        name: the environment, with the settings that tell this design from others.
        chosen: the arm with the highest mean.
        reference: the declared arm.
    """

    env_id: str
    name: str
    chosen: ScoredArm
    reference: ScoredArm


class Confirmed(NamedTuple):
    """What fresh seeds say of a claim.

    Attributes:
        claim: the claim.
        difference: chosen minus reference, on the environment's scale where it has one, with Welch's interval of this
            claim alone; None where an arm has no fresh run that counts.
        seeds: fresh ones of the smaller arm.
        p_value: two-sided, corrected for the number of claims; 1 where there is no verdict.
        claims: how many there are.
        verdict: by that p-value; "too few seeds" under `MIN_SEEDS` in either arm.
        lacking: fresh runs of both arms that are missing or not finished.
        before: on how many of these fresh seeds somebody has looked at this claim before.
    """

    claim: Claim
    difference: Interval | None
    seeds: int
    p_value: float
    claims: int
    verdict: Verdict
    lacking: tuple[Run, ...]
    before: tuple[int, ...]


def claims_of(found: Answer) -> list[Claim]:
    """Returns what there is to confirm: nothing where the reference itself has the highest mean, or is not there."""
    claims = []
    for part in found.parts:
        way = part.ways[0]
        verdicts = part.verdicts[way.kind]
        best = max(way.samples, key=lambda batch, means=verdicts.means: means[batch].value)  # type: ignore[misc]
        reference = verdicts.reference
        if reference is not None and best != reference and best in way.arms and reference in way.arms:
            claims.append(Claim(part.scored.task.env_id, part.name, way.arms[best], way.arms[reference]))
    return claims


def first_fresh(experiment: Path) -> int:
    """Returns the lowest seed from which on an experiment has neither planned nor trained one, in any of its runs."""
    found = (str(run.path.relative_to(experiment)) for run in find_runs(experiment))
    paths = (path for path in (*Experiment(experiment).planned(), *found) if is_run_path(path))
    return 1 + max(facts_of(path).seed for path in paths)


def fresh_configs(claims: Sequence[Claim], first: int, count: int) -> list[RunConfig]:
    """Returns the runs that confirm the claims: so many seeds, from the first on, of both arms of each."""
    arms = {arm.arm.path: arm.arm.config for claim in claims for arm in (claim.chosen, claim.reference)}
    return [
        replace(config, seed=seed)
        for config in arms.values()
        if config is not None
        for seed in range(first, first + count)
    ]


def confirmed(claims: Sequence[Claim], fresh: Comparison, metric: str, first: int, folder: Path) -> list[Confirmed]:
    """Returns what the fresh runs say of each claim; that it was looked at is kept in their folder.

    Args:
        claims: from `claims_of`.
        fresh: the runs of the folder that confirms.
        metric: that the claims were made by.
        first: the lowest seed that is fresh; runs below it, which an experiment that grew has now, do not count.
        folder: that confirms.
    """
    found = [_difference(claim, fresh, metric, first) for claim in claims]
    tested = [one is not None and one.seeds >= MIN_SEEDS for one in found]
    raw = [one.p_value() if one is not None and enough else 1.0 for one, enough in zip(found, tested, strict=True)]
    told = []
    for claim, one, enough, p_value in zip(claims, found, tested, holm(raw), strict=True):
        told.append(
            Confirmed(
                claim,
                None if one is None else one.interval(),
                0 if one is None else one.seeds,
                p_value,
                len(claims),
                _verdict(one, p_value) if one is not None and enough else "too few seeds",
                _lacking(claim, fresh, first),
                tuple(note_confirmation(folder, _key(claim), _seeds(claim, fresh, first))),
            )
        )
    return told


def sentence_of(one: Confirmed) -> str:
    """Returns what fresh seeds say of a claim, in words."""
    found, claim = one.difference, one.claim
    unit = "of the range" if claim.chosen.scale.range is not None else "of return"
    said = (
        f"{claim.name}: batch {claim.chosen.arm.batch_size} minus batch {claim.reference.arm.batch_size} on "
        f"{one.seeds} fresh seeds: "
    )
    said += "unknown" if found is None else f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {unit}"
    if one.verdict == "too few seeds":
        said += f"; no verdict: {MIN_SEEDS} fresh seeds of each batch size are needed."
    else:
        of = f" with Holm's correction for {one.claims} claims" if one.claims > 1 else ""
        said += f"; {one.verdict} (p = {one.p_value:.2g}{of})."
    if one.lacking:
        said += f" Not in it: {_named(one.lacking)}."
    if one.before:
        counts = " and ".join(map(str, one.before))
        said += f" It was looked at before, on {counts} of these seeds; who adds seeds until it is confirmed errs more."
    return said


def _difference(claim: Claim, fresh: Comparison, metric: str, first: int) -> Estimate | None:
    """Returns chosen minus reference over the fresh runs that count, or None where an arm has none."""
    both = []
    for arm in (claim.chosen, claim.reference):
        found = _scored(fresh, arm.arm.path)
        # on the scale of the experiment that made the claim, not on one of the fresh runs' own
        values = _fresh_values(replace(found, scale=claim.chosen.scale), metric, first) if found is not None else None
        both.append(values)
    chosen, reference = both
    if chosen is None or reference is None or not len(chosen) or not len(reference):
        return None
    return difference_of(chosen, reference)


def _fresh_values(arm: ScoredArm, metric: str, first: int) -> Floats:
    values: Floats = values_of(arm, metric)[arm.curves.seeds >= first]
    return values


def _scored(fresh: Comparison, path: str) -> ScoredArm | None:
    return next((scored.arms[path] for scored in fresh.tasks if path in scored.arms), None)


def _verdict(difference: Estimate, p_value: float) -> Verdict:
    if p_value > 1 - CONFIDENCE:
        return "not confirmed"
    return "confirmed" if difference.value > 0 else "refuted"


def _lacking(claim: Claim, fresh: Comparison, first: int) -> tuple[Run, ...]:
    """Returns the fresh runs of a claim that do not count."""
    paths = (claim.chosen.arm.path, claim.reference.arm.path)
    arms = [arm for scored in fresh.tasks for arm in scored.task.arms if arm.path in paths]
    return tuple(run for arm in arms for run in (*arm.missing, *arm.unfinished) if run.seed >= first)


def _seeds(claim: Claim, fresh: Comparison, first: int) -> set[int]:
    """Returns the fresh seeds of either arm that count."""
    arms = [_scored(fresh, arm.arm.path) for arm in (claim.chosen, claim.reference)]
    return {seed for arm in arms if arm is not None for seed in arm.curves.seeds.tolist() if seed >= first}


def _key(claim: Claim) -> str:
    return f"{claim.chosen.arm.path} > {claim.reference.arm.path}"


def _named(runs: Sequence[Run]) -> str:
    """Returns runs in words: by batch size and status, with their seeds."""
    groups: dict[tuple[int, str], list[str]] = {}
    for run in runs:
        groups.setdefault((facts_of(run.path).batch_size, run.status), []).append(str(run.seed))
    return "; ".join(
        f"batch {batch} seed{'s' * (len(seeds) > 1)} {', '.join(seeds)} ({status})"
        for (batch, status), seeds in groups.items()
    )
