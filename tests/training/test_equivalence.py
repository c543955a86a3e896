"""A stack and Stable-Baselines3: from the same weights, batches and noise, the same updates."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from training.equivalence import (
    OBSERVATION_SIZE,
    Reference,
    Trained,
    agents_of,
    distance,
    joined,
    replay_of,
    samples_at,
    stack_of,
    store,
    train,
    transitions_of,
)

from rlbatch.config import RunConfig
from rlbatch.training.sb3 import build_model

pytestmark = pytest.mark.xdist_group("equivalence")  # each case is trained once
EXACT = 1e-9
"""Of a tensor's norm, in float64: far above rounding (5e-12 measured at most), far below any other formula."""

HARD: dict[str, Any] = {"tau": 1.0, "target_update_interval": 7}
SOFT: dict[str, Any] = {"tau": 0.01, "target_update_interval": 1}
ODD: dict[str, Any] = {"net_arch": (33, 7), "batch_size": 24}
RATES: tuple[dict[str, Any], ...] = ({"gamma": 0.99}, {"learning_rate": 3e-4, "gamma": 0.9}, {"gamma": 0.5})
ADAM: tuple[dict[str, Any], ...] = (
    {"adam_beta1": 0.95, "adam_eps": 1e-5},
    {"adam_beta2": 0.9, "adam_eps": 1e-3},
    {"adam_beta1": 0.5},
)
DYADIC: tuple[dict[str, Any], ...] = ({"gamma": 31 / 32}, {"gamma": 7 / 8}, {"gamma": 1 / 2})
"""Discounts whose powers are exact in float32, in which Stable-Baselines3 makes n-step returns."""


