"""What do the tables of a comparison say? Headings and cells, the same for terminals, papers, files and pages."""

from __future__ import annotations

import numpy as np

from rlbatch.analysis.answer import Answer, Part, Together
from rlbatch.analysis.contrasts import Contrast, contrasts_of
from rlbatch.analysis.effort_tables import cost_table, effort_table, front_tables, power_law_tables
from rlbatch.analysis.intervals import mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.rates import GoodRates
from rlbatch.analysis.scope import holds_for
from rlbatch.analysis.steadiness import steadiness_of
from rlbatch.analysis.table import Cell, Table, mean_cell, number_cell, shown
from rlbatch.analysis.verdicts import Verdicts
from rlbatch.analysis.ways import Way, good_rates
from rlbatch.analysis.words import design_words, percent
from rlbatch.power import POWER


def tables_of(found: Answer, *, axis: str = "steps") -> tuple[Table, ...]:
    """Returns all tables: for each environment and design the verdicts, the scores and what it takes; then together.

    Args:
        found: what is concluded.
        axis: on which it is told how much a mark takes: steps, updates, samples or seconds.
    """
    tables: list[Table] = []
    for part in found.parts:
        tables += [_verdict_table(part, way, found) for way in part.ways]
        tables += [*_hump_tables(part), _score_table(part), effort_table(part, axis), *front_tables(part)]
        tables += [cost_table(part), _stability_table(part), *_steadiness_tables(part, found.delta)]
    tasks = {id(part.scored): part for part in found.parts}
    tables += [*_contrast_tables(found), *(table for part in tasks.values() for table in power_law_tables(part))]
    return (*tables, *(_together_table(both, found) for both in found.together))


def _verdict_table(part: Part, way: Way, found: Answer) -> Table:
    verdicts = part.verdicts[way.kind]
    title = f"{part.name}: {METRICS[found.metric].about} ({part.scored.scale.words}), {way.words}"
    bands = good_rates(part.cells, found.metric, found.delta) if way.averaged and part.scaled else {}
    headings = (
        *_first(verdicts),
        "seeds",
        "failed",
        "mean",
        "IQM",
        *_headings(verdicts),
        *(("good rates",) if bands else ()),
    )
    rows = [
        (
            *_first_cells(verdicts, batch),
            len(scores),
            verdicts.failures[batch].share,
            verdicts.means[batch].interval(),
            way.iqm(batch),
            *_cells(verdicts, batch),
            *((_band_words(bands[batch]),) if bands else ()),
        )
        for batch, scores in way.samples.items()
    ]
    notes = [*way.notes, *_rate_lines(part, way), *_seed_lines(part, verdicts, found.delta)]
    notes.append(
        "failed: share of the runs behind the mean that diverged or collapsed, with what no seed may show (Wilson)"
    )
    scope = holds_for(part)
    notes.append(scope[0].lower() + scope[1:].removesuffix("."))
    if bands:
        notes.append(
            f"good rates: those around the best whose mean is at most {percent(found.delta)} of the range below it"
        )
    planned = found.declared and way is part.ways[0]
    return Table(title, headings, tuple(rows), tuple(notes), planned, lead=_trend_lines(verdicts))


def _first(verdicts: Verdicts) -> tuple[str, ...]:
    """Returns the headings of the first columns: what a reader looks for."""
    return ("batch", "verdict") if verdicts.standings else ("batch",)


def _first_cells(verdicts: Verdicts, batch: int) -> tuple[Cell, ...]:
    return (batch, verdicts.standings[batch].verdict) if verdicts.standings else (batch,)


def _headings(verdicts: Verdicts) -> tuple[str, ...]:
    against = () if verdicts.reference is None else (f"minus batch {verdicts.reference}", "p (Holm)", "shown")
    return (*against, "minus the best other") if verdicts.standings else against


def _cells(verdicts: Verdicts, batch: int) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    if verdicts.reference is not None:
        one = verdicts.against.get(batch)
        cells += ["reference", None, None] if one is None else [one.difference, one.p_value, one.verdict]
    if verdicts.standings:
        cells.append(verdicts.standings[batch].gap)
    return tuple(cells)


