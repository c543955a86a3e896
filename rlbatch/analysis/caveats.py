"""What has a reader to know before believing an answer? Said by every view of it, in the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rlbatch.analysis.answer import HARDLY, Answer
from rlbatch.analysis.arms import Arm
from rlbatch.analysis.collect import Run
from rlbatch.analysis.looks import looks_at

_NAMED = 8
"""Arms or runs that are named before the rest is counted."""


def caveats(found: Answer) -> tuple[str, ...]:
    """Returns what limits an answer, a line each: none where all that was planned is there and was declared."""
    comparison = found.comparison
    said: list[str] = []
    if not found.declared:
        said.append(f"exploratory, not as declared before training: {found.exploratory}")
    if comparison.missing:
        statuses = Counter(run.status for run in comparison.missing)
        told = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        said.append(f"incomplete: {_runs(len(comparison.missing))} missing ({told})")
        said += _missing(comparison.missing)
    if comparison.unfinished:
        said.append(f"incomplete: {_runs(len(comparison.unfinished))} not finished")
    never = [arm for scored in comparison.tasks for arm in scored.task.arms if not arm.counted]
    if never:
        more = f" and {len(never) - _NAMED} more arms" if len(never) > _NAMED else ""
        said.append(f"without any run that counts: {', '.join(map(_arm, never[:_NAMED]))}{more}")
    for path, plan in comparison.collected.plans.items():
        if looks := looks_at(path, len(plan.runs)):
            times = {1: "once", 2: "twice"}.get(looks, f"{looks} times")
            said.append(f"{path.name}: looked at {times} before all runs had finished; every look can mislead")
    if comparison.collected.outside:
        said.append(f"outside the plan, not counted: {_runs(len(comparison.collected.outside))}")
    scales = dict.fromkeys(f"{one.task.name}: {one.scale.note}" for one in comparison.tasks if one.scale.note)
    return (*said, *scales, *_limits(found), *found.notes)


def _limits(found: Answer) -> list[str]:
    """Returns where nothing is concluded, and where what is concluded says little."""
    said = []
    for part in found.parts:
        way = part.ways[0]
        if way.withheld:
            said.append(f"{part.name}: no verdict: {way.withheld}")
        if part.hardly_learned:
            said.append(f"{part.name}: all score below {HARDLY:.0%} of the range; runs that hardly learned are alike")
        if edges := [str(batch) for batch, tuned in way.tuned.items() if tuned.at_edge]:
            said.append(
                f"{part.name}: the best learning rate is the lowest or highest tried at batch {', '.join(edges)}; a "
                "better one may lie beyond"
            )
    return said


def _missing(runs: Sequence[Run]) -> list[str]:
    """Returns which runs are missing and why, the first of them by name, and how they are trained again."""
    said = [f"missing: {_place(run)} {_why(run)}" for run in runs[:_NAMED]]
    if len(runs) > _NAMED:
        said.append(f"missing: {_runs(len(runs) - _NAMED, 'more ')}")
    unreadable = sum(run.status == "unreadable" for run in runs)
    away = "move the folders of unreadable ones away and " if unreadable else ""
    again = "" if unreadable == len(runs) else " with --retry-failed"
    return [*said, f"to have missing runs trained anew, {away}run the same command again{again}"]


def _place(run: Run) -> str:
    """Returns where a run lies, from the name of its experiment on."""
    root = next((path for path in run.experiments if run.folder.is_relative_to(path)), run.folder.parent)
    return str(run.folder.relative_to(root.parent))


def _why(run: Run) -> str:
    reason = run.reason.replace(f"{run.folder}/", "")
    return f"{run.status} ({reason})" if reason else run.status


def _arm(arm: Arm) -> str:
    return f"{arm.env_id} batch {arm.batch_size} learning rate {arm.learning_rate:g}"


def _runs(count: int, more: str = "") -> str:
    return f"{count:,} {more}run{'' if count == 1 else 's'}"
