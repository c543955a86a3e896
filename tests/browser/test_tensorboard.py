"""What a user sees in TensorBoard: the links, colours, charts of means, axes, filters and the HParams table."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from boards import go_on
from browser.conftest import PATIENCE_MS, Links

from rlbatch.cli import tensorboard
from rlbatch.results import find_runs

pytestmark = pytest.mark.xdist_group("browser")  # one browser for all
MARGIN_CHART = "tf-custom-scalar-margin-chart-card"
TITLES = [
    "CartPole-v1: return by env steps",
    "CartPole-v1: return by samples",
    "my_env:b00099 Line-v0: return by env steps",
    "my_env:b00099 Line-v0: return by samples",
]


def until(page: Any, locator: Any, count: int) -> None:
    """Waits until there are so many of something."""
    from playwright.sync_api import expect

    expect(locator).to_have_count(count, timeout=PATIENCE_MS)


def attributes(locator: Any, name: str) -> list[str]:
    return list(locator.evaluate_all(f"them => them.map(one => one.getAttribute('{name}'))"))


def test_the_link_opens_the_return_in_one_colour_per_batch_size(page: Any, links: Links) -> None:
    page.goto(links.series)
    pinned = page.locator("metrics-pinned-view card-view").first
    lines = pinned.locator(".series-view > svg path")
    until(page, lines, 5)
    assert pinned.locator("tb-truncated-path").get_attribute("title") == "eval/return_mean"
    colours = attributes(lines, "style")
    shown = re.findall(r"stroke: ?([^;]+);", " ".join(colours))
    assert len(shown) == 5
    assert sorted(map(shown.count, set(shown))) == [2, 3]  # batch 64 has two runs, batch 32 two and that of my_env

    wanted = page.locator("runs-selector input[placeholder='Filter runs (regex)']")
    wanted.fill("CartPole.*b00064")
    wanted.press("End")  # TensorBoard listens to keys
    visible = pinned.locator(".series-view > svg path:not([style*='display: none'])")
    until(page, visible, 2)
    assert len(set(attributes(visible, "style"))) == 1
    ticks = pinned.locator(".x-axis text")
    assert "800" in [tick.strip() for tick in ticks.all_text_contents()]
    page.locator("metrics-dashboard-settings mat-select").first.click()
    page.get_by_role("option", name="Relative").click()
    until(page, ticks.get_by_text("800", exact=True), 0)


def test_the_second_link_opens_the_means_with_intervals_which_can_be_filtered(page: Any, links: Links) -> None:
    page.goto(links.means)
    charts = page.locator(MARGIN_CHART)
    until(page, charts, 4)
    for chart, title in zip(charts.all(), TITLES, strict=True):
        assert chart.get_by_text(title, exact=True).count() == 1
    by_steps, by_samples, own, _ = charts.all()
    for chart in (by_steps, by_samples):
        until(page, chart.locator("path.area"), 2)
        assert chart.get_by_text("Matches (2)").count() == 1
    colours = [sorted(attributes(chart.locator("path.area"), "fill")) for chart in (by_steps, by_samples)]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2
    assert own.get_by_text("Matches (1)").count() == 1
    assert page.get_by_text("do not match").count() == 0

    assert "1k" in by_steps.locator("svg text").all_text_contents()
    page.locator("tf-custom-scalar-dashboard paper-button#relative").click()
    until(page, by_steps.locator("svg text", has_text="1k"), 0)
    page.locator("tf-custom-scalar-dashboard paper-button#step").click()
    by_steps.locator("svg text", has_text="1k").first.wait_for()
    page.locator("tf-custom-scalar-dashboard #names-regex input").fill("_aggregate/.*b00064")
    until(page, by_steps.get_by_text("Matches (1)"), 1)

    ((_, link), _) = tensorboard._means(Counter({"CartPole-v1": tensorboard.MOST, "my_env": 1}))
    page.goto(links.means.removesuffix(tensorboard.MEANS) + "?" + link)  # another address, so that it is loaded anew
    until(page, by_steps.get_by_text("Matches (2)"), 1)
    assert own.get_by_text("Matches (0)").count() == 1


def test_the_hparams_table_has_one_row_per_arm_with_the_mean_over_seeds(page: Any, links: Links) -> None:
    page.goto(links.hparams)
    table = page.locator("tf-hparams-table-view")
    rows = table.get_by_text("0.0010000").locator("visible=true")  # rows that went are kept for later
    until(page, rows, 3)
    assert table.get_by_text("11.000", exact=True).count() == 3  # return, area and best of batch 32: mean of 10 and 12
    assert table.get_by_text("21.000", exact=True).count() == 3
    for column in ("batch_size", "env_id", "learning_rate", "return", "area under the curve", "drawdown"):
        assert table.get_by_text(column, exact=True).count() == 1, column
    for hidden in ("seed", "algo", "match"):
        assert table.get_by_text(hidden, exact=True).count() == 0, hidden
    page.locator("tf-hparams-query-pane").get_by_text("64.000", exact=True).click()
    until(page, rows, 2)
    page.get_by_text("Parallel Coordinates View").click()
    page.locator("tf-hparams-parallel-coords-plot svg").first.wait_for()


def test_a_page_that_is_open_shows_what_a_run_does_meanwhile(page: Any, links: Links, results: Path) -> None:
    page.goto(links.series)
    runs = page.locator("runs-selector input[placeholder='Filter runs (regex)']")
    runs.fill("my_env")
    runs.press("End")
    line = page.locator("metrics-pinned-view card-view").first.locator(
        ".series-view > svg path:not([style*='display: none'])"
    )
    until(page, line, 1)
    before = attributes(line, "d")
    assert before[0].count("L") == 1  # two evaluations
    (live,) = (run for run in find_runs(results / "x") if run.result() is None)
    go_on(live, [10.0, 15.0])
    for _ in range(PATIENCE_MS // 1000):
        page.get_by_role("button", name="Reload").or_(page.locator("app-header-reload button")).first.click()
        page.wait_for_timeout(1000)
        if attributes(line, "d") != before:
            break
    assert attributes(line, "d")[0].count("L") == 3
