"""What the summaries share: the declaration's grid, the score table."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


def test_a_score_is_normalised_by_low_and_reference(summaries: ModuleType) -> None:
    assert summaries.normalised("Pendulum-v1", -1233.508) == 0
    assert summaries.normalised("Pendulum-v1", -150.0) == 1
    assert summaries.reference_range("Pendulum-v1") == pytest.approx(1083.508)


def test_seeds_are_named_in_spans(summaries: ModuleType) -> None:
    assert summaries.spans([7, 0, 2, 1, 9]) == "0..2, 7, 9"


def test_a_score_table_keeps_old_rows_replaces_known_ones_and_sorts(summaries: ModuleType, tmp_path: Path) -> None:
    path, columns, key = tmp_path / "scores.csv", ("env", "seed", "outcome", "auc"), ("env", "seed")
    summaries.update_scores(
        path,
        columns,
        key,
        [
            {"env": "B", "seed": 10, "outcome": "ok", "auc": 0.1 + 0.2},
            {"env": "B", "seed": 9, "outcome": "crashed", "auc": None},
        ],
    )
    assert path.read_text() == "env,seed,outcome,auc\nB,9,crashed,\nB,10,ok,0.30000000000000004\n"
    summaries.update_scores(path, columns, key, [{"env": "B", "seed": 9, "outcome": "ok", "auc": 2.0}])
    assert [row["auc"] for row in summaries.read_scores(path)] == [2.0, 0.1 + 0.2]
    again = path.read_bytes()
    summaries.update_scores(path, columns, key, summaries.read_scores(path))
    assert path.read_bytes() == again


def test_the_same_run_in_two_folders_is_refused(summaries: ModuleType, tmp_path: Path) -> None:
    row = {"env": "B", "seed": 9, "outcome": "ok", "auc": 1.0}
    with pytest.raises(ValueError, match="two folders"):
        summaries.update_scores(tmp_path / "scores.csv", tuple(row), ("env", "seed"), [row, row])
    assert not (tmp_path / "scores.csv").exists()


def test_no_row_at_all_is_refused(summaries: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there"):
        summaries.update_scores(tmp_path / "scores.csv", ("env",), ("env",), [])


def test_a_diverged_run_counts_with_low_and_any_other_without_an_area_is_missing(summaries: ModuleType) -> None:
    outcomes = {0: "ok", 1: "diverged", 2: "crashed", 3: "env_error", 4: "partial"}
    rows = [
        {"env": "CartPole-v1", "seed": seed, "outcome": outcome, "auc": 300.0 if outcome == "ok" else None}
        for seed, outcome in outcomes.items()
    ]
    come = summaries.standing(rows, ("env", "seed"), [("CartPole-v1", seed) for seed in range(6)])
    assert {run[1]: area for run, area in come.areas.items()} == {0: 300.0, 1: 22.184}
    assert [run[1] for run in come.diverged] == [1]
    assert {run[1]: why for run, why in come.missing.items()} == {
        2: "crashed",
        3: "env_error",
        4: "partial",
        5: "no record",
    }


def test_rows_that_were_not_declared_do_not_count(summaries: ModuleType) -> None:
    rows = [{"env": "CartPole-v1", "seed": seed, "outcome": "ok", "auc": 100.0 * seed} for seed in range(3)]
    assert summaries.standing(rows, ("env", "seed"), [("CartPole-v1", 1)]).areas == {("CartPole-v1", 1): 100.0}
