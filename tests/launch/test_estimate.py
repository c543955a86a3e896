"""Estimates: arithmetic by hand, and a real run beside its estimate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines import ENGINE

from rlbatch.config import RunConfig
from rlbatch.experiment import Experiment
from rlbatch.grid import Request, expand
from rlbatch.launch import execute
from rlbatch.launch.estimate import estimate, replay_bytes


def cartpole(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", **values)


def test_a_transition_of_sb3_is_two_observations_an_action_and_three_floats() -> None:
    # CartPole: 2 × 4 float32, one int64 action, reward and two flags: 32 + 8 + 12 = 52 bytes
    assert replay_bytes(cartpole(engine="sb3", buffer_size=1000, total_timesteps=5000)) == 52_000
    assert replay_bytes(cartpole(engine="sb3", buffer_size=10_000, total_timesteps=5000)) == 260_000


@pytest.mark.parametrize(
    ("env_id", "algo", "env_kwargs", "numbers"),
    [
        ("CartPole-v1", "dqn", {}, 2 * 4 + 1 + 2),
        ("Pendulum-v1", "sac", {}, 2 * 3 + 1 + 2),
        ("Hopper-v5", "sac", {}, 2 * 11 + 3 + 2),
        ("Probe/Spaced-v0", "dqn", {"observation": "discrete"}, 2 * 4 + 1 + 2),  # one-hot, as networks see it
    ],
)
def test_a_transition_of_a_stack_is_two_flat_observations_an_action_and_two_numbers_in_float32(
    env_id: str, algo: str, env_kwargs: dict[str, Any], numbers: int
) -> None:
    config = RunConfig.build(env_id=env_id, algo=algo, env_kwargs=env_kwargs, total_timesteps=5000)
    assert replay_bytes(config) == 4 * numbers * 5000
    assert replay_bytes(replace(config, buffer_size=1000)) == 4 * numbers * 1000


@pytest.mark.parametrize("engine", ["stacked", "sb3"])
def test_several_environments_fill_whole_vector_steps(engine: str) -> None:
    even, odd = (replay_bytes(cartpole(engine=engine, n_envs=8, total_timesteps=n)) for n in (1000, 1001))
    assert odd == even / 1000 * 1008
    small, smaller = (replay_bytes(cartpole(engine=engine, n_envs=8, buffer_size=n)) for n in (64, 63))
    assert smaller == small / 64 * 56
    assert replay_bytes(cartpole(engine=engine, n_envs=8, buffer_size=1)) == small / 8


def test_costs_add_up_over_runs_and_the_replays_are_those_of_the_largest_stack() -> None:
    runs = [
        cartpole(total_timesteps=1000, learning_starts=100, train_freq=1, batch_size=32),
        cartpole(total_timesteps=2000, learning_starts=100, train_freq=2, batch_size=64),
    ]
    cost = estimate(runs, [[0], [1]])
    assert (cost.runs, cost.env_steps, cost.eval_episodes) == (2, 3000, 420)
    assert cost.updates == 900 + 950
    assert cost.samples == 900 * 32 + 950 * 64
    assert cost.replay_bytes == 2000 * 44
    assert estimate(runs, [[0, 1]]).replay_bytes == 3000 * 44
    assert estimate(runs, []).replay_bytes == 0


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_run_costs_what_was_estimated(tmp_path: Path, env_id: str) -> None:
    settings = {
        "engine": ENGINE,
        "total_timesteps": 400,
        "learning_starts": 300,
        "n_eval_episodes": 2,
        "batch_size": 16,
    }
    planned = expand(Request(env_id, settings=settings))
    (outcome,) = execute(planned, Experiment(tmp_path / "e"), lambda message: None)
    cost = estimate([planned[0].config], [[0]])
    assert (outcome.result["updates"], outcome.result["samples"]) == (cost.updates, cost.samples)
    taken = sum(p.stat().st_size for p in outcome.folder.path.iterdir())
    assert 0.7 < cost.disk_bytes / taken < 1.4
