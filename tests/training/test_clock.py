"""The clock against Stable-Baselines3's own loop: what it does after which vector step, counted."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.training.clock import Clock
from rlbatch.training.sb3 import build_model

pytestmark = pytest.mark.filterwarnings("ignore:The number of environments used is greater than the target network")

# train_freq, gradient_steps, n_envs, learning_starts, target_update_interval, total_timesteps
TABLE = [
    (1, 1, 1, 32, 10, 120),
    (4, 1, 1, 32, 10, 120),
    (4, 1, 1, 31, 7, 121),
    (4, 3, 1, 33, 1, 118),
    (1, 2, 1, 0, 5, 60),
    (5, 1, 1, 0, 5, 61),
    (64, 4, 1, 64, 20, 300),
    (2, -1, 3, 12, 10, 100),
    (2, -1, 3, 13, 9, 100),
    (1, 1, 4, 32, 2, 130),
    (3, 2, 4, 5, 30, 143),
    (1, 1, 8, 3, 8, 5),
    (7, 1, 2, 200, 50, 100),
]
ROWS = ("train_freq", "gradient_steps", "n_envs", "learning_starts", "target_update_interval", "total_timesteps")


@dataclass
class Seen:
    """What Stable-Baselines3 did, by the number of vector steps taken (of actions: by the step's own number).

    Attributes:
        updates: how many, after a step.
        stored: positions of the replay that were filled then.
        spent: the share of the budget that it took to be spent then.
        targets: steps after which the target network was updated.
        epsilon: at actions of the policy; other actions belong to the warm-up.
    """

    updates: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    spent: dict[int, float] = field(default_factory=dict)
    targets: list[int] = field(default_factory=list)
    epsilon: dict[int, float] = field(default_factory=dict)


def config_of(row: Iterable[int], **values: Any) -> RunConfig:
    known = {"env_kwargs": {"length": 7}, "batch_size": 8, "net_arch": (4,), "exploration_fraction": 0.6}
    return RunConfig.build(
        env_id="Probe/Probe-v0", algo="dqn", **dict(zip(ROWS, row, strict=True)), **{**known, **values}
    )


@functools.cache
def seen_in(row: tuple[int, ...], buffer_size: int = 1_000_000) -> Seen:
    """Runs Stable-Baselines3's `learn` without its updates."""
    config, seen = config_of(row, buffer_size=buffer_size), Seen()
    model: Any = build_model(config, "cpu")
    predict = model.predict

    def steps() -> int:
        vector_steps, rest = divmod(model.num_timesteps, config.n_envs)
        assert rest == 0
        return int(vector_steps)

    def seen_train(gradient_steps: int, batch_size: int) -> None:
        seen.updates[steps()] = gradient_steps
        seen.stored[steps()] = model.replay_buffer.size()
        seen.spent[steps()] = 1.0 - model._current_progress_remaining

    def seen_predict(*args: Any, **kwargs: Any) -> Any:
        seen.epsilon[steps() + 1] = model.exploration_rate
        return predict(*args, **kwargs)

    def seen_polyak(parameters: Iterable[Any], targets: Iterable[Any], tau: float) -> None:
        if list(parameters):  # the second call is for running statistics of batch normalisation: there are none
            seen.targets.append(steps())

    model.train, model.predict = seen_train, seen_predict
    with mock.patch("stable_baselines3.dqn.dqn.polyak_update", seen_polyak):
        model.learn(config.total_timesteps)
    return seen


@pytest.fixture(params=TABLE, ids=str)
def row(request: pytest.FixtureRequest) -> tuple[int, ...]:
    values: tuple[int, ...] = request.param
    return values


def test_updates_come_when_stable_baselines3_makes_them(row: tuple[int, ...]) -> None:
    clock = Clock(config_of(row))
    ours = {step: clock.updates_after(step) for step in range(1, clock.vector_steps + 1)}
    assert {step: n for step, n in ours.items() if n} == _within(seen_in(row).updates, clock)


def test_targets_move_when_those_of_stable_baselines3_do(row: tuple[int, ...]) -> None:
    clock = Clock(config_of(row))
    ours = [step for step in range(1, clock.vector_steps + 1) if clock.copies_target_after(step)]
    assert ours == [step for step in seen_in(row).targets if step <= clock.vector_steps]


def test_actions_warm_up_and_explore_as_those_of_stable_baselines3(row: tuple[int, ...]) -> None:
    clock = Clock(config_of(row))
    chosen = [step for step in range(1, clock.vector_steps + 1) if not clock.warms_up(step)]
    assert {step: clock.epsilon_after(step - 1) for step in chosen} == _within(seen_in(row).epsilon, clock)


def test_progress_and_what_is_stored_are_those_of_stable_baselines3(row: tuple[int, ...]) -> None:
    clock, seen = Clock(config_of(row)), seen_in(row)
    for step, spent in _within(seen.spent, clock).items():
        assert clock.progress(step) == pytest.approx(min(spent, 1.0), abs=1e-12)
        assert clock.stored(step) == seen.stored[step]


def test_every_update_has_its_step_and_the_sums_agree(row: tuple[int, ...]) -> None:
    config = config_of(row)
    clock, done = Clock(config), 0
    for step in range(1, clock.vector_steps + 1):
        before, done = done, done + clock.updates_after(step)
        assert clock.updates_done(step) == done
        assert [clock.step_of_update(update) for update in range(before, done)] == [step] * (done - before)
    assert done == count_updates(config)


def test_a_run_ends_with_the_first_vector_step_that_spends_the_budget(row: tuple[int, ...]) -> None:
    config = config_of(row)
    steps = Clock(config).vector_steps
    assert (steps - 1) * config.n_envs < config.total_timesteps <= steps * config.n_envs
    assert Clock(config).progress(steps) == 1.0


def test_progress_stays_within_the_budget() -> None:
    clock = Clock(config_of((1, 1, 3, 9, 10, 100)))
    assert [clock.progress(step) for step in (0, 10, 33, 34, 40)] == [0.0, 0.3, 0.99, 1.0, 1.0]


@pytest.mark.parametrize(
    ("buffer_size", "n_envs", "total_timesteps"),
    [(1_000_000, 1, 100), (50, 1, 100), (100, 1, 100), (50, 3, 100), (101, 3, 100), (1_000_000, 3, 100), (2, 3, 100)],
)
def test_the_replay_holds_as_many_positions(buffer_size: int, n_envs: int, total_timesteps: int) -> None:
    row = (1, 1, n_envs, 9, 10, total_timesteps)
    config = config_of(row, buffer_size=buffer_size)
    clock, model = Clock(config), build_model(config, "cpu")
    assert model.replay_buffer is not None
    assert clock.positions == model.replay_buffer.buffer_size
    seen = seen_in(row, buffer_size)
    assert {step: clock.stored(step) for step in seen.stored} == seen.stored


def test_a_run_without_warm_up_begins_greedily() -> None:
    assert seen_in((1, 2, 1, 0, 5, 60)).epsilon[1] == Clock(config_of((1, 2, 1, 0, 5, 60))).epsilon_after(0) == 0.0


def _within(by_step: dict[int, Any], clock: Clock) -> dict[int, Any]:
    """Leaves out what Stable-Baselines3 does beyond the budget, to the end of its rollout."""
    return {step: value for step, value in by_step.items() if step <= clock.vector_steps}
