"""What do the tables of a comparison say? Headings and cells, the same for terminals, papers, files and pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.across import aggregates
from rlbatch.analysis.answer import Answer, Part, Together, Verdicts
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import AXES
from rlbatch.analysis.front import Front
from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.questions import Way
from rlbatch.analysis.scales import SHARES, THRESHOLD
from rlbatch.analysis.survival import Reaching, reaching

Cell = str | int | float | Interval | None
_SEED = 0


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: one line.
        headings: of the columns.
        rows: cells; None where there is nothing to say.
        notes: lines below it.
        planned: whether it tells what was declared before training, and nothing else.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    planned: bool = False


def tables_of(found: Answer, *, axis: str = "steps") -> tuple[Table, ...]:
    """Returns all tables: for each environment and design the verdicts, the scores and what it takes; then together.

    Args:
        found: what is concluded.
        axis: on which it is told how much a mark takes: steps, updates, samples or seconds.
    """
    tables: list[Table] = []
    for part in found.parts:
        tables += [_verdict_table(part, way, found) for way in part.ways]
        tables += _hump_tables(part)
        arms = {cell: part.scored.arms[a.path] for cell, a in part.slice.cells.items() if a.path in part.scored.arms}
        if arms:
            tables += [_score_table(part, arms), _effort_table(part, arms, axis), *_front_tables(part)]
            tables.append(_stability_table(part, arms))
    tasks = {id(part.scored): part for part in found.parts}
    tables += [table for part in tasks.values() for table in _power_law_tables(part, found.metric)]
    return (*tables, *(_together_table(both, found) for both in found.together))


def _verdict_table(part: Part, way: Way, found: Answer) -> Table:
    verdicts = part.verdicts[way.kind]
    unit = "0 to 1: low to reference" if part.scaled else "returns: there is no scale"
    title = f"{name_of(part)}: {METRICS[found.metric].about} ({unit}), {way.words}"
    headings = ("batch", "seeds", "mean", "IQM", *_headings(verdicts))
    rows = [
        (
            batch,
            len(scores),
            verdicts.means[batch].interval(),
            aggregates([scores], _SEED).iqm,
            *_cells(verdicts, batch),
        )
        for batch, scores in way.samples.items()
    ]
    planned = found.declared and way is part.ways[0]
    return Table(title, headings, tuple(rows), (*way.notes, *_trend_lines(verdicts)), planned)


def _headings(verdicts: Verdicts) -> tuple[str, ...]:
    against = () if verdicts.reference is None else (f"minus batch {verdicts.reference}", "p (Holm)", "shown")
    return (*against, "below the best", "verdict") if verdicts.standings else against


def _cells(verdicts: Verdicts, batch: int) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    if verdicts.reference is not None:
        one = verdicts.against.get(batch)
        cells += ["reference", None, None] if one is None else [one.difference, one.p_value, one.verdict]
    if verdicts.standings:
        standing = verdicts.standings[batch]
        cells += [standing.gap, standing.verdict]
    return tuple(cells)


def _trend_lines(verdicts: Verdicts) -> list[str]:
    return [] if verdicts.trend is None else [f"per doubling of the batch: {shown(verdicts.trend.interval())}"]


def _hump_tables(part: Part) -> list[Table]:
    """Returns whether the score rises and then falls, where there are batch sizes enough to tell."""
    humps = {kind: verdicts.hump for kind, verdicts in part.verdicts.items()}
    rows = [(kind, hump.p_value, f"{hump.batch_size:g}") for kind, hump in humps.items() if hump is not None]
    title = f"{name_of(part)}: a rise of the score with the batch size, then a fall"
    return [Table(title, ("learning rates", "p", "clearest at batch"), tuple(rows))] if rows else []


def _score_table(part: Part, arms: dict[tuple[int, float], ScoredArm]) -> Table:
    names = ("auc", "final", "best")
    rows = [
        (
            *cell,
            len(arm.curves.seeds),
            *(mean_of(arm.values[name]).interval() for name in names),
            arm.across["diverged"],
            _number(arm.across["collapsed"]),
        )
        for cell, arm in sorted(arms.items())
    ]
    headings = ("batch", "learning rate", "seeds", "area", "final", "best (optimistic)", "diverged", "collapsed")
    return Table(f"{name_of(part)}: returns", headings, tuple(rows), _missing_lines(part))


def _effort_table(part: Part, arms: dict[tuple[int, float], ScoredArm], axis: str) -> Table:
    """Returns what it takes to reach a mark, on an axis; a run that never does takes its whole budget."""
    mark = mark_of(part)
    spent = {cell: efficiency.amounts(arm.curves, axis, part.scored.clock) for cell, arm in arms.items()}
    if mark is None or any(one is None for one in spent.values()):
        return Table(f"{name_of(part)}: {AXES[axis]} to a mark", (), (), ("there is no mark, or no cost.json",))
    rows = []
    for cell, arm in sorted(arms.items()):
        told = reached(arm, mark, spent[cell])
        rows.append((*cell, told.probability, told.restricted_mean, told.median))
    title = f"{name_of(part)}: {AXES[axis]} until the curve reaches {part.scored.marks[mark]:g}"
    headings = ("batch", "learning rate", "reach it", "mean, at most the budget", "median")
    return Table(title, headings, tuple(rows))


def reached(arm: ScoredArm, mark: str, spent: Floats | None) -> Reaching:
    """Returns whether and when the runs of an arm reach a mark, unfinished ones as censored."""
    told, amounts = arm.crossings[mark], arm.curves.timesteps if spent is None else spent
    return reaching(amounts[told.at], told.reached, float(amounts[-1]))


def mark_of(part: Part) -> str | None:
    """Returns the mark that matters: the environment's threshold, else three quarters of the range."""
    wanted = (THRESHOLD, f"{SHARES[2]:.0%}")
    return next((mark for mark in wanted if mark in part.scored.marks), None)


