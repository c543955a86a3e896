"""The comparison: from folders to the scores of every arm, with nothing averaged over survivors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis import efficiency
from rlbatch.analysis.comparison import Comparison, compare
from rlbatch.analysis.metrics import ACROSS, METRICS
from rlbatch.config import RunConfig
from rlbatch.results import write_json
from rlbatch.rows import evaluation_points
from rlbatch.wallclock import kind_of

GOOD, BAD = [20, 300, 480, 490, 500], [20, 30, 40, 30, 20]


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    """Batch 16: all ok, one of them collapsed. Batch 64: one diverged, one crashed, one was never begun."""
    runs = {size: [config(batch_size=size, seed=seed, learning_rate=1e-3) for seed in range(4)] for size in (16, 64)}
    plan(tmp_path, [*runs[16], *runs[64]], metric="auc")
    for own, curve in zip(runs[16], (GOOD, GOOD, GOOD, [20, 400, 400, 30, 20]), strict=True):
        write(tmp_path, own, curve)
    write(tmp_path, runs[64][0], GOOD)
    write(tmp_path, runs[64][1], GOOD[:3], "diverged", "loss is not finite")
    write(tmp_path, runs[64][2], GOOD[:3], "crashed", "its process was killed")
    entries = [
        {"kind": kind_of(own[0]), "device": "cpu", "machine": {"cpu": "a"}, "t_env": 0.01, "t_update": 0.02}
        for own in runs.values()
    ]
    write_json(tmp_path / "cost.json", {"schema": 1, "entries": entries})
    return compare([tmp_path])


def test_every_planned_run_counts_or_is_named(compared: Comparison) -> None:
    assert [(run.seed, run.status) for run in compared.missing] == [(2, "crashed")]
    assert [(run.seed, run.status) for run in compared.unfinished] == [(3, "planned")]
    assert not compared.complete
    (scored,) = compared.tasks
    assert [arm.planned for arm in scored.task.arms] == [4, 4]
    assert [own.curves.seeds.tolist() for own in scored.arms.values()] == [[0, 1, 2, 3], [0, 1]]
    assert [own.arm.complete for own in scored.arms.values()] == [True, False]


def test_a_diverged_run_counts_with_the_lowest_there_is(compared: Comparison) -> None:
    (scored,) = compared.tasks
    assert scored.floor == 20.0  # below CartPole's low of 22.184
    small, large = scored.arms.values()
    assert large.curves.means[1].tolist() == [20, 300, 480, 20, 20]
    assert large.values["auc"].tolist() == [382.5, (160 + 390 + 250 + 20) / 4]
    assert (large.across["diverged"], large.across["collapsed"]) == (0.5, 0.0)
    assert (small.across["diverged"], small.across["collapsed"]) == (0.0, 0.25)
    assert small.across["worst_quarter"] == pytest.approx(small.values["auc"][3])


def test_every_metric_has_a_number_for_every_counted_run(compared: Comparison) -> None:
    (scored,) = compared.tasks
    for own in scored.arms.values():
        assert set(own.values) == set(METRICS)
        assert {values.shape for values in own.values.values()} == {own.curves.seeds.shape}
        assert set(own.across) == set(ACROSS)


def test_scores_are_normalised_by_low_and_reference(compared: Comparison) -> None:
    (scored,) = compared.tasks
    small = next(iter(scored.arms.values()))
    assert small.normalised("final")[0] == pytest.approx((490 - 22.184) / (500 - 22.184))
    assert small.normalised("drawdown_max")[3] == pytest.approx(380 / (500 - 22.184))
    assert small.normalised_across("diverged") == 0.0
    assert small.normalised_across("worst_quarter") == pytest.approx(small.normalised("auc")[3])


def test_marks_are_reached_on_every_axis(compared: Comparison) -> None:
    (scored,) = compared.tasks
    small = next(iter(scored.arms.values()))
    assert small.values["steps_to_50%"].tolist() == [100.0] * 3 + [np.inf]
    assert small.values["updates_to_90%"].tolist() == [100.0] * 3 + [np.inf]
    assert small.values["samples_to_threshold"].tolist() == [1600.0] * 3 + [np.inf]
    assert small.values["seconds_to_threshold"].tolist() == [4.0] * 3 + [np.inf]
    budgets = efficiency.budgets([one.curves for one in scored.arms.values()], scored.clock)
    assert {axis: budget.differs for axis, budget in budgets.items()} == {
        "steps": False,
        "updates": False,
        "samples": True,
        "seconds": False,
    }


def test_cells_are_the_arms_of_a_slice(compared: Comparison) -> None:
    (scored,) = compared.tasks
    (part,) = scored.task.slices
    assert {cell: len(arm.curves.seeds) for cell, arm in scored.cells(part).items()} == {(16, 1e-3): 4, (64, 1e-3): 2}
    front = scored.front(part, "50%")
    assert front.fit is None
    assert front.reason == "some runs of batch 64 are missing or not finished"
    assert front.unfinished == (64,)


@pytest.mark.parametrize("how", ["missing", "unbegun", "an unbegun arm"])
def test_without_all_of_its_runs_a_front_has_no_critical_batch_size(tmp_path: Path, how: str) -> None:
    configs = write_front(tmp_path, 100.0, 400.0)
    more = [replace(configs[0], seed=7)] if how != "an unbegun arm" else [replace(configs[0], gamma=0.5)]
    plan(tmp_path, [*configs, *more])
    if how == "missing":
        write(tmp_path, more[0], [20.0], "crashed")
    (scored,) = compare([tmp_path]).tasks
    front = scored.front(scored.task.slices[0], "threshold")
    assert (front.unfinished, front.fit) == ((8,), None)
    assert "some runs of batch 8 are missing or not finished" in front.reason


def test_without_costs_there_are_no_seconds(tmp_path: Path) -> None:
    write(tmp_path, config(), GOOD)
    (scored,) = compare([tmp_path]).tasks
    assert scored.clock is None
    (own,) = scored.arms.values()
    assert "seconds" not in efficiency.budgets([own.curves], scored.clock)
    assert set(METRICS) - set(own.values) == {name for name in METRICS if name.startswith("seconds_to")}


def test_an_unknown_environment_has_the_scale_of_its_one_experiment(tmp_path: Path) -> None:
    for name in ("a", "b"):
        own = [config(env_id="Unlisted-v0", batch_size=size) for size in (16, 64)]
        plan(tmp_path / name, own)
        for run, curve in zip(own, ([0, 5, 9, 9, 9], [0, 1, 2, 3, 4]), strict=True):
            write(tmp_path / name, run, curve)
        measured = {"env_id": "Unlisted-v0", "env_kwargs": {}, "random_mean": -1.0, "random_se": 0.1, "random_n": 100}
        write_json(tmp_path / name / "references.json", {"schema": 1, "entries": [measured]})
    (scored,) = compare([tmp_path / "a"]).tasks
    assert scored.scale[:3] == (-1.0, 9.0, False)
    assert [own.normalised("final")[0] for own in scored.arms.values()] == pytest.approx([1.0, 0.4])
    (both,) = compare([tmp_path]).tasks
    assert both.scale.high is None
    assert np.isnan(next(iter(both.arms.values())).normalised("auc")).all()
    assert np.isfinite(next(iter(both.arms.values())).values["auc"]).all()


def test_an_experiment_of_which_nothing_was_trained_is_all_unfinished(tmp_path: Path) -> None:
    plan(tmp_path, [config(), config(seed=1)])
    nothing = compare([tmp_path])
    assert len(nothing.unfinished) == 2
    assert dict(nothing.tasks[0].arms) == {}


def test_the_best_batch_of_each_replay_ratio_is_told_where_there_is_such_an_axis(tmp_path: Path) -> None:
    runs = [
        config(batch_size=size, gradient_steps=steps, seed=seed, replay_ratio=float(steps))
        for size in (8, 16, 32, 64, 128)
        for steps in (1, 2, 4)
        for seed in range(5)
    ]
    plan(tmp_path, runs)
    for own in runs:
        height = 400 - 100 * abs(np.log2(own.batch_size * own.gradient_steps / 64))
        write(tmp_path, own, [20, height, height, height, height + own.seed])
    (scored,) = compare([tmp_path]).tasks
    assert scored.task.axes == ("batch_size", "replay_ratio")
    ((fixed, law),) = scored.power_laws("auc")
    assert fixed == {}
    assert law.best.tolist() == [64, 32, 16]
    assert law.exponent == pytest.approx(-1.0)
    (scored,) = compare([tmp_path / "CartPole-v1" / "dqn"]).tasks
    assert len(scored.power_laws("auc")) == 1


def test_scores_that_runs_record_themselves_are_the_same(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).uniform(100, 500, 21)
    own = config(n_evaluations=20, total_timesteps=2000)
    final = json.loads((write(tmp_path, own, noisy.tolist(), threshold=300.0) / "result.json").read_text())["final"]
    (scored,) = compare([tmp_path]).tasks
    (arm,) = scored.arms.values()
    told = {name: arm.values[name][0] for name in ("auc", "return_mean", "best", "drawdown_max", "dispersion")}
    assert told == {name: pytest.approx(final[name]) for name in told}


def write_front(root: Path, critical: float, least: float) -> list[RunConfig]:
    """Writes runs that arrive at the threshold after as many updates as a hyperbola has it; returns their configs."""
    configs, steps = [], 4000
    for size, factor in ((8, 1), (32, 4), (64, 8), (128, 16), (256, 32)):
        for rate, slower in ((1e-3, 1.0), (1e-2, 2.0)):
            for seed in range(5):
                own = config(
                    batch_size=size, train_freq=factor, learning_rate=rate, seed=seed, match="samples",
                    total_timesteps=steps, n_evaluations=40, learning_starts=0,
                )  # fmt: skip
                arrives = least * slower * (1 + size / critical)
                write(root, own, [500.0 if point >= arrives else 20.0 for point in evaluation_points(own)])
                configs.append(own)
    return configs


def test_the_front_of_folders_has_the_critical_batch_with_which_they_were_made(tmp_path: Path) -> None:
    critical, least = 100.0, 400.0
    write_front(tmp_path, critical, least)
    (scored,) = compare([tmp_path]).tasks
    (part,) = scored.task.slices
    front = scored.front(part, "threshold")
    assert front.reason == ""
    assert front.fit is not None
    assert front.fit.critical == pytest.approx(critical, rel=0.15)
    assert front.learning_rates.tolist() == [1e-3] * 5
    assert front.samples == pytest.approx(8 * least * (1 + front.batch_sizes / critical), rel=0.1)