def together(*parts: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """What distinguishes three runs, from several such lists."""
    return [functools.reduce(dict.__or__, settings) for settings in zip(*parts, strict=True)]


CASES: dict[str, list[RunConfig]] = {
    "dqn hard target, clipped": stack_of("dqn", *({"max_grad_norm": limit} for limit in (10.0, 0.5, 0.05)), **HARD),
    "dqn soft target, rates": stack_of("dqn", *RATES, **SOFT, **ODD, activation_fn="tanh"),
    "dqn n-step": stack_of("dqn", *DYADIC, **HARD, n_steps=3, buffer_size=70, activation_fn="elu"),
    "dqn adam, targets": stack_of("dqn", *together(ADAM, (SOFT, HARD, HARD)), activation_fn="gelu"),
    "dqn linear rate, bursts": stack_of(
        "dqn", *RATES, **HARD, **ODD, lr_schedule="linear", train_freq=3, gradient_steps=2, activation_fn="silu"
    ),
    "dqn environments, warm-up": stack_of(
        "dqn", *DYADIC, **HARD, n_envs=2, n_steps=3, buffer_size=91, lr_schedule="cosine", lr_warmup=0.8
    ),
    "sac entropy": stack_of("sac", {}, {"target_entropy": -0.3}, {"learning_rate": 3e-4, "gamma": 0.9}),
    "sac entropy from 0.2": stack_of(
        "sac", *RATES, **ODD, ent_coef="auto_0.2", lr_schedule="linear", action_size=3, activation_fn="tanh"
    ),
    "sac fixed entropy": stack_of(
        "sac", {"tau": 0.5}, {"tau": 0.05}, {}, ent_coef=0.1, action_size=4, activation_fn="elu"
    ),
    "sac bursts": stack_of(
        "sac",
        *({"target_update_interval": updates} for updates in (1, 2, 3)),
        gradient_steps=3,
        train_freq=2,
        tau=0.1,
        action_size=3,
        activation_fn="gelu",
    ),
    "sac n-step, adam": stack_of(
        "sac", *together(DYADIC, ADAM), **ODD, n_steps=3, buffer_size=70, action_size=3, activation_fn="silu"
    ),
    "sac wide": stack_of("sac", {}, {}, {}, learning_rate=1e-4, action_size=4),
    "sac narrow": stack_of("sac", {}, {}, {}, learning_rate=1e-4, action_size=4),
}
TOLERANCE = {"sac narrow": 1e-7}
"""Instead of EXACT. Stable-Baselines3 makes log π of (x − mean) / std, whose gradients by x and by the mean cancel. At
a deviation of e^-20 they are 5e8, and their rounding remains: 5e-10 of the weights. The stack has no such terms."""

SINGLE = [
    *("dqn hard target, clipped", "dqn soft target, rates", "dqn n-step"),
    *("sac entropy", "sac bursts", "sac n-step, adam"),
]
"""Cases for float32, where saturated actions or narrow deviations would turn a mean's last bit into a gradient's first
digit: by 1 − a² + 1e-6, and by the terms above."""


def widen(weights: dict[str, np.ndarray]) -> None:
    """Puts many log deviations above their bound of 2."""
    weights["actor.log_std.weight"] *= 10
    weights["actor.log_std.bias"] += 2


def narrow(weights: dict[str, np.ndarray]) -> None:
    """Puts most of one number's log deviations below their bound of -20."""
    weights["actor.log_std.weight"] *= 10
    weights["actor.log_std.bias"][2] -= 22


@functools.cache
def trained(name: str, dtype: torch.dtype) -> Trained:
    prepare = {"sac wide": widen, "sac narrow": narrow}.get(name, lambda weights: None)
    return train(CASES[name], dtype, alongside=True, prepare=prepare)


@pytest.mark.parametrize("name", CASES)
def test_fifty_updates_are_those_of_stable_baselines3(name: str) -> None:
    stack = trained(name, torch.float64)
    for run, reference in enumerate(stack.references):
        ours, theirs = stack.agents.weights(run), reference.weights()
        assert set(ours) == set(theirs)
        for tensor, expected in theirs.items():
            assert distance(ours[tensor], expected) < TOLERANCE.get(name, EXACT), (run, tensor)
        start = agents_of(stack.configs, torch.float64).weights(run)
        assert distance(joined(start), joined(theirs)) > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_what_updates_measure_is_what_stable_baselines3_logs(name: str) -> None:
    stack = trained(name, torch.float64)
    for tag in stack.measured[0]:
        ours, theirs = (np.array([means[tag] for means in side]) for side in (stack.measured, stack.expected))
        assert theirs.shape == (len(stack.measured), 3)
        assert np.linalg.norm(ours - theirs) <= TOLERANCE.get(name, EXACT) * np.linalg.norm(theirs), tag


@pytest.mark.parametrize("name", SINGLE)
def test_in_float32_updates_differ_as_by_the_order_of_rows(name: str) -> None:
    """The tolerance is what Stable-Baselines3 differs by from itself when the rows of its batches are permuted.

    Ten times that: the stack also has other orders of additions over units; and at least 1e-6, ten roundings of a
    float32 number. Adam's epsilon is 1e-5 at least, since with 1e-8 a gradient that nearly cancels makes a step of full
    size in a direction that rounding decides, so that one parameter in a thousand runs away (6e-4 of the norm was
    measured, of Stable-Baselines3 against itself).
    """
    configs = [replace(config, adam_eps=max(config.adam_eps, 1e-5)) for config in CASES[name]]
    stack = train(configs, torch.float32, alongside=True, shuffled=True)
    for run, (reference, shuffled) in enumerate(zip(stack.references, stack.shuffled, strict=True)):
        expected = joined(reference.weights())
        tolerance = 10 * max(distance(joined(shuffled.weights()), expected), 1e-7)
        assert distance(joined(stack.agents.weights(run)), expected) < tolerance, run


def test_the_case_that_clips_does_so() -> None:
    measured = trained("dqn hard target, clipped", torch.float64).measured
    loose, some, tight = np.mean([means["update/clip_fraction"] for means in measured], axis=0)
    assert loose == 0
    assert 0 < some < 1
    assert tight == 1


def test_the_cases_at_the_bounds_of_the_deviation_cross_them() -> None:
    observations = torch.from_numpy(np.random.default_rng(0).normal(size=(500, OBSERVATION_SIZE)))

    def log_deviations(name: str) -> torch.Tensor:
        actors = [reference.model.actor for reference in trained(name, torch.float64).references]
        return torch.stack([actor.log_std(actor.latent_pi(observations)) for actor in actors])

    assert 0.1 < (log_deviations("sac wide") > 2).double().mean() < 0.9
    assert 0.1 < (log_deviations("sac narrow")[..., 2] < -20).double().mean() < 0.9


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_batches_of_different_sizes_leave_each_run_what_it_is_alone(algo: str) -> None:
    shared = {**SOFT, "activation_fn": "silu", "action_size": 3}
    configs = stack_of(algo, *({"batch_size": size} for size in (40, 16, 24)), **shared)
    stack = train(configs, torch.float64)
    assert [config.batch_size for config in stack.configs] == [16, 24, 40]
    for run, config in enumerate(configs):
        alone = train([config], torch.float64)
        for tensor, expected in alone.agents.weights(0).items():
            assert distance(stack.agents.weights(run)[tensor], expected) < EXACT, (run, tensor)
        for ours, expected_means in zip(stack.measured, alone.measured, strict=True):
            for tag, (expected_mean,) in expected_means.items():
                assert ours[tag][run] == pytest.approx(expected_mean, rel=EXACT, abs=EXACT), (run, tag)


@pytest.mark.parametrize(("algo", "size"), [("dqn", 1), ("sac", 1), ("sac", 3), ("sac", 4)])
def test_an_exported_policy_acts_identically(algo: str, size: int) -> None:
    configs = stack_of(algo, *({"batch_size": 16},) * 3, action_size=size)
    agents = agents_of(configs, torch.float32)
    observations = np.random.default_rng(0).normal(size=(3, 1000, OBSERVATION_SIZE)).astype(np.float32)
    ours = agents.act_greedily(torch.from_numpy(observations))
    for run, config in enumerate(configs):
        model = Reference(run, config, agents.weights(run), torch.float32).model
        theirs, _ = model.predict(observations[run], deterministic=True)
        assert ours[run].shape == theirs.shape
        if algo == "dqn":
            assert np.array_equal(ours[run], theirs)
            assert len(np.unique(theirs)) > 1
        else:
            np.testing.assert_allclose(ours[run], theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ent_coef", ["auto", "auto_0.2", 0.1])
def test_a_stack_starts_with_the_targets_and_the_entropy_of_stable_baselines3(ent_coef: str | float) -> None:
    (config,) = stack_of("sac", {}, ent_coef=ent_coef)
    weights = agents_of([config], torch.float32).weights(0)
    for name in (name for name in weights if name.startswith("critic.")):
        assert np.array_equal(weights[name], weights[name.replace("critic.", "critic_target.")])
    model: Any = build_model(config, "cpu")
    if ent_coef == 0.1:
        assert "log_ent_coef" not in weights
    else:
        assert weights["log_ent_coef"] == pytest.approx(model.log_ent_coef.item(), rel=1e-6)


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("steps", [1, 40, 60, 61, 100])
def test_batches_are_those_of_the_replay_of_stable_baselines3(steps: int, n_envs: int, n_steps: int) -> None:
    """Rings of 60 positions: hardly filled, partly, exactly, and turned around; every stored slot is compared."""
    configs = stack_of("dqn", *DYADIC, n_steps=n_steps, n_envs=n_envs, buffer_size=60 * n_envs)
    replay = replay_of(configs, 1, torch.float32)
    buffers: list[Any] = [build_model(config, "cpu").replay_buffer for config in configs]
    feed = transitions_of(configs)
    for _ in range(steps):
        store(next(feed), replay, list(enumerate(buffers)))
    slots = np.arange(min(steps, 60) * n_envs)
    rings = np.arange(3)[:, None] * 60 * n_envs
    batch = replay.batch(torch.from_numpy(slots + rings), slice(0, 3))
    for run, buffer in enumerate(buffers):
        theirs = samples_at(buffer, slots)
        discounts = configs[run].gamma if theirs.discounts is None else theirs.discounts
        expected = {
            "observations": theirs.observations,
            "next_observations": theirs.next_observations,
            "actions": theirs.actions.float(),
            "rewards": theirs.rewards.squeeze(1),
            "discounts": (discounts * (1 - theirs.dones)).squeeze(1),
        }
        for field, tensor in expected.items():
            assert torch.equal(getattr(batch, field)[run], tensor), field
        powers = {0.0, *(configs[run].gamma ** k for k in range(1, n_steps + 1))}
        assert steps == 1 or set(batch.discounts[run].tolist()) == powers
