"""Environments of a run: guarded, and known to reset exactly or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.training.envs import EnvironmentFailure, make_env, random_action, resets_exactly
from rlbatch.training.randomness import stream_key


def config(env_id: str, algo: str = "dqn", **kwargs: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo=algo, env_kwargs=kwargs)


@pytest.mark.parametrize(
    ("how", "where", "nonfinite"),
    [
        ("raise", "step", False),
        ("exit", "step", False),
        ("nan observation", "observation", True),
        ("shape", "observation", False),
        ("nan reward", "reward", True),
        ("no reward", "reward", False),
        ("ragged", "observation", False),
    ],
)
def test_misbehaviour_becomes_a_failure_that_says_where(how: str, where: str, nonfinite: bool) -> None:
    env = make_env(config("Probe/Broken-v0", how=how, at=3))
    env.reset(seed=0)
    env.step(0)
    env.step(0)
    with pytest.raises(EnvironmentFailure) as caught:
        env.step(0)
    assert (caught.value.where, caught.value.nonfinite) == (where, nonfinite)


def test_a_guarded_environment_goes_the_same_way_as_a_bare_one() -> None:
    import gymnasium

    guarded, bare = make_env(config("CartPole-v1")), gymnasium.make("CartPole-v1")
    assert np.array_equal(guarded.reset(seed=4)[0], bare.reset(seed=4)[0])
    for _ in range(20):
        one, two = guarded.step(1), bare.step(1)
        assert np.array_equal(one[0], two[0])
        assert one[1:4] == two[1:4]
        if one[2]:
            break


@pytest.mark.parametrize(
    ("env_id", "algo", "exact"),
    [
        ("CartPole-v1", "dqn", True),
        ("Pendulum-v1", "sac", True),
        ("LunarLander-v3", "dqn", True),
        ("HalfCheetah-v5", "sac", True),
        ("Probe/Noisy-v0", "dqn", True),
        ("Probe/Sticky-v0", "dqn", False),
        ("Probe/Level-v0", "dqn", False),
    ],
)
def test_the_twin_test_finds_state_kept_across_resets(env_id: str, algo: str, exact: bool) -> None:
    assert resets_exactly(config(env_id, algo)) is exact


def test_random_actions_are_uniform_over_the_space() -> None:
    key = stream_key(0, "x")
    discrete = [int(random_action(spaces.Discrete(4), key, i)) for i in range(4000)]
    assert np.bincount(discrete, minlength=4) == pytest.approx([1000] * 4, abs=150)
    box = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
    drawn = np.array([random_action(box, key, i) for i in range(4000)])
    assert drawn.dtype == np.float32
    assert drawn.mean(axis=0) == pytest.approx([0.0, 0.5], abs=0.08)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.07
