"""How does the return grow while the runs train? Mean curves by batch size, on each axis and at each learning rate."""

from __future__ import annotations

from collections.abc import Mapping

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Part
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import AXES
from rlbatch.analysis.figures import Figure, Picture, curve, slug

Arms = Mapping[int, ScoredArm]
"""Batch size -> the arm that stands for it."""


def learning_curves(part: Part) -> Figure:
    """Returns the curves of an environment: the reader chooses the axis, and at which learning rates."""
    groups = _groups(part)
    log_axes = efficiency.log_axes([arm.curves for arm in part.cells.values()], part.scored.clock)
    pictures = [
        _curves(part, axis, rates, arms, is_log) for rates, arms in groups.items() for axis, is_log in log_axes.items()
    ]
    controls = ("axis",) if "" in groups else ("axis", "learning rate")
    return Figure(slug(part.name, "curves"), tuple(pictures), controls)


def _groups(part: Part) -> dict[str, Arms]:
    """Returns which arms can stand for the batch sizes, by the learning rates they have; the first as in the answer."""
    first = part.ways[0]
    if first.kind == "at its rate":
        return {"": first.arms}
    groups: dict[str, Arms] = {"each at its own best": first.arms} if first.tuned else {}
    answers = {rate for (_, rate), arm in part.cells.items() if any(arm is own for own in first.arms.values())}
    for rate in sorted(part.slice.learning_rates, key=lambda rate: not first.tuned and rate not in answers):
        arms = {batch: arm for (batch, at), arm in part.cells.items() if at == rate}
        if arms:
            groups[f"{rate:g}"] = arms
    return groups


def _curves(part: Part, axis: str, rates: str, arms: Arms, is_log: bool) -> Picture:
    series = []
    for batch, arm in sorted(arms.items()):
        spent = efficiency.amounts(arm.curves, axis, part.scored.clock)
        if spent is not None:
            shown = spent > 0 if is_log else spent >= 0
            series.append(curve(batch, spent[shown], list(arm.curves.means.T[shown])))
    about = "The band is the 95 % interval of the mean over seeds at each evaluation."
    if is_log:
        about += " The arms have different budgets on this axis: compare the amount to a height, not areas."
    if part.ways[0].tuned and arms is part.ways[0].arms:
        about += (
            f" Learning rates: {', '.join(f'{t.best:g} at batch {b}' for b, t in part.ways[0].tuned.items())}. Each is "
            "the best on all seeds, so the curves have the luck of that choice, which the verdicts have not."
        )
    at = f", learning rate {rates}" if rates else ""
    own = arms is part.ways[0].arms
    return Picture(
        slug(part.name, "curves", axis, *([] if own else ["rate", rates])),
        f"{part.name}: learning curves on {AXES[axis]}{at}",
        kind="lines",
        x_title=AXES[axis],
        y_title="return",
        log_x=is_log,
        series=tuple(series),
        about=about,
        choice=(AXES[axis], rates) if rates else (AXES[axis],),
    )
