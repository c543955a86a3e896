"""What is a table, and how does a cell read? The same in terminals, papers and pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, mean_of

Cell = str | int | float | Interval | None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: one line.
        headings: of the columns.
        rows: cells; None where there is nothing to say.
        notes: lines below it.
        lead: lines above it: what is told before the rows.
        planned: whether it tells what was declared before training, and nothing else.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    planned: bool = False
    lead: tuple[str, ...] = ()


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
    return (
        f"[ ]: {CONFIDENCE:.0%} intervals, each by itself; in 'minus the best other' all lower bounds hold together, "
        "and all upper ones (0: shown not to be the best). p and 'shown' are corrected for all comparisons with the "
        "reference. Intervals of one seed are not known ([?]), and a failure that no seed showed is in none of them"
    )


def columns(table: Table) -> Sequence[int]:
    """Returns the columns that hold numbers."""
    return [i for i in range(len(table.headings)) if any(not isinstance(row[i], str | None) for row in table.rows)]


def mean_cell(values: Floats) -> Interval | None:
    """Returns the mean of the runs that can tell, with its interval; None where none can."""
    known = values[np.isfinite(values)]
    return mean_of(known).interval() if len(known) else None


def number_cell(value: float) -> float | None:
    """Returns a number, or None where it is not known."""
    return None if math.isnan(value) else value


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "never"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
