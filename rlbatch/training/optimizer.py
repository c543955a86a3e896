"""How do many runs take one optimiser step? Adam on rows of a (R, P) buffer, one fused call per set of constants.

The mathematics is that of torch.optim.Adam (Kingma and Ba 2015), computed by torch's own fused kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.schedules import learning_rate
from rlbatch.training.state import Arrays


class Constants(NamedTuple):
    """What runs must agree in to share a fused call; a stack is sorted by it."""

    learning_rate: float
    lr_schedule: str
    lr_warmup: float
    adam_beta1: float
    adam_beta2: float
    adam_eps: float
    tau: float
    target_update_interval: int


def constants_of(config: RunConfig) -> Constants:
    """Returns the constants of a run."""
    return Constants(*(getattr(config, name) for name in Constants._fields))


class Adam:
    """Adam on the rows of runs that share their constants.

    Args:
        config: of any of the runs.
        parameters: (N, P), contiguous.
        gradients: (N, P), contiguous.
    """

    def __init__(self, config: RunConfig, parameters: Tensor, gradients: Tensor) -> None:
        self._config = config
        self._parameters = [parameters]
        self._gradients = [gradients]
        self._first_moments = [torch.zeros_like(parameters)]
        self._second_moments = [torch.zeros_like(parameters)]
        self._count = [torch.zeros((), dtype=torch.float32, device=parameters.device)]

    def step(self, progress: float) -> float:
        """Takes one step at the rate that is due after this share of the budget; returns the rate."""
        rate = learning_rate(self._config, progress)
        self._count[0].add_(1.0)
        torch._fused_adam_(
            self._parameters,
            self._gradients,
            self._first_moments,
            self._second_moments,
            [],
            self._count,
            lr=rate,
            beta1=self._config.adam_beta1,
            beta2=self._config.adam_beta2,
            weight_decay=0.0,
            eps=self._config.adam_eps,
            amsgrad=False,
            maximize=False,
        )
        return rate

    def state(self) -> dict[str, Tensor]:
        """Returns the moments (N, P) and the count of steps (N,): the buffers themselves, the count copied."""
        moments = {"first": self._first_moments[0], "second": self._second_moments[0]}
        return {**moments, "count": self._count[0].repeat(len(moments["first"]))}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes over what `state` returned."""
        self._first_moments[0].copy_(state["first"])
        self._second_moments[0].copy_(state["second"])
        self._count[0].copy_(state["count"][0])


def state_of(parts: Sequence[Adam]) -> Arrays:
    """Returns the state of the runs of a stack, (R, ...) each, from those of its slices in order."""
    states = [part.state() for part in parts]
    return {name: torch.cat([state[name] for state in states]).cpu().numpy() for name in states[0]}


def restore_all(parts: Sequence[Adam], runs: Sequence[slice], state: Arrays) -> None:
    """Gives every slice of a stack, in order, its runs' part of what `state_of` returned."""
    for part, own in zip(parts, runs, strict=True):
        part.restore({name: torch.from_numpy(array[own]) for name, array in state.items()})