def _front_tables(part: Part) -> list[Table]:
    """Returns the updates and samples that each batch size takes to the mark, where there is a mark."""
    mark = mark_of(part)
    if mark is None or len(part.slice.batch_sizes) < 2:
        return []
    front = part.scored.front(part.slice, mark)
    columns_of = (front.batch_sizes, front.learning_rates, front.updates, front.samples)
    rows = [(int(batch), *rest) for batch, *rest in zip(*(column.tolist() for column in columns_of), strict=True)]
    notes = [critical_line(front)]
    if front.beyond:
        notes.append(f"fewer than half of the runs reach it at batch {', '.join(map(str, front.beyond))}")
    title = f"{name_of(part)}: median updates and samples until the curve reaches {part.scored.marks[mark]:g}"
    return [Table(title, ("batch", "learning rate", "updates", "samples"), tuple(rows), tuple(notes))]


def critical_line(front: Front) -> str:
    """Returns the critical batch size in words."""
    if front.fit is None:
        return f"critical batch size: not identifiable, {front.reason}"
    low, high = f"{front.fit.low:.0f}" if front.fit.low > 0 else "?", front.fit.high
    ends = f"[{low}, {f'{high:.0f}' if math.isfinite(high) else '?'}]"
    return f"critical batch size: {front.fit.critical:.0f} {ends}; beyond it a larger batch saves few updates"


def _power_law_tables(part: Part, metric: str) -> list[Table]:
    """Returns how the best batch size follows the replay ratio, where that is an axis."""
    if not METRICS[metric].higher_is_better:
        return []
    tables = []
    for fixed, law in part.scored.power_laws(metric):
        rows = [
            (ratio, int(batch), "at the edge" if edge else None)
            for ratio, batch, edge in zip(law.ratios.tolist(), law.best.tolist(), law.at_edge.tolist(), strict=True)
        ]
        if law.exponent is None or law.low is None or law.high is None:
            note = f"power law: not identifiable, {law.reason}"
        else:
            note = f"best batch ~ replay ratio to the power {shown(Interval(law.exponent, law.low, law.high))}"
        design = "".join(f", {axis} {value}" for axis, value in fixed.items())
        title = f"{part.scored.task.env_id}{design}: best batch size by replay ratio"
        tables.append(Table(title, ("updates per env step", "best batch", ""), tuple(rows), (note,)))
    return tables


