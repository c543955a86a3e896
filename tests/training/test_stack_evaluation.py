"""Evaluation of a stack: each run's episodes are those that it would play by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import probes
import pytest

from rlbatch.config import RunConfig
from rlbatch.training import evaluation as evaluation_module
from rlbatch.training import stack_evaluation as module
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.evaluation import Evaluation, Evaluator
from rlbatch.training.instances import Instances
from rlbatch.training.padding import padded_rows
from rlbatch.training.randomness import episode_seed
from rlbatch.training.stack_evaluation import StackEvaluator

Act = Callable[[np.ndarray], np.ndarray]


def configs(env_id: str, runs: int = 3, **values: Any) -> list[RunConfig]:
    algo = "sac" if env_id == "Pendulum-v1" else "dqn"
    return [RunConfig.build(env_id=env_id, algo=algo, seed=seed, **values) for seed in range(runs)]


def evaluator(runs: Sequence[RunConfig], *, reuse: bool = True) -> StackEvaluator:
    return StackEvaluator(runs, partial(Instances, runs[0]), reuse=reuse)


def slope(run: int, observations: np.ndarray) -> np.ndarray:
    """A policy of each run's own: (N, O) to actions, element by element so that N cannot matter."""
    weights = np.array([0.1 * run, -0.2 - 0.1 * run, 1.0, 0.0])[: observations.shape[1]]
    leaning = observations[:, 0] * weights[0]
    for column in range(1, observations.shape[1]):
        leaning = leaning + observations[:, column] * weights[column]
    return leaning


def discrete(run: int, observations: np.ndarray) -> np.ndarray:
    return (slope(run, observations) > 0).astype(np.int64)


def continuous(run: int, observations: np.ndarray) -> np.ndarray:
    return np.tanh(slope(run, observations)).astype(np.float32)[:, None]


def stacked(policy: Callable[[int, np.ndarray], np.ndarray]) -> Act:
    return lambda observations: np.stack([policy(run, rows) for run, rows in enumerate(observations)])


@pytest.mark.parametrize(
    ("env_id", "policy", "episodes"),
    [("CartPole-v1", discrete, 5), ("Pendulum-v1", continuous, 3), ("Probe/Noisy-v0", discrete, 70)],
    ids=["discrete", "continuous", "more than at once"],
)
def test_every_episode_is_the_one_that_the_run_plays_alone(
    env_id: str, policy: Callable[[int, np.ndarray], np.ndarray], episodes: int
) -> None:
    runs = configs(env_id, n_eval_episodes=episodes)
    together = evaluator(runs)
    alone = [Evaluator(run, reuse=True) for run in runs]
    for number in (0, 1, 4):
        found = together(number, stacked(policy), range(3))
        expected = {run: alone[run](number, partial(policy, run)) for run in range(3)}
        assert found == expected
        assert len({tuple(played.returns) for played in expected.values()}) == 3
        assert all(len(played.returns) == episodes for played in expected.values())


def test_another_purpose_plays_other_episodes() -> None:
    runs = configs("Probe/Noisy-v0", n_eval_episodes=3)
    found = evaluator(runs)(0, stacked(discrete), range(3), "fresh evaluation")
    assert found[1] == Evaluator(runs[1], reuse=True)(0, partial(discrete, 1), "fresh evaluation")
    assert found[1] != evaluator(runs)(0, stacked(discrete), range(3))[1]


