"""Cells: rates as they are named, counts as whole numbers, and numbers as LaTeX sets them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.answer import answer
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.intervals import Interval
from rlbatch.analysis.table import Cell, Table, count_cell, latex, shown
from rlbatch.analysis.tables import tables_of


def test_a_column_of_learning_rates_reads_as_rates_do_elsewhere() -> None:
    table = Table("t", ("learning rate", "p"), tuple((rate, rate) for rate in (3e-5, 1e-4, 3e-4, 1e-3, 1e-2)))
    assert [shown(rate) for rate, _ in table.rows] == ["3e-05", "0.0001", "0.0003", "0.001", "0.01"]
    assert [shown(p) for _, p in table.rows] == ["3.00e-05", "1.00e-04", "3.00e-04", "0.001", "0.010"]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (650.0, "650"),
        (0.0, "0"),
        (2_035_712.0, "2,035,712"),
        (33_742_848_000.0, "33,742,848,000"),
        (1234.5, "1,234"),
        (math.inf, "never"),
        (math.nan, "-"),
        (None, "-"),
        (Interval(650.0, 0.0, 2_035_712.4), "650 [0, 2,035,712]"),
        (Interval(650.0, -math.inf, math.inf), "650 [?]"),
    ],
)
def test_a_count_is_a_whole_number_with_separators(amount: Cell, text: str) -> None:
    assert not isinstance(amount, str)
    assert shown(count_cell(amount)) == text


def test_other_numbers_keep_what_tells_them_from_whole_ones() -> None:
    numbers = (0.0, 1.0, 0.5, 12.25, 650.0, 2_035_712.0, 2_035_712.5, 2.5e9 + 0.5, 1e300, 3, 2e-5)
    told = "0.000 1.000 0.500 12.2 650 2,035,712 2,035,712 2.50e+09 1.00e+300 3 2.00e-05"
    assert " ".join(map(shown, numbers)) == told


def test_latex_sets_minus_signs_and_powers_of_ten() -> None:
    assert latex("-0.052 [-0.155, 0.059]") == "$-$0.052 [$-$0.155, 0.059]"
    assert latex("2.27e-05") == r"$2.27 \times 10^{-5}$"
    assert latex("-2.27e-05 [-1.00e+12, 3e-05]") == (
        r"$-2.27 \times 10^{-5}$ [$-1.00 \times 10^{12}$, $3 \times 10^{-5}$]"
    )
    for text in ("-", "12,345", "never", "no-2", "0.5 [?]"):
        assert latex(text) == text
    assert latex("3e-05 to 0.001 (1.5 decades)") == r"$3 \times 10^{-5}$ to 0.001 (1.5 decades)"


def test_what_a_mark_takes_is_told_in_whole_steps(tmp_path: Path) -> None:
    own = [config(batch_size=size, seed=seed, learning_rate=3e-5) for size in (16, 64) for seed in range(3)]
    for one in own:
        write(tmp_path, one, [10.0, 500.0, 500.0, 500.0, 500.0])
    plan(tmp_path, own)
    tables = tables_of(answer(compare([tmp_path])))
    (effort,) = [table for table in tables if "env steps until" in table.title]
    assert effort.headings[3] == "mean, at most 400"
    assert [list(map(shown, row))[1:5:3] for row in effort.rows] == [["3e-05", "100"]] * 2
    (front,) = [table for table in tables if "updates and samples" in table.title]
    assert all(cell == "-" or cell.replace(",", "").isdigit() for row in front.rows for cell in map(shown, row[2:]))
