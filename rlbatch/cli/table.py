"""How are runs in progress drawn on a terminal? As a table of their arms or one line with a bar, fitted to its size."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlbatch.cli.output import number, plural

_GAP = 2
_SHORTEST_BAR, _LONGEST_BAR = 6, 30
_PERCENT_WIDTH = 4
_LONGEST_LABEL = 24
_LEFT_OUT = ("min..max", "not ok")
"""Which columns a narrow table does without, the first one first; then it does without the bar."""


class Arm(NamedTuple):
    """How the runs of one arm stand.

    Attributes:
        label: what tells the arm from the others, one text per heading.
        ended: how many of its runs ended.
        runs: how many runs it has.
        begun: whether one of them has begun.
        fraction: of its env steps, 0 to 1; a run that ended has none left.
        returns: the last evaluation's return of each run that has one.
        not_ok: how many runs ended with another outcome than ok.
    """

    label: tuple[str, ...]
    ended: int
    runs: int
    begun: bool
    fraction: float
    returns: Sequence[float]
    not_ok: int

    @property
    def finished(self) -> bool:
        """Whether all of its runs ended."""
        return self.ended == self.runs

    @property
    def active(self) -> bool:
        """Whether it is in progress."""
        return self.begun and not self.finished


def arms_table(headings: Sequence[str], arms: Sequence[Arm], *, width: int, height: int) -> Group:
    """Returns a table with one line per arm.

    Args:
        headings: of the arms' labels.
        arms: in the order in which they are shown if all of them fit.
        width: columns of the terminal; what does not fit is left out.
        height: lines at most. If it does not suffice, arms in progress come first, then those that are done, and the
            last line counts those that are not shown. Less than three lines show nothing.
    """
    if len(arms) < height:
        return Group(_table(headings, arms, width))
    ranked = sorted(arms, key=lambda arm: (not arm.active, not arm.finished))
    shown, rest = ranked[: max(height - 2, 0)], ranked[max(height - 2, 0) :]
    if not shown:
        return Group()
    counted = f"... and {plural(len(rest), 'more arm')} ({sum(arm.finished for arm in rest)} done)"
    return Group(_table(headings, shown, width), _cut(counted, width))


def bar_line(label: str, fraction: float, texts: Sequence[str], *, width: int) -> Table:
    """Returns one line: a label, a bar, the percentage and a text.

    Args:
        label: is cut if need be.
        fraction: of the bar, 0 to 1.
        texts: the same in ever fewer words. The first that fits beside a bar is taken; if that is not the first of
            all, one that fits without a bar comes before a shorter one with a bar.
        width: columns of the terminal.
    """
    for text in texts:
        tail = f"{percent(fraction):>{_PERCENT_WIDTH}}{' ' * _GAP}{text}".rstrip()
        room = width - cell_len(label) - cell_len(tail) - 2
        if room >= (_SHORTEST_BAR if text == texts[0] else -1):
            break
    line = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    cells: list[Text | ProgressBar] = [_cut(label, width - cell_len(tail) - 1), Text(tail)]
    if room >= _SHORTEST_BAR:
        cells.insert(1, _bar(fraction, room))
    for _ in cells:
        line.add_column(no_wrap=True)
    line.add_row(*cells)
    return line


def percent(fraction: float) -> str:
    """Returns whole percent, 100% only for all of it."""
    return f"{100 if fraction == 1 else min(round(100 * fraction), 99)}%"


def listed(*parts: str) -> str:
    """Returns the parts that are not empty, with commas between."""
    return ", ".join(part for part in parts if part)


class _Column(NamedTuple):
    heading: str
    cells: list[str]

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in (self.heading, *self.cells))


def _table(headings: Sequence[str], arms: Sequence[Arm], width: int) -> Table:
    """Returns the table of these arms: with a bar as long as there is room, and without columns that do not fit."""
    columns = _columns(headings, arms)
    for narrow in range(len(_LEFT_OUT) + 1):
        kept = [column for column in columns if column.heading not in _LEFT_OUT[:narrow]]
        room = width - sum(column.width + _GAP for column in kept)
        if room >= _SHORTEST_BAR:
            break
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in kept:
        if column.heading == "" and room >= _SHORTEST_BAR:
            table.add_column("env steps" if room >= len("env steps") else "steps", no_wrap=True)
        left = column.heading == "min..max"
        table.add_column(Text(column.heading), justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
    for row, arm in enumerate(arms):
        cells: list[Text | ProgressBar] = []
        for column in kept:
            if column.heading == "" and room >= _SHORTEST_BAR:
                cells.append(_bar(arm.fraction, room))
            cells.append(Text(column.cells[row]))
        table.add_row(*cells, style=None if arm.begun else "dim")
    return table


def _columns(headings: Sequence[str], arms: Sequence[Arm]) -> list[_Column]:
    """Returns all columns but the bar; the one without a heading is the percentage, which stands beside the bar."""
    columns = [
        _Column(heading, [_cut(arm.label[place], _LONGEST_LABEL).plain for arm in arms])
        for place, heading in enumerate(headings)
    ]
    columns.append(_Column("runs", [f"{arm.ended}/{arm.runs}" for arm in arms]))
    columns.append(_Column("", [f"{percent(arm.fraction):>{_PERCENT_WIDTH}}" for arm in arms]))
    columns.append(_Column("return", [number(fmean(arm.returns) if arm.returns else None) for arm in arms]))
    if any(len(arm.returns) > 1 for arm in arms):
        columns.append(_Column("min..max", [_span(arm.returns) for arm in arms]))
    if any(arm.not_ok for arm in arms):
        columns.append(_Column("not ok", [str(arm.not_ok) if arm.not_ok else "" for arm in arms]))
    return columns


def _span(values: Sequence[float]) -> str:
    return f"{number(min(values))}..{number(max(values))}" if len(values) > 1 else ""


def _bar(fraction: float, room: int) -> ProgressBar:
    return ProgressBar(total=1.0, completed=fraction, width=min(room, _LONGEST_BAR))


def _cut(text: str, width: int) -> Text:
    """Returns the text on one line of at most `width` columns."""
    line = Text(text, no_wrap=True)
    line.truncate(max(width, 1), overflow="ellipsis")
    return line
