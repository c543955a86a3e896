"""The meter: what it reports is what Stable-Baselines3 computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.dqn import dqn as dqn_module
from stable_baselines3.sac import sac as sac_module

from rlbatch.config import RunConfig
from rlbatch.rows import Row
from rlbatch.training import sb3

COMMON: dict[str, Any] = {
    "total_timesteps": 200,
    "learning_starts": 100,
    "batch_size": 16,
    "train_freq": 1,
    "net_arch": (8,),
    "n_evaluations": 1,
    "n_eval_episodes": 1,
    "log_points": 1,
}


def only_row(config: RunConfig) -> Row:
    rows: list[Any] = []
    sb3.train([config], lambda run, report: rows.append(report), lambda run, steps: True, device="cpu")
    (row,) = [r for r in rows if isinstance(r, Row) and r.kind == "train"]
    return row


def test_dqn_quantities_are_those_of_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    norms, errors, losses, q_values = [], [], [], []
    clip, huber = torch.nn.utils.clip_grad_norm_, dqn_module.F.smooth_l1_loss

    def seen_clip(*args: Any, **kwargs: Any) -> Any:
        norms.append(clip(*args, **kwargs).item())
        return norms[-1]

    def seen_loss(current: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        errors.append((current - target).abs().mean().item())
        q_values.append(current.mean().item())
        loss = huber(current, target)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", seen_clip)
    monkeypatch.setattr(dqn_module.F, "smooth_l1_loss", seen_loss)
    limit = 1.2
    row = only_row(RunConfig.build(env_id="CartPole-v1", algo="dqn", n_steps=2, max_grad_norm=limit, **COMMON))
    assert len(norms) == row.updates == 100
    assert row.values["update/grad_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
    assert row.values["update/td_error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert row.values["update/q_mean"] == pytest.approx(np.mean(q_values), rel=1e-5)
    assert row.values["update/loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    clipped = np.mean(np.array(norms) > limit)
    assert 0 < clipped < 1
    assert row.values["update/clip_fraction"] == pytest.approx(clipped)


def test_sac_quantities_are_those_of_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, q_values = [], []
    mse = sac_module.F.mse_loss

    def seen_loss(current: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        errors.append((current - target).abs().mean().item())
        q_values.append(current.mean().item())
        return mse(current, target)

    monkeypatch.setattr(sac_module.F, "mse_loss", seen_loss)
    row = only_row(RunConfig.build(env_id="Pendulum-v1", algo="sac", **COMMON))
    assert len(errors) == 2 * row.updates == 200
    assert row.values["update/td_error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert row.values["update/q_mean"] == pytest.approx(np.mean(q_values), rel=1e-4)
    for tag in ("update/grad_norm", "update/actor_grad_norm", "update/critic_loss", "update/ent_coef"):
        assert row.values[tag] is not None
        assert np.isfinite(row.values[tag])


def test_sac_gradient_norms_are_the_optimisers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: dict[int, list[float]] = {}
    step = torch.optim.Adam.step

    def seen_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        gradients = torch.cat([p.grad.ravel() for p in self.param_groups[0]["params"]])
        norms.setdefault(len(self.param_groups[0]["params"]), []).append(float(gradients.norm()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", seen_step)
    row = only_row(RunConfig.build(env_id="Pendulum-v1", algo="sac", **COMMON))
    critic, actor = norms[8], norms[6]  # two critics of two layers; one shared layer and two heads
    assert row.values["update/grad_norm"] == pytest.approx(np.mean(critic), rel=1e-5)
    assert row.values["update/actor_grad_norm"] == pytest.approx(np.mean(actor), rel=1e-5)


def test_ages_and_distinct_transitions_are_those_of_the_drawn_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_baselines3.common.buffers import ReplayBuffer

    ages, distinct = [], []
    get = ReplayBuffer._get_samples

    def seen(self: Any, batch_inds: np.ndarray, env: Any = None) -> Any:
        order = np.arange(self.pos - 1, self.pos - 1 - self.buffer_size, -1) % self.buffer_size  # newest first
        ages.append(np.mean([int(np.flatnonzero(order == i)[0]) for i in batch_inds]))
        distinct.append(len(set(batch_inds.tolist())) / len(batch_inds))
        return get(self, batch_inds, env)

    monkeypatch.setattr(ReplayBuffer, "_get_samples", seen)
    row = only_row(RunConfig.build(env_id="CartPole-v1", algo="dqn", buffer_size=120, **COMMON))
    assert row.values["batch/age_mean"] == pytest.approx(np.mean(ages))
    assert row.values["batch/unique_fraction"] == pytest.approx(np.mean(distinct))
    assert row.values["batch/replay_ratio"] == pytest.approx(0.5)
    assert row.values["batch/replays_per_transition"] == pytest.approx(8.0)


def test_what_cannot_be_seen_with_several_environments_is_null() -> None:
    row = only_row(RunConfig.build(env_id="CartPole-v1", algo="dqn", n_envs=2, **COMMON))
    assert row.values["batch/unique_fraction"] is None
    assert row.values["batch/age_mean"] is not None
