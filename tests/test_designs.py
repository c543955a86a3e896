"""Designs: schedules, learning-rate rules and update counts against tables worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.designs import (
    Optimizer,
    Schedule,
    count_updates,
    ratio_schedule,
    replay_ratio,
    samples_schedule,
    scale_optimizer,
    warnings_of,
)
from rlbatch.errors import InputError

BASE = Optimizer(learning_rate=1e-3, adam_beta1=0.9, adam_beta2=0.999, adam_eps=1e-8, tau=0.005)


def config(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="X-v0", algo="dqn", **{"learning_starts": 100, "batch_size": 32} | values)


@pytest.mark.parametrize(
    ("start", "preset_batch", "batch", "expected"),
    [
        ((1, 1), 64, 64, (1, 1)),
        ((1, 1), 64, 8, (1, 8)),
        ((1, 1), 64, 32, (1, 2)),
        ((1, 1), 64, 128, (2, 1)),
        ((1, 1), 64, 1024, (16, 1)),
        ((1, 1), 64, 4096, (64, 1)),
        ((1, 1), 64, 96, (3, 2)),
        ((1, 1), 64, 48, (3, 4)),
        ((4, 1), 32, 64, (8, 1)),
        ((4, 1), 32, 16, (4, 2)),
        ((1, 4), 64, 256, (1, 1)),
        ((1, 4), 64, 512, (2, 1)),
    ],
)
def test_samples_per_env_step_stay_the_same(start: Any, preset_batch: int, batch: int, expected: Any) -> None:
    schedule = samples_schedule(Schedule(*start), preset_batch, batch)
    assert schedule == Schedule(*expected)
    per_step = start[1] * preset_batch / start[0]
    assert schedule.gradient_steps * batch / schedule.train_freq == per_step


def test_minus_one_counts_the_environments() -> None:
    assert samples_schedule(Schedule(1, -1), 64, 32, n_envs=4) == Schedule(1, 8)


@pytest.mark.parametrize(("batch", "near"), [(8192, "4096"), (67, "66 and 68"), (4097, "4096")])
def test_a_batch_that_would_stretch_the_schedule_too_far_is_refused_with_the_nearest(batch: int, near: str) -> None:
    with pytest.raises(InputError, match=near):
        samples_schedule(Schedule(1, 1), 64, batch)


@pytest.mark.parametrize("burst", [(256, 128), (4, -1), (2, 2)])
def test_bursts_are_refused(burst: Any) -> None:
    with pytest.raises(InputError, match="burst"):
        samples_schedule(Schedule(*burst), 64, 32)


@pytest.mark.parametrize(
    ("ratio", "n_envs", "expected"),
    [
        (1, 1, (1, 1)),
        (0.25, 1, (4, 1)),
        (4, 1, (1, 4)),
        (0.5, 4, (1, 2)),
        (0.125, 4, (2, 1)),
        (1.5, 1, (2, 3)),
        (0.3333, 1, (3, 1)),
    ],
)
def test_a_replay_ratio_becomes_the_shortest_schedule(ratio: float, n_envs: int, expected: Any) -> None:
    assert ratio_schedule(ratio, n_envs) == Schedule(*expected)


@pytest.mark.parametrize(("ratio", "near"), [(0.01, "0.015625"), (1e-5, "0.015625"), (math.pi, "3.14062")])
def test_a_replay_ratio_no_short_schedule_gives_names_the_nearest(ratio: float, near: str) -> None:
    with pytest.raises(InputError, match=near):
        ratio_schedule(ratio, 1)


@pytest.mark.parametrize(("rule", "rate"), [("none", 1e-3), ("sqrt", 2e-3), ("linear", 4e-3)])
def test_rate_rules_change_the_rate_alone(rule: str, rate: float) -> None:
    scaled = scale_optimizer(rule, BASE, 4.0, match="updates", target_per_update=True)
    assert scaled.learning_rate == pytest.approx(rate, rel=1e-15)
    assert scaled._replace(learning_rate=BASE.learning_rate) == BASE


def test_adam_sde_scales_every_constant() -> None:
    scaled = scale_optimizer("adam-sde", BASE, 4.0, match="samples", target_per_update=True)
    assert scaled == pytest.approx((2e-3, 0.6, 0.996, 5e-9, 1 - 0.995**4), rel=1e-12)


def test_adam_sde_scales_down_too() -> None:
    scaled = scale_optimizer("adam-sde", BASE, 0.25, match="samples", target_per_update=True)
    assert scaled == pytest.approx((5e-4, 0.975, 0.99975, 2e-8, 1 - 0.995**0.25), rel=1e-12)


def test_adam_sde_leaves_a_target_that_moves_by_env_steps() -> None:
    assert scale_optimizer("adam-sde", BASE, 4.0, match="samples", target_per_update=False).tau == BASE.tau


def test_adam_sde_is_refused_with_equal_updates() -> None:
    with pytest.raises(InputError, match="--match samples"):
        scale_optimizer("adam-sde", BASE, 1.0, match="updates", target_per_update=True)


def test_adam_sde_is_refused_where_no_moment_is_left() -> None:
    scale_optimizer("adam-sde", BASE, 9.9, match="samples", target_per_update=True)
    with pytest.raises(InputError, match="stay below 10 times"):
        scale_optimizer("adam-sde", BASE, 10.0, match="samples", target_per_update=True)


@pytest.mark.parametrize(
    ("values", "updates"),
    [
        # phases end at 1, 2, ... 1000; those beyond 100 env steps update
        ({"train_freq": 1, "gradient_steps": 1}, 900),
        ({"train_freq": 4, "gradient_steps": 1}, 225),  # phases at 104, 108, ... 1000
        ({"train_freq": 4, "gradient_steps": -1}, 900),
        ({"train_freq": 64, "gradient_steps": 8}, (15 - 1) * 8),  # 15 whole phases in 1000 steps, the first at 64
        ({"train_freq": 1, "gradient_steps": 1, "n_envs": 4}, 225),  # 250 vector steps, those beyond env step 100
        ({"train_freq": 2, "gradient_steps": -1, "n_envs": 4}, (125 - 12) * 8),
        ({"train_freq": 1, "gradient_steps": 1, "n_envs": 3}, 334 - 33),  # 334 vector steps reach 1000
        ({"learning_starts": 0}, 250),
        ({"learning_starts": 1000}, 0),
    ],
)
def test_update_counts_follow_the_clock(values: dict[str, int], updates: int) -> None:
    assert count_updates(config(total_timesteps=1000, **values)) == updates


def test_updates_can_be_counted_at_any_step() -> None:
    run = config(total_timesteps=1000, train_freq=1)
    assert [count_updates(run, t) for t in (0, 100, 101, 150)] == [0, 0, 1, 50]


def test_the_replay_ratio_is_updates_per_env_step() -> None:
    assert replay_ratio(config(train_freq=4, gradient_steps=2, n_envs=2)) == 0.25
    assert replay_ratio(config(train_freq=4, gradient_steps=-1, n_envs=2)) == 1.0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"batch_size": 101}, "learning_starts=101"),
        ({"batch_size": 64, "buffer_size": 50}, "buffer_size=64"),
        ({"total_timesteps": 100}, "no update would happen"),
        ({"n_envs": 64, "buffer_size": 50}, "n_envs"),
    ],
)
def test_hazards_of_the_batch_size_are_refused(values: dict[str, int], field: str) -> None:
    with pytest.raises(InputError, match=field):
        warnings_of(config(**values))


def test_a_zoo_warm_up_smaller_than_the_batch_is_recorded_instead() -> None:
    assert warnings_of(config(batch_size=101), warm_up_from_zoo=True) == [
        "warm-up smaller than the batch: the first batches of 101 repeat some of 100 transitions"
    ]
    assert warnings_of(config()) == []
