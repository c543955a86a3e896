"""Environments: what is known about an id, and what is said of one that does not fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlbatch.env_ids import import_module, newer_version, registered_id
from rlbatch.environments import (
    choose_algo,
    describe,
    image_observations,
    installed,
    listed,
    open_environment,
    vector_observations,
)
from rlbatch.errors import InputError, RefusedError


@pytest.mark.parametrize("env_id", list(listed()))
def test_listed_facts_agree_with_gymnasium(env_id: str) -> None:
    facts, spec = listed()[env_id], gymnasium.spec(env_id)
    assert facts.max_episode_steps == spec.max_episode_steps
    assert facts.threshold == spec.reward_threshold
    assert facts.low < facts.reference
    assert facts.low_source
    assert facts.reference_source
    assert facts.random_n > 100


@pytest.mark.parametrize("env_id", list(listed()))
def test_the_listed_algorithm_fits_the_action_space(env_id: str) -> None:
    assert choose_algo(describe(env_id, {})) == listed()[env_id].algo


def test_the_random_score_of_cartpole_can_be_measured_again() -> None:
    env = gymnasium.make("CartPole-v1")
    rng, returns = np.random.default_rng(0), []
    for seed in range(300):
        env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(int(rng.integers(2)))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    facts = listed()["CartPole-v1"]
    standard_error = np.hypot(facts.random_se, np.std(returns) / np.sqrt(len(returns)))
    assert abs(np.mean(returns) - facts.random_mean) < 4 * standard_error


@pytest.mark.parametrize(
    ("env_id", "hint"),
    [
        ("CartPole", "did you mean CartPole-v1?"),
        ("CartPole-v99", "did you mean CartPole-v1?"),
        ("CartPoll-v1", "did you mean CartPole-v1?"),
        ("LunarLander-v2", "did you mean LunarLander-v3?"),
        ("pendulum-v1", "did you mean Pendulum-v1?"),
        ("../../x-v0", "ids look like"),
        ("Cart Pole-v1", "ids look like"),
        ("-v1", "ids look like"),
        ("", "ids look like"),
        ("a:b:c", "module:Id"),
    ],
)
def test_an_unknown_id_names_the_nearest(env_id: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        registered_id(env_id)
    assert hint in str(caught.value)


def test_a_module_that_nobody_named_is_refused_and_not_imported() -> None:
    Path("canary.py").write_text("raise SystemExit('imported')")
    with pytest.raises(RefusedError, match="--import canary"):
        open_environment("canary:Any-v0", {})
    assert "canary" not in sys.modules


def test_a_named_module_is_found_in_the_working_directory() -> None:
    Path("my_probe_module.py").write_text(
        "import gymnasium, probes\ngymnasium.register('Mine-v0', entry_point=probes.Probe)\n"
    )
    import_module("my_probe_module")
    assert registered_id("my_probe_module:Mine-v0") == "Mine-v0"
    assert describe("my_probe_module:Mine-v0", {}).max_episode_steps is None


@pytest.mark.parametrize("name", ["no_such_module_here", "a b", "os;x", ""])
def test_a_module_that_cannot_be_imported_is_bad_input(name: str) -> None:
    with pytest.raises(InputError):
        import_module(name)


def test_a_module_that_fails_at_import_is_bad_input() -> None:
    Path("fails_at_import.py").write_text("1 / 0")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        import_module("fails_at_import")


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"action": "multi"}, "MultiDiscrete actions"),
        ({"action": "from one"}, "start at 1"),
        ({"action": "unbounded"}, "no finite bounds"),
        ({"observation": "tuple"}, "Tuple observations"),
    ],
)
def test_spaces_that_no_algorithm_takes_are_explained(kwargs: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        choose_algo(describe("Probe/Spaced-v0", kwargs))


@pytest.mark.parametrize(("env_id", "asked", "use"), [("CartPole-v1", "sac", "dqn"), ("Pendulum-v1", "dqn", "sac")])
def test_an_algorithm_that_does_not_fit_names_the_one_that_does(env_id: str, asked: str, use: str) -> None:
    with pytest.raises(InputError, match=f"use {use} or auto"):
        choose_algo(describe(env_id, {}), asked)


def test_wrong_arguments_are_bad_input() -> None:
    with pytest.raises(InputError, match="does not accept"):
        describe("CartPole-v1", {"gravitty": 3})


def test_only_bytes_of_three_dimensions_are_images() -> None:
    assert image_observations(describe("Probe/Spaced-v0", {"observation": "image"}).observation_space)
    assert not image_observations(describe("CartPole-v1", {}).observation_space)


@pytest.mark.parametrize(
    ("space", "vector"),
    [
        (spaces.Box(-1.0, 1.0, (4,), np.float32), True),
        (spaces.Box(-1.0, 1.0, (), np.float32), True),
        (spaces.Box(0, 255, (128,), np.uint8), True),
        (spaces.Box(0, 255, (8, 8), np.uint8), True),
        (spaces.Box(0.0, 1.0, (10, 10, 4), np.float32), True),
        (spaces.Box(np.zeros((10, 10, 4), np.bool_), np.ones((10, 10, 4), np.bool_), dtype=np.bool_), True),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), False),
        (spaces.Box(0, 3, (5, 5, 3), np.uint8), False),
        (spaces.Discrete(4), True),
        (spaces.MultiDiscrete([2, 3]), True),
        (spaces.MultiBinary(5), True),
        (spaces.Dict({"a": spaces.Discrete(2)}), False),
        (spaces.Tuple([spaces.Discrete(2)]), False),
    ],
    ids=str,
)
def test_vectors_are_whatever_is_neither_a_dict_nor_bytes_of_three_dimensions(
    space: spaces.Space[Any], vector: bool
) -> None:
    assert vector_observations(space) is vector


def test_a_newer_version_is_known() -> None:
    assert newer_version("CartPole-v0") == "CartPole-v1"
    assert newer_version("CartPole-v1") is None


def test_describing_an_environment_leaves_nothing_behind() -> None:
    describe.__globals__["_describe"].cache_clear()
    describe("HalfCheetah-v5", {})
    assert list(Path.cwd().iterdir()) == []


def test_families_know_whether_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed("classic_control")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not installed("mujoco")
