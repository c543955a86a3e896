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
from rlbatch.training.clock import Clock

EXACT = 1e-9
"""Relative to a tensor's norm: what float64 leaves of another order of the same additions."""

HARD = {"tau": 1.0, "target_update_interval": 7}
SOFT = {"tau": 0.01, "target_update_interval": 1}
ODD = {"net_arch": (33, 7), "batch_size": 24}
RATES = ({"learning_rate": 1e-3, "gamma": 0.99}, {"learning_rate": 3e-4, "gamma": 0.9}, {"gamma": 0.5})
ADAM = ({"adam_beta1": 0.95, "adam_eps": 1e-5}, {"adam_beta2": 0.9, "adam_eps": 1e-3}, {"adam_beta1": 0.5})
DYADIC = ({"gamma": 31 / 32}, {"gamma": 7 / 8}, {"gamma": 1 / 2})
"""Discounts whose powers are exact in float32, in which Stable-Baselines3's replay makes n-step returns."""

CASES: dict[str, Any] = {
    "dqn clipped, hard target": lambda: stack_of(
        "dqn", *({"max_grad_norm": limit} for limit in (10.0, 0.5, 0.05)), **HARD
    ),
    "dqn soft target, rates": lambda: stack_of("dqn", *RATES, **SOFT, **ODD, activation_fn="tanh"),
    "dqn n-step, ring turns": lambda: stack_of("dqn", *DYADIC, **HARD, n_steps=3, buffer_size=70, activation_fn="elu"),
    "dqn Adam, targets": lambda: stack_of("dqn", *({**a, **t} for a, t in zip(ADAM, (SOFT, HARD, HARD), strict=True)), activation_fn="gelu"),
    "dqn linear rate, bursts": lambda: stack_of(
        "dqn", *RATES, **HARD, **ODD, lr_schedule="linear", train_freq=3, gradient_steps=2, activation_fn="silu"
    ),
    "dqn environments": lambda: stack_of("dqn", *DYADIC, **HARD, n_envs=2, n_steps=3, buffer_size=91, lr_warmup=0.8),
    "sac entropy": lambda: stack_of("sac", {}, {"target_entropy": -0.3}, {"learning_rate": 3e-4, "gamma": 0.9}),
    "sac entropy from 0.2": lambda: stack_of(
        "sac", *RATES, **ODD, ent_coef="auto_0.2", action_size=3, activation_fn="tanh", lr_schedule="linear"
    ),
    "sac fixed entropy": lambda: stack_of(
        "sac", {"tau": 0.05}, {"tau": 0.5}, {}, ent_coef=0.1, action_size=4, activation_fn="elu"
    ),
    "sac bursts": lambda: stack_of(
        "sac",
        {"target_update_interval": 1},
        {},
        {},
        target_update_interval=2,
        gradient_steps=3,
        train_freq=2,
        tau=0.1,
        action_size=3,
        activation_fn="gelu",
    ),
    "sac n-step, Adam": lambda: stack_of(
        "sac",
        *({**d, **a} for d, a in zip(DYADIC, ADAM, strict=True)),
        n_steps=3,
        buffer_size=70,
        action_size=3,
        activation_fn="silu",
        **ODD,
    ),
    "sac deviation at its bounds": lambda: stack_of("sac", {}, {}, {}, action_size=4),
}


def spread_deviations(weights: dict[str, np.ndarray]) -> None:
    """Puts the log deviations of some states and actions beyond their bounds, −20 and 2, and others within."""
    weights["actor.log_std.weight"] *= 10
    weights["actor.log_std.bias"] += np.array([2.0, 0.0, -20.0, 1.0])


@functools.cache
def trained(name: str, dtype: torch.dtype) -> Trained:
    configs: list[RunConfig] = CASES[name]()
    prepare: Any = {"prepare": spread_deviations} if "bounds" in name else {}
    single = dtype == torch.float32
    return train(configs, dtype, alongside=True, shuffled=single, **prepare)


@pytest.mark.parametrize("name", CASES)
def test_fifty_updates_are_those_of_stable_baselines3(name: str) -> None:
    stack = trained(name, torch.float64)
    for run, reference in enumerate(stack.references):
        ours = stack.agents.weights(run)
        theirs = reference.weights()
        assert set(ours) == set(theirs)
        for tensor, expected in theirs.items():
            assert distance(ours[tensor], expected) < EXACT, (run, tensor)
