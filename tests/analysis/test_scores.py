"""Scores: by hand, and that no score of a run gets better because the run diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analysis.folders import config, episodes, run
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbatch.analysis.arms import Arm, tasks_of
from rlbatch.analysis.collect import Run
from rlbatch.analysis.scales import scale_of
from rlbatch.analysis.scores import Curves, ceiling_of, completed, crossings_of, curves_of, floor_of, scores_of
from rlbatch.training.clock import Clock

CURVE = [0, 10, 20, 40, 60]
MARKS = {"low": 5.0, "high": 15.0}


def arm(*runs: Run) -> Arm:
    (task,) = tasks_of(runs)
    (one,) = task.arms
    return one


def curves(*runs: Run, floor: float = -100.0) -> Curves:
    found = curves_of(arm(*runs), floor)
    assert found is not None
    return found


def test_scores_by_hand() -> None:
    scores = scores_of(curves(run(CURVE), run(CURVE[:3], "diverged", seed=1), floor=-20.0))
    # 100·(0+10)/2 + 100·(10+20)/2 + 100·(20+40)/2 + 100·(40+60)/2 = 500 + 1500 + 3000 + 5000 over 400 env steps
    # 500 + 1500 + 100·(20−20)/2 + 100·(−20−20)/2 = 0
    assert {name: values.tolist() for name, values in scores.items()} == {
        "auc": [25.0, 0.0],
        "final": [40.0, pytest.approx(-20 / 3)],
        "best": [60.0, 20.0],
        "return_mean": [60.0, -20.0],
    }


def test_a_diverged_run_stays_at_the_floor_on_every_episode() -> None:
    these = curves(run(CURVE), run(CURVE[:3], "diverged", seed=1), floor=-20.0)
    assert these.diverged.tolist() == [False, True]
    assert these.returns[1].tolist() == [[0, 0], [10, 10], [20, 20], [-20, -20], [-20, -20]]
    assert completed(np.empty((0, 2)), 2, -1.0).tolist() == [[-1, -1], [-1, -1]]


def test_want_of_memory_for_the_batch_is_a_curve_at_the_floor() -> None:
    lacked = run(np.empty((0, 2)), "out_of_memory", batch_size=256)
    (task,) = tasks_of([lacked, run(CURVE, batch_size=16)])
    these = curves_of(task.arms[1], 3.0)
    assert these is not None
    assert (these.means.tolist(), these.diverged.tolist()) == ([[3.0] * 5], [True])


def heights(runs: list[Run]) -> list[float]:
    """Returns the mean return of every evaluation."""
    return [height for one in runs for height in one.means]


def test_the_floor_is_the_lowest_of_low_and_of_every_evaluation_there_is() -> None:
    runs = [run(CURVE), run([5, -7], "crashed", seed=1), run([-3], "partial", seed=2)]
    assert floor_of(22.0, heights(runs)) == -7.0
    assert floor_of(-50.0, heights(runs)) == -50.0
    assert floor_of(None, heights(runs)) == -7.0
    assert floor_of(None, []) == 0.0


def test_the_lowest_is_an_evaluation_and_not_an_episode() -> None:
    assert floor_of(None, heights([run([[-10.0, 10.0], [1.0, 3.0]])])) == 0.0


@pytest.mark.parametrize("values", [{}, {"n_envs": 3}, {"train_freq": 7, "gradient_steps": 5}, {"n_envs": 300}])
def test_the_updates_of_an_evaluation_are_those_that_the_engines_count(values: dict[str, Any]) -> None:
    own = config(**values)
    these = curves(run(CURVE, **values))
    steps = [-(-int(point) // own.n_envs) for point in these.timesteps]
    assert these.updates.tolist() == [Clock(own).updates_done(step) for step in steps]
    assert these.samples.tolist() == (these.updates * own.batch_size).tolist()


def test_an_arm_without_a_counted_run_has_no_curves() -> None:
    assert curves_of(arm(run(CURVE, "crashed")), 0.0) is None


def test_marks_are_reached_never_or_censored() -> None:
    runs = [
        run([0, 10, 20, 40, 60]),
        run([0, 1, 2, 3, 60], seed=1),  # only at the last evaluation
        run([0, 10, 20], "diverged", seed=2),  # the fit, with the floor after it, does not reach it
        run([0, 10, 20, 30], "partial", seed=3),
        run([0, 1, 2], "partial", seed=4),
        run([0, 10, 20, 40, 60], "crashed", seed=5),  # missing
    ]
    found = crossings_of(curves(*runs), MARKS)
    assert found["low"].seeds.tolist() == [0, 1, 2, 3, 4]
    assert found["low"].at.tolist() == [1, 4, 4, 1, 0]  # at the last two evaluations no crossing counts yet
    assert found["low"].reached.tolist() == [True, False, False, True, False]
    assert found["low"].never.tolist() == [False, True, True, False, False]
    assert found["high"].at.tolist() == [2, 4, 4, 1, 0]
    assert found["high"].reached.tolist() == [True, False, False, False, False]  # not at its last two evaluations


MEANS = st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=5)


@settings(deadline=None)  # other processes may have the processor
@given(st.lists(MEANS, min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 5), st.floats(-1e3, 1e3))
def test_a_run_that_diverges_never_raises_a_mean(means: list[list[float]], which: int, kept: int, low: float) -> None:
    which %= len(means)
    # What the run loses may be the lowest there is, and nobody can know that then; `low` lies at or below it here.
    low = min(low, *means[which][kept:], low)
    before = [run(one, seed=seed) for seed, one in enumerate(means)]
    after = list(before)
    after[which] = run(episodes(means[which][:kept]), "diverged", seed=which, n_eval_episodes=2)
    told = []
    for runs in (before, after):
        these = curves(*runs, floor=floor_of(low, heights(runs)))
        found = crossings_of(these, {"mark": 10.0})["mark"]
        times = np.where(found.reached, these.timesteps[found.at], np.inf)
        told.append(({name: values.mean() for name, values in scores_of(these).items()}, times))
    (whole, early), (lost, late) = told
    assert set(whole) == {"auc", "final", "best", "return_mean"}
    assert all(lost[name] <= whole[name] + 1e-9 for name in whole)
    assert (late >= early).all()


def normalised(runs: list[Run], low: float) -> dict[int, float]:
    """Batch size -> mean area on the scale of an environment that is not listed."""
    entry = {"env_id": "Unlisted-v0", "env_kwargs": {}, "random_mean": low, "random_se": None}
    scale = scale_of("Unlisted-v0", {}, [entry], best=ceiling_of(runs), experiments=1)
    (task,) = tasks_of(runs)
    found = {one.batch_size: curves_of(one, floor_of(low, heights(runs))) for one in task.arms}
    return {size: float(scale.score(scores_of(these)["auc"]).mean()) for size, these in found.items() if these}


def two_arms(means: list[list[float]], best: list[float]) -> list[Run]:
    """The runs with these evaluations at batch 16, and one with the best ones at batch 64."""
    mine = {"env_id": "Unlisted-v0"}
    small = [run(one, seed=seed, batch_size=16, **mine) for seed, one in enumerate(means)]
    return [*small, run(best, batch_size=64, **mine)]


@settings(deadline=None)
@given(st.lists(MEANS, min_size=1, max_size=3), st.integers(0, 2), st.integers(0, 5), st.floats(-1e3, 1e3))
def test_nor_does_it_on_the_scale_of_an_environment_that_is_not_listed(
    means: list[list[float]], which: int, kept: int, low: float
) -> None:
    which %= len(means)
    # what is lost is neither the lowest nor the highest there is: nobody can know that then
    low, high = min(low, *means[which]), max(low + 1.0, *means[which])
    before = two_arms(means, [low, high, high, high, high])
    after = list(before)
    lost = episodes(means[which][:kept])
    after[which] = run(lost, "diverged", seed=which, batch_size=16, env_id="Unlisted-v0", n_eval_episodes=2)
    whole, less = normalised(before, low), normalised(after, low)
    assert set(whole) == {16, 64}
    assert all(less[size] <= whole[size] + 1e-9 for size in whole)


def test_a_diverged_run_of_the_best_arm_raises_no_score_by_hand() -> None:
    best, other = [0.0, 100.0, 100.0, 100.0, 100.0], [0.0, 40.0, 40.0, 40.0, 40.0]
    whole = two_arms([best, best], other)
    assert normalised(whole, 0.0) == {16: 0.875, 64: pytest.approx(0.35)}
    lost = [run(best[:2], "diverged", batch_size=16, env_id="Unlisted-v0"), *whole[1:]]
    assert normalised(lost, 0.0) == {16: (0.875 + 0.25) / 2, 64: pytest.approx(0.35)}


def test_the_ceiling_is_three_evaluations_of_any_run() -> None:
    runs = [run([0, 90, 0, 3, 9]), run([0, 30, 30, 30], "crashed", seed=1), run([0, 80], "partial", seed=2)]
    assert ceiling_of(runs) == (31.0, 6)  # 0, 90 and 3: (90 + 0 + 3) / 3
    assert ceiling_of(runs[2:]) is None
    assert ceiling_of([run([3, 9], n_evaluations=1)]) == (6.0, 4)


def test_what_was_lost_below_the_floor_is_the_one_exception() -> None:
    worst, other = [0, 0, -500, -500, -500], run([0, -10, 0, 0, 0])
    whole, lost = [run(worst, seed=1), other], [run(worst[:2], "diverged", seed=1), other]
    areas = [scores_of(curves(*runs, floor=floor_of(0.0, heights(runs))))["auc"].mean() for runs in (whole, lost)]
    assert areas[1] > areas[0]
