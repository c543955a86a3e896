"""Figures as files: what is joined and what is not, labels of logarithmic axes, and numbers that can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps, pyplot

from rlbatch.analysis.figures import Kind, Picture, Series
from rlbatch.analysis.plots import cell_text, ink_on, log_ticks, luminance, save

UNKNOWN = np.array([np.nan])


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Picture], Any]:
    """Returns what draws a picture as a file and gives back matplotlib's figure."""
    kept: list[Any] = []
    close = pyplot.close
    monkeypatch.setattr(pyplot, "close", kept.append)

    def draw(picture: Picture) -> Any:
        save([picture], tmp_path, ("svg",))
        close(kept[-1])
        return kept[-1]

    return draw


def made(kind: Kind, *series: Series, title: str = "title", log: bool = False) -> Picture:
    is_log = log or kind == "dots"
    return Picture("name", title, kind, "x", "y", is_log, series, log_y=log)


def series(name: str, x: list[float], y: list[float], seeds: int = 0) -> Series:
    heights = np.array(y)
    return Series(name, np.array(x), heights, heights - 0.1, heights + 0.1, (heights,) * len(x) if seeds else ())


def point(batch: int, x: float, y: float) -> Series:
    return Series(f"batch {batch}", np.array([x]), np.array([y]), UNKNOWN, UNKNOWN, (), batch)


def test_batch_sizes_are_not_joined(drawn: Callable[[Picture], Any]) -> None:
    canvas = drawn(made("dots", *(series(name, [16, 64, 256], [0.1, 0.5, 0.9], seeds=3) for name in "ab")))
    lines = canvas.axes[0].lines
    assert max(len(line.get_xdata()) for line in lines) == 3
    assert {line.get_linestyle() for line in lines} == {"None"}


def test_what_is_a_point_has_a_marker_of_its_own_in_the_legend(drawn: Callable[[Picture], Any]) -> None:
    fitted = series("hyperbola", [6e5, 1e6, 7e6], [4e4, 2e4, 6e3])
    canvas = drawn(made("lines", point(16, 607_232, 37_952), point(64, 828_928, 12_952), fitted, log=True))
    *points, line = canvas.legends[0].legend_handles
    assert [one.get_linestyle() for one in points] == ["None", "None"]
    assert len({one.get_marker() for one in points} - {"None", ""}) == 2
    assert line.get_linestyle() != "None"


def test_steps_hold_until_the_next_position_and_so_do_their_bands(drawn: Callable[[Picture], Any]) -> None:
    own = series("batch 16", [0, 100, 200], [0.2, 0.5, 0.8])
    (axes,) = drawn(made("steps", own)).axes
    assert axes.lines[0].get_drawstyle() == "steps-post"
    corners = axes.collections[0].get_paths()[0].vertices
    assert (np.isclose(np.diff(corners, axis=0), 0).any(axis=1)).all()  # no slopes
    assert [100.0, 0.3] in corners.round(6).tolist()  # the height of 0 is held up to 100
    (axes,) = drawn(made("lines", own)).axes
    assert axes.lines[0].get_drawstyle() == "default"


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (607_232, 6_862_850, ["1M", "2M", "5M"]),
        (6_702, 37_952, ["7k", "10k", "15k", "20k", "30k"]),
        (40, 250_000, ["100", "1k", "10k", "100k"]),
        (0.02, 0.3, ["0.02", "0.05", "0.1", "0.2"]),
        (7_100, 7_900, ["7.1k", "7.9k"]),
        (5, 5, ["5"]),
    ],
)
def test_logarithmic_axes_are_labelled_at_round_numbers(low: float, high: float, labels: list[str]) -> None:
    told = log_ticks(low, high)
    assert list(told.values()) == labels
    assert all(low <= value <= high for value in told)


def test_both_axes_of_a_file_have_these_labels_and_no_others(drawn: Callable[[Picture], Any]) -> None:
    picture = made("lines", point(16, 607_232, 37_952), point(1024, 6_862_850, 6_702), log=True)
    (axes,) = drawn(picture).axes
    for axis, ends in ((axes.xaxis, (607_232, 6_862_850)), (axes.yaxis, (6_702, 37_952))):
        told = [label.get_text() for which in ("major", "minor") for label in axis.get_ticklabels(which=which)]
        assert told == list(log_ticks(*ends).values())


def contrast(*colours: Any) -> float:
    """Returns the contrast of two colours (WCAG 2.1)."""
    low, high = sorted(luminance(colour) + 0.05 for colour in colours)
    return high / low


def test_numbers_of_a_heat_map_can_be_read_on_every_colour(drawn: Callable[[Picture], Any]) -> None:
    inks = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
    assert contrast(*inks.values()) == pytest.approx(21)
    colours = [colour[:3] for colour in colormaps["viridis"](np.linspace(0, 1, 256)).tolist()]
    assert min(contrast(colour, inks[ink_on(colour)]) for colour in colours) >= 4.5
    heights = np.linspace(0, 1, 30).tolist()
    axes = drawn(made("heat", series("row", list(range(30)), heights))).axes[0]
    for text, height in zip(axes.texts, heights, strict=True):
        colour = colormaps["viridis"](height)[:3]
        assert contrast(colour, inks[text.get_color()]) >= 4.5
        assert text.get_text() == cell_text(height)


def test_cells_have_three_digits_and_no_exponent() -> None:
    numbers = (0.8579, 0.77, -0.01234, 0.0, 1.0, 12.345, -123.4, 1234.5, 0.00005)
    told = ["0.858", "0.770", "-0.0123", "0.00", "1.00", "12.3", "-123", "1230", "0.0000500"]
    assert [cell_text(number) for number in numbers] == told


def test_a_long_title_is_whole(tmp_path: Path) -> None:
    words = "Acrobot-v1: area under the evaluation curve over the budget: its mean height, by batch size"
    _, path = save([made("dots", series("a", [16, 64], [0.1, 0.5], seeds=3), title=words)], tmp_path)
    picture = pyplot.imread(path)[..., :3]
    assert all((edge == 1).all() for edge in (picture[0], picture[:, -1]))  # no letter is cut
    assert (picture[:40] < 0.5).any()
