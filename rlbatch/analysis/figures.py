"""What is a figure? Pictures of one thing between which a reader chooses; a picture is numbers, axes and a table.

A picture holds numbers only. `report.py` draws it in a browser, `plots.py` into a file, and both show its table.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.intervals import Estimate, Floats, Interval, mean_of
from rlbatch.analysis.table import Cell, Table

Kind = Literal["lines", "steps", "dots", "heat"]


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

    def where(self, shown: NDArray[np.bool_]) -> Series:
        """Returns the points at which `shown` (K,) is true."""
        x, y, low, high = (values[shown] for values in (self.x, self.y, self.low, self.high))
        return Series(self.name, x, y, low, high, tuple(itertools.compress(self.seeds, shown)), self.batch_size)


@dataclass(frozen=True)
class Picture:
    """Numbers on two axes.

    Attributes:
        name: of its file, in small letters.
        title: one line.
        kind: lines with bands, steps with bands whose heights hold until the next position, dots with intervals over
            batch sizes, or a heat map over batch sizes. What has one position is a point.
        x_title: of the horizontal axis, with the unit.
        y_title: of the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        series: what is drawn; of a heat map one per row, from the bottom up.
        about: what a reader has to know.
        log_y: whether the vertical axis is logarithmic.
        choice: what a reader chooses to see it, one word for each control of its figure.
        colour_title: what the colours of a heat map are.
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
    choice: tuple[str, ...] = ()
    colour_title: str = ""

    @property
    def table(self) -> Table:
        """The same numbers as a table."""
        seeds = any(one.seeds for one in self.series)
        rows: list[tuple[Cell, ...]] = []
        for one in self.series:
            counts = [len(values) for values in one.seeds] if seeds else [0] * len(one.x)
            for count, *numbers in zip(counts, one.x, one.y, one.low, one.high, strict=True):
                x, *heights = numbers
                rows.append((one.name, _whole(float(x)), *map(_known, heights), *([count] if seeds else [])))
        names = ("series", self.x_title, self.y_title)
        if self.kind == "heat":
            names = (self.y_title, self.x_title, self.colour_title)
        headings = (*names, "low", "high", *(["seeds"] if seeds else []))
        return Table(self.title, headings, tuple(rows))

    @property
    def batches(self) -> list[int | None]:
        """The batch size that each row of the table is about, or None where it is about none."""
        return [self.batch_of(one, float(x)) for one in self.series for x in one.x]

    def batch_of(self, one: Series, x: float) -> int | None:
        """Returns the batch size that a point of one of its series is about."""
        return one.batch_size if self.kind in ("lines", "steps") else int(x)


@dataclass(frozen=True)
class Figure:
    """Pictures of one thing, of which one is seen at a time.

    Attributes:
        name: of its place on the page, in small letters.
        pictures: at least one; the first is seen first, and by those who cannot choose.
        controls: what can be chosen: one name for each word of a picture's `choice`.
        planned: whether it shows what was declared before training.
    """

    name: str
    pictures: tuple[Picture, ...]
    controls: tuple[str, ...] = ()
    planned: bool = False

    def options(self, control: int) -> list[str]:
        """Returns what a control offers, in the order of the pictures."""
        return list(dict.fromkeys(picture.choice[control] for picture in self.pictures))


def by_batch(name: str, samples: Mapping[int, Floats], means: Mapping[int, Estimate] | None = None) -> Series:
    """Returns the mean at each batch size, with its interval and every seed.

    Args:
        name: in the legend.
        samples: batch size -> (n,) one number per seed.
        means: batch size -> mean, where its error is not that of independent numbers.
    """
    batches = sorted(samples)
    known = means or {batch: mean_of(values) for batch, values in samples.items()}
    y, low, high = _ends([known[batch].interval() for batch in batches])
    return Series(name, np.array(batches, dtype=np.float64), y, low, high, tuple(samples[b] for b in batches))


def curve(batch_size: int, x: Floats, y: Floats, low: Floats, high: Floats) -> Series:
    """Returns the line of a batch size, named and coloured by it; all arrays are (K,)."""
    return Series(f"batch {batch_size}", x, y, low, high, (), batch_size)


def means_of(columns: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Returns the mean of each sample and the ends of its interval, NaN where one seed leaves them open."""
    return _ends([mean_of(column).interval() for column in columns])


def _ends(intervals: Sequence[Interval]) -> tuple[Floats, Floats, Floats]:
    low, high = (np.array([one[end] for one in intervals], dtype=np.float64) for end in (1, 2))
    low, high = (np.where(np.isfinite(ends), ends, np.nan) for ends in (low, high))
    return np.array([one.estimate for one in intervals], dtype=np.float64), low, high


def slug(*words: str) -> str:
    """Returns a name for a file or a place on a page, in small letters."""
    joined = "-".join(words).lower()
    return "-".join(filter(None, "".join(c if c.isalnum() and c.isascii() else "-" for c in joined).split("-")))


def _whole(value: float) -> float | int:
    """Returns a batch size or an env step as one writes it."""
    return int(value) if value.is_integer() else value


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
