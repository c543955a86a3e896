"""How does a picture look in a file? Drawn with matplotlib, as SVG and PNG."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbatch.analysis.figures import Picture, Series
from rlbatch.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERED = ("#7d5fb3", "#5570b8", "#31759e", "#26868e", "#1f9688", "#2fa971", "#52a84a", "#7aa622")
"""From small to large batch sizes: as viridis, which colour-blind readers can order, but seen on white and on black."""
PLAIN = ("#3b82b8", "#d55e00", "#009e73", "#cc79a7")
"""Of what has no batch size (Okabe & Ito)."""
_SIZE = (7.0, 4.2)
_DPI = 150
_MARKERS = "osD^vP"
_TITLE = 78
"""Letters of a title that fit into a line."""
_ROUND = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))
"""What labels of a logarithmic axis begin with: the first of these that gives enough of them."""
_ENOUGH = 3
_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def save(pictures: Iterable[Picture], folder: Path, endings: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Writes each picture in these formats; returns the files.

    Raises:
        InputError: matplotlib is not installed, or the folder cannot be made.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise InputError("--figures", "needs matplotlib", "pip install 'rlbatch[plots]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with pyplot.rc_context(
        {"svg.hashsalt": "rlbatch", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        for picture in pictures:
            canvas, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
            _draw(picture, axes)
            for ending in endings:
                path = folder / f"{picture.name}.{ending}"
                canvas.savefig(path, dpi=_DPI, metadata={"Date": None} if ending == "svg" else {"Software": None})
                canvas.set_layout_engine("none")  # both files have the same one, and it takes long
                written.append(path)
            pyplot.close(canvas)
    return written


def colours_of(series: Sequence[Series], batch_sizes: Iterable[int] = ()) -> list[str]:
    """Returns a colour for each series: by the order of batch sizes, else one after the other.

    Args:
        series: of one picture.
        batch_sizes: among which theirs are ordered, where other pictures show more of them.
    """
    batches = sorted({*batch_sizes, *(one.batch_size for one in series if one.batch_size is not None)})
    found = []
    for i, one in enumerate(series):
        if one.batch_size is None:
            found.append(PLAIN[i % len(PLAIN)])
        else:
            found.append(ordered_colour(batches.index(one.batch_size), len(batches)))
    return found


def ordered_colour(place: int, count: int) -> str:
    """Returns the colour of the batch size at this place among so many; between those of `ORDERED` where they are more.

    Args:
        place: from 0, the smallest batch size.
        count: of batch sizes.
    """
    at = place / max(count - 1, 1) * (len(ORDERED) - 1)
    if count <= len(ORDERED):
        return ORDERED[round(at)]
    below, part = int(at), at - int(at)
    ends = [_channels(ORDERED[min(i, len(ORDERED) - 1)]) for i in (below, below + 1)]
    return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Returns position -> label on a logarithmic axis: round numbers, or its ends where too few lie in between.

    `report.js` has the same ones.

    Args:
        low: end of the axis, above zero.
        high: not below it.
    """
    decades = [10.0**power for power in range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)]
    for leading in _ROUND:
        found = [first * decade for decade in decades for first in leading if low <= first * decade <= high]
        if len(found) >= _ENOUGH:
            break
    else:
        found = [low, high]
    return {value: _short(value) for value in found}


def _short(value: float) -> str:
    rounded = float(f"{value:.3g}")
    for unit, name in _UNITS:
        if rounded >= unit:
            return f"{rounded / unit:.3g}{name}"
    return f"{rounded:.3g}"


def cell_text(value: float) -> str:
    """Returns a number in a cell of a heat map: three significant digits and no exponent, as `report.js` has it."""
    return np.format_float_positional(value, precision=3, unique=False, fractional=False).rstrip(".")


def ink_on(colour: Sequence[float]) -> str:
    """Returns the one of black and white that contrasts more with a colour: 4.5:1 or better on every one (WCAG 2.1).

    Args:
        colour: red, green and blue, from 0 to 1.
    """
    return "black" if luminance(colour) > math.sqrt(1.05 * 0.05) - 0.05 else "white"


