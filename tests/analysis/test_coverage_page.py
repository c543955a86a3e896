"""The page on coverage says what was measured, and marks what is out of range."""

from __future__ import annotations

from pathlib import Path

from analysis.coverage_page import Cell, Kept, page, table

HOME = Path(__file__).parents[2] / "results" / "statistics"


def test_the_kept_page_is_that_of_the_kept_measurements() -> None:
    kept = Kept(HOME / "cases.json")
    assert kept.parts
    assert (HOME / "README.md").read_text(encoding="utf-8") == page(kept)


def test_headlines_out_of_range_are_bold_from_ten_seeds_on() -> None:
    cells = {"0/5": Cell(100, {"*mean": 90, "gap": 90}), "0/10": Cell(200, {"*mean": 180, "gap": 180})}
    text = table(cells)
    assert "| ★ mean | 90.0 | **90.0** |" in text
    assert "| gap | 90.0 | 90.0 |" in text
    assert "100 to 200 repeats." in text


def test_errors_above_five_per_cent_are_bold_when_they_are_surely_above() -> None:
    text = table({"0/5": Cell(1_000, {"wrong": 60}), "0/10": Cell(1_000, {"wrong": 70})}, errors=True)
    assert "| wrong | 6.0 | **7.0** |" in text


def test_a_table_that_was_not_measured_says_so() -> None:
    assert table({}) == "Not measured.\n\n"


def test_what_was_measured_is_kept_cell_by_cell(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "new" / "cases.json")
    kept.put("verdicts", 0.2, 10, Cell(10, {"wrong": 1}))
    kept.put("verdicts", 0.2, 10, Cell(20, {"wrong": 2}))
    assert Kept(kept.path).parts == {"verdicts": {"0.2/10": Cell(20, {"wrong": 2})}}