def _stability_table(part: Part, arms: dict[tuple[int, float], ScoredArm]) -> Table:
    names = ("drawdown_max", "dispersion", "retention", "below_best")
    rows = [
        (*cell, *(_mean(arm.values[name]) for name in names), _number(arm.across["worst_quarter"]))
        for cell, arm in sorted(arms.items())
    ]
    headings = ("batch", "learning rate", "drawdown", "dispersion", "retention", "below best", "area, worst quarter")
    note = "compared only between batch sizes that are shown to be equivalent: a policy that learns nothing is steady"
    return Table(f"{name_of(part)}: stability", headings, tuple(rows), (note,))


def _together_table(both: Together, found: Answer) -> Table:
    verdicts = both.verdicts
    rows = [
        (
            batch,
            *both.aggregates[batch],
            both.improvement.get(batch),
            *_cells(verdicts, batch),
        )
        for batch in both.samples
    ]
    improvement = "P(better)" if verdicts.reference is None else f"P(above batch {verdicts.reference})"
    headings = ("batch", "IQM", "mean", "median", "optimality gap", improvement, *_headings(verdicts))
    design = "".join(f", {axis} {value}" for axis, value in both.fixed.items())
    title = f"{len(both.env_ids)} environments together{design}: {METRICS[found.metric].about}, {both.kind}"
    lines = _trend_lines(verdicts)
    if both.slopes is not None:
        lines.append(f"per doubling, environments like these: {shown(both.slopes.alike.interval())}")
    planned = found.declared and all(part.ways[0].kind == both.kind for part in _members(both, found))
    return Table(title, headings, tuple(rows), tuple(lines), planned)


def _members(both: Together, found: Answer) -> list[Part]:
    """Returns the parts that are taken together."""
    return [part for part in found.parts if part.scaled and part.slice.fixed == both.fixed]


def _missing_lines(part: Part) -> tuple[str, ...]:
    arms = list(part.slice.cells.values())
    missing = [run for arm in arms for run in arm.missing]
    unfinished = sum(len(arm.unfinished) for arm in arms)
    lines = [f"missing: {run.path} {run.status}{f' ({run.reason})' if run.reason else ''}" for run in missing]
    return (*lines, *([f"{unfinished} planned runs are not finished: incomplete"] if unfinished else []))


def name_of(part: Part) -> str:
    """Returns the environment, with the settings that tell this design from others."""
    return part.scored.task.env_id + "".join(f", {axis} {value}" for axis, value in part.slice.fixed.items())


def shown(value: Any) -> str:
    """Returns a cell as text: an interval as `0.52 [0.41, 0.63]`, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, Interval):
        if not (math.isfinite(value.low) and math.isfinite(value.high)):
            return f"{_short(value.estimate)} [?]"
        return f"{_short(value.estimate)} [{_short(value.low)}, {_short(value.high)}]"
    return _short(value) if isinstance(value, float) else str(value)


def confidence_line() -> str:
    """Returns what the brackets are."""
    return f"[ ]: {CONFIDENCE:.0%} intervals; those of one seed are not known ([?])"


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "never"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _mean(values: Floats) -> Interval | None:
    """Returns the mean of the runs that can tell, with its interval; None where none can."""
    known = values[np.isfinite(values)]
    return mean_of(known).interval() if len(known) else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def columns(table: Table) -> Sequence[int]:
    """Returns the columns that hold numbers."""
    return [i for i in range(len(table.headings)) if any(not isinstance(row[i], str | None) for row in table.rows)]