def luminance(colour: Sequence[float]) -> float:
    """Returns the relative luminance of a colour of red, green and blue from 0 to 1 (WCAG 2.1), from 0 to 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _draw(picture: Picture, axes: Axes) -> None:
    # names of environments and their arguments are text, not formulas; no room is made for lines that matplotlib wraps
    axes.set_title("\n".join(textwrap.wrap(picture.title, _TITLE)), loc="left", fontsize=10, parse_math=False)
    axes.set_xlabel(picture.x_title)
    axes.set_ylabel(picture.y_title, parse_math=False)
    if picture.kind == "heat":
        _heat(picture, axes)
        return
    for i, (one, colour) in enumerate(zip(picture.series, colours_of(picture.series), strict=True)):
        if picture.kind == "dots":
            _dots(one, axes, colour, i)
        else:
            _line(one, axes, colour, i, steps=picture.kind == "steps")
    _scale(picture, axes)
    if len(picture.series) > 1:  # beside the axes: nothing is covered, however many there are
        beside: dict[str, Any] = {"loc": "outside center right"}
        below: dict[str, Any] = {"loc": "outside lower center", "ncols": 3}
        axes.figure.legend(frameon=False, fontsize=8, **(below if picture.kind == "dots" else beside))


def _scale(picture: Picture, axes: Axes) -> None:
    if picture.kind == "dots":
        if picture.log_x:
            axes.set_xscale("log", base=2)
        ticks = sorted({x for one in picture.series for x in one.x.tolist()})
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        return
    for name, is_log in (("x", picture.log_x), ("y", picture.log_y)):
        values = np.concatenate([[], *(getattr(one, name) for one in picture.series)])
        if is_log and (values > 0).any():
            told = log_ticks(values[values > 0].min(), values.max())
            axes.set(**{f"{name}scale": "log"})
            axis = axes.xaxis if name == "x" else axes.yaxis
            axis.set_ticks(list(told), list(told.values()))
            axis.set_ticks([], minor=True)


def _line(one: Series, axes: Axes, colour: str, number: int, *, steps: bool) -> None:
    if len(one.x) == 1:
        axes.plot(one.x, one.y, _MARKERS[number % len(_MARKERS)], color=colour, markersize=6, label=one.name)
        return
    axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0, step="post" if steps else None)
    style: Any = ("-", "--", "-.", ":")[number % 4]
    marker = "" if len(one.x) > 12 else "o"
    drawn = axes.plot(one.x, one.y, color=colour, linestyle=style, marker=marker, markersize=3, label=one.name)
    drawn[0].set(linewidth=1.6, drawstyle="steps-post" if steps else "default")


def _dots(one: Series, axes: Axes, colour: str, number: int) -> None:
    shift = 1.06**number  # so that intervals of several ways stand side by side
    for x, seeds in zip(one.x, one.seeds, strict=True):
        axes.plot(np.full(len(seeds), x * shift), seeds, ".", color=colour, alpha=0.35, markersize=4)
    errors = np.abs(np.stack((one.y - one.low, one.high - one.y)))
    axes.errorbar(
        one.x * shift,
        one.y,
        np.nan_to_num(errors),
        color=colour,
        marker=_MARKERS[number % len(_MARKERS)],
        linestyle="none",  # between two batch sizes nothing was measured
        capsize=3,
        label=one.name,
    )


def _heat(picture: Picture, axes: Axes) -> None:
    columns = sorted({x for one in picture.series for x in one.x.tolist()})
    cells = np.full((len(picture.series), len(columns)), np.nan)
    for row, one in zip(cells, picture.series, strict=True):
        for x, y in zip(one.x.tolist(), one.y.tolist(), strict=True):
            row[columns.index(x)] = y
    image = axes.imshow(cells, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(columns)), [f"{x:g}" for x in columns])
    axes.set_yticks(range(len(picture.series)), [one.name for one in picture.series], parse_math=False)
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            ink = ink_on(np.asarray(image.to_rgba(value)).tolist()[:3])
            axes.text(column, row, cell_text(value), ha="center", va="center", color=ink, fontsize=8)
    axes.figure.colorbar(image, ax=axes, label=picture.colour_title)
