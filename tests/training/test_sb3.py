"""The sb3 engine: Stable-Baselines3's own training, unchanged, with rows at the right moments and honest endings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import probes
import pytest
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.env_util import make_vec_env

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.rows import EVAL_TAGS, TRAIN_TAGS, Ending, Row
from rlbatch.training import sb3

SMALL: dict[str, Any] = {"net_arch": (16,), "n_evaluations": 3, "n_eval_episodes": 2, "log_points": 10}


def dqn(env_id: str = "CartPole-v1", **values: Any) -> RunConfig:
    known = {"total_timesteps": 600, "learning_starts": 100, "batch_size": 32, "train_freq": 1}
    return RunConfig.build(env_id=env_id, algo="dqn", **{**SMALL, **known, **values})


def sac(env_id: str = "Pendulum-v1", **values: Any) -> RunConfig:
    known = {"total_timesteps": 300, "learning_starts": 100, "batch_size": 32}
    return RunConfig.build(env_id=env_id, algo="sac", **{**SMALL, **known, **values})


def train(
    *configs: RunConfig, commit: Callable[[Sequence[int], int], bool] = lambda runs, steps: True
) -> list[list[Row | Ending]]:
    reports: list[list[Row | Ending]] = [[] for _ in configs]
    sb3.train(configs, lambda run, report: reports[run].append(report), commit, device="cpu")
    return reports


def ending_of(config: RunConfig) -> Ending:
    (reports,) = train(config)
    ending = reports[-1]
    assert isinstance(ending, Ending)
    return ending


def rows_of(config: RunConfig, kind: str) -> list[Row]:
    (reports,) = train(config)
    return [r for r in reports if isinstance(r, Row) and r.kind == kind]


def alone(config: RunConfig, n_envs: int = 1) -> DQN | SAC:
    """The same run as a user of Stable-Baselines3 would write it."""
    env = make_vec_env(config.env_id, n_envs) if n_envs > 1 else gymnasium.make(config.env_id)
    shared = {
        "learning_rate": config.learning_rate,
        "buffer_size": config.buffer_size,
        "learning_starts": config.learning_starts,
        "batch_size": config.batch_size,
        "train_freq": config.train_freq,
        "gradient_steps": config.gradient_steps,
        "target_update_interval": config.target_update_interval,
        "n_steps": config.n_steps,
        "seed": config.seed,
        "device": "cpu",
        "policy_kwargs": {"net_arch": list(config.net_arch)},
    }
    model = DQN("MlpPolicy", env, **shared) if config.algo == "dqn" else SAC("MlpPolicy", env, **shared)
    model.learn(config.total_timesteps)
    return model


@pytest.mark.parametrize(
    "config",
    [
        dqn(target_update_interval=50),
        dqn(train_freq=4, gradient_steps=2, n_steps=3, seed=5),
        dqn(n_envs=2, train_freq=2, gradient_steps=-1),
        dqn(buffer_size=150),
        sac(),
        sac(n_steps=2, gradient_steps=2, seed=3),
        dqn("Probe/Careless-v0"),
    ],
    ids=["dqn", "n-step bursts", "two environments", "small buffer", "sac", "sac n-step", "global draws"],
)
def test_the_weights_are_those_of_stable_baselines3_alone(config: RunConfig) -> None:
    reference = alone(config, config.n_envs).policy.state_dict()
    weights = ending_of(config).policy
    assert weights is not None
    for name, tensor in reference.items():
        assert np.array_equal(weights[name], tensor.numpy()), name


@pytest.mark.parametrize(
    ("train_freq", "gradient_steps", "n_envs", "learning_starts", "total"),
    [
        (1, 1, 1, 32, 200),
        (4, 1, 1, 32, 200),
        (4, -1, 1, 50, 200),
        (1, 3, 1, 40, 200),
        (8, 4, 2, 64, 160),
        (1, -1, 3, 33, 201),
    ],
)
def test_updates_are_counted_as_stable_baselines3_does_them(
    train_freq: int, gradient_steps: int, n_envs: int, learning_starts: int, total: int
) -> None:
    config = dqn(
        train_freq=train_freq,
        gradient_steps=gradient_steps,
        n_envs=n_envs,
        learning_starts=learning_starts,
        total_timesteps=total,
        batch_size=8,
    )
    assert alone(config, n_envs)._n_updates == count_updates(config) == ending_of(config).updates


def test_a_rollout_that_would_overshoot_the_budget_is_cut_there() -> None:
    ending = ending_of(dqn(total_timesteps=300, train_freq=64, gradient_steps=4, learning_starts=64))
    assert (ending.timesteps, ending.updates) == (300, 12)  # phases at 128, 192, 256; not the one at 320
    assert alone(dqn(total_timesteps=300, train_freq=64, gradient_steps=4, learning_starts=64)).num_timesteps == 320


@pytest.mark.parametrize("config", [dqn(), sac()], ids=["dqn", "sac"])
def test_rows_are_taken_on_the_grid_with_all_tags(config: RunConfig) -> None:
    (reports,) = train(config)
    rows = [r for r in reports if isinstance(r, Row)]
    train_rows, eval_rows = ([r for r in rows if r.kind == kind] for kind in ("train", "eval"))
    total = config.total_timesteps
    assert [r.timesteps for r in train_rows] == [total * i // 10 for i in range(1, 11)]
    assert [r.timesteps for r in eval_rows] == [0, *(total * i // 3 for i in (1, 2, 3))]
    assert {tuple(sorted(r.values)) for r in train_rows} == {tuple(sorted(TRAIN_TAGS[config.algo]))}
    assert {tuple(sorted(r.values)) for r in eval_rows} == {tuple(sorted(EVAL_TAGS))}
    measured = [tag for tag in TRAIN_TAGS[config.algo] if any(r.values[tag] is not None for r in train_rows)]
    assert set(TRAIN_TAGS[config.algo]) - set(measured) == {"cost/gpu_memory_mb"}


def test_a_default_run_has_200_train_rows_and_21_eval_rows() -> None:
    config = dqn(total_timesteps=1000, learning_starts=900, log_points=200, n_evaluations=20, n_eval_episodes=1)
    (reports,) = train(config)
    kinds = [r.kind for r in reports if isinstance(r, Row)]
    assert (kinds.count("train"), kinds.count("eval")) == (200, 21)


@pytest.mark.parametrize(("train_freq", "n_envs"), [(1, 1), (4, 1), (7, 1), (2, 3)])
def test_a_row_comes_after_the_updates_due_at_its_step(train_freq: int, n_envs: int) -> None:
    config = dqn(train_freq=train_freq, n_envs=n_envs, learning_starts=64, total_timesteps=210)
    (reports,) = train(config)
    for row in (r for r in reports if isinstance(r, Row)):
        assert row.updates == count_updates(config, row.timesteps), row.timesteps
        assert row.samples == row.updates * config.batch_size


def test_the_same_seed_gives_the_same_rows_and_another_does_not() -> None:
    def without_clocks(config: RunConfig) -> list[dict[str, Any]]:
        (reports,) = train(config)
        rows = [json.loads(r.encode()) for r in reports if isinstance(r, Row)]
        return [{k: v for k, v in row.items() if k != "seconds" and not k.startswith("cost/")} for row in rows]

    first = without_clocks(dqn(seed=1))
    torch.rand(3), np.random.rand(3)  # noqa: NPY002 - what ran before must not matter
    assert without_clocks(dqn(seed=1)) == first
    assert without_clocks(dqn(seed=2)) != first


def test_rows_hold_means_over_the_interval() -> None:
    (row,) = rows_of(dqn(total_timesteps=200, log_points=1, exploration_fraction=1.0), "train")
    # epsilon falls linearly from 1 to 0.05 over 200 steps; its mean is half-way, at the end it is 0.05
    assert row.values["rollout/exploration_rate"] == pytest.approx(0.525, abs=0.005)
    assert row.values["rollout/episodes"] == pytest.approx(200 / row.values["rollout/length_mean"], abs=1)


def test_probe_that_terminates_is_worth_its_reward() -> None:
    assert values_of(dqn("Probe/Probe-v0", gamma=0.5), 0.0) == pytest.approx([1.0], abs=0.05)


def test_probe_that_truncates_bootstraps() -> None:
    config = dqn("Probe/Probe-v0", gamma=0.5, env_kwargs={"truncates": True})
    assert values_of(config, 0.0) == pytest.approx([2.0], abs=0.1)


def test_probe_of_two_steps_discounts_once() -> None:
    assert values_of(dqn("Probe/TwoStep-v0", gamma=0.5), 0.0, 1.0) == pytest.approx([0.5, 1.0], abs=0.05)


def test_probe_with_a_better_action_is_solved_by_both_algorithms() -> None:
    solved = rows_of(dqn("Probe/Preference-v0", learning_rate=1e-2, target_update_interval=50), "eval")[-1]
    assert solved.values["eval/return_mean"] == 1.0
    config = sac("Probe/Preference-v0", env_kwargs={"continuous": True}, learning_rate=1e-2, total_timesteps=800)
    assert (rows_of(config, "eval")[-1].values["eval/return_mean"] or 0.0) > 0.7


def values_of(config: RunConfig, *observations: float) -> list[float]:
    """The largest Q value of each observation after training with a rate that a probe can bear."""
    ending = ending_of(replace(config, learning_rate=3e-3, target_update_interval=100, total_timesteps=1500))
    model = sb3.build_model(config, "cpu")
    assert ending.policy is not None
    model.policy.load_state_dict({k: torch.from_numpy(v) for k, v in ending.policy.items()})
    with torch.no_grad():
        return model.q_net(torch.tensor(observations)[:, None]).max(dim=1).values.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("how", "where"), [("exit", None), ("shape", None), ("nan observation", "observation"), ("nan reward", "reward")]
)
def test_a_broken_environment_ends_its_run_with_evidence(how: str, where: str | None) -> None:
    broken = dqn("Probe/Broken-v0", env_kwargs={"how": how, "at": 300}, total_timesteps=600)
    first, second = train(broken, dqn(total_timesteps=200))
    ending = first[-1]
    assert isinstance(ending, Ending)
    assert ending.outcome == "env_error"
    assert ending.evidence
    assert ending.policy is None
    assert ending.timesteps == 299
    assert (ending.first_nonfinite or {}).get("where") == where
    assert isinstance(second[-1], Ending)
    assert second[-1].outcome == "ok"


def test_an_environment_that_cannot_be_made_any_more_ends_its_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.Scarce, "made", 0)
    first, second = train(dqn("Probe/Scarce-v0"), dqn(total_timesteps=200))
    ending, after = first[-1], second[-1]
    assert isinstance(ending, Ending)
    assert isinstance(after, Ending)
    assert (ending.outcome, after.outcome) == ("env_error", "ok")
    assert "no licence left" in ending.reason


def test_torch_without_memory_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes")

    monkeypatch.setattr(sb3, "build_model", full)
    assert ending_of(dqn()).outcome == "out_of_memory"


def test_rates_over_no_steps_are_null() -> None:
    rows = rows_of(dqn(n_envs=64, train_freq=1, learning_starts=64, total_timesteps=320, log_points=10), "train")
    rates = [row.values["batch/replay_ratio"] for row in rows]
    assert rates[0] == 0.0  # the first 64 steps are warm-up
    assert None in rates
    assert {rate for rate in rates[1:] if rate is not None} == {1 / 64}


def test_an_infinite_loss_is_a_divergence_with_its_step() -> None:
    config = sac("Probe/Explosive-v0", env_kwargs={"continuous": True}, total_timesteps=300)
    ending = ending_of(config)
    assert ending.outcome == "diverged"
    assert ending.first_nonfinite == {"timesteps": 101, "where": "loss"}
    assert ending.policy is None


@pytest.mark.parametrize("config", [dqn(learning_rate=1e36), sac(learning_rate=1e20)], ids=["dqn", "sac"])
def test_exploding_weights_are_a_divergence(config: RunConfig) -> None:
    ending = ending_of(config)
    assert ending.outcome == "diverged"
    assert ending.first_nonfinite is not None
    assert 101 <= ending.first_nonfinite["timesteps"] <= 160


def test_a_poisoned_weight_is_found_at_the_next_update(monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[Any] = []
    build = sb3.build_model
    monkeypatch.setattr(sb3, "build_model", lambda *args: models.append(build(*args)) or models[-1])

    def poison(runs: Sequence[int], timesteps: int) -> bool:
        if timesteps == 250:
            next(models[-1].policy.parameters()).data[0, 0] = float("nan")
        return True

    (reports,) = train(dqn(), commit=poison)
    ending = reports[-1]
    assert isinstance(ending, Ending)
    assert ending.outcome == "diverged"
    assert ending.first_nonfinite is not None
    assert 250 <= ending.first_nonfinite["timesteps"] <= 251


def test_a_commit_names_the_one_run_in_training_and_each_of_its_steps() -> None:
    heard: list[tuple[tuple[int, ...], int]] = []
    train(
        dqn(total_timesteps=120, n_envs=2),
        sac(total_timesteps=110),
        commit=lambda runs, steps: heard.append((tuple(runs), steps)) or True,
    )
    assert heard == [((0,), step) for step in range(0, 121, 2)] + [((1,), step) for step in range(111)]


def test_a_run_that_is_asked_to_stop_has_no_ending_and_later_runs_do_not_start() -> None:
    first, second = train(dqn(), dqn(seed=1), commit=lambda runs, steps: steps < 300)
    assert not any(isinstance(r, Ending) for r in first)
    assert max(r.timesteps for r in first if isinstance(r, Row)) <= 300
    assert second == []


@pytest.mark.parametrize("observation", ["dict", "image", "discrete"])
def test_other_observations_train_too(observation: str) -> None:
    config = dqn("Probe/Spaced-v0", env_kwargs={"observation": observation}, total_timesteps=130)
    assert ending_of(config).outcome == "ok"


def test_gsde_and_fixed_entropy_train() -> None:
    ending = ending_of(sac(use_sde=True, ent_coef=0.1, total_timesteps=150))
    assert ending.outcome == "ok"
    assert ending.policy is not None
    assert "log_ent_coef" not in ending.policy


def test_adam_constants_reach_every_optimiser() -> None:
    model = sb3.build_model(sac(adam_beta1=0.8, adam_beta2=0.99, adam_eps=1e-5), "cpu")
    assert isinstance(model, SAC)
    assert model.ent_coef_optimizer is not None
    for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
        group = optimizer.param_groups[0]
        assert (tuple(group["betas"]), group["eps"]) == ((0.8, 0.99), 1e-5)


def test_the_learning_rate_follows_its_schedule() -> None:
    config = dqn(lr_schedule="linear", learning_rate=1e-3, total_timesteps=400, learning_starts=32)
    rates = [r.values["update/learning_rate"] for r in rows_of(config, "train")]
    assert rates[-1] == pytest.approx(1e-3 * 0.05, rel=0.05)  # the mean over the last tenth
    assert rates[4] == pytest.approx(1e-3 * 0.55, rel=0.02)
