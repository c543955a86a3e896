"""The optimiser: torch's Adam, on rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rlbatch.config import SETTINGS, RunConfig
from rlbatch.training.optimizer import Adam, Constants, constants_of
from rlbatch.training.schedules import learning_rate

WIDTH = 48


def config(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="Probe/Probe-v0", algo="dqn", **values)


def rows(count: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return torch.from_numpy(drawn).to(dtype)


def gradients(step: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Of very different sizes, some of them zero."""
    found = rows(count, dtype, 100 + step) * torch.logspace(-9, 3, WIDTH).to(dtype)
    found[:, step % 5 :: 7] = 0.0
    return found


def stepped(one: RunConfig, count: int, dtype: torch.dtype, members: Sequence[int] | slice = slice(None)) -> Any:
    """The chosen members of `count` after 20 steps, and the rates."""
    parameters = rows(count, dtype)[members].clone()
    gradient = torch.zeros_like(parameters)
    adam, rates = Adam(one, parameters, gradient), []
    for step in range(20):
        gradient.copy_(gradients(step, count, dtype)[members])
        rates.append(adam.step(step / 20))
    return parameters, rates


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"learning_rate": 0.1, "adam_beta1": 0.5, "adam_beta2": 0.9, "adam_eps": 1e-3},
        {"adam_beta1": 0.0, "adam_beta2": 0.0},
        {"learning_rate": 1e-2, "lr_schedule": "cosine", "lr_warmup": 0.3},
    ],
    ids=["defaults", "other constants", "no memory", "schedule"],
)
def test_twenty_steps_are_those_of_torch(values: dict[str, Any]) -> None:
    one = config(**values)
    expected = rows(3, torch.float64)
    parameter = torch.nn.Parameter(expected.clone())
    reference = torch.optim.Adam([parameter], lr=1.0, betas=(one.adam_beta1, one.adam_beta2), eps=one.adam_eps)
    for step in range(20):
        reference.param_groups[0]["lr"] = learning_rate(one, step / 20)
        parameter.grad = gradients(step, 3, torch.float64)
        reference.step()
    found, rates = stepped(one, 3, torch.float64)
    assert rates == [learning_rate(one, step / 20) for step in range(20)]
    assert (found - expected).abs().max() > 1e-4
    torch.testing.assert_close(found, parameter.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_row_steps_with_the_same_bits_alone_and_in_company(place: int) -> None:
    together, _ = stepped(config(), 8, torch.float32)
    alone, _ = stepped(config(), 8, torch.float32, [place])
    assert torch.equal(alone[0], together[place])


def test_what_adam_and_the_target_depend_on_is_among_the_constants() -> None:
    others = {
        "learning_rate": 0.5,
        "lr_schedule": "linear",
        "lr_warmup": 0.5,
        "adam_beta1": 0.5,
        "adam_beta2": 0.5,
        "adam_eps": 0.5,
        "tau": 0.5,
        "target_update_interval": 3,
    }
    assert set(others) == set(Constants._fields)
    assert all(SETTINGS[name].stackable for name in others)
    for name, value in others.items():
        assert constants_of(config(**{name: value}))._asdict()[name] == value
        assert constants_of(config(**{name: value})) != constants_of(config())
    assert constants_of(config(seed=4, gamma=0.3, batch_size=64, max_grad_norm=1.0)) == constants_of(config())
