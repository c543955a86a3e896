"""Train rows: means over windows of env steps, from what can be read, and nothing where rows say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from analysis.folders import config, plan
from analysis.test_answer import LEVELS, answered, fill

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.arms import Arm, tasks_of
from rlbatch.analysis.collect import collect
from rlbatch.analysis.diagnostics import WINDOWS, diagnostics_of
from rlbatch.experiment import Experiment
from rlbatch.recorder import Recorder
from rlbatch.rows import Ending, Row, grid_points

TAG, OTHER = "update/td_error", "update/clip_fraction"


def record(root: Path, values: Callable[[int], Mapping[str, float | None]], *, seed: int = 0, rows: int = 200) -> Path:
    """Writes a run with evaluations and so many of its 200 train rows; returns its metrics file."""
    own = config(seed=seed)
    folder = Experiment(root).run(own)
    recorder = Recorder(folder, own, None, device="cpu", stack_width=1)
    for point in (0, *grid_points(400, 4)):
        recorder.emit(Row("eval", point, point, point, 1.0, {"eval/return_mean": 1.0}, [1.0, 1.0], [1, 1]))
    for number, point in enumerate(list(grid_points(400, 200))[:rows]):
        recorder.emit(Row("train", point, point, point, 1.0, values(number)))
    recorder.finish(Ending("ok", "", 400, 300, 300, 1.0))
    return folder.metrics_path


def arm_of(root: Path) -> Arm:
    ((arm,),) = (task.arms for task in tasks_of(collect([root]).runs))
    return arm


def planned(root: Path, seeds: int) -> None:
    plan(root, [config(seed=seed) for seed in range(seeds)])


def test_a_window_holds_the_mean_of_its_rows_for_each_seed(tmp_path: Path) -> None:
    planned(tmp_path, 2)
    record(tmp_path, lambda number: {TAG: float(number)})
    record(tmp_path, lambda number: {TAG: 7}, seed=1)
    told = diagnostics_of(arm_of(tmp_path), (TAG,))[TAG]
    assert told.timesteps.tolist() == [10.0 * (window + 1) for window in range(WINDOWS)]
    assert told.values[0].tolist() == [5.0 * window + 2 for window in range(WINDOWS)]
    assert told.values[1].tolist() == [7.0] * WINDOWS


def test_what_was_not_measured_is_no_number_and_a_tag_that_never_was_is_left_out(tmp_path: Path) -> None:
    planned(tmp_path, 1)
    record(tmp_path, lambda number: {TAG: None if number < 8 else 1.0, OTHER: None})
    told = diagnostics_of(arm_of(tmp_path), (TAG, OTHER, "update/never"))
    assert set(told) == {TAG}
    assert np.isnan(told[TAG].values[0, 0])
    assert (told[TAG].values[0, 1:] == 1.0).all()


def test_a_run_counts_as_far_as_its_rows_go(tmp_path: Path) -> None:
    planned(tmp_path, 1)
    metrics = record(tmp_path, lambda number: {TAG: 1.0}, rows=20)
    with metrics.open("a") as file:
        file.write('{"kind": "train", "timesteps": 42, "update/td_error": 9')  # cut off
    (values,) = diagnostics_of(arm_of(tmp_path), (TAG,))[TAG].values
    assert values[:4].tolist() == [1.0] * 4
    assert np.isnan(values[4:]).all()


def test_a_run_whose_rows_cannot_be_read_takes_no_other_with_it(tmp_path: Path) -> None:
    planned(tmp_path, 2)
    record(tmp_path, lambda number: {TAG: 1.0})
    metrics = record(tmp_path, lambda number: {TAG: 3.0}, seed=1)
    metrics.write_text(metrics.read_text().replace('"kind": "train"', '"kind": "train" "lost', 1))
    values = diagnostics_of(arm_of(tmp_path), (TAG,))[TAG].values
    assert (values[0] == 1.0).all()
    assert np.isnan(values[1]).all()


def test_a_figure_offers_the_tags_that_are_there_by_batch_size(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, LEVELS, seeds=3, tags={TAG: 2.0, OTHER: None, "batch/age_mean": 5}))
    figure = next(one for one in figures_of(found) if one.name == "cartpole-v1-diagnostics")
    assert figure.options(0) == [TAG, "batch/age_mean"]
    picture = figure.pictures[0]
    assert [series.batch_size for series in picture.series] == sorted(LEVELS)
    assert all((series.y == 2.0).all() for series in picture.series)
    assert picture.series[0].x[-1] == pytest.approx(400)


def test_without_such_tags_there_is_no_figure(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, LEVELS, seeds=2))
    assert not [one for one in figures_of(found) if "diagnostics" in one.name]
