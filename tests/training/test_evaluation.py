"""Evaluation: fixed seeds, all episodes at once, nothing left to chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlbatch.config import RunConfig
from rlbatch.training import evaluation as evaluation_module
from rlbatch.training.envs import make_env
from rlbatch.training.evaluation import Evaluator, play


def config(env_id: str = "Probe/Noisy-v0", **values: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo="dqn", n_eval_episodes=4, **values)


def first(observations: np.ndarray) -> np.ndarray:
    return np.zeros(len(observations), np.int64)


def test_the_same_evaluation_gives_the_same_returns_on_used_and_on_fresh_environments() -> None:
    evaluator = Evaluator(config(), reuse=True)
    evaluator(0, first)
    again = evaluator(3, first)
    assert again.returns == Evaluator(config(), reuse=False)(3, first).returns
    assert len(set(again.returns)) == 4


def test_other_evaluations_and_other_seeds_play_other_episodes() -> None:
    runs = [Evaluator(config(seed=s), reuse=True)(n, first).returns for s in (0, 1) for n in (0, 1)]
    assert len({tuple(r) for r in runs}) == 4


@pytest.mark.parametrize("other", [{"batch_size": 128}, {"learning_rate": 0.5}, {"total_timesteps": 77}])
def test_the_episodes_are_the_same_for_all_arms(other: dict[str, Any]) -> None:
    assert Evaluator(config(**other), reuse=True)(2, first) == Evaluator(config(), reuse=True)(2, first)


def test_an_environment_that_keeps_state_gets_fresh_instances() -> None:
    sticky = config("Probe/Sticky-v0")
    evaluator = Evaluator(sticky, reuse=False)
    evaluator(0, first)
    assert evaluator(1, first).returns == Evaluator(sticky, reuse=False)(1, first).returns


def test_an_endless_episode_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_module, "EPISODE_CAP", 25)
    played = Evaluator(config("Probe/Endless-v0"), reuse=True)(0, first)
    assert (played.lengths, played.cut_episodes) == ([25] * 4, 4)


def test_the_policy_always_sees_all_rows() -> None:
    seen: list[int] = []

    def act(observations: np.ndarray) -> np.ndarray:
        seen.append(len(observations))
        return np.zeros(len(observations), np.int64)

    cartpole = RunConfig.build(env_id="CartPole-v1", algo="dqn")
    played = play([make_env(cartpole) for _ in range(5)], range(5), act, cap=10_000)
    assert len(set(played.lengths)) > 1
    assert set(seen) == {5}
    assert len(seen) == max(played.lengths)


def test_returns_are_sums_of_rewards_and_values_describe_them() -> None:
    played = Evaluator(RunConfig.build(env_id="Probe/Probe-v0", algo="dqn", env_kwargs={"length": 7}), reuse=True)(
        0, first
    )
    assert played.returns == [7.0] * 10
    assert played.values() == {
        "eval/return_mean": 7.0,
        "eval/return_std": 0.0,
        "eval/return_min": 7.0,
        "eval/return_max": 7.0,
        "eval/length_mean": 7.0,
    }
