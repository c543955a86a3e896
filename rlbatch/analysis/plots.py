"""How does a figure look in a file? Drawn with matplotlib, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbatch.analysis.figures import Figure, Series
from rlbatch.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERED = ("#6a4c9c", "#4a62a8", "#31759e", "#26868e", "#1f9688", "#2fa971", "#57b653", "#8cbb2c")
"""From small to large batch sizes: as viridis, which colour-blind readers can order, but seen on white and on black."""
PLAIN = ("#31688e", "#d55e00", "#009e73", "#cc79a7")
"""Of what has no batch size (Okabe & Ito)."""
_SIZE = (7.0, 4.2)
_DPI = 150
_MARKERS = "osD^vP"


def save(figures: Iterable[Figure], folder: Path, endings: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Writes each figure in these formats; returns the files.

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
        for figure in figures:
            canvas, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
            _draw(figure, axes)
            for ending in endings:
                path = folder / f"{figure.name}.{ending}"
                canvas.savefig(path, dpi=_DPI, metadata={"Date": None} if ending == "svg" else {"Software": None})
                written.append(path)
            pyplot.close(canvas)
    return written


def colours_of(series: Sequence[Series]) -> list[str]:
    """Returns a colour for each series: by the order of batch sizes, else one after the other."""
    batches = sorted({one.batch_size for one in series if one.batch_size is not None})
    last = len(ORDERED) - 1
    found = []
    for i, one in enumerate(series):
        if one.batch_size is None:
            found.append(PLAIN[i % len(PLAIN)])
        else:
            place = batches.index(one.batch_size) / max(len(batches) - 1, 1)
            found.append(ORDERED[round(place * last)])
    return found


def _draw(figure: Figure, axes: Axes) -> None:
    axes.set_title(figure.title, loc="left", fontsize=10, wrap=True)
    axes.set_xlabel(figure.x_title)
    axes.set_ylabel(figure.y_title)
    if figure.kind == "heat":
        _heat(figure, axes)
        return
    for i, (one, colour) in enumerate(zip(figure.series, colours_of(figure.series), strict=True)):
        (_line if figure.kind == "lines" else _dots)(one, axes, colour, i)
    if figure.log_x:
        axes.set_xscale("log", base=2 if figure.kind == "dots" else 10)
    if figure.log_y:
        axes.set_yscale("log")
    if figure.kind == "dots":
        ticks = sorted({x for one in figure.series for x in one.x.tolist()})
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    if len(figure.series) > 1:
        axes.legend(frameon=False, fontsize=8)


def _line(one: Series, axes: Axes, colour: str, number: int) -> None:
    axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0)
    style: Any = ("-", "--", "-.", ":")[number % 4]
    marker = "" if len(one.x) > 12 else "o"
    axes.plot(one.x, one.y, color=colour, linestyle=style, marker=marker, markersize=3, linewidth=1.6, label=one.name)


def _dots(one: Series, axes: Axes, colour: str, number: int) -> None:
    shift = 1.04**number  # so that intervals of several ways stand side by side
    for x, seeds in zip(one.x, one.seeds, strict=True):
        axes.plot(np.full(len(seeds), x * shift), seeds, ".", color=colour, alpha=0.35, markersize=4)
    errors = np.abs(np.stack((one.y - one.low, one.high - one.y)))
    marker = _MARKERS[number % len(_MARKERS)]
    axes.errorbar(one.x * shift, one.y, np.nan_to_num(errors), color=colour, marker=marker, capsize=3, label=one.name)


def _heat(figure: Figure, axes: Axes) -> None:
    columns = sorted({x for one in figure.series for x in one.x.tolist()})
    cells = np.full((len(figure.series), len(columns)), np.nan)
    for row, one in zip(cells, figure.series, strict=True):
        for x, y in zip(one.x.tolist(), one.y.tolist(), strict=True):
            row[columns.index(x)] = y
    image = axes.imshow(cells, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(columns)), [f"{x:g}" for x in columns])
    axes.set_yticks(range(len(figure.series)), [one.name for one in figure.series])
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            text = "white" if value < middle else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=text, fontsize=8)
    axes.figure.colorbar(image, ax=axes, label=figure.y_title if len(figure.series) == 1 else "mean score")
