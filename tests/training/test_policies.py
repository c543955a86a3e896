"""Saved policies: they evaluate to the recorded number and act the same in Stable-Baselines3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, SAC

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Ending
from rlbatch.training import sb3, stacked
from rlbatch.training.policies import evaluate_again, evaluate_fresh, export, load_model

pytestmark = pytest.mark.xdist_group("policies")  # each run is trained once


def recorded(path: Path, config: RunConfig) -> RunFolder:
    folder = RunFolder(path)
    record = Recorder(folder, config, None, device="cpu")

    def emit(run: int, report: Any) -> None:
        record.finish(report) if isinstance(report, Ending) else record.emit(report)

    {"sb3": sb3, "stacked": stacked}[config.engine].train([config], emit, lambda runs, steps: True, device="cpu")
    return folder


SMALL: dict[str, Any] = {"net_arch": (16,), "batch_size": 32, "n_evaluations": 2, "n_eval_episodes": 4, "log_points": 2}
OF = {
    "dqn": {"env_id": "CartPole-v1", "total_timesteps": 500, "learning_starts": 50, "lr_schedule": "linear"},
    "sac": {"env_id": "Pendulum-v1", "total_timesteps": 200, "learning_starts": 50},
}


def trained(factory: pytest.TempPathFactory, algo: str, engine: str) -> RunFolder:
    return recorded(factory.mktemp(algo), RunConfig.build(algo=algo, engine=engine, **SMALL, **OF[algo]))


@pytest.fixture(scope="module")
def dqn_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory, "dqn", "sb3")


@pytest.fixture(scope="module")
def sac_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory, "sac", "sb3")


@pytest.fixture(scope="module")
def stacked_dqn_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory, "dqn", "stacked")


@pytest.fixture(scope="module")
def stacked_sac_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory, "sac", "stacked")


@pytest.mark.parametrize("run", ["dqn_run", "sac_run", "stacked_dqn_run", "stacked_sac_run"])
def test_the_last_evaluation_is_reproduced_to_the_last_digit(run: str, request: pytest.FixtureRequest) -> None:
    played, row, same_device = evaluate_again(request.getfixturevalue(run))
    assert played.returns == row["returns"]
    assert played.values()["eval/return_mean"] == row["eval/return_mean"]
    assert same_device


def test_fresh_episodes_are_others(dqn_run: RunFolder) -> None:
    assert len(evaluate_fresh(dqn_run, 7).returns) == 7
    assert evaluate_fresh(dqn_run, 4).returns != evaluate_again(dqn_run)[0].returns


@pytest.mark.parametrize(
    ("run", "kind"), [("dqn_run", DQN), ("sac_run", SAC), ("stacked_dqn_run", DQN), ("stacked_sac_run", SAC)]
)
def test_an_exported_policy_acts_identically(run: str, kind: Any, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    target = Path("model.zip")
    assert export(folder, target) == kind.__name__
    loaded, ours = kind.load(target), load_model(folder.config(), folder.policy_path)
    observations = np.random.default_rng(0).normal(size=(50, *loaded.observation_space.shape)).astype(np.float32)
    assert np.array_equal(
        loaded.predict(observations, deterministic=True)[0], ours.predict(observations, deterministic=True)[0]
    )
    if isinstance(loaded, SAC):
        assert loaded.log_ent_coef.item() == ours.log_ent_coef.item()
    assert [p.name for p in Path.cwd().iterdir()] == ["model.zip"]


def test_an_existing_file_is_not_overwritten(dqn_run: RunFolder) -> None:
    Path("model.zip").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        export(dqn_run, Path("model.zip"))
    assert Path("model.zip").read_text() == "mine"


@pytest.mark.parametrize("damage", ["truncated", "empty", "other shapes", "missing"])
def test_damaged_weights_are_refused(dqn_run: RunFolder, sac_run: RunFolder, damage: str) -> None:
    content = dqn_run.policy_path.read_bytes()
    weights = Path("policy.safetensors")
    if damage != "missing":
        weights.write_bytes(
            {"truncated": content[:-10], "empty": b"", "other shapes": sac_run.policy_path.read_bytes()}[damage]
        )
    with pytest.raises((InputError, RefusedError)):
        load_model(dqn_run.config(), weights)
