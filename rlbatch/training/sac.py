"""What are the SAC agents of a stack? Their networks, how they explore, and when they learn.

Shapes: R runs (C of them in a slice), E environments of a run, A numbers in an action, O in an observation, P
parameters. The two critics of a run are two members side by side: their tensors are (C, 2, ...), or (2C, ...) inside
the network. What an update computes stands in `sac_update`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

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
from rlbatch.training.padding import padded
from rlbatch.training.randomness import Stream, Words, normals, uniforms
from rlbatch.training.replay import StackedReplay
from rlbatch.training.sac_update import Measured, Slice, learn, tags_of
from rlbatch.training.squashed import squash
from rlbatch.training.stacking import Actions, batch_mask, batch_rows, column, slices
from rlbatch.training.state import Arrays, named, of_part
from rlbatch.training.sums import Sums


class Sac:
    """The agents of a stack.

    Args:
        configs: the R runs, in the stack's order.
        observation_size: O.
        action_space: Box with finite bounds, A numbers.
        device: torch's name of it.
        dtype: of all arithmetic.

    Attributes:
        actor: (R, P) parameters.
        critics: (R, 2, P').
        targets: (R, 2, P'), of the target critics.
        log_ent_coef: (R, 1).
        sums: what the updates measured.
        action_size: numbers that the replay keeps of an action.
        output: what the actor gives.
    """

    output = "action"

    def __init__(
        self,
        configs: Sequence[RunConfig],
        observation_size: int,
        action_space: spaces.Box,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        first, seeds, size = configs[0], [config.seed for config in configs], math.prod(action_space.shape)
        self._clock, self._space, self._envs = Clock(first), action_space, first.n_envs
        self.action_size = size
        self._learns_entropy, start = _first_ent_coef(first)
        hidden, activation, norm = first.net_arch, first.activation_fn, first.layer_norm
        self._actor_layout = Layout((observation_size, *hidden, 2 * size), activation, norm)
        self._critic_layout = Layout((observation_size + size, *hidden, 1), activation, norm)
        self.actor = initial_rows(self._actor_layout, seeds, "weights", device=device, dtype=dtype)
        twins = [
            initial_rows(self._critic_layout, seeds, f"critic weights {j}", device=device, dtype=dtype) for j in (0, 1)
        ]
        self.critics = torch.stack(twins, dim=1)
        self.targets = self.critics.clone()
        self._entropy_rows = torch.zeros((len(configs), padded(1)), dtype=dtype, device=device)
        self.log_ent_coef = self._entropy_rows[:, :1]
        if start > 0:
            self.log_ent_coef.fill_(math.log(start))
        self._fixed_ent_coef = None if self._learns_entropy else torch.full_like(self.log_ent_coef, start)
        self.sums = self._make_sums(configs)
        self._gradients = [torch.zeros_like(rows) for rows in (self.actor, self.critics, self._entropy_rows)]
        self._acting = StackedMLP(self._actor_layout, self.actor)
        self._slices = [self._slice(configs, runs, device) for runs in slices(configs, device)]
        self._updates_per_phase = first.gradient_steps
        self._make_streams(configs, device, dtype)

    def act(self, observations: Tensor, step: int) -> Actions:
        """Draws the actions of a vector step, counted from 1: uniform while warming up, then from the policy.

        Args:
            observations: (R, rows, O), the first E rows of each run counting.
            step: which one.
        """
        if self._clock.warms_up(step):
            stored = self._random.at(step)
            return Actions(self._unscaled(stored), stored, None)
        outputs = self._acting.forward(observations)
        noise = outputs.new_zeros((*outputs.shape[:2], self.action_size))
        noise[:, : self._envs] = torch.from_numpy(self._exploration.at(step)).to(noise)
        stored = squash(outputs, noise).actions[:, : self._envs].cpu().numpy()
        finite = np.isfinite(outputs[:, : self._envs].cpu().numpy()).all(axis=(1, 2))
        return Actions(self._unscaled(stored), stored, finite)

    def act_greedily(self, observations: Tensor) -> NDArray[np.floating]:
        """Returns the mean actions (R, rows, ...) at observations (R, rows, O)."""
        means = self._acting.forward(observations)[..., : self.action_size].tanh()
        return self._unscaled(means.cpu().numpy())

    def exploration_rates(self, step: int) -> None:
        """Returns nothing: the policy itself explores."""

    def after_step(self, step: int) -> None:
        """Does nothing: the targets move with the updates."""

    def update(self, replay: StackedReplay, rows: Tensor, update: int, progress: float) -> None:
        """Makes update number `update` of every run.

        Args:
            replay: holds the transitions.
            rows: (R, B) indices of the batches.
            update: its number, from 0.
            progress: share of the budget that is spent.
        """
        noise, next_noise = self._noise.at(update), self._next_noise.at(update)
        rates = []
        for part in self._slices:
            batch = replay.batch(rows[part.runs], part.runs)
            measured = part.measured[self.sums.place]
            rates.append(learn(part, measured, batch, noise[part.runs], next_noise[part.runs], progress))
            # the count restarts with every training phase, so an interval never shows at one update per phase
            if update % self._updates_per_phase % part.target_update_interval == 0:
                polyak(part.critic_targets, part.critic_parameters, part.tau)
        self.sums.count(rates)

    def finite(self) -> NDArray[np.bool_]:
        """Tells whether all parameters of each run are finite, (R,)."""
        finite = torch.isfinite(self.actor).all(dim=1) & torch.isfinite(self.critics).flatten(1).all(dim=1)
        told: NDArray[np.bool_] = finite.cpu().numpy()
        return told

    def weights(self, run: int) -> dict[str, NDArray[np.floating]]:
        """Returns a run's parameters under the names of Stable-Baselines3's policy, log_ent_coef (1,) if learned."""
        return {name: view.cpu().numpy().copy() for name, view in self._named(run).items()}

    def load(self, run: int, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Puts saved parameters in a run's place; raises ValueError if they are another network's."""
        fill(self._named(run), weights)

    def state(self) -> Arrays:
        """Returns what updates change, (R, ...) each."""
        found = {name: rows.cpu().numpy() for name, rows in self._buffers().items()}
        for net, adams in self._adams().items():
            found |= named(f"{net} adam", state_of(adams))
        return found | named("sums", self.sums.state())

    def restore(self, state: Arrays) -> None:
        """Takes over what `state` returned."""
        runs = [part.runs for part in self._slices]
        for name, rows in self._buffers().items():
            rows.copy_(torch.from_numpy(state[name]))
        for net, adams in self._adams().items():
            restore_all(adams, runs, of_part(f"{net} adam", state))
        self.sums.restore(of_part("sums", state), runs)

    def _buffers(self) -> dict[str, Tensor]:
        return {"actor": self.actor, "critics": self.critics, "targets": self.targets, "entropy": self._entropy_rows}

    def _adams(self) -> dict[str, list[Adam]]:
        """Returns the optimisers of each net, slice by slice."""
        return {
            "actor": [part.actor_adam for part in self._slices],
            "critics": [part.critic_adam for part in self._slices],
            "entropy": [part.entropy_adam for part in self._slices],
        }

    def _named(self, run: int) -> dict[str, Tensor]:
        """Returns views of a run's parameters by name."""
        last = 2 * (len(self._actor_layout.sizes) - 2)
        named = {}
        for name, view in self._actor_layout.named(self.actor[run], "actor.latent_pi.").items():
            if name.startswith(f"actor.latent_pi.{last}."):
                kind = name.rpartition(".")[2]
                named[f"actor.mu.{kind}"], named[f"actor.log_std.{kind}"] = torch.split(view, self.action_size)
            else:
                named[name] = view
        for net, rows in (("critic", self.critics), ("critic_target", self.targets)):
            for j in (0, 1):
                named |= self._critic_layout.named(rows[run, j], f"{net}.qf{j}.")
        if self._learns_entropy:
            named["log_ent_coef"] = self.log_ent_coef[run]
        return named

    def _unscaled(self, actions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Returns actions (..., A) in (-1, 1) as the environment takes them, as Stable-Baselines3 unscales them."""
        low, high = self._space.low, self._space.high
        shaped = actions.reshape(*actions.shape[:-1], *low.shape)
        return np.asarray(low + 0.5 * (shaped + 1.0) * (high - low))

    def _make_streams(self, configs: Sequence[RunConfig], device: str, dtype: torch.dtype) -> None:
        seeds, size, envs = [config.seed for config in configs], self.action_size, self._envs
        rows = batch_rows(configs)

        def random_actions(z: Words, _: int) -> NDArray[np.float32]:
            return (2.0 * uniforms(z) - 1.0).astype(np.float32).reshape(*z.shape[:2], envs, size)

        def exploration(z: Words, _: int) -> NDArray[np.float32]:
            return normals(z).reshape(*z.shape[:2], envs, size)

        def noise(z: Words, _: int) -> Tensor:
            drawn = np.zeros((*z.shape[:2], rows * size), np.float32)
            drawn[..., : z.shape[2]] = normals(z)
            return torch.from_numpy(drawn).view(*z.shape[:2], rows, size).to(device, dtype)

        per_update = [config.batch_size * size for config in configs]
        self._random = Stream(seeds, "random action", envs * size, random_actions)
        self._exploration = Stream(seeds, "exploration noise", envs * size, exploration)
        self._noise = Stream(seeds, "actor noise", per_update, noise)
        self._next_noise = Stream(seeds, "target noise", per_update, noise)

    def _make_sums(self, configs: Sequence[RunConfig]) -> Sums[Measured]:
        runs, rows = len(configs), batch_rows(configs)
        sizes = [(runs, 2, rows)] * 2 + [(runs, rows)] * 2 + [(runs,)] * 4
        room = Measured(*(self.actor.new_zeros(size) for size in sizes))
        return Sums(configs, room, partial(tags_of, learns_entropy=self._learns_entropy))

    def _slice(self, configs: Sequence[RunConfig], runs: slice, device: str) -> Slice:
        own, mask = configs[runs], batch_mask(configs, device)
        actor, critics, targets, entropy = (
            rows[runs] for rows in (self.actor, self.critics, self.targets, self._entropy_rows)
        )
        actor_gradients, critic_gradients, entropy_gradients = (rows[runs] for rows in self._gradients)
        return Slice(
            runs=runs,
            actor=StackedMLP(self._actor_layout, actor, actor_gradients),
            critics=StackedMLP(
                self._critic_layout, critics.flatten(0, 1), critic_gradients.flatten(0, 1), by_unit=True
            ),
            target_critics=StackedMLP(self._critic_layout, targets.flatten(0, 1), by_unit=True),
            actor_adam=Adam(own[0], actor, actor_gradients),
            critic_adam=Adam(own[0], critics, critic_gradients),
            entropy_adam=Adam(own[0], entropy, entropy_gradients),
            actor_gradients=actor_gradients,
            critic_parameters=critics,
            critic_gradients=critic_gradients,
            critic_targets=targets,
            ent_coef=entropy[:, :1] if self._fixed_ent_coef is None else self._fixed_ent_coef[runs],
            learns_entropy=self._learns_entropy,
            entropy_gradients=entropy_gradients[:, :1],
            target_entropy=column([_target_entropy(config, self.action_size) for config in own], actor),
            batch_sizes=column([config.batch_size for config in own], actor),
            mask=None if mask is None else mask[runs],
            tau=own[0].tau,
            target_update_interval=own[0].target_update_interval,
            measured=self.sums.room(runs),
        )


def _first_ent_coef(config: RunConfig) -> tuple[bool, float]:
    """Returns whether the entropy coefficient is learned, and its first value: 1, or x for `auto_x`."""
    if isinstance(config.ent_coef, str):
        return True, float(config.ent_coef.partition("_")[2] or 1.0)
    return False, float(config.ent_coef or 0.0)


def _target_entropy(config: RunConfig, action_size: int) -> float:
    return -float(action_size) if isinstance(config.target_entropy, str) else float(config.target_entropy or 0.0)
