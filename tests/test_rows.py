"""Rows: their encoding and the grid on which they are taken."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbatch.rows import EVAL_TAGS, LIVE_TAGS, TRAIN_TAGS, Row, grid_points


def test_a_row_is_one_flat_line_with_the_kind_first() -> None:
    line = Row("eval", 10, 5, 320, 1.25, {"eval/return_mean": 2.0}, [1.0, 3.0], [4, 6], 1).encode()
    assert line.startswith('{"kind": "eval"')
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "kind": "eval",
        "timesteps": 10,
        "updates": 5,
        "samples": 320,
        "seconds": 1.25,
        "eval/return_mean": 2.0,
        "returns": [1.0, 3.0],
        "lengths": [4, 6],
        "cut_episodes": 1,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_what_is_not_finite_becomes_null_and_no_event(value: float | None) -> None:
    row = Row("train", 1, 0, 0, 0.0, {"update/loss": value, "update/q_mean": 1.0})
    assert json.loads(row.encode())["update/loss"] is None
    assert row.numbers() == {"update/q_mean": 1.0}


def test_grid_points_are_rounded_up() -> None:
    assert list(grid_points(10, 4)) == [3, 5, 8, 10]
    assert list(grid_points(3, 20)) == [1, 2, 3]


@given(st.integers(1, 10**7), st.integers(1, 300))
def test_grid_points_rise_and_end_at_the_budget(total: int, count: int) -> None:
    points = list(grid_points(total, count))
    assert points[-1] == total
    assert all(a < b for a, b in itertools.pairwise(points))
    assert len(points) == min(count, total)


def test_tags_are_those_of_the_contract_and_none_stands_twice() -> None:
    groups = {"rollout", "update", "batch", "cost"}
    for tags in TRAIN_TAGS.values():
        assert len(set(tags)) == len(tags)
        assert {tag.split("/")[0] for tag in tags} == groups
    assert {tag.split("/")[0] for tag in (*EVAL_TAGS, *LIVE_TAGS)} == {"eval", "stability", "efficiency"}
