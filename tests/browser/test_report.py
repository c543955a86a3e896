"""What a user sees of the report in a browser: figures are drawn, the page obeys its own policy, tables open."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from analysis.test_answer import LEVELS, answered, fill
from browser.conftest import PATIENCE_MS

from rlbatch.analysis.figures import figures_of
from rlbatch.analysis.report import write_report

pytestmark = pytest.mark.xdist_group("browser")  # one browser for all


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """Returns the page's address, and how many figures it has."""
    root: Path = tmp_path_factory.mktemp("results") / "known"
    found = answered(
        root, fill(root, LEVELS, seeds=6, learning_rate=1e-3) + fill(root, LEVELS, seeds=6, learning_rate=1e-4)
    )
    write_report(found, root / "report.html")
    return (root / "report.html").as_uri(), len(figures_of(found))


def until(holds: Callable[[], bool]) -> None:
    """Waits; the page's policy forbids Playwright's own way, which evaluates text."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_figure_is_drawn_and_nothing_is_refused_or_asked_for(page: Any, report: tuple[str, int]) -> None:
    address, figures = report
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    drawn = page.locator(".plot:has(.main-svg)")
    until(lambda: drawn.count() == figures)
    assert page.locator(".plot").count() == figures
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    response = page.locator("#cartpole-v1-response")
    assert response.locator(".legend .traces").count() == 3
    assert response.locator(".xaxislayer-above text").all_text_contents() == ["16", "64", "128"]


def test_tables_open_by_keyboard_and_figures_follow_the_colour_scheme(page: Any, report: tuple[str, int]) -> None:
    address, _ = report
    page.goto(address)
    page.wait_for_selector("#cartpole-v1-response .main-svg")
    summary = page.locator("#cartpole-v1-response summary")
    table = page.locator("#cartpole-v1-response table")
    assert not table.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 3 * 3
    ink = "getComputedStyle(document.querySelector('#cartpole-v1-response .xtitle')).fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    until(lambda: page.evaluate(ink) != light)
    page.emulate_media(color_scheme="light")


def test_a_narrow_window_scrolls_tables_and_not_the_page(page: Any, report: tuple[str, int]) -> None:
    address, _ = report
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(address)
    page.wait_for_selector("#cartpole-v1-response .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1400, "height": 1000})
