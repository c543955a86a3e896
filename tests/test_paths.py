"""Paths: where a run lies follows from its settings, and tells its arm."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.paths import PathFacts, facts_of, is_run_path, run_path


def config(**values: Any) -> RunConfig:
    return RunConfig.build(**{"env_id": "CartPole-v1", "algo": "dqn", **values})


def test_the_folder_is_a_function_of_the_run() -> None:
    run = config(batch_size=256, seed=7, learning_rate=5e-4)
    assert str(run_path(run)) == f"CartPole-v1/dqn/b00256-lr5.0e-04-{run.arm_id[:8]}/s007"


@pytest.mark.parametrize(("env_id", "folder"), [("ALE/Pong-v5", "ALE+Pong-v5"), ("mine:My/Env-v0", "mine++My+Env-v0")])
def test_an_id_with_slash_or_colon_is_one_folder(env_id: str, folder: str) -> None:
    assert run_path(config(env_id=env_id)).parts[0] == folder


def test_the_path_of_a_run_tells_its_arm_and_its_seed() -> None:
    own = config(env_id="mine:My/Env-v0", batch_size=256, learning_rate=0.00123, seed=1234)
    path = run_path(own)
    assert facts_of(str(path)) == PathFacts(str(path.parent), "mine:My/Env-v0", "dqn", 256, 0.0012, 1234)


@pytest.mark.parametrize("path", ["CartPole-v1/dqn/s000", "", "x/ppo/b00032-lr1.0e-03-00000000/s000"])
def test_other_paths_are_none_of_runs(path: str) -> None:
    assert not is_run_path(path)
    with pytest.raises(ValueError, match="not the path of a run"):
        facts_of(path)
