"""Instances: gymnasium's own episodes, seeded and cut as asked, and every failure its own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import probes
import pytest
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from stable_baselines3.common.preprocessing import preprocess_obs

from rlbatch.config import RunConfig
from rlbatch.environments import describe
from rlbatch.training.instances import Instances, encoder, without_counters

ALGORITHMS = {"Pendulum-v1": "sac"}


def config(env_id: str, **kwargs: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo=ALGORITHMS.get(env_id, "dqn"), env_kwargs=kwargs)


def made(env_id: str, count: int, *, auto_reset: bool = True, **kwargs: Any) -> Instances:
    """Instances whose first seeds are 10, 11, ..."""
    instances = Instances(config(env_id, **kwargs), count, auto_reset=auto_reset)
    instances.next_seeds[:] = 10 + np.arange(count)
    return instances


def plain_episodes(env_id: str, seeds: list[int], actions: np.ndarray) -> list[tuple[Any, ...]]:
    """What gymnasium's own loop sees: (seed or None, observation, next observation, reward, terminated, truncated)."""
    env, left, seen = gymnasium.make(env_id), list(seeds), []
    obs, _ = env.reset(seed=left.pop(0))
    for action in actions:
        next_obs, reward, terminated, truncated, _ = env.step(action)
        seen.append((np.float32(obs), np.float32(next_obs), float(reward), terminated, truncated))
        obs = next_obs
        if terminated or truncated:
            obs, _ = env.reset(seed=left.pop(0))
    return seen


@pytest.mark.parametrize(
    ("env_id", "steps"), [("CartPole-v1", 300), ("Pendulum-v1", 450), ("MountainCar-v0", 450), ("Probe/Short-v0", 60)]
)
def test_episodes_are_gymnasiums_own_to_the_bit(env_id: str, steps: int) -> None:
    rng = np.random.default_rng(0)
    space = describe(env_id, {}).action_space
    space.seed(0)
    actions = np.array([[space.sample() for _ in range(3)] for _ in range(steps)])
    instances = made(env_id, 3)
    used: list[list[int]] = [[], [], []]
    seen: list[list[tuple[Any, ...]]] = [[], [], []]

    def renew(index: int) -> None:
        used[index].append(int(instances.next_seeds[index]))
        instances.next_seeds[index] = int(rng.integers(2**31))

    instances.reset(range(3))
    for index in range(3):
        renew(index)
    for step in range(steps):
        before = instances.observations.copy()
        instances.step(actions[step], range(3))
        for i in range(3):
            told = instances.rewards[i], instances.terminated[i], instances.truncated[i]
            seen[i].append((before[i], instances.next_observations[i].copy(), *told))
            if instances.terminated[i] or instances.truncated[i]:
                renew(i)
    instances.close()
    for i in range(3):
        expected = plain_episodes(env_id, used[i] + [0], actions[:, i])
        assert any(e[3] or e[4] for e in expected)
        for (obs, next_obs, reward, terminated, truncated), mine in zip(expected, seen[i], strict=True):
            assert obs.tobytes() == mine[0].tobytes()
            assert next_obs.tobytes() == mine[1].tobytes()
            assert reward == mine[2]
            assert (terminated, truncated and not terminated) == mine[3:]


def test_an_episode_that_ends_at_its_limit_by_itself_terminates() -> None:
    gymnasium.register("Probe/Both-v0", entry_point=probes.Probe, kwargs={"length": 4}, max_episode_steps=4)
    try:
        instances = made("Probe/Both-v0", 1)
        instances.reset([0])
        ends = []
        for _ in range(8):
            instances.step([0], [0])
            ends.append((bool(instances.terminated[0]), bool(instances.truncated[0])))
        assert ends == [(False, False)] * 3 + [(True, False)] + [(False, False)] * 3 + [(True, False)]
    finally:
        del gymnasium.registry["Probe/Both-v0"]


