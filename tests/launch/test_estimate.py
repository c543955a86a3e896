"""Estimates: arithmetic by hand, and a real run beside its estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.experiment import Experiment
from rlbatch.grid import Request, expand
from rlbatch.launch import execute
from rlbatch.launch.estimate import estimate, replay_bytes


def cartpole(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", **values)


def test_a_transition_is_two_observations_an_action_and_three_floats() -> None:
    # CartPole: 2 × 4 float32, one int64 action, reward and two flags: 32 + 8 + 12 = 52 bytes
    assert replay_bytes(cartpole(buffer_size=1000, total_timesteps=5000)) == 52_000
    assert replay_bytes(cartpole(buffer_size=10_000, total_timesteps=5000)) == 260_000


def test_costs_add_up_over_runs_and_the_replay_is_the_largest() -> None:
    runs = [
        cartpole(total_timesteps=1000, learning_starts=100, train_freq=1, batch_size=32),
        cartpole(total_timesteps=2000, learning_starts=100, train_freq=2, batch_size=64),
    ]
    cost = estimate(runs)
    assert (cost.runs, cost.env_steps, cost.eval_episodes) == (2, 3000, 420)
    assert cost.updates == 900 + 950
    assert cost.samples == 900 * 32 + 950 * 64
    assert cost.replay_bytes == 2000 * 52


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_run_costs_what_was_estimated(tmp_path: Path, env_id: str) -> None:
    settings = {"total_timesteps": 400, "learning_starts": 300, "n_eval_episodes": 2, "batch_size": 16}
    planned = expand(Request(env_id, settings=settings))
    (outcome,) = execute(planned, Experiment(tmp_path / "e"), lambda message: None)
    cost = estimate([planned[0].config])
    assert (outcome.result["updates"], outcome.result["samples"]) == (cost.updates, cost.samples)
    taken = sum(p.stat().st_size for p in outcome.folder.path.iterdir())
    assert 0.7 < cost.disk_bytes / taken < 1.4