def _trend_lines(verdicts: Verdicts) -> tuple[str, ...]:
    """Returns whether the score rises or falls."""
    return () if verdicts.trend is None else (f"per doubling of the batch: {shown(verdicts.trend.interval())}",)


def _hump_tables(part: Part) -> list[Table]:
    """Returns whether the score rises and then falls, where there are batch sizes enough to tell."""
    rows = [
        (kind, verdicts.hump.p_value, None if verdicts.shown_hump is None else str(verdicts.shown_hump.batch_size))
        for kind, verdicts in part.verdicts.items()
        if verdicts.hump is not None
    ]
    title = f"{part.name}: a rise of the score with the batch size, then a fall"
    return [Table(title, ("learning rates", "p", "around batch"), tuple(rows))] if rows else []


def _rate_lines(part: Part, way: Way) -> list[str]:
    """Returns which learning rates the halves of the seeds choose, where they do, and whether these move."""
    told = [
        f"batch {batch}: {', '.join(f'{rate:g} {share:.0%}' for rate, share in tuned.chosen.items() if share > 0)}"
        for batch, tuned in way.tuned.items()
    ]
    if not told:
        return []
    lines = [f"learning rates that halves of the seeds choose: {'; '.join(told)}"]
    if part.rate_factor is not None:
        lines.append(
            f"per doubling of the batch the best one changes by a factor of {shown(part.rate_factor)}, as far as rates "
            "tried at steps can tell"
        )
    return lines


def _seed_lines(part: Part, verdicts: Verdicts, delta: float) -> list[str]:
    """Returns what the seeds allow to say: how many would do, how often each batch size comes out highest."""
    lines = []
    if verdicts.needed:
        told = ", ".join(f"batch {batch}: {count}" for batch, count in sorted(verdicts.needed.items()))
        lines.append(
            f"seeds with which a difference of {percent(delta)} of the range from batch {verdicts.reference} would be "
            f"found with a probability of {POWER:.0%}: {told}"
        )
    if verdicts.frequency:
        told = ", ".join(f"batch {batch} {share:.0%}" for batch, share in sorted(verdicts.frequency.items()))
        lines.append(f"highest when the seeds are drawn anew (how far chance decides, no test): {told}")
    if part.seed_correlation is not None:
        lines.append(
            f"scores of one seed at different batch sizes correlate by {part.seed_correlation:+.2f}; compared as if "
            "independent"
        )
    return lines


def _band_words(band: GoodRates) -> str:
    beyond = ", may be wider" if band.open else ""
    return f"{band.low:g} to {band.high:g} ({band.decades:.1f} decades{beyond})"


def _score_table(part: Part) -> Table:
    names = ("auc", "final", "best")
    rows = [
        (
            *cell,
            len(arm.curves.seeds),
            *(mean_of(arm.values[name]).interval() for name in names),
            arm.across["diverged"],
            number_cell(arm.across["collapsed"]),
        )
        for cell, arm in part.cells.items()
    ]
    headings = ("batch", "learning rate", "seeds", "area", "final", "best (optimistic)", "diverged", "collapsed")
    return Table(f"{part.name}: returns", headings, tuple(rows), _missing_lines(part))


def _stability_table(part: Part) -> Table:
    names = ("drawdown_max", "drawdown_tail", "fall_tail", "dispersion", "below_best", "retention")
    rows = [
        (
            *cell,
            *(mean_cell(arm.on_scale(name)) for name in names),
            int(np.isfinite(arm.values["retention"]).sum()),
            *((arm.normalised_across(name) if part.scaled else arm.across[name]) for name in ("iqr", "worst_quarter")),
        )
        for cell, arm in part.cells.items()
    ]
    headings = (
        *("batch", "learning rate", "drawdown", "worst drawdowns", "worst falls", "dispersion", "below best"),
        *("retention", "runs that tell", "area, IQR", "area, worst quarter"),
    )
    unit = f"parts of the range, the area on its scale ({part.scored.scale.words})" if part.scaled else "returns"
    notes = (
        "no verdicts in this table: what learns nothing is steady",
        "retention is told by the runs that reached the mark alone",
    )
    return Table(f"{part.name}: stability, {unit}", headings, tuple(rows), notes)


