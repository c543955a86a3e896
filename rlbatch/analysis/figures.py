"""Which pictures tell the answer? What is on each: the numbers, the axes and the table, for a page and for files alike.

A figure holds numbers only. `report.py` draws it in a browser, `plots.py` into a file, and both show its table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Answer, Part, Together
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import AXES
from rlbatch.analysis.effort_tables import critical_line
from rlbatch.analysis.intervals import Floats, Interval, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.profiles import performance_profile
from rlbatch.analysis.questions import Way
from rlbatch.analysis.table import Cell, Table

Kind = Literal["lines", "dots", "heat"]


@dataclass(frozen=True)
class Series:
    """One line with its band, or one set of points with their intervals.

    Attributes:
        name: in the legend.
        x: (K,) positions.
        y: (K,) heights.
        low: (K,) lower ends of the intervals; NaN where nothing is known.
        high: (K,) upper ends.
        seeds: (K, n) one number per seed, drawn as dots; empty where there are none.
        batch_size: of the arm, which decides the colour; None for what has none.
    """

    name: str
    x: Floats
    y: Floats
    low: Floats
    high: Floats
    seeds: tuple[Floats, ...] = ()
    batch_size: int | None = None


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: of its file, in small letters.
        title: one line.
        kind: lines with bands, dots with intervals, or a heat map.
        x_title: of the horizontal axis, with the unit.
        y_title: of the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        series: what is drawn; of a heat map one per row, from the bottom up.
        about: what a reader has to know.
        log_y: whether the vertical axis is logarithmic.
    """

    name: str
    title: str
    kind: Kind
    x_title: str
    y_title: str
    log_x: bool
    series: tuple[Series, ...]
    about: str = ""
    log_y: bool = False

    @property
    def table(self) -> Table:
        """The same numbers as a table."""
        rows: list[tuple[Cell, ...]] = []
        for one in self.series:
            for x, y, low, high in zip(one.x, one.y, one.low, one.high, strict=True):
                rows.append((one.name, float(x), _known(y), _known(low), _known(high)))
        return Table(self.title, ("series", self.x_title, self.y_title, "low", "high"), tuple(rows))


def figures_of(found: Answer) -> tuple[Figure, ...]:
    """Returns all pictures: for each environment and design, then over environments."""
    figures: list[Figure] = []
    for part in found.parts:
        figures += [
            response(part, found.metric),
            *(learning_curves(part, axis) for axis in part.scored.views),
            *_heat(part, found.metric),
            *_steadiness(part),
            *_front(part),
        ]
    for both in found.together:
        figures += [profiles(both), environments(both)]
    return tuple(figures)


def response(part: Part, metric: str) -> Figure:
    """Returns the score against the batch size: mean, interval and every seed, in each way of comparing."""
    series = [_responses(way) for way in part.ways]
    unit = "0: low, 1: reference" if part.scaled else "return"
    about = "A point is the mean over seeds, with its 95 % interval; each dot is one seed: " + part.ways[0].words + "."
    return Figure(
        f"{_file(part)}-response",
        f"{part.name}: {METRICS[metric].about}, by batch size",
        "dots",
        "batch size",
        f"{metric} ({unit})",
        True,
        tuple(series),
        about,
    )


def learning_curves(part: Part, axis: str) -> Figure:
    """Returns the mean curves of the arms that stand for each batch size, on one axis."""
    view = part.scored.views[axis]
    arms = part.ways[0].arms
    series = []
    for batch, arm in sorted(arms.items()):
        spent = efficiency.amounts(arm.curves, axis, part.scored.clock)
        if spent is not None:
            series.append(_curve(batch, arm, spent, log=view.log))
    about = "The band is the 95 % interval of the mean over seeds at each evaluation."
    if view.log:
        about += " The arms have different budgets on this axis: compare the amount to a height, not areas."
    return Figure(
        f"{_file(part)}-curves-{axis}",
        f"{part.name}: learning curves on {AXES[axis]}",
        "lines",
        AXES[axis],
        "return",
        view.log,
        tuple(series),
        about,
    )


def profiles(both: Together) -> Figure:
    """Returns the share of runs above each score, over the environments together (Agarwal et al. 2021)."""
    scores = np.concatenate([one for these in both.samples.values() for one in these])
    thresholds = np.linspace(min(0.0, float(scores.min())), max(1.0, float(scores.max())), 101)
    series = []
    for batch, samples in both.samples.items():
        profile = performance_profile(samples, thresholds, worth=both.worth[batch])
        series.append(Series(f"batch {batch}", thresholds, profile.share, profile.low, profile.high, (), batch))
    return Figure(
        "together-profiles",
        f"{len(both.env_ids)} environments together: share of runs above a score",
        "lines",
        "score (0: low, 1: reference)",
        "share of runs",
        False,
        tuple(series),
        "Each environment has the same weight. The band is pointwise.",
    )


