"""What does Stable-Baselines3 hide? Losses, TD errors, gradient norms, batch facts: measured, training untouched.

Everything is read through hooks that return nothing and draw no random number: a logger that listens, forward hooks on
the networks, gradient hooks on parameters, and a wrapper around the replay buffer's indexing. What cannot be had this
way is None.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.logger import Logger

_HEARD = {
    "train/loss": "update/loss",
    "train/actor_loss": "update/actor_loss",
    "train/critic_loss": "update/critic_loss",
    "train/ent_coef": "update/ent_coef",
    "train/ent_coef_loss": "update/ent_coef_loss",
    "train/learning_rate": "update/learning_rate",
    "rollout/exploration_rate": "rollout/exploration_rate",
}


def _timed(hook: Callable[..., None]) -> Callable[..., None]:
    """Adds the time that a hook takes to its meter's, so that speeds can be told without it."""

    def timed(self: Any, *args: Any) -> None:
        started = time.perf_counter()
        hook(self, *args)
        self.meter.seconds += time.perf_counter() - started

    return timed


class Meter:
    """Accumulates what a model does; `take` returns the means since the last call.

    Attributes:
        updates: optimiser steps done.
        seconds: what measuring has taken.
        nonfinite: what was first seen not finite ("loss", "q"), or None.
    """

    def __init__(self, model: DQN | SAC) -> None:
        self.updates = 0
        self.seconds = 0.0
        self.nonfinite: str | None = None
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._batch: Any = None
        model.set_logger(_Listener(self))
        self._watch_replay(model.replay_buffer)
        if isinstance(model, DQN):
            _DqnHooks(self, model)
        else:
            _SacHooks(self, model)

    def add(self, tag: str, value: float) -> None:
        """Adds one observation of a quantity."""
        self._sums[tag] += value
        self._counts[tag] += 1

    def take(self, tag: str) -> float | None:
        """Returns the mean of a quantity since the last call, or None where it was not observed."""
        total, count = self._sums.pop(tag, 0.0), self._counts.pop(tag, 0)
        return total / count if count else None

    def hear(self, key: str, value: Any) -> None:
        """Takes what the model logs of itself, and remembers the first loss that is not finite."""
        if key not in _HEARD or value is None:
            return
        number = float(value)
        self.add(_HEARD[key], number)
        if key.endswith("loss") and not math.isfinite(number):
            self.nonfinite = self.nonfinite or "loss"

    @property
    def batch(self) -> Any:
        """The transitions of the batch that the current update works on."""
        return self._batch

    def _watch_replay(self, buffer: Any) -> None:
        """Notes each batch that is drawn, its share of distinct transitions and its age (env steps)."""
        get_samples = buffer._get_samples

        def watched(batch_inds: np.ndarray, env: Any = None) -> Any:
            started = time.perf_counter()
            self.updates += 1
            stored = buffer.buffer_size if buffer.full else buffer.pos
            age = (buffer.pos - 1 - batch_inds) % stored
            self.add("batch/age_mean", float(age.mean()) * buffer.n_envs)
            if buffer.n_envs == 1:  # otherwise the environment indices are drawn inside, out of sight
                self.add("batch/unique_fraction", len(np.unique(batch_inds)) / len(batch_inds))
            self.seconds += time.perf_counter() - started
            self._batch = get_samples(batch_inds, env=env)
            return self._batch

        buffer._get_samples = watched

    def note_q(self, q_values: torch.Tensor) -> None:
        """Takes Q(s, a) of the batch's own actions, any shape."""
        mean = q_values.mean().item()
        self.add("update/q_mean", mean)
        if not math.isfinite(mean):
            self.nonfinite = self.nonfinite or "q"


class _Listener(Logger):
    """A logger without outputs that tells the meter what is recorded."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(folder=None, output_formats=[])
        self._meter = meter

    def record(self, key: str, value: Any, exclude: str | tuple[str, ...] | None = None) -> None:
        self._meter.hear(key, value)


class _DqnHooks:
    """Hooks of a DQN: in each update the target network runs first, then the online one, then the gradients arrive."""

    def __init__(self, meter: Meter, model: DQN) -> None:
        self.meter = meter
        self._gamma = model.gamma
        self._max_grad_norm = model.max_grad_norm
        self._next_q: torch.Tensor | None = None
        self._norms: list[torch.Tensor] = []
        model.q_net_target.register_forward_hook(self._on_target)
        model.q_net.register_forward_hook(self._on_online)
        for parameter in model.q_net.parameters():
            parameter.register_post_accumulate_grad_hook(self._on_gradient)
        model.policy.optimizer.register_step_pre_hook(self._on_step)

    @_timed
    def _on_target(self, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        self._next_q = output.detach().max(dim=1, keepdim=True).values

    @_timed
    def _on_online(self, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        if not torch.is_grad_enabled() or self._next_q is None:
            return  # acting or evaluating, not updating
        batch = self.meter.batch
        with torch.no_grad():
            q_values = output.detach().gather(1, batch.actions.long())
            discounts = self._gamma if batch.discounts is None else batch.discounts
            targets = batch.rewards + (1 - batch.dones) * discounts * self._next_q
            self.meter.note_q(q_values)
            self.meter.add("update/td_error", (q_values - targets).abs().mean().item())
        self._next_q = None

    @_timed
    def _on_gradient(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:  # before clipping, which comes when all have arrived
            self._norms.append(torch.linalg.vector_norm(parameter.grad.detach()))

    @_timed
    def _on_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        norm = torch.linalg.vector_norm(torch.stack(self._norms)).item()
        self._norms.clear()
        self.meter.add("update/grad_norm", norm)
        self.meter.add("update/clip_fraction", float(norm > self._max_grad_norm))


class _SacHooks:
    """Hooks of a SAC: the first critic pass of an update is on the batch's own actions, the second on the actor's."""

    def __init__(self, meter: Meter, model: SAC) -> None:
        self.meter = meter
        self._seen: Any = None
        model.critic.register_forward_hook(self._on_critic)
        model.critic.optimizer.register_step_pre_hook(self._norm_of(model.critic, "update/grad_norm"))
        model.actor.optimizer.register_step_pre_hook(self._norm_of(model.actor, "update/actor_grad_norm"))

    @_timed
    def _on_critic(self, _module: Any, _inputs: Any, outputs: tuple[torch.Tensor, ...]) -> None:
        if not torch.is_grad_enabled() or self.meter.batch is self._seen:
            return
        self._seen = self.meter.batch
        self.meter.note_q(torch.stack([q.detach() for q in outputs]))
        for q_values in outputs:
            q_values.register_hook(self._on_q_gradient)

    @_timed
    def _on_q_gradient(self, gradient: torch.Tensor) -> None:
        """The loss is ½ mean (q − y)², so its gradient by q is (q − y)/B: the TD error, exactly."""
        self.meter.add("update/td_error", gradient.abs().sum().item())

    def _norm_of(self, network: torch.nn.Module, tag: str) -> Any:
        parameters = [p for p in network.parameters() if p.requires_grad]

        @_timed
        def hook(self: _SacHooks, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            self.meter.add(tag, torch.nn.utils.get_total_norm(gradients).item())

        return partial(hook, self)
