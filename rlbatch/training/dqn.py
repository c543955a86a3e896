"""What is one DQN update of many runs? The equations of Mnih et al. 2015 as Stable-Baselines3 has them.

Shapes: R runs (C of them in a slice), B rows of a batch, A actions, O numbers in an observation, P parameters of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.clock import Clock
from rlbatch.training.networks import Layout, StackedMLP, fill, initial_rows, polyak
from rlbatch.training.optimizer import Adam
from rlbatch.training.randomness import Stream, integers, uniforms
from rlbatch.training.replay import Batch, StackedReplay
from rlbatch.training.stacking import Actions, Sums, batch_mask, column, slices


def td_target(rewards: Tensor, discounts: Tensor, next_q_values: Tensor) -> Tensor:
    """Returns r + γ max_a Q'(s', a), (C, B), with the discount 0 where the episode terminated.

    Args:
        rewards: (C, B).
        discounts: (C, B).
        next_q_values: (C, B, A) of the target network.
    """
    return torch.addcmul(rewards, discounts, next_q_values.amax(dim=2))


def huber_gradient(td_error: Tensor) -> Tensor:
    """Returns the derivative of the Huber loss by the Q-value, (C, B): the TD error, at most 1 in size."""
    return td_error.clamp(-1.0, 1.0)


def huber_loss(td_error: Tensor, gradient: Tensor) -> Tensor:
    """Returns ½d² for |d| < 1 and |d| − ½ beyond, (C, B), from d and its clamped value g as g · (d − ½g)."""
    return gradient * torch.sub(td_error, gradient, alpha=0.5)


def clip_by_norm(gradients: Tensor, limits: Tensor) -> Tensor:
    """Scales each run's gradient to an L2 norm of at most its limit, in place; returns the norms before, (C,).

    Args:
        gradients: (C, P).
        limits: (C, 1).
    """
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_(limits.div(norms + 1e-6).clamp_(max=1.0))
    return norms.squeeze(1)


class _Slice(NamedTuple):
    """Runs that update together: they agree in Adam's constants, tau and the target's interval."""

    runs: slice
    parameters: Tensor
    targets: Tensor
    gradients: Tensor
    online: StackedMLP
    target: StackedMLP
    adam: Adam
    limits: Tensor
    norm_limits: Tensor
    batch_sizes: Tensor
    mask: Tensor | None
    tau: float
    clock: Clock


class Dqn:
    """The agents of a stack.

    Args:
        configs: the R runs, in the stack's order.
        observation_size: O.
        action_space: Discrete, with A actions.
        device: torch's name of it.
        dtype: of all arithmetic.

    Attributes:
        parameters: (R, P).
        targets: (R, P), of the target networks.
        sums: what the updates measured.
        action_size: numbers that the replay keeps of an action.
        output: what the networks give.
    """

    action_size = 1
    output = "q"

    def __init__(
        self,
        configs: Sequence[RunConfig],
        observation_size: int,
        action_space: spaces.Discrete,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        first, seeds, actions = configs[0], [config.seed for config in configs], int(action_space.n)
        self._clock = Clock(first)
        schedules = [(c.exploration_fraction, c.exploration_initial_eps, c.exploration_final_eps) for c in configs]
        distinct = list(dict.fromkeys(schedules))
        self._which = np.array([distinct.index(schedule) for schedule in schedules])
        self._distinct = [Clock(configs[schedules.index(schedule)]) for schedule in distinct]
        self._envs = first.n_envs
        self._layout = Layout((observation_size, *first.net_arch, actions), first.activation_fn, first.layer_norm)
        self.parameters = initial_rows(self._layout, seeds, "weights", device=device, dtype=dtype)
        self.targets = self.parameters.clone()
        self.sums = Sums(configs, self.parameters)
        self._gradients = torch.zeros_like(self.parameters)
        self._acting = StackedMLP(self._layout, self.parameters)
        self._slices = [self._slice(configs, runs, device) for runs in slices(configs, device)]
        self._coins = Stream(seeds, "exploration coin", 1, lambda z, _: uniforms(z)[..., 0])
        self._random = Stream(seeds, "random action", first.n_envs, lambda z, _: integers(z, np.uint64(actions)))

    def act(self, observations: Tensor, step: int) -> Actions:
        """Chooses the actions of a vector step, counted from 1: epsilon-greedy, one coin for all E envs of a run.

        Args:
            observations: (R, rows, O), the first E rows of each run counting.
            step: which one.
        """
        random = self._random.at(step)
        if self._clock.warms_up(step):
            return Actions(random, random[..., None], None)
        explores = self._coins.at(step) < self.exploration_rates(step - 1)
        if explores.all():
            return Actions(random, random[..., None], None)
        q_values = self._acting.forward(observations)[:, : self._envs].cpu().numpy()
        taken = np.where(explores[:, None], random, q_values.argmax(axis=2))
        # the values of a run that explores are not looked at: whether they are computed depends on the others
        return Actions(taken, taken[..., None], explores | np.isfinite(q_values).all(axis=(1, 2)))

    def act_greedily(self, observations: Tensor) -> NDArray[np.int64]:
        """Returns the best actions (R, rows) at observations (R, rows, O)."""
        best: NDArray[np.int64] = self._acting.forward(observations).cpu().numpy().argmax(axis=2)
        return best

    def exploration_rates(self, step: int) -> NDArray[np.float64]:
        """Returns epsilon of each run after a vector step, (R,)."""
        rates: NDArray[np.float64] = np.array([clock.epsilon_after(step) for clock in self._distinct])[self._which]
        return rates

    def after_step(self, step: int) -> None:
        """Moves the target networks that are due after a vector step."""
        for part in self._slices:
            if part.clock.copies_target_after(step):
                polyak(part.targets, part.parameters, part.tau)

    def update(self, replay: StackedReplay, rows: Tensor, update: int, progress: float) -> None:
        """Makes update number `update` of every run.

        Args:
            replay: holds the transitions.
            rows: (R, B) indices of the batches.
            update: its number, from 0.
            progress: share of the budget that is spent.
        """
        for part in self._slices:
            self._learn(part, replay.batch(rows[part.runs], part.runs))
            self.sums.add_rate(part.runs, part.adam.step(progress))
        self.sums.count()

    def finite(self) -> NDArray[np.bool_]:
        """Tells whether all parameters of each run are finite, (R,)."""
        told: NDArray[np.bool_] = torch.isfinite(self.parameters).all(dim=1).cpu().numpy()
        return told

    def weights(self, run: int) -> dict[str, NDArray[np.floating]]:
        """Returns a run's parameters under the names of Stable-Baselines3's policy."""
        return {name: view.cpu().numpy().copy() for name, view in self._named(run).items()}

    def load(self, run: int, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Puts saved parameters in a run's place; raises ValueError if they are another network's."""
        fill(self._named(run), weights)

    def _named(self, run: int) -> dict[str, Tensor]:
        """Returns views of a run's parameters by name."""
        online = self._layout.named(self.parameters[run], "q_net.q_net.")
        return online | self._layout.named(self.targets[run], "q_net_target.q_net.")

    def _slice(self, configs: Sequence[RunConfig], runs: slice, device: str) -> _Slice:
        own, mask = configs[runs], batch_mask(configs, device)
        limits = column([config.max_grad_norm or 0.0 for config in own], self.parameters)
        parameters, targets, gradients = (rows[runs] for rows in (self.parameters, self.targets, self._gradients))
        return _Slice(
            runs=runs,
            parameters=parameters,
            targets=targets,
            gradients=gradients,
            online=StackedMLP(self._layout, parameters, gradients),
            target=StackedMLP(self._layout, targets),
            adam=Adam(own[0], parameters, gradients),
            limits=limits,
            norm_limits=limits.squeeze(1),
            batch_sizes=column([config.batch_size for config in own], parameters),
            mask=None if mask is None else mask[runs],
            tau=own[0].tau,
            clock=Clock(own[0]),
        )

    def _learn(self, part: _Slice, batch: Batch) -> None:
        """Writes the clipped gradients of a slice."""
        targets = td_target(batch.rewards, batch.discounts, part.target.forward(batch.next_observations))
        q_all, tape = part.online.forward_taped(batch.observations)
        actions = batch.actions.long()
        q_values = q_all.gather(2, actions).squeeze(2)
        td_error = q_values - targets
        gradient = huber_gradient(td_error)
        sums, runs = self.sums, part.runs
        sums.add("update/loss", runs, huber_loss(td_error, gradient))
        sums.add("update/td_error", runs, td_error.abs_())
        sums.add("update/q_mean", runs, q_values)
        if part.mask is not None:
            gradient = torch.where(part.mask, gradient, 0.0)
        gradient = (gradient / part.batch_sizes).unsqueeze(2)
        part.online.backward(tape, torch.zeros_like(q_all).scatter_(2, actions, gradient))
        norms = clip_by_norm(part.gradients, part.limits)
        sums.add("update/grad_norm", runs, norms)
        sums.add("update/clip_fraction", runs, norms > part.norm_limits)
