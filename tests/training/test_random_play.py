"""Random play: whole episodes from fixed seeds, within bounds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rlbatch.config import RunConfig
from rlbatch.environments import listed
from rlbatch.training import random_play
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.random_play import random_reference


def play(env_id: str, episodes: int = 20, env_steps: int = 10**6, seconds: float = 60.0, **kwargs: Any) -> dict:
    algo = "sac" if env_id.startswith("Pendulum") else "dqn"
    config = RunConfig.build(env_id=env_id, algo=algo, env_kwargs=kwargs)
    return random_reference(config, episodes, env_steps, seconds)


def test_rewards_of_an_episode_are_added_up_and_its_steps_are_counted() -> None:
    expected = {"random_mean": 7.0, "random_se": 0.0, "random_n": 20, "length_mean": 7.0, "cut_episodes": 0}
    assert play("Probe/Probe-v0", length=7) == expected


def test_episode_number_i_has_the_seed_i() -> None:
    totals = []
    for seed in range(5):
        env = gymnasium.make("Probe/Noisy-v0")
        env.reset(seed=seed)
        totals.append(sum(float(env.step(0)[1]) for _ in range(10)))
    told = play("Probe/Noisy-v0", 5)
    assert told["random_mean"] == pytest.approx(np.mean(totals))
    assert told["random_se"] == pytest.approx(np.std(totals, ddof=1) / np.sqrt(5))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_it_agrees_with_the_listed_value_and_repeats(env_id: str) -> None:
    first = play(env_id)
    assert play(env_id) == first
    assert abs(first["random_mean"] - listed()[env_id].random_mean) < 4 * first["random_se"]


def test_no_episode_begins_beyond_the_bound_and_the_last_one_is_played_to_its_end() -> None:
    assert play("Probe/Probe-v0", env_steps=15, length=10)["random_n"] == 2
    assert play("Probe/Probe-v0", env_steps=20, length=10)["random_n"] == 2
    assert play("Probe/Probe-v0", env_steps=21, length=10)["random_n"] == 3


def test_time_bounds_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(random_play.time, "monotonic", lambda: next(clock))
    assert play("Probe/Probe-v0", seconds=4.0, length=10)["random_n"] == 3


def test_an_episode_without_an_end_is_cut_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_play, "EPISODE_CAP", 30)
    told = play("Probe/Endless-v0", 2)
    assert (told["random_mean"], told["length_mean"], told["cut_episodes"]) == (30.0, 30.0, 2)
    assert play("Probe/Short-v0", 2)["length_mean"] == 7  # gymnasium's own limit ends it
    assert play("Probe/Short-v0", 2)["cut_episodes"] == 0


def test_one_episode_has_no_standard_error() -> None:
    assert play("Probe/Noisy-v0", 1)["random_se"] is None


def test_actions_are_random() -> None:
    told = play("Probe/Preference-v0", 200)
    assert abs(told["random_mean"] - 0.5) < 4 * told["random_se"]
    assert told["random_se"] > 0.02


@pytest.mark.parametrize("how", ["raise", "nan reward", "nan observation", "inf reward"])
def test_an_environment_that_misbehaves_raises(how: str) -> None:
    with pytest.raises(EnvironmentFailure):
        play("Probe/Broken-v0", how=how, at=5)