def test_only_the_outermost_counters_are_taken_off() -> None:
    bare, limit = without_counters(gymnasium.make("CartPole-v1", disable_env_checker=True))
    assert (bare, limit) == (bare.unwrapped, 500)
    twice = TimeLimit(OrderEnforcing(TimeLimit(probes.Endless(), 9)), 30)
    assert without_counters(twice) == (twice.unwrapped, 9)
    inside = gymnasium.wrappers.TransformReward(TimeLimit(probes.Endless(), 9), lambda reward: 2 * reward)
    assert without_counters(TimeLimit(inside, 30)) == (inside, 30)
    assert without_counters(inside) == (inside, 0)


def test_every_episode_starts_with_the_next_seed_of_that_moment() -> None:
    instances = made("Probe/Diary-v0", 4)
    instances.reset(range(4))
    assert instances.observations.tolist() == [[seed, 0, 0] for seed in (10, 11, 12, 13)]
    playing, episodes = {10 + i: i for i in range(4)}, 0
    for step in range(200):
        fresh = 100 + 4 * step + np.arange(4)
        instances.next_seeds[:] = fresh
        instances.step(np.full(4, step % 3), range(4))
        for seed, i in list(playing.items()):
            over = instances.terminated[i] or instances.truncated[i]
            assert instances.next_observations[i, 0] == seed
            assert instances.next_observations[i, 2] == step % 3
            assert over == (instances.next_observations[i, 1] == 1 + seed % 9)
            if over:
                assert instances.terminated[i] == (seed % 2 == 0)
                assert instances.observations[i].tolist() == [fresh[i], 0, 0]
                del playing[seed]
                playing[int(fresh[i])] = i
                episodes += 1
            else:
                assert np.array_equal(instances.observations[i], instances.next_observations[i])
    assert episodes > 100


def test_without_auto_reset_an_ended_episode_stays_where_it_ended() -> None:
    instances = made("Probe/Diary-v0", 2, auto_reset=False)
    instances.next_seeds[:] = [9, 3]
    instances.reset([0, 1])
    instances.step([1, 1], [0, 1])
    assert instances.truncated.tolist() == [True, False]
    assert instances.observations.tolist() == [[9, 1, 1], [3, 1, 1]]


def test_only_the_asked_instances_are_reset_and_stepped() -> None:
    instances = made("Probe/Diary-v0", 3)
    instances.next_seeds[:] = [5, 14, 23]  # six steps each
    instances.reset([0, 2])
    assert instances.observations[:, 0].tolist() == [5, 0, 23]
    instances.step([1, 1, 1], [2])
    assert instances.next_observations[:, 1].tolist() == [0, 0, 1]
    instances.step([1, 1, 1], [0, 2])
    assert instances.next_observations[:, 1].tolist() == [1, 0, 2]


@pytest.mark.parametrize("observation", ["discrete", "multi", "matrix"])
def test_observations_become_the_vectors_of_stable_baselines3(observation: str) -> None:
    import torch

    space = probes.Spaced(observation=observation).observation_space
    encode = encoder(space)
    instances = made("Probe/Spaced-v0", 30, observation=observation)
    instances.reset(range(30))
    for seed, found in zip(range(10, 40), instances.observations, strict=True):
        space.seed(seed)
        drawn = space.sample()
        expected = preprocess_obs(torch.as_tensor(drawn)[None], space)
        assert isinstance(expected, torch.Tensor)
        assert found.tolist() == expected.ravel().tolist()
        assert (encode is None) == isinstance(space, spaces.Box)
    assert len({found.tobytes() for found in instances.observations}) > 3


WHERE = {
    "raise": ("step", False),
    "nan observation": ("observation", True),
    "inf reward": ("reward", True),
    "nan reward": ("reward", True),
    "shape": ("observation", False),
    "no reward": ("reward", False),
    "ragged": ("observation", False),
}


