"""What do the tables say of what it takes? Amounts to a mark, updates against samples, the price of an update."""

from __future__ import annotations

from collections.abc import Iterable

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Part
from rlbatch.analysis.efficiency import AXES, Cost
from rlbatch.analysis.intervals import Interval
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.table import RATE, Cell, Table, count_cell, shown
from rlbatch.analysis.words import design_words


def effort_table(part: Part, axis: str) -> Table:
    """Returns what it takes to reach a mark, on an axis; a run that never does takes the smallest of the budgets."""
    mark, budget = part.mark, part.budgets.get(axis)
    amounts = {cell: efficiency.amounts(arm.curves, axis, part.scored.clock) for cell, arm in part.cells.items()}
    spent = {cell: one for cell, one in amounts.items() if one is not None}
    if mark is None or budget is None:
        why = "there is no mark" if mark is None else "cost.json does not tell the seconds of every batch size"
        return Table(f"{part.name}: {AXES[axis]} to a mark", (), (), (why,))
    amount = count_cell if axis != "seconds" else _as_it_is
    rows = []
    for cell, arm in part.cells.items():
        told = arm.reaching(mark, spent[cell], budget.least)
        rows.append((*cell, told.probability, amount(told.restricted_mean), amount(told.median)))
    title = f"{part.name}: {AXES[axis]} until the curve reaches {part.scored.marks[mark]:g}"
    headings = ("batch", RATE, "reach it", f"mean, at most {shown(amount(budget.least))}", "median")
    unfinished = any(arm.arm.unfinished for arm in part.cells.values())
    notes = ["what unfinished runs have reached counts, though the rest of their curves may take it back"] * unfinished
    if budget.differs:
        notes.append(
            f"budgets differ on this axis, up to {shown(amount(budget.most))}: 'reach it' is within the batch size's "
            "own one, the mean counts a run that takes more than the smallest one, or never gets there, as the smallest"
        )
    return Table(title, headings, tuple(rows), tuple(notes))


def _as_it_is(value: float | Interval | None) -> Cell:
    return value


def front_tables(part: Part) -> list[Table]:
    """Returns the updates and samples that each batch size takes to the mark, where there is a mark."""
    front = part.front
    if front is None or len(part.slice.batch_sizes) < 2:
        return []
    columns_of = (front.batch_sizes, front.learning_rates, front.updates, front.samples)
    rows = [
        (int(batch), rate, count_cell(updates), count_cell(samples))
        for batch, rate, updates, samples in zip(*(column.tolist() for column in columns_of), strict=True)
    ]
    notes = [front.words, "amounts lie halfway between two evaluations here, at the later one in the table before"]
    if front.beyond:
        notes.append(f"fewer than half of the runs reach it at batch {', '.join(map(str, front.beyond))}")
    title = f"{part.name}: median updates and samples until the curve reaches {part.scored.marks[str(part.mark)]:g}"
    return [Table(title, ("batch", RATE, "updates", "samples"), tuple(rows), tuple(notes))]


def power_law_tables(part: Part) -> list[Table]:
    """Returns how the best batch size follows the replay ratio, where that is an axis."""
    if not METRICS[part.metric].higher_is_better:
        return []
    tables = []
    for fixed, law in part.scored.power_laws(part.metric):
        rows = [
            (ratio, int(batch), "at the edge" if edge else None)
            for ratio, batch, edge in zip(law.ratios.tolist(), law.best.tolist(), law.at_edge.tolist(), strict=True)
        ]
        if law.exponent is None or law.low is None or law.high is None:
            note = f"power law: not identifiable, {law.reason}"
        else:
            note = f"best batch ~ replay ratio to the power {shown(Interval(law.exponent, law.low, law.high))}"
        title = f"{part.scored.task.name}{design_words(fixed)}: best batch size by replay ratio"
        tables.append(Table(title, ("updates per env step", "best batch", ""), tuple(rows), (note,)))
    return tables


def cost_table(part: Part) -> Table:
    """Returns what each batch size costs: microseconds of a run alone, and the memory of what trained it."""
    rows: list[tuple[Cell, ...]] = []
    for size in part.slice.batch_sizes:
        costs = [
            efficiency.cost_of(arm.arm, part.scored.clock) for (batch, _), arm in part.cells.items() if batch == size
        ]
        if costs:
            memory = (_most(cost.process_mb for cost in costs), _most(cost.gpu_mb for cost in costs))
            rows.append((size, *_microseconds(costs[0]), *memory, _most(cost.stack_width for cost in costs)))
    headings = ("batch", "us per env step", "us per update", "measured", "process MiB", "GPU MiB", "stack width")
    notes = ["memory is that of the whole process, which trained as many runs as the stack is wide: the most of any"]
    if part.scored.clock is not None:
        notes.insert(0, f"microseconds are those of a run alone on one thread: {part.scored.clock.machine}")
        notes.insert(
            1, "an update of more transitions takes no less: isotonic over what was measured, which is beside it"
        )
    return Table(f"{part.name}: cost", headings, tuple(rows), tuple(notes))


def _microseconds(cost: Cost) -> tuple[Cell, Cell, Cell]:
    """Returns an env step, an update, and the least and most that was measured of it."""
    if cost.price is None:
        return None, None, None
    low, high = cost.price.t_update_range
    t_env, t_update = (f"{1e6 * seconds:.3g}" for seconds in (cost.price.t_env, cost.price.t_update))
    return float(t_env), float(t_update), f"{1e6 * low:,.0f} to {1e6 * high:,.0f}"


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