def _steadiness_tables(part: Part, delta: float) -> list[Table]:
    """Returns the verdicts on stability, where there may be some."""
    found = steadiness_of(part, delta)
    if not found:
        return []
    rows = [
        (batch, *(cell for one in found for cell in (one.standings[batch].gap, one.standings[batch].verdict)))
        for batch in found[0].standings
    ]
    headings = (
        "batch",
        *(heading for one in found for heading in (f"{one.metric}: steadier than the steadiest other by", "verdict")),
    )
    which = "each at its own best rate" if part.ways[0].tuned else "of those that score alike"
    title = f"{part.name}: which batch size is the steadiest, {which}"
    notes = (
        "parts of the range, or of the evaluations, above zero where falls are smaller or more is kept; "
        f"equivalent: at most {percent(delta)} less steady than the steadiest",
        "the runs are those that the score is taken from; the bounds hold for all batch sizes, not for all metrics",
    )
    return [Table(title, headings, tuple(rows), notes)]


def _together_table(both: Together, found: Answer) -> Table:
    verdicts = both.verdicts
    rows = [
        (
            *_first_cells(verdicts, batch),
            *both.aggregates[batch],
            both.improvement.get(batch),
            *_cells(verdicts, batch),
        )
        for batch in both.samples
    ]
    improvement = "P(better)" if verdicts.reference is None else f"P(above batch {verdicts.reference})"
    headings = (
        *_first(verdicts),
        "IQM",
        "mean",
        "median",
        "optimality gap",
        improvement,
        *_headings(verdicts),
    )
    where = f"{len(both.names)} environments together{design_words(both.fixed)}"
    title = f"{where}: {METRICS[found.metric].about}, {both.kind}"
    lines = [*_trend_lines(verdicts)]
    if both.slopes is not None:
        lines.append(f"per doubling, environments like these: {shown(both.slopes.alike.interval())}")
    if verdicts.hump is not None:
        around = "" if verdicts.shown_hump is None else f", around batch {verdicts.shown_hump.batch_size}"
        lines.append(f"a rise with the batch size, then a fall: p {shown(verdicts.hump.p_value)}{around}")
    planned = found.declared and all(part.ways[0].kind == both.kind for part in _members(both, found))
    return Table(title, headings, tuple(rows), (both.words,), planned, tuple(lines))


def _contrast_tables(found: Answer) -> list[Table]:
    """Returns how slopes differ between the values of a setting, where an experiment varies another one."""
    groups: dict[tuple[int, str], list[Contrast]] = {}
    for one in contrasts_of(found.parts):
        groups.setdefault((id(one.base), one.axis), []).append(one)
    tables = []
    for (_, axis), several in groups.items():
        base = several[0].base
        rows: list[tuple[Cell, ...]] = []
        for kind in dict.fromkeys(one.kind for one in several):
            for one in (one for one in several if one.kind == kind):
                told = one.slope.interval(), one.base_slope.interval(), one.difference.interval()
                rows.append((kind, str(one.value), *told))
        title = f"{several[0].where}: slope per doubling of the batch, by {axis}"
        headings = ("learning rates", axis, "slope", f"slope at {axis} {base.slice.fixed[axis]}", "difference")
        notes = ["over the batch sizes that both have"]
        if also := sorted({name for one in several for name in one.also}):
            notes.append(f"with {axis} vary: {', '.join(also)}")
        tables.append(Table(title, headings, tuple(rows), tuple(notes)))
    return tables


def _members(both: Together, found: Answer) -> list[Part]:
    """Returns the parts that are taken together."""
    return [part for part in found.parts if part.scaled and part.slice.fixed == both.fixed]


def _missing_lines(part: Part) -> tuple[str, ...]:
    arms = list(part.slice.cells.values())
    missing = [run for arm in arms for run in arm.missing]
    unfinished = sum(len(arm.unfinished) for arm in arms)
    lines = [f"missing: {run.path} {run.status}{f' ({run.reason})' if run.reason else ''}" for run in missing]
    return (*lines, *([f"{unfinished} planned runs are not finished: incomplete"] if unfinished else []))
