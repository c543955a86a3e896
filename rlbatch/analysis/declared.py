"""What did the experiments declare before they were trained, and does a comparison keep to it?

One experiment has its own declaration. Of several, what all that name it agree on is kept; where they differ nothing is
taken from them, and a note says so. The reference arm is that of the experiments that hold an environment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlbatch.plans import Plan, said_in

_SHARED = ("metric", "equivalence")
"""What holds for all environments together."""
_REFERENCE = "reference"


def shared_analysis(plans: Mapping[Path, Plan]) -> tuple[dict[str, Any], list[str]]:
    """Returns how all runs will be compared, and a note for each key on which experiments differ.

    Args:
        plans: experiment -> its plan.
    """
    if len(plans) == 1:
        return said_in(next(iter(plans.values())).analysis), []
    found, notes = {}, []
    for key in _SHARED:
        named = {root: said[key] for root, plan in plans.items() if key in (said := said_in(plan.analysis))}
        if _agree(named.values()):
            found[key] = next(iter(named.values()))
        elif named:
            notes.append(f"{key} is declared differently, so none of these counts: {_listed(named)}")
    return found, notes


def reference_of(plans: Mapping[Path, Plan], holders: Collection[Path]) -> tuple[dict[str, Any], str]:
    """Returns the arm that is declared to be compared with in an environment, and a note where experiments differ.

    A file that names neither metric nor equivalence mostly has its reference by default; it gives way to one that does.

    Args:
        plans: experiment -> its plan.
        holders: the experiments that hold the environment.
    """
    said = {root: said_in(plans[root].analysis) for root in plans if root in holders}
    named = {root: one[_REFERENCE] for root, one in said.items() if _REFERENCE in one}
    firm = {root: reference for root, reference in named.items() if any(key in said[root] for key in _SHARED)}
    chosen = firm or named
    if _agree(chosen.values()):
        return dict(next(iter(chosen.values()))), ""
    note = f"the reference is declared differently, so the preset's is taken: {_listed(chosen)}"
    return {}, note if chosen else ""


class Reference(NamedTuple):
    """The arm that others are compared with in an environment.

    Attributes:
        arm: what was declared of it, with the batch size that was asked for instead; may be empty.
        called: where its batch size comes from, after "batch 64, ".
        asked: whether another batch size was asked for than was declared.
        note: where experiments differ; empty where they do not.
    """

    arm: Mapping[str, Any]
    called: str
    asked: bool
    note: str


def reference_for(plans: Mapping[Path, Plan], holders: Collection[Path], asked: int | None) -> Reference:
    """Returns the reference; the arguments are those of `reference_of`, and the batch size that was asked for."""
    arm, note = reference_of(plans, holders)
    if asked not in (None, arm.get("batch_size")):
        return Reference({**arm, "batch_size": asked}, "which --reference names", True, "")
    called = "the declared reference" if "batch_size" in arm else "the preset's, which would be the reference"
    return Reference(arm, called, False, note)


def exploratory(plans: Mapping[Path, Plan], metric: str, delta: float, asked: Collection[str]) -> str:
    """Returns why a comparison is not the one that was declared before training; empty where it is.

    Args:
        plans: experiment -> its plan.
        metric: that is compared by.
        delta: largest difference that does not matter.
        asked: what else was asked for that changes which runs are compared, or how.
    """
    for root, plan in plans.items():
        if plan.undeclared:
            return f"{root.name}: {plan.undeclared}"
        said = said_in(plan.analysis)
        if (said["metric"], said["equivalence"]) != (metric, delta):
            return f"{root.name} declares the metric {said['metric']} and equivalence {said['equivalence']}"
    return f"asked for was {', '.join(asked)}" if asked else ""


def _agree(values: Collection[Any]) -> bool:
    """Tells whether there are values, and all are the same."""
    return len(values) > 0 and all(value == next(iter(values)) for value in values)


def _listed(named: Mapping[Path, Any]) -> str:
    return ", ".join(f"{value} in {root.name}" for root, value in named.items())
