"""How does a picture look in a file? Drawn with matplotlib, as SVG and PNG."""

from __future__ import annotations

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
_DARK = 0.6
"""Part of the colour scale of a heat map that is too dark for black letters."""


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


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _draw(picture: Picture, axes: Axes) -> None:
    # names of environments and their arguments are text, not formulas
    axes.set_title(picture.title, loc="left", fontsize=10, wrap=True, parse_math=False)
    axes.set_xlabel(picture.x_title)
    axes.set_ylabel(picture.y_title, parse_math=False)
    if picture.kind == "heat":
        _heat(picture, axes)
        return
    for i, (one, colour) in enumerate(zip(picture.series, colours_of(picture.series), strict=True)):
        (_line if picture.kind == "lines" else _dots)(one, axes, colour, i)
    if picture.log_x:
        axes.set_xscale("log", base=2 if picture.kind == "dots" else 10)
    if picture.log_y:
        axes.set_yscale("log")
    if picture.kind == "dots":
        ticks = sorted({x for one in picture.series for x in one.x.tolist()})
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    if len(picture.series) > 1:  # beside the axes: nothing is covered, however many there are
        beside: dict[str, Any] = {"loc": "outside center right"}
        below: dict[str, Any] = {"loc": "outside lower center", "ncols": 3}
        axes.figure.legend(frameon=False, fontsize=8, **(beside if picture.kind == "lines" else below))


def _line(one: Series, axes: Axes, colour: str, number: int) -> None:
    axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0)
    style: Any = ("-", "--", "-.", ":")[number % 4]
    marker = "" if len(one.x) > 12 else "o"
    axes.plot(one.x, one.y, color=colour, linestyle=style, marker=marker, markersize=3, linewidth=1.6, label=one.name)


def _dots(one: Series, axes: Axes, colour: str, number: int) -> None:
    shift = 1.06**number  # so that intervals of several ways stand side by side
    for x, seeds in zip(one.x, one.seeds, strict=True):
        axes.plot(np.full(len(seeds), x * shift), seeds, ".", color=colour, alpha=0.35, markersize=4)
    errors = np.abs(np.stack((one.y - one.low, one.high - one.y)))
    marker = _MARKERS[number % len(_MARKERS)]
    axes.errorbar(one.x * shift, one.y, np.nan_to_num(errors), color=colour, marker=marker, capsize=3, label=one.name)


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
            text = "white" if float(np.asarray(image.norm(value))) < _DARK else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=text, fontsize=8)
    axes.figure.colorbar(image, ax=axes, label=picture.colour_title)