@pytest.mark.parametrize("episodes", [3, 70])
def test_endless_episodes_are_cut_and_counted(episodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EPISODE_CAP", 7)
    found = evaluator(configs("Probe/Endless-v0", n_eval_episodes=episodes))(0, stacked(discrete), range(3))
    assert found == {run: Evaluation([7.0] * episodes, [7] * episodes, episodes) for run in range(3)}


def test_only_episodes_without_an_end_of_their_own_count_as_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # these policies keep the pole up for 60 to 400 steps; the cap falls among them
    for each in (module, evaluation_module):
        monkeypatch.setattr(each, "EPISODE_CAP", 100)
    runs = configs("Probe/Pole-v0", n_eval_episodes=20)
    found = evaluator(runs)(0, stacked(discrete), range(3))
    for run in range(3):
        assert found[run] == Evaluator(runs[run], reuse=True)(0, partial(discrete, run))
    cut = [played.cut_episodes for played in found.values() if isinstance(played, Evaluation)]
    assert any(0 < count < 20 for count in cut)


def test_the_networks_always_see_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    runs = configs("CartPole-v1", n_eval_episodes=6, activation_fn="silu")
    seen: list[np.ndarray] = []

    def act(observations: np.ndarray) -> np.ndarray:
        seen.append(observations.copy())
        return stacked(discrete)(observations)

    found = evaluator(runs)(0, act, range(3))
    assert {observations.shape for observations in seen} == {(3, padded_rows(4, "silu"), 4)}
    assert all((observations[:, 4:] == 0).all() for observations in seen)
    assert all((observations[:, :4] != 0).any(axis=2).all() for observations in seen[1:])  # those that ended, too
    lengths = [played.lengths for played in found.values() if isinstance(played, Evaluation)]
    assert len(seen) == max(max(one[:4]) for one in lengths) + max(max(one[4:]) for one in lengths)


@pytest.mark.parametrize("env_id", ["Probe/Sticky-v0", "Probe/Level-v0"])
@pytest.mark.parametrize("episodes", [2, 70])
def test_what_keeps_state_across_resets_gets_new_instances(env_id: str, episodes: int) -> None:
    runs = configs(env_id, n_eval_episodes=episodes)
    fresh, used = evaluator(runs, reuse=False), evaluator(runs, reuse=True)
    for number in (0, 1, 2):
        expected = {run: Evaluator(runs[run], reuse=False)(number, partial(discrete, run)) for run in range(3)}
        assert fresh(number, stacked(discrete), range(3)) == expected
        if number > 0:
            assert used(number, stacked(discrete), range(3)) != expected
        else:
            used(number, stacked(discrete), range(3))


def test_instances_are_kept_where_they_may_be(fragile: type[probes.Fragile]) -> None:
    fragile.choose()
    runs = configs("Probe/Fragile-v0", n_eval_episodes=4)
    kept, renewed = evaluator(runs), evaluator(runs, reuse=False)
    for number in range(3):
        kept(number, stacked(discrete), range(3))
    assert probes.Fragile.made == 12
    for number in range(3):
        renewed(number, stacked(discrete), range(3))
    assert probes.Fragile.made == 12 + 36


def test_some_of_the_runs_are_evaluated_as_if_all_were() -> None:
    runs = configs("CartPole-v1", n_eval_episodes=5)
    everyone = evaluator(runs)(2, stacked(discrete), range(3))
    some = evaluator(runs)
    some(0, stacked(discrete), range(3))
    assert some(2, stacked(discrete), [0, 2]) == {0: everyone[0], 2: everyone[2]}
    assert some(2, stacked(discrete), []) == {}


@pytest.mark.parametrize("how", ["raise", "nan observation", "reset"])
@pytest.mark.parametrize("episode", [0, 3])
def test_a_failure_is_its_own_runs_result(how: str, episode: int, fragile: type[probes.Fragile]) -> None:
    runs = configs("Probe/Fragile-v0", n_eval_episodes=4, env_kwargs={"how": how, "at": 6})
    fragile.choose()
    expected = [evaluator(runs)(number, stacked(discrete), range(3)) for number in (0, 1, 2)]
    fragile.choose(victims={episode_seed(1, "evaluation", 4 + episode)})
    asked = evaluator(runs)
    assert asked(0, stacked(discrete), range(3)) == expected[0]
    found = asked(1, stacked(discrete), range(3))
    failure = found.pop(1)
    assert isinstance(failure, EnvironmentFailure)
    where = {"raise": "step", "nan observation": "observation", "reset": "reset"}[how]
    assert (failure.where, failure.nonfinite) == (where, how == "nan observation")
    assert found == {run: expected[1][run] for run in (0, 2)}
    assert asked(2, stacked(discrete), range(3)) == expected[2]


def test_a_failure_among_later_episodes_leaves_the_others_complete(
    fragile: type[probes.Fragile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    runs = configs("Probe/Fragile-v0", n_eval_episodes=10, env_kwargs={"how": "raise"})
    fragile.choose()
    expected = evaluator(runs)(0, stacked(discrete), range(3))
    for episode in (1, 5, 9):
        fragile.choose(victims={episode_seed(2, "evaluation", episode)})
        found = evaluator(runs)(0, stacked(discrete), range(3))
        assert isinstance(found[2], EnvironmentFailure)
        assert (found[0], found[1]) == (expected[0], expected[1])


def test_an_instance_that_cannot_be_made_is_its_own_runs_failure(fragile: type[probes.Fragile]) -> None:
    runs = configs("Probe/Fragile-v0", n_eval_episodes=4)
    fragile.choose()
    expected = evaluator(runs)(0, stacked(discrete), range(3))
    fragile.choose(unmakeable={7})
    found = evaluator(runs)(0, stacked(discrete), range(3))
    assert isinstance(found[1], EnvironmentFailure)
    assert found[1].where == "make"
    assert (found[0], found[2]) == (expected[0], expected[2])