@pytest.mark.parametrize("how", list(WHERE))
def test_a_misbehaving_step_fails_its_own_instance_alone(how: str, fragile: type[probes.Fragile]) -> None:
    def played() -> tuple[Instances, list[bytes]]:
        instances, seen, left = made("Probe/Fragile-v0", 3, how=how, at=5), [], [0, 1, 2]
        instances.reset(left)
        for step in range(60):
            instances.next_seeds += 3
            instances.step(np.full(3, step % 2), left)
            left = [index for index in left if index not in instances.failures]
            told = (instances.observations, instances.next_observations, instances.rewards[:, None])
            ends = (instances.terminated[:, None], instances.truncated[:, None])
            seen.append(np.hstack((*told, *ends))[[0, 2]].tobytes())
            if step == 3:
                assert not instances.failures
            if step == 5:
                assert np.isfinite(instances.rewards).all()
        return instances, seen

    fragile.choose(victims={11})
    broken, seen = played()
    assert list(broken.failures) == [1]
    failure = broken.failures[1]
    assert (failure.where, failure.nonfinite) == WHERE[how]
    assert str(failure).startswith(f"{failure.where}: ")
    fragile.choose()
    sound, expected = played()
    assert not sound.failures
    assert seen == expected
    broken.close()


def test_a_failure_keeps_its_cause(fragile: type[probes.Fragile]) -> None:
    fragile.choose(victims={10})
    instances = made("Probe/Fragile-v0", 1, at=1)
    instances.reset([0])
    instances.step([1], [0])
    assert "the probe was told to fail" in str(instances.failures[0])
    assert "after action 1" in str(instances.failures[0])
    assert isinstance(instances.failures[0].__cause__, RuntimeError)


def test_want_of_memory_is_no_failure_of_an_instance(fragile: type[probes.Fragile]) -> None:
    fragile.choose(victims={11})
    instances = made("Probe/Fragile-v0", 3, how="memory", at=1)
    instances.reset(range(3))
    with pytest.raises(MemoryError, match="too much"):
        instances.step([0, 0, 0], range(3))
    assert not instances.failures


def test_a_reset_that_fails_ends_its_own_instance(fragile: type[probes.Fragile]) -> None:
    fragile.choose(victims={11})
    instances = made("Probe/Fragile-v0", 3, how="reset")
    instances.reset(range(3))
    assert {i: failure.where for i, failure in instances.failures.items()} == {1: "reset"}
    assert (instances.observations[[0, 2]] != 0).any(axis=1).all()


def test_a_reset_that_fails_after_an_episode_leaves_the_last_transition(fragile: type[probes.Fragile]) -> None:
    fragile.choose(victims={99})
    instances = made("Probe/Fragile-v0", 2, how="reset")
    instances.reset(range(2))
    instances.next_seeds[:] = [99, 55]
    for _ in range(40):
        instances.step([0, 0], [i for i in range(2) if i not in instances.failures])
        if instances.failures:
            break
    assert {i: failure.where for i, failure in instances.failures.items()} == {0: "reset"}
    assert instances.terminated[0]
    assert np.abs(instances.next_observations[0, [0, 2]] / [2.4, 0.2095]).max() > 1


def test_an_observation_that_is_not_finite_at_a_reset_is_a_failure() -> None:
    class Nowhere(probes.Probe):
        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
            super().reset(seed=seed)
            return np.full(1, np.inf if seed == 11 else 0.0, np.float32), {}

    gymnasium.register("Probe/Nowhere-v0", entry_point=Nowhere)
    try:
        instances = made("Probe/Nowhere-v0", 3)
        instances.reset(range(3))
        assert [(i, f.where, f.nonfinite) for i, f in instances.failures.items()] == [(1, "observation", True)]
    finally:
        del gymnasium.registry["Probe/Nowhere-v0"]


def test_an_instance_that_cannot_be_made_is_a_failure_of_its_own(fragile: type[probes.Fragile]) -> None:
    fragile.choose(unmakeable={2})
    instances = made("Probe/Fragile-v0", 3)
    assert {i: failure.where for i, failure in instances.failures.items()} == {1: "make"}
    assert "no licence left" in str(instances.failures[1])
    instances.reset([0, 2])
    instances.step([1, 1, 1], [0, 2])
    assert list(instances.failures) == [1]
    assert (instances.observations[[0, 2]] != 0).any(axis=1).all()
    instances.close()


def test_closing_closes_all_even_where_one_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def close(self: probes.Probe) -> None:
        closed.append(self)
        if len(closed) == 1:
            raise RuntimeError("stuck")

    instances = made("Probe/Probe-v0", 3)
    monkeypatch.setattr(probes.Probe, "close", close)
    instances.close()
    assert len(closed) == 3
