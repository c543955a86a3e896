"""What is one DQN update of many runs? The equations of Mnih et al. 2015 as Stable-Baselines3 has them.

Shapes: R runs (C of them in a slice), B rows of a batch, A actions, O numbers in an observation, P parameters of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.clock import Clock
from rlbatch.training.layout import Layout, fill, initial_rows
from rlbatch.training.networks import StackedMLP, polyak
from rlbatch.training.optimizer import Adam, restore_all, state_of
from rlbatch.training.randomness import Stream, integers, uniforms
from rlbatch.training.replay import Batch, StackedReplay
from rlbatch.training.stacking import Actions, Sums, batch_mask, batch_rows, column, slices
from rlbatch.training.state import Arrays, named, of_part


def td_target(rewards: Tensor, discounts: Tensor, next_q_values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns r + γ max_a Q'(s', a), (C, B), with the discount 0 where the episode terminated.

    Args:
        rewards: (C, B).
        discounts: (C, B).
        next_q_values: (C, B, A) of the target network.
        out: where to write it.
    """
    best = torch.amax(next_q_values, 2, out=out)
    return torch.addcmul(rewards, discounts, best, out=out)


def huber_gradient(td_error: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the derivative of the Huber loss by the Q-value, (C, B): the TD error, at most 1 in size."""
    return torch.clamp(td_error, -1.0, 1.0, out=out)


def huber_loss(td_error: Tensor, gradient: Tensor) -> Tensor:
    """Returns ½d² for |d| < 1 and |d| − ½ beyond, (C, B), from d and its clamped value g as g · (d − ½g)."""
    return gradient * torch.sub(td_error, gradient, alpha=0.5)


def clip_by_norm(gradients: Tensor, limits: Tensor, norms: Tensor) -> None:
    """Scales each run's gradient to an L2 norm of at most its limit, in place.

    Args:
        gradients: (C, P).
        limits: (C,).
        norms: (C,) is where the norms before are written.
    """
    torch.linalg.vector_norm(gradients, dim=1, out=norms)
    gradients.mul_(limits.div(norms + 1e-6).clamp_(max=1.0).unsqueeze(1))


class _Measured(NamedTuple):
    """What an update measures: of the batch (C, B) each, and the gradient's norm before clipping, (C,)."""

    q_values: Tensor
    td_error: Tensor
    grad_norm: Tensor


def _tags_of(measured: _Measured, limits: Tensor) -> dict[str, Tensor]:
    """Returns the tags of some updates, from what they measured and the limits (R,) of the norm."""
    td_error = measured.td_error
    return {
        "update/loss": huber_loss(td_error, huber_gradient(td_error)),
        "update/td_error": td_error.abs(),
        "update/q_mean": measured.q_values,
        "update/grad_norm": measured.grad_norm,
        "update/clip_fraction": measured.grad_norm > limits,
    }


class _Slice(NamedTuple):
    """Runs that update together: they agree in Adam's constants, tau and the target's interval.

    `actions` (C, B, 1), `targets` (C, B), `by_q` (C, B) and `by_outputs` (C, B, A) is memory of their updates.
    """

    runs: slice
    parameters: Tensor
    target_parameters: Tensor
    gradients: Tensor
    online: StackedMLP
    target: StackedMLP
    adam: Adam
    limits: Tensor
    batch_sizes: Tensor
    padding: Tensor | None
    tau: float
    clock: Clock
    measured: Sequence[_Measured]
    actions: Tensor
    targets: Tensor
    by_q: Tensor
    by_outputs: Tensor


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
        limits, rows = column([config.max_grad_norm or 0.0 for config in configs], self.parameters), batch_rows(configs)
        room = [self.parameters.new_zeros((len(configs), *size)) for size in ((rows,), (rows,), ())]
        self.sums = Sums(configs, _Measured(*room), partial(_tags_of, limits=limits.squeeze(1)))
        self._gradients = torch.zeros_like(self.parameters)
        self._acting = StackedMLP(self._layout, self.parameters, by_unit=True)
        self._slices = [self._slice(configs, runs, limits.squeeze(1)[runs]) for runs in slices(configs, device)]
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
        if all(explores.tolist()):
            return Actions(random, random[..., None], None)
        q_values = self._acting.forward(observations).cpu().numpy()[:, : self._envs]
        taken = np.where(explores[:, None], random, q_values.argmax(axis=2))
        # the values of a run that explores are not looked at: whether they are computed depends on the others
        return Actions(taken, taken[..., None], explores | np.isfinite(q_values).all(axis=(1, 2)))

    def act_greedily(self, observations: Tensor) -> NDArray[np.int64]:
        """Returns the best actions (R, rows) at observations (R, rows, O)."""
        best: NDArray[np.int64] = self._acting.forward(observations).cpu().numpy().argmax(axis=2)
        return best

    def exploration_rates(self, step: int) -> NDArray[np.float64] | float:
        """Returns epsilon of each run after a vector step, (R,), or one number that is that of all."""
        if len(self._distinct) == 1:
            return self._distinct[0].epsilon_after(step)
        rates: NDArray[np.float64] = np.array([clock.epsilon_after(step) for clock in self._distinct])[self._which]
        return rates

    def after_step(self, step: int) -> None:
        """Moves the target networks that are due after a vector step."""
        for part in self._slices:
            if part.clock.copies_target_after(step):
                polyak(part.target_parameters, part.parameters, part.tau)

    def update(self, replay: StackedReplay, rows: Tensor, update: int, progress: float) -> None:
        """Makes update number `update` of every run.

        Args:
            replay: holds the transitions.
            rows: (R, B) indices of the batches.
            update: its number, from 0.
            progress: share of the budget that is spent.
        """
        rates = []
        for part in self._slices:
            own = rows if len(self._slices) == 1 else rows[part.runs]
            self._learn(part, replay.batch(own, part.runs))
            rates.append(part.adam.step(progress))
        self.sums.count(rates)

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

    def state(self) -> Arrays:
        """Returns what updates change, (R, ...) each."""
        own = {"parameters": self.parameters.cpu().numpy(), "targets": self.targets.cpu().numpy()}
        adams = state_of([part.adam for part in self._slices])
        return own | named("adam", adams) | named("sums", self.sums.state())

    def restore(self, state: Arrays) -> None:
        """Takes over what `state` returned."""
        self.parameters.copy_(torch.from_numpy(state["parameters"]))
        self.targets.copy_(torch.from_numpy(state["targets"]))
        runs = [part.runs for part in self._slices]
        restore_all([part.adam for part in self._slices], runs, of_part("adam", state))
        self.sums.restore(of_part("sums", state), runs)

    def _named(self, run: int) -> dict[str, Tensor]:
        """Returns views of a run's parameters by name."""
        online = self._layout.named(self.parameters[run], "q_net.q_net.")
        return online | self._layout.named(self.targets[run], "q_net_target.q_net.")

    def _slice(self, configs: Sequence[RunConfig], runs: slice, limits: Tensor) -> _Slice:
        own, mask, rows = configs[runs], batch_mask(configs, str(limits.device)), batch_rows(configs)
        parameters, targets, gradients = (rows[runs] for rows in (self.parameters, self.targets, self._gradients))
        online = StackedMLP(self._layout, parameters, gradients, by_unit=True)
        room = parameters.new_zeros((len(own), rows))
        return _Slice(
            runs=runs,
            parameters=parameters,
            target_parameters=targets,
            gradients=gradients,
            online=online,
            target=StackedMLP(self._layout, targets, by_unit=True),
            adam=Adam(own[0], parameters, gradients),
            limits=limits,
            batch_sizes=column([config.batch_size for config in own], parameters),
            padding=None if mask is None else ~mask[runs],
            tau=own[0].tau,
            clock=Clock(own[0]),
            measured=self.sums.room(runs),
            actions=torch.zeros_like(room, dtype=torch.int64).unsqueeze(2),
            targets=room.clone(),
            by_q=room.clone(),
            by_outputs=online.like_outputs(rows),
        )

    def _learn(self, part: _Slice, batch: Batch) -> None:
        """Writes the clipped gradients of a slice."""
        measured, actions = part.measured[self.sums.place], part.actions
        next_q_values = part.target.forward(batch.next_observations)
        targets = td_target(batch.rewards, batch.discounts, next_q_values, out=part.targets)
        q_all, tape = part.online.forward_taped(batch.observations)
        actions.copy_(batch.actions)
        torch.gather(q_all, 2, actions, out=measured.q_values.unsqueeze(2))
        torch.sub(measured.q_values, targets, out=measured.td_error)
        by_q = huber_gradient(measured.td_error, out=part.by_q)
        if part.padding is not None:
            by_q.masked_fill_(part.padding, 0.0)
        by_q.div_(part.batch_sizes)
        by_outputs = part.by_outputs.zero_().scatter_(2, actions, by_q.unsqueeze(2))
        part.online.backward(tape, by_outputs)
        clip_by_norm(part.gradients, part.limits, measured.grad_norm)
