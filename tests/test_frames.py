"""Frames: every run and every row once, with its settings beside it."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest

from rlbatch.config import RunConfig, as_dict
from rlbatch.errors import InputError, RefusedError
from rlbatch.frames import load
from rlbatch.paths import run_path
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Ending, Row


def recorded(root: Path, *, finished: bool = True, threshold: float | None = 5.0, **values: object) -> RunConfig:
    """A run with three evaluations and two train rows, below a folder."""
    config = RunConfig.build(env_id="X-v0", algo="dqn", **values)
    recorder = Recorder(RunFolder(root / run_path(config)), config, threshold)
    for step in (0, 10, 20):
        means = {"eval/return_mean": float(step)}
        recorder.emit(Row("eval", step, step, step, 0.1, means, [step - 1.0, step + 1.0], [3, 4]))
    for step in (10, 20):
        recorder.emit(Row("train", step, step, step, 0.1, {"update/loss": 0.5, "update/q_mean": None}))
    if finished:
        recorder.finish(Ending("ok", "", 20, 20, 20, 0.1))
    recorder.close()
    return config


def test_one_line_per_run_with_its_settings_and_scores(tmp_path: Path) -> None:
    first = recorded(tmp_path, seed=0, batch_size=16)
    recorded(tmp_path, seed=1, batch_size=16, finished=False)
    frame = load(tmp_path)
    assert frame["status"].to_list() == ["ok", "partial"]
    assert frame["run_id"][0] == first.run_id
    assert frame["auc"].to_list() == [10.0, None]
    assert frame["timesteps"].to_list() == [20, None]
    for name, value in as_dict(first).items():
        if name not in ("env_kwargs", "net_arch"):
            assert frame[name][0] == value, name
    assert frame["env_kwargs"][0] == "{}"
    assert frame["net_arch"][0].to_list() == [64, 64]
    assert frame["reached_threshold"].to_list() == [False, None]  # nothing confirms a crossing at the last two points
    assert frame["steps_to_threshold"].to_list() == [None, None]


def test_one_line_per_row_of_a_kind(tmp_path: Path) -> None:
    for batch_size in (16, 32):
        recorded(tmp_path, batch_size=batch_size)
    evaluations, rows = load(tmp_path, "eval"), load(tmp_path, "train")
    assert evaluations["timesteps"].to_list() == [0, 10, 20] * 2
    assert evaluations["batch_size"].to_list() == [16] * 3 + [32] * 3
    assert evaluations["returns"][1].to_list() == [9.0, 11.0]
    assert rows["update/loss"].to_list() == [0.5] * 4
    assert rows["update/q_mean"].to_list() == [None] * 4
    means = evaluations.group_by("batch_size", maintain_order=True).agg(polars.col("eval/return_mean").mean())
    assert means.rows() == [(16, 10.0), (32, 10.0)]


def test_an_empty_folder_is_an_empty_frame_and_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    assert load(tmp_path).is_empty()
    with pytest.raises(InputError, match="is not a folder"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match=r"'evals' cannot be loaded; did you mean eval\?"):
        load(tmp_path, "evals")
    path = RunFolder(tmp_path / run_path(recorded(tmp_path))).config_path
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(RefusedError, match="schema"):
        load(tmp_path)
