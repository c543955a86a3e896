"""What are the DQN agents of a stack? Their networks, how they explore, and when they learn.

Shapes: R runs (C of them in a slice), E environments of a run, A actions, O numbers in an observation, P parameters of
a run. What an update computes stands in `dqn_update`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from rlbatch.config import RunConfig
from rlbatch.training.clock import Clock
from rlbatch.training.dqn_update import Measured, Slice, learn, tags_of
from rlbatch.training.layout import Layout, fill, initial_rows
from rlbatch.training.networks import StackedMLP, polyak
from rlbatch.training.optimizer import Adam, restore_all, state_of
from rlbatch.training.randomness import Stream, integers, uniforms
from rlbatch.training.replay import StackedReplay
from rlbatch.training.stacking import Actions, batch_mask, batch_rows, column, slices
from rlbatch.training.state import Arrays, named, of_part
from rlbatch.training.sums import Sums


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
        self.sums = Sums(configs, Measured(*room), partial(tags_of, limits=limits.squeeze(1)))
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
            batch = replay.batch(own, part.runs)
            rates.append(learn(part, part.measured[self.sums.place], batch, progress))
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

    def _slice(self, configs: Sequence[RunConfig], runs: slice, limits: Tensor) -> Slice:
        own, mask, rows = configs[runs], batch_mask(configs, str(limits.device)), batch_rows(configs)
        parameters, targets, gradients = (rows[runs] for rows in (self.parameters, self.targets, self._gradients))
        online = StackedMLP(self._layout, parameters, gradients, by_unit=True)
        room = parameters.new_zeros((len(own), rows))
        return Slice(
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
