"""At which learning rates can batch sizes be seen side by side? Each at its own best, or all at one that was tried."""

from __future__ import annotations

from collections.abc import Mapping

from rlbatch.analysis.answer import Part
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.ways import Way
from rlbatch.analysis.words import batches

Arms = Mapping[int, ScoredArm]
"""Batch size -> the arm that stands for it."""

OWN_BEST = "each at its own best"


def arms_by_rates(part: Part) -> dict[str, Arms]:
    """Returns which arms can stand for the batch sizes, by the learning rates they have; the first as in the answer."""
    first = part.ways[0]
    if first.kind == "at its rate":
        return {"": first.arms}
    groups: dict[str, Arms] = {OWN_BEST: first.arms} if first.tuned else {}
    answers = {rate for (_, rate), arm in part.cells.items() if _has(first.arms, arm)}
    for rate in sorted(part.slice.learning_rates, key=lambda rate: not first.tuned and rate not in answers):
        arms = {batch: arm for (batch, at), arm in part.cells.items() if at == rate}
        if arms:
            groups[f"{rate:g}"] = arms
    return groups


def shared_rate_first(part: Part) -> dict[str, Arms]:
    """Returns the same with the one rate at which all batch sizes are compared first, where there is one.

    Where each has its own rate, what the rate does looks like what the batch size does.
    """
    groups = arms_by_rates(part)
    shared = next((way.arms for way in part.ways if way.kind == "at one rate"), {})
    first = {
        name: arms
        for name, arms in groups.items()
        if name != OWN_BEST and any(_has(shared, arm) for arm in arms.values())
    }
    return first | groups


def rates_said(part: Part, arms: Arms) -> str:
    """Returns at which learning rates these arms were trained, as a sentence; with a warning where they differ."""
    at: dict[float, list[int]] = {}
    for (batch, rate), arm in part.cells.items():
        if _has(arms, arm):
            at.setdefault(rate, []).append(batch)
    rule = " (before the rule)" if part.slice.follows_rule else ""
    if len(at) == 1:
        return f"Learning rate{rule}: {next(iter(at)):g}."
    told = "; ".join(f"{rate:g} at {batches(sizes)}" for rate, sizes in sorted(at.items()))
    return f"Learning rates{rule}: {told}. Where these differ, the rate may be why lines do, and not the batch size."


def compared_rates_said(part: Part, way: Way) -> str:
    """Returns a sentence that says at which learning rates the runs are that a way compares.

    Where rates were chosen, with the share of a batch size's values that are taken at each.
    """
    if way.arms and not way.tuned:
        return rates_said(part, way.arms)
    if not way.tuned:
        return f"{way.words[0].upper()}{way.words[1:]}."
    rule = " (before the rule)" if part.slice.follows_rule else ""
    chosen = {
        batch: ", ".join(f"{rate:g} ({share:.0%})" for rate, share in one.chosen.items() if round(share, 2) > 0)
        for batch, one in sorted(way.tuned.items())
    }
    told = "; ".join(f"at batch {batch} {rates}" for batch, rates in chosen.items())
    return f"Learning rates{rule} that the compared score chose on halves of the seeds, with their shares: {told}."


def _has(arms: Arms, arm: ScoredArm) -> bool:
    return any(arm is own for own in arms.values())
