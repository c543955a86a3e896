"""What is a table, and how does a cell read? The same in terminals, papers and pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlbatch.analysis.intervals import CONFIDENCE, Floats, Interval, mean_of

RATE = "learning rate"
"""Heading of a column of learning rates."""


_WHOLE = 10
"""From here on a whole number has no decimals; below it may be a share."""
_LONGEST = 1e9
"""From here on a number that is not whole is told as a power of ten."""
_MOST_DIGITS = 1e15


class Rate(float):
    """A learning rate: shown as it is named elsewhere, 3e-05, 0.0001 or 0.01."""


class Count(float):
    """A number of env steps, updates or samples: shown in whole ones, with separators of thousands."""


Cell = str | int | float | Interval | None


@dataclass(frozen=True)
class Table:
    """A table; the numbers of a column that is headed as learning rates are such.

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

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(_typed, self.headings, row)) for row in self.rows)
        object.__setattr__(self, "rows", rows)


def shown(value: Any) -> str:
    """Returns a cell as text: an interval as `0.52 [0.41, 0.63]`, a count as `2,040,000`, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, Interval):
        if not (math.isfinite(value.low) and math.isfinite(value.high)):
            return f"{_short(value.estimate)} [?]"
        return f"{_short(value.estimate)} [{_short(value.low)}, {_short(value.high)}]"
    if isinstance(value, float) and value.is_integer() and _WHOLE <= abs(value) < _MOST_DIGITS:
        return f"{value:,.0f}"
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


def count_cell(value: float | Interval | None) -> Cell:
    """Returns a number of env steps, updates or samples, or an interval of it, as a cell that is shown as such."""
    if isinstance(value, Interval):
        return Interval(*map(Count, value))
    return None if value is None else Count(value)


def latex(text: str) -> str:
    """Returns a text with its numbers as LaTeX sets them: minus signs and powers of ten are mathematics."""
    powers = re.sub(r"(-?[0-9.]+)e([+-])0*([0-9]+)", _power, text)
    return re.sub(r"(?<![\w$.{-])-(?=[0-9])", "$-$", powers)


def _power(found: re.Match[str]) -> str:
    factor, sign, exponent = found.groups()
    return rf"${factor} \times 10^{{{sign.strip('+')}{exponent}}}$"


def _typed(heading: str, cell: Cell) -> Cell:
    return Rate(cell) if heading == RATE and isinstance(cell, float) else cell


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "never"
    if isinstance(value, Rate | Count):
        return f"{value:g}" if isinstance(value, Rate) else f"{value:,.0f}"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= _LONGEST):
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
