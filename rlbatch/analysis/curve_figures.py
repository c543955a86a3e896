"""How far are the runs as they train? Mean returns, and the share that has reached the mark, by batch size and axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Part
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import AXES
from rlbatch.analysis.figures import Figure, Kind, Picture, Series, curve, means_of, slug
from rlbatch.analysis.intervals import Floats
from rlbatch.analysis.rate_views import Arms, arms_by_rates, rates_said


class _Subject(NamedTuple):
    """What is drawn over the amount spent.

    Attributes:
        name: of the figure, in small letters.
        title: begins the pictures' titles, after the environment.
        y_title: of the vertical axis.
        kind: of the pictures.
        about: what a reader has to know.
        series: batch size, its arm and (T,) the amount spent at each evaluation -> the line of the batch size.
    """

    name: str
    title: str
    y_title: str
    kind: Kind
    about: str
    series: Callable[[int, ScoredArm, Floats], Series]


def learning_curves(part: Part) -> Figure:
    """Returns the curves of an environment: the reader chooses the axis, and at which learning rates."""
    about = "The band is the 95 % interval of the mean over seeds at each evaluation."
    return _over_amounts(part, _Subject("curves", "learning curves", "return", "lines", about, _returns))


def reaching_curves(part: Part) -> list[Figure]:
    """Returns the share of runs that have reached the mark, chosen like the learning curves; nothing without a mark."""
    mark = part.mark
    if mark is None:
        return []

    def shares(batch: int, arm: ScoredArm, spent: Floats) -> Series:
        told = arm.reached_by(mark, spent)
        return curve(batch, told.amounts, told.reached, told.low, told.high)

    about = (
        "Kaplan-Meier over the first crossing of the isotonic fit of each run's curve, known at evaluations only, with "
        "the 95 % interval at each: runs that finish without it never reach it, unfinished ones are censored."
    )
    height = f"{part.scored.marks[mark]:g}"
    words = f"share of the runs that has reached {height}"
    return [_over_amounts(part, _Subject("reaching", words, words, "steps", about, shares))]


def _returns(batch: int, arm: ScoredArm, spent: Floats) -> Series:
    return curve(batch, spent, *means_of(list(arm.curves.means.T)))


def _over_amounts(part: Part, subject: _Subject) -> Figure:
    groups = arms_by_rates(part)
    pictures = [
        _picture(part, subject, axis, rates, arms, budget.differs)
        for rates, arms in groups.items()
        for axis, budget in part.budgets.items()
    ]
    controls = ("axis",) if "" in groups else ("axis", "learning rate")
    return Figure(slug(part.name, subject.name), tuple(pictures), controls)


def _picture(part: Part, subject: _Subject, axis: str, rates: str, arms: Arms, is_log: bool) -> Picture:
    series = []
    for batch, arm in sorted(arms.items()):
        spent = efficiency.amounts(arm.curves, axis, part.scored.clock)
        if spent is not None:
            drawn = subject.series(batch, arm, spent)
            series.append(drawn.where(drawn.x > 0) if is_log else drawn)
    about = subject.about
    if is_log:
        about += " The arms have different budgets on this axis: compare the amount to a height, not areas."
    about += f" {rates_said(part, arms)}"
    own = arms is part.ways[0].arms
    if part.ways[0].tuned and own:
        about += " Each rate is the best on all seeds: curves have the luck of that choice, which verdicts have not."
    at = f", learning rate {rates}" if rates else ""
    return Picture(
        slug(part.name, subject.name, axis, *([] if own else ["rate", rates])),
        f"{part.name}: {subject.title} on {AXES[axis]}{at}",
        kind=subject.kind,
        x_title=AXES[axis],
        y_title=subject.y_title,
        log_x=is_log,
        series=tuple(series),
        about=about,
        choice=(AXES[axis], rates) if rates else (AXES[axis],),
    )
