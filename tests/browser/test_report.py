"""What a user sees and does in the report: figures are drawn, controls and filters work by keyboard, tables follow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from analysis.test_answer import LEVELS, answered, fill
from analysis.test_comparison import write_front
from browser.conftest import PATIENCE_MS
from matplotlib import colormaps

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.plots import cell_text, ink_on, log_ticks, luminance
from rlbatch.analysis.report import write_report

pytestmark = pytest.mark.xdist_group("browser")  # one browser for all
TAGS = {"update/td_error": 2.0, "batch/age_mean": 50.0}


RESET = """() => {
  for (const one of document.querySelectorAll("select, #filter input")) {
    const changed = one.selectedIndex > 0 || one.checked === false;
    if (one.tagName === "SELECT") one.selectedIndex = 0; else one.checked = true;
    if (changed) one.dispatchEvent(new Event("change", { bubbles: true }));
  }
  for (const one of document.querySelectorAll("details")) one.open = false;
}"""
"""Brings back what a test chose, which is quicker than to load the page again."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """Returns the page's address, and how many figures it has."""
    root: Path = tmp_path_factory.mktemp("results") / "known"
    configs = [
        one for rate in (1e-3, 1e-4) for one in fill(root, LEVELS, seeds=3, learning_rate=rate, tags=TAGS, n_steps=1)
    ]
    configs += fill(root, LEVELS, seeds=3, learning_rate=1e-4, n_steps=3)
    found = answered(root, configs)
    figures = figures_of(found)
    write_report(found, figures, root / "report.html")
    return (root / "report.html").as_uri(), len(figures)


class Loaded(NamedTuple):
    """The page, with what it said and asked for while it was loaded."""

    page: Any
    problems: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def loaded(_window: Any, report: tuple[str, int]) -> Iterator[Loaded]:
    """Returns the page with all figures drawn."""
    page, (address, figures) = _window.new_page(), report
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    drawn = page.locator(".plot:has(.main-svg)")
    until(lambda: drawn.count() == figures)
    yield Loaded(page, problems, asked)
    page.close()


