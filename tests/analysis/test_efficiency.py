"""Efficiency: axes, which of them compare by area, amounts to a mark, and what a batch size costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.folders import config, plan, run, write

from rlbatch.analysis.arms import tasks_of
from rlbatch.analysis.collect import Run, collect
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.efficiency import Clock, amounts, amounts_to, budgets, clock_of, cost_of, half_way
from rlbatch.analysis.metrics import ACROSS, METRICS
from rlbatch.analysis.scales import Scale
from rlbatch.analysis.scores import Curves, crossings_of, curves_of
from rlbatch.config import RunConfig
from rlbatch.experiment_file.analysis import SCORES
from rlbatch.wallclock import Price, kind_of

CURVE = [0, 10, 20, 40, 60]
MACHINE = {"cpu": "a", "cores": 2, "gpu": None}


def curves(*runs: Run) -> list[Curves]:
    (task,) = tasks_of(runs)
    return [these for arm in task.arms if (these := curves_of(arm, -1.0)) is not None]


def entry(own: RunConfig, t_env: float, t_update: float, **machine: Any) -> dict[str, Any]:
    return {"kind": kind_of(own), "device": "cpu", "machine": MACHINE | machine, "t_env": t_env, "t_update": t_update}


def test_a_curve_has_four_axes() -> None:
    (these,) = curves(run(CURVE))
    clock = clock_of([entry(config(), 0.5, 0.01)], [config()])
    assert amounts(these, "steps").tolist() == [0, 100, 200, 300, 400]
    assert amounts(these, "updates").tolist() == [0, 0, 100, 200, 300]
    assert amounts(these, "samples").tolist() == [0, 0, 3200, 6400, 9600]
    assert amounts(these, "seconds", clock).tolist() == [0, 50, 101, 152, 203]
    assert amounts(these, "seconds") is None


def test_the_clock_is_that_of_the_machine_that_knows_most_runs() -> None:
    sizes = [config(batch_size=size) for size in (16, 32, 64)]
    entries = [entry(sizes[0], 9, 9), *(entry(own, 1, 1, cpu="b") for own in sizes[:2])]
    clock = clock_of(entries, sizes)
    assert clock is not None
    assert (clock.machine, len(clock.entries)) == ("b, 2 (cpu)", 2)
    assert clock_of(entries, [config(batch_size=1)]) is None
    assert clock_of([], sizes) is None


def differing(many: list[Curves]) -> dict[str, bool]:
    return {axis: budget.differs for axis, budget in budgets(many).items()}


def test_axes_on_which_budgets_differ_do_not_compare_by_area() -> None:
    same_updates = curves(run(CURVE, batch_size=16), run(CURVE, batch_size=64))
    assert differing(same_updates) == {
        "steps": False,
        "updates": False,
        "samples": True,
    }
    same_samples = curves(run(CURVE, batch_size=16), run(CURVE, batch_size=64, train_freq=4))
    assert differing(same_samples) == {
        "steps": False,
        "updates": True,
        "samples": False,
    }


def test_an_axis_that_one_arm_does_not_have_is_left_out() -> None:
    two = curves(run(CURVE, batch_size=16), run(CURVE, batch_size=64))
    clock = clock_of([entry(config(batch_size=16), 1, 1)], [config(batch_size=16)])
    assert "seconds" not in budgets(two, clock)
    assert not budgets(two[:1], clock)["seconds"].differs
    assert budgets([]) == {}


def test_amounts_to_a_mark_are_infinite_if_never_and_unknown_if_censored() -> None:
    (these,) = curves(run(CURVE), run([0, 1, 2, 3, 4], seed=1), run([0, 1], "running", seed=2))
    found = crossings_of(these, {"mark": 15.0})["mark"]
    assert amounts_to(found, these.updates).tolist()[:2] == [100, np.inf]
    assert np.isnan(amounts_to(found, these.updates)[2])


def test_half_way_is_between_an_evaluation_and_the_one_before() -> None:
    assert half_way(np.array([0.0, 10.0, 30.0])).tolist() == [0, 5, 20]


def test_a_batch_size_costs_seconds_and_memory(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path, config(seed=seed), CURVE)
    (task,) = tasks_of(collect([tmp_path]).runs)
    clock = clock_of([entry(config(), 0.5, 0.01)], [config()])
    assert cost_of(task.arms[0], clock) == (Price(0.5, 0.01, (0.01, 0.01)), 301.0, None, 3)
    assert cost_of(task.arms[0], None).price is None
    (tmp_path / "none").mkdir()
    (crashed,) = tasks_of([run([], "crashed", n_eval_episodes=2)])
    assert cost_of(crashed.arms[0], Clock([], "")) == (None,) * 4


def test_every_score_that_a_file_can_declare_is_in_the_table() -> None:
    assert set(SCORES) == {name for name, metric in METRICS.items() if metric.kind == "score"}


def test_the_table_says_direction_and_flattery() -> None:
    assert next(iter(METRICS)) == "auc"
    assert [name for name, metric in METRICS.items() if metric.optimistic] == ["best"]
    better = {name for name, metric in (METRICS | ACROSS).items() if metric.higher_is_better}
    assert better == {"auc", "final", "return_mean", "best", "retention", "worst_quarter"}
    assert METRICS["samples_to_50%"].unit == "samples"


@pytest.mark.parametrize(
    ("metric", "expected"), [("auc", 0.5), ("drawdown_max", 0.75), ("retention", 15.0), ("updates_to_25%", 15.0)]
)
def test_returns_and_their_differences_are_normalised_and_nothing_else(metric: str, expected: float) -> None:
    scale = Scale(5.0, 25.0, True, "")
    assert METRICS[metric].normalised(np.array([15.0]), scale).tolist() == [expected]


def test_a_damaged_train_row_costs_its_memory_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, config(), CURVE)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", x}\n')
    plan(tmp_path, [config()])
    (scored,) = compare([tmp_path]).tasks
    (arm,) = scored.arms.values()
    assert cost_of(arm.arm, None) == (None, None, None, 3)
