"""The curve of an arm: its mean and interval by hand-computed numbers, and what counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from boards import config_of, reached, record

from rlbatch.analysis.bands import Curve, band, judged, read_curve
from rlbatch.errors import InputError


def curve(heights: list[float], outcome: str | None = "ok", **settings: int) -> Curve:
    config = config_of(**settings)
    points = [(*reached(config, n)[::2], height) for n, height in enumerate(heights)]
    return Curve(config, {}, outcome, points)


def test_mean_and_t_interval_of_three_seeds() -> None:
    found = band([curve([h] * 5, seed=seed) for seed, h in enumerate((1.0, 2.0, 6.0))], low=0.0)
    assert found is not None
    assert found.timesteps == [0, 250, 500, 750, 1000]
    assert found.mean.tolist() == [3.0] * 5
    half = 4.302652729911275 * math.sqrt(7.0) / math.sqrt(3)  # t of 2 degrees of freedom at 97.5 %; variance 7
    assert found.lower == pytest.approx([3.0 - half] * 5)
    assert found.upper == pytest.approx([3.0 + half] * 5)
    assert found.seeds.tolist() == [3] * 5


def test_samples_are_those_of_the_rows() -> None:
    found = band([curve([1.0] * 5, batch_size=32)], low=0.0)
    assert found is not None
    assert found.samples == [0, 150 * 32, 400 * 32, 650 * 32, 900 * 32]


def test_one_seed_has_no_interval() -> None:
    found = band([curve([1.0, 2.0])], low=0.0)
    assert found is not None
    assert found.mean.tolist() == [1.0, 2.0]
    assert np.isnan(found.lower).all()
    assert np.isnan(found.upper).all()


def test_an_unfinished_run_counts_as_far_as_it_is() -> None:
    found = band([curve([1.0] * 5), curve([3.0, 3.0], None, seed=1)], low=-9.0)
    assert found is not None
    assert found.seeds.tolist() == [2, 2, 1, 1, 1]
    assert found.mean.tolist() == [2.0, 2.0, 1.0, 1.0, 1.0]


def test_a_diverged_run_counts_from_then_on_with_the_lowest_return() -> None:
    found = band([curve([4.0] * 5), curve([4.0, 6.0], "diverged", seed=1)], low=-2.0)
    assert found is not None
    assert found.mean.tolist() == [4.0, 5.0, 1.0, 1.0, 1.0]
    assert found.seeds.tolist() == [2] * 5


def test_where_nobody_gets_further_the_diverged_ones_count_to_the_end() -> None:
    found = band([curve([4.0, 6.0], "diverged", batch_size=32)], low=-2.0)
    assert found is not None
    assert found.mean.tolist() == [4.0, 6.0, -2.0, -2.0, -2.0]
    assert found.samples == [0, 150 * 32, 400 * 32, 650 * 32, 900 * 32]


def test_diverged_runs_do_not_run_ahead_of_those_that_train() -> None:
    found = band([curve([4.0], "diverged"), curve([4.0, 4.0], None, seed=1)], low=0.0)
    assert found is not None
    assert found.timesteps == [0, 250]
    assert found.mean.tolist() == [4.0, 2.0]


@pytest.mark.parametrize("outcome", ["env_error", "out_of_memory", "hung", "crashed"])
def test_failed_runs_are_missing(outcome: str) -> None:
    failed = curve([100.0] * 5, outcome, seed=1)
    found = band([curve([1.0] * 5), failed], low=0.0)
    assert found is not None
    assert found.seeds.tolist() == [1] * 5
    assert band([failed], low=0.0) is None


def test_what_lacked_memory_for_its_batch_size_alone_counts_as_diverged() -> None:
    fits, lacks = curve([4.0] * 5, batch_size=32), curve([4.0], "out_of_memory", batch_size=64)
    assert [one.outcome for one in judged([fits, lacks])] == ["ok", "diverged"]
    assert [one.outcome for one in judged([lacks])] == ["out_of_memory"]
    assert [one.outcome for one in judged([curve([4.0], batch_size=64, seed=1), lacks])] == ["ok", "out_of_memory"]
    found = band(judged([fits, lacks])[1:], low=-1.0)
    assert found is not None
    assert found.mean.tolist() == [4.0, -1.0, -1.0, -1.0, -1.0]


def test_nothing_is_known_before_the_first_evaluation() -> None:
    assert band([curve([], None)], low=0.0) is None


def test_a_curve_is_read_from_its_folder(tmp_path: Path) -> None:
    read = read_curve(record(tmp_path, [1.0, 2.0, 3.0], "diverged", batch_size=32))
    assert (read.outcome, read.counts) == ("diverged", True)
    assert read.points == [(0, 0, 1.0), (250, 150 * 32, 2.0), (500, 400 * 32, 3.0)]
    assert read_curve(record(tmp_path, [1.0], None, seed=1)).outcome is None


def test_an_evaluation_that_is_not_made_of_numbers_is_bad_input(tmp_path: Path) -> None:
    run = record(tmp_path, [1.0])
    text = run.metrics_path.read_text()
    run.metrics_path.write_text(text.replace('"eval/return_mean": 1.0', '"eval/return_mean": "1"'))
    with pytest.raises(InputError, match="not made of numbers"):
        read_curve(run)
    run.metrics_path.write_text(text.replace('"eval/return_mean": 1.0', '"eval/return_mean": null'))
    assert read_curve(run).points == []