@pytest.fixture(scope="module")
def fronted(_window: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Returns the page of runs that tell the critical batch size."""
    root = tmp_path_factory.mktemp("results") / "front"
    found = answered(root, write_front(root, 100.0, 400.0))
    figures = [one for one in figures_of(found) if one.name.endswith(("-front", "-reaching"))]
    write_report(found, figures, root / "report.html")
    page = _window.new_page()
    page.goto((root / "report.html").as_uri())
    until(lambda: page.locator(".plot:has(.main-svg)").count() == len(figures) == 2)
    yield page
    page.close()


@pytest.fixture
def opened(loaded: Loaded) -> Iterator[Any]:
    """Returns the page as it opens."""
    yield loaded.page
    loaded.page.evaluate(RESET)


def until(holds: Callable[[], bool]) -> None:
    """Waits; the page's policy forbids Playwright's own way, which evaluates text."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(figure: Any) -> float:
    """Returns how many lines are drawn; each has a band besides."""
    return int(figure.locator(".scatterlayer .trace").count()) / 2


def title(figure: Any) -> str:
    return str(figure.locator("figcaption").text_content())


def press(page: Any, place: Any, *keys: str) -> None:
    """Presses keys where the keyboard is brought to."""
    place.focus()
    for key in keys:
        page.keyboard.press(key)


def test_every_figure_is_drawn_and_nothing_is_refused_or_asked_for(loaded: Loaded, report: tuple[str, int]) -> None:
    page = loaded.page
    assert page.locator(".plot:has(.main-svg)").count() == page.locator(".plot").count() == report[1]
    assert loaded.problems == []
    assert [url for url in loaded.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    titles = [button.get_attribute("data-title") or "" for button in page.locator(".modebar-btn").all()]
    assert any("Download" in one for one in titles)
    assert not [one for one in titles if "hare" in one or "loud" in one]  # plotly offers to send a figure away
    response = page.locator("#cartpole-v1-n-steps-1-response")
    assert response.locator(".legend button").count() == 3
    shapes = response.locator(".legend path").evaluate_all("(all) => all.map((one) => one.getAttribute('d'))")
    assert len(set(shapes)) == 3  # what tells them apart without colours
    assert response.locator(".xaxislayer-above text").all_text_contents() == ["16", "64", "128"]


def test_the_axis_and_the_rates_of_curves_are_chosen_by_keyboard(opened: Any) -> None:
    curves = opened.locator("#cartpole-v1-n-steps-1-curves")
    axis, rates = curves.locator("select").all()
    assert "on env steps, learning rate each at its own best" in title(curves)
    press(opened, axis, "ArrowDown", "ArrowDown")
    assert axis.input_value() == "samples"
    assert "on samples" in title(curves)
    assert curves.locator(".xtitle").text_content() == "samples"
    assert curves.locator(".plot").get_attribute("aria-label") == title(curves)
    press(opened, rates, "ArrowDown")
    assert title(curves).endswith("on samples, learning rate 0.0001")
    told = curves.locator("p[data-picture]:visible")
    assert told.count() == 1
    assert "different budgets on this axis" in told.text_content()


def test_the_metric_of_a_response_is_chosen_and_its_table_follows(opened: Any) -> None:
    response = opened.locator("#cartpole-v1-n-steps-1-response")
    press(opened, response.locator("summary"), "Enter")
    table = response.locator("table:visible")
    assert table.count() == 1
    assert table.locator("tbody tr").count() == 3 * 3
    first = table.text_content()
    response.locator("select").select_option("best (optimistic)")
    assert "highest evaluation" in title(response)
    assert table.count() == 1
    assert table.text_content() != first
    assert "best" in table.locator("thead").text_content()
    assert response.locator(".ytitle").text_content() == "best (0: low, 1: reference)"


def test_a_batch_size_is_hidden_by_keyboard_in_all_figures_and_their_numbers(opened: Any) -> None:
    curves, heat = opened.locator("#cartpole-v1-n-steps-1-curves"), opened.locator("#cartpole-v1-heat")
    response = opened.locator("#cartpole-v1-n-steps-1-response")
    planned = opened.locator("#cartpole-v1-n-steps-1-planned")
    assert lines(curves) == 3
    box = opened.get_by_label("64", exact=True)
    press(opened, box, "Space")
    assert not box.is_checked()
    assert lines(curves) == 2
    for dots in (response, planned):
        assert dots.locator(".xaxislayer-above text").all_text_contents() == ["16", "128"]
    assert heat.locator(".xaxislayer-above text").all_text_contents() == ["16", "128"]
    press(opened, planned.locator("summary"), "Enter")
    rows = planned.locator("tbody tr:visible")
    assert [re.match(r"\d+", cell or "") for cell in rows.locator("td:nth-child(2)").all_text_contents()]
    assert rows.count() == 2
    curves.locator("select").first.select_option("updates")
    assert lines(curves) == 2  # also in a view that was not seen before
    press(opened, box, "Space")
    assert lines(curves) == 3
    assert rows.count() == 3


def test_a_line_is_hidden_in_one_figure_by_its_legend(opened: Any) -> None:
    figure, other = opened.locator("#cartpole-v1-n-steps-1-curves"), opened.locator("#cartpole-v1-n-steps-3-curves")
    button = figure.get_by_role("button", name="batch 64")
    press(opened, button, "Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert "line-through" in button.evaluate("(one) => getComputedStyle(one).textDecorationLine")
    assert (lines(figure), lines(other)) == (2, 3)
    press(opened, button, "Enter")
    assert lines(figure) == 3


def test_the_second_axis_of_a_heat_map_and_the_tag_of_diagnostics_are_chosen(opened: Any) -> None:
    heat = opened.locator("#cartpole-v1-heat")
    assert heat.locator(".yaxislayer-above text").all_text_contents() == ["0.0001", "0.001"]
    heat.locator("select").select_option("n_steps")
    assert heat.locator(".yaxislayer-above text").all_text_contents() == ["1", "3"]
    assert "learning_rate 0.0001" in heat.locator("p[data-picture]:visible").text_content()
    diagnostics = opened.locator("#cartpole-v1-n-steps-1-diagnostics")
    assert lines(diagnostics) == 3
    tag, rates = diagnostics.locator("select").all()
    tag.select_option("batch/age_mean")
    assert diagnostics.locator(".ytitle").text_content() == "batch/age_mean"
    assert "learning rate 0.001" in title(diagnostics)  # one for all of them
    rates.select_option("each at its own best")
    assert "learning rate each at its own best" in title(diagnostics)
    assert opened.locator("#cartpole-v1-n-steps-3-diagnostics").count() == 0


def test_planned_and_exploratory_are_sections_that_links_lead_to(opened: Any) -> None:
    opened.get_by_role("link", name="Planned").click()
    planned, explored = opened.locator("#planned"), opened.locator("#exploratory")
    assert planned.locator("figure").count() == 2
    assert "metric: auc" in planned.locator("ul").first.text_content()
    assert planned.locator("table:visible").count() == 2
    assert explored.locator("figure").count() == opened.locator("figure").count() - 2


def test_figures_follow_the_colour_scheme_and_paper_is_white(opened: Any) -> None:
    ink = "getComputedStyle(document.querySelector('#cartpole-v1-n-steps-1-response .xtitle')).fill"
    light = opened.evaluate(ink)
    opened.emulate_media(color_scheme="dark")
    until(lambda: opened.evaluate(ink) != light)
    plot = opened.locator("#cartpole-v1-n-steps-1-response .main-svg").first
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.evaluate(ink) == light
    assert plot.bounding_box()["width"] < 700
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert opened.evaluate(ink) != light
    until(lambda: plot.bounding_box()["width"] > 700)
    opened.emulate_media(color_scheme="light")


FILLS = """(one) => [...one.querySelectorAll(".modebar-btn")].map((button) =>
  [button.classList.contains("active"), getComputedStyle(button.querySelector("path")).fill])"""


def colour_of(words: str) -> list[float]:
    """Returns red, green and blue, from 0 to 1, of `rgb(27, 27, 31)`."""
    return [int(part) / 255 for part in re.findall(r"\d+", words)[:3]]


def contrast(one: str, other: str) -> float:
    low, high = sorted(luminance(colour_of(words)) + 0.05 for words in (one, other))
    return high / low


def test_every_button_of_a_plot_is_seen_the_active_one_too_by_day_and_by_night(opened: Any) -> None:
    curves = opened.locator("#cartpole-v1-n-steps-1-curves")
    by_day = curves.evaluate(FILLS)
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        until(lambda now=scheme: (curves.evaluate(FILLS)[0] == by_day[0]) is (now == "light"))
        fills = dict(curves.evaluate(FILLS))
        paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert set(fills) == {True, False}
        assert min(contrast(fill, paper) for fill in fills.values()) >= 4.5
        assert fills[True] != fills[False]
    opened.emulate_media(color_scheme="light")


def shown_numbers(figure: Any, column: int) -> list[float]:
    """Returns a column of the table of the picture that is seen."""
    cells = figure.locator(f"div[data-picture]:not([hidden]) tbody td:nth-child({column})").all_text_contents()
    return [float(cell.replace(",", "").split()[0]) for cell in cells]


def test_numbers_of_a_heat_map_are_those_of_files_in_ink_that_can_be_read(opened: Any) -> None:
    heat = opened.locator("#cartpole-v1-heat")
    texts = heat.locator(".heatmaplayer text")
    inks = texts.evaluate_all("(all) => all.map((one) => getComputedStyle(one).fill)")
    told = dict(zip(texts.all_text_contents(), inks, strict=True))
    numbers = shown_numbers(heat, 3)
    assert set(told) == {cell_text(number) for number in numbers}
    scale = colormaps["viridis"]
    low, high = min(numbers), max(numbers)
    for number in numbers:
        ink = ink_on(scale((number - low) / (high - low))[:3])
        assert told[cell_text(number)] == {"black": "rgb(0, 0, 0)", "white": "rgb(255, 255, 255)"}[ink]
    assert len(set(inks)) == 2


def test_a_front_has_points_in_its_legend_and_round_numbers_on_its_axes(fronted: Any) -> None:
    front = fronted.locator("figure[id$=-front]")
    shapes = front.locator(".legend path").evaluate_all("(all) => all.map((one) => one.getAttribute('d'))")
    assert len(shapes) == front.locator(".scatterlayer .point").count() > 3
    assert len(set(shapes)) > 3
    assert front.locator(".legend line").count() == 1  # the hyperbola
    for axis, column in (("x", 2), ("y", 3)):
        numbers = shown_numbers(front, column)
        labels = front.locator(f".{axis}axislayer-above text").all_text_contents()
        assert labels == list(log_ticks(min(numbers), max(numbers)).values())


def test_the_share_that_has_reached_the_mark_has_steps_and_no_slopes(fronted: Any) -> None:
    drawn = fronted.locator("figure[id$=-reaching]").locator(".js-line, .js-fill")
    paths = drawn.evaluate_all("(all) => all.map((one) => one.getAttribute('d'))")
    rises = 0
    for path in paths:
        x = y = 0.0
        for letter, words in re.findall("([MLHV])([^A-Z]*)", path):
            numbers = [float(word) for word in words.split(",")]
            to_x, to_y = {"H": (numbers[0], y), "V": (x, numbers[-1])}.get(letter, (numbers[0], numbers[-1]))
            assert letter == "M" or to_x == x or to_y == y
            rises += letter != "M" and to_y != y
            x, y = to_x, to_y
    assert rises > len(paths)


def test_a_narrow_window_scrolls_tables_and_not_the_page(opened: Any) -> None:
    whole = opened.viewport_size
    opened.set_viewport_size({"width": 390, "height": 800})
    plots = "Math.max(...[...document.querySelectorAll('.main-svg')].map((one) => one.getBoundingClientRect().right))"
    until(lambda: opened.evaluate(plots) <= 390)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    selects = "Math.max(...[...document.querySelectorAll('select')].map((one) => one.getBoundingClientRect().right))"
    assert opened.evaluate(selects) <= 390
    opened.set_viewport_size(whole)