def environments(both: Together) -> Figure:
    """Returns the mean score of each environment at each batch size."""
    rows = {
        env_id: {batch: means[i].interval() for batch, means in both.means.items()}
        for i, env_id in enumerate(both.env_ids)
    }
    return Figure(
        "together-environments",
        f"{len(both.env_ids)} environments: mean score by batch size, {both.kind}",
        "heat",
        "batch size",
        "environment",
        False,
        tuple(_intervals(env_id, found) for env_id, found in rows.items()),
        "The colour is the mean over seeds; 0 is low and 1 is the reference score.",
    )


def _heat(part: Part, metric: str) -> list[Figure]:
    """Returns the mean score at each batch size and learning rate, where there are several rates."""
    from rlbatch.analysis.questions import values_of

    rates = part.slice.learning_rates
    if len(rates) < 2:
        return []
    arms = part.scored.arms
    rows = []
    for rate in rates:
        cells = {batch: arm for (batch, at), arm in part.slice.cells.items() if at == rate and arm.path in arms}
        rows.append(_row(f"{rate:g}", {b: values_of(arms[a.path], metric) for b, a in sorted(cells.items())}))
    return [
        Figure(
            f"{_file(part)}-rates",
            f"{part.name}: mean score by batch size and learning rate",
            "heat",
            "batch size",
            "learning rate",
            False,
            tuple(rows),
            "The colour is the mean over seeds. A best cell at an edge may not be the best there is.",
        )
    ]


def _steadiness(part: Part) -> list[Figure]:
    """Returns how far returns fall, by batch size, of the arms that stand for each."""
    arms = {
        batch: arm for batch, arm in sorted(part.ways[0].arms.items()) if np.isfinite(arm.values["drawdown_max"]).all()
    }
    if not arms or not part.scaled:
        return []
    series = []
    for name in ("drawdown_max", "dispersion"):
        samples = {batch: arm.normalised(name) for batch, arm in arms.items()}
        if all(np.isfinite(values).all() for values in samples.values()):
            row = _row(name, samples)
            series.append(Series(name, row.x, row.y, row.low, row.high, tuple(samples.values())))
    return [
        Figure(
            f"{_file(part)}-stability",
            f"{part.name}: falls and unrest of the return, by batch size",
            "dots",
            "batch size",
            "part of the range",
            True,
            tuple(series),
            "Evaluation noise is taken out. Compare only batch sizes that are shown to be equivalent: what learns "
            "nothing is steady.",
        )
    ]


def _front(part: Part) -> list[Figure]:
    """Returns updates against samples to the mark, one point per batch size, with the fitted hyperbola."""
    mark = part.mark
    if mark is None:
        return []
    front = part.scored.front(part.slice, mark)
    if len(front.batch_sizes) < 2:
        return []
    unknown = np.full(len(front.batch_sizes), np.nan)
    names = ", ".join(f"{size:g}" for size in front.batch_sizes)
    series = [Series(f"batch {names}", front.samples, front.updates, unknown, unknown)]
    if front.fit is not None:
        sizes = np.geomspace(front.batch_sizes.min(), front.batch_sizes.max(), 60)
        updates = front.fit.updates_min * (1 + front.fit.critical / sizes)
        series.append(Series("hyperbola", updates * sizes, updates, np.full(60, np.nan), np.full(60, np.nan)))
    return [
        Figure(
            f"{_file(part)}-front",
            f"{part.name}: updates and samples until the curve reaches {part.scored.marks[mark]:g}",
            "lines",
            "samples",
            "updates",
            True,
            tuple(series),
            f"Medians over runs, each batch size at its fastest rate; {critical_line(front)}.",
            log_y=True,
        )
    ]


def _responses(way: Way) -> Series:
    batches = sorted(way.samples)
    row = _intervals(way.kind, {batch: way.means[batch].interval() for batch in batches})
    return replace(row, seeds=tuple(way.samples[batch] for batch in batches))


def _curve(batch: int, arm: ScoredArm, spent: Floats, *, log: bool) -> Series:
    means = arm.curves.means
    shown = spent > 0 if log else spent >= 0
    intervals = [mean_of(column).interval() for column in means.T[shown]]
    return Series(
        f"batch {batch}",
        spent[shown],
        np.array([one.estimate for one in intervals]),
        _ends([one.low for one in intervals]),
        _ends([one.high for one in intervals]),
        (),
        batch,
    )


def _row(name: str, samples: Mapping[int, Floats]) -> Series:
    return _intervals(name, {batch: mean_of(scores).interval() for batch, scores in samples.items()})


def _intervals(name: str, found: Mapping[int, Interval]) -> Series:
    return Series(
        name,
        np.array(list(found), dtype=np.float64),
        np.array([one.estimate for one in found.values()]),
        _ends([one.low for one in found.values()]),
        _ends([one.high for one in found.values()]),
    )


def _ends(values: Sequence[float]) -> Floats:
    """Returns ends of intervals, NaN where one seed leaves them open."""
    ends = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(ends), ends, np.nan)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _file(part: Part) -> str:
    """Returns a file's name for an environment and design."""
    return "".join(c if c.isalnum() else "-" for c in part.name.lower()).strip("-")
