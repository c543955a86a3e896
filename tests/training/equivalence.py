"""How does a stack meet Stable-Baselines3? Both get the same weights, transitions, batches and noise, and then train.

The models are those of the sb3 engine and make their updates by their own `train`. What is replaced around it is where
the indices of a batch and the normal numbers come from, and for float64 what would round to float32 on the way in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from unittest import mock

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import SAC

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.training.clock import Clock
from rlbatch.training.dqn import Dqn
from rlbatch.training.replay import StackedReplay
from rlbatch.training.replay_draws import ReplayDraws
from rlbatch.training.sac import Sac
from rlbatch.training.sb3 import build_model
from rlbatch.training.sb3_meter import Meter
from rlbatch.training.stacking import order

UPDATES = 50
OBSERVATION_SIZE = 5
BOUNDS = {1: ([-2.0], [2.0]), 3: ([-2.0, 0.0, -1.0], [2.0, 1.0, 5.0]), 4: ([[-2.0, -1.0]] * 2, [[3.0, 1.0]] * 2)}
"""Numbers in an action -> its bounds, the last as a matrix."""


class Room(gymnasium.Env[np.ndarray, Any]):
    """Has spaces, and is never stepped: discrete actions by their number, continuous ones by their bounds."""

    def __init__(self, actions: int = 3, bounds: Any = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space: Any = spaces.Discrete(actions)
        if bounds is not None:
            low, high = (np.array(side, np.float32) for side in bounds)
            self.action_space = spaces.Box(low, high, dtype=np.float32)


if "Equivalence/Room-v0" not in gymnasium.registry:
    gymnasium.register("Equivalence/Room-v0", entry_point=Room)


def stack_of(algo: str, *runs: dict[str, Any], action_size: int = 1, **shared: Any) -> list[RunConfig]:
    """Returns runs in the order of their stack, with a budget of at least 50 updates; seeds are 1, 2, ..."""
    kwargs: dict[str, Any] = {"actions": 4} if algo == "dqn" else {"bounds": BOUNDS[action_size]}
    known = {"learning_starts": 64, "train_freq": 1, "net_arch": (64, 64), "batch_size": 32, "learning_rate": 1e-3}
    known |= shared
    phase = known["train_freq"] * known.get("n_envs", 1)
    phases = known["learning_starts"] // phase + math.ceil(UPDATES / known.get("gradient_steps", 1))
    known["total_timesteps"] = phases * phase
    configs = [
        RunConfig.build(env_id="Equivalence/Room-v0", env_kwargs=kwargs, algo=algo, seed=seed, **{**known, **run})
        for seed, run in enumerate(runs, start=1)
    ]
    return [configs[place] for place in order(configs)]


def room_of(config: RunConfig) -> Room:
    return Room(**config.env_kwargs)


def agents_of(configs: Sequence[RunConfig], dtype: torch.dtype) -> Dqn | Sac:
    kind: Any = Dqn if configs[0].algo == "dqn" else Sac
    agents: Dqn | Sac = kind(configs, OBSERVATION_SIZE, room_of(configs[0]).action_space, dtype=dtype)
    return agents


def replay_of(configs: Sequence[RunConfig], action_size: int, dtype: torch.dtype) -> StackedReplay:
    first, gammas = configs[0], [config.gamma for config in configs]
    sizes = (first.n_envs, Clock(first).positions, OBSERVATION_SIZE, action_size)
    return StackedReplay(len(configs), *sizes, gammas, n_steps=first.n_steps, dtype=dtype)


class Transitions(NamedTuple):
    """One vector step of R runs: (R, E, ...)."""

    observations: NDArray[np.float32]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    next_observations: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


def transitions_of(configs: Sequence[RunConfig]) -> Iterator[Transitions]:
    """Yields random vector steps; a run's are its own, whatever its company.

    Rewards are multiples of 1/64: with a discount like 31/32 the sums of n-step returns are exact in float32, in which
    Stable-Baselines3 makes them. A tenth of the transitions terminates, a tenth is truncated.
    """
    rngs = [np.random.default_rng(config.seed) for config in configs]
    envs, space = configs[0].n_envs, room_of(configs[0]).action_space

    def one(rng: np.random.Generator) -> Transitions:
        if isinstance(space, spaces.Discrete):
            actions: NDArray[Any] = rng.integers(int(space.n), size=(envs, 1))
        else:
            actions = rng.uniform(-1, 1, (envs, math.prod(space.shape))).astype(np.float32)
        before, after = rng.normal(size=(2, envs, OBSERVATION_SIZE)).astype(np.float32)
        how = rng.random(envs)
        return Transitions(before, actions, rng.integers(-256, 257, envs) / 64, after, how < 0.1, how > 0.9)

    while True:
        yield Transitions(*map(np.stack, zip(*map(one, rngs), strict=True)))


def store(step: Transitions, replay: StackedReplay, buffers: Sequence[tuple[int, Any]]) -> None:
    """Puts a vector step into a stack's replay and into Stable-Baselines3's buffers, each given with its run."""
    over = step.terminated | step.truncated
    replay.add(step.observations, step.actions, step.rewards, step.next_observations, step.terminated, over)
    for run, buffer in buffers:
        infos = [{"TimeLimit.truncated": bool(cut)} for cut in step.truncated[run]]
        parts = (step.observations, step.next_observations, step.actions, step.rewards, over)
        buffer.add(*(part[run] for part in parts), infos)


def samples_at(buffer: Any, slots: NDArray[np.int64]) -> Any:
    """Returns Stable-Baselines3's batch of the given slots, position · E + environment, of a run's ring."""
    positions, envs = np.divmod(slots, buffer.n_envs)
    with mock.patch("numpy.random.randint", return_value=envs):  # it would draw the environments
        return buffer._get_samples(positions)


class Draws(NamedTuple):
    """What one update of one run draws: slots of its ring (B,), and for SAC two arrays of noise, (B, A) each."""

    slots: NDArray[np.int64]
    noise: Sequence[torch.Tensor]


class Reference:
    """Stable-Baselines3's model of one run.

    Args:
        run: its place in the stack.
        config: of the run.
        weights: what it starts from.
        dtype: of all its arithmetic.
        shuffle: permutes the rows of every batch, or None.
    """

    def __init__(
        self,
        run: int,
        config: RunConfig,
        weights: dict[str, NDArray[Any]],
        dtype: torch.dtype,
        shuffle: np.random.Generator | None = None,
    ) -> None:
        self.run, self._config, self._dtype, self._shuffle = run, config, dtype, shuffle
        self.model: Any = build_model(config, "cpu")
        self._meter = Meter(self.model)
        if dtype == torch.float64:
            self.model.policy.double()
            self.model.replay_buffer.to_torch = lambda array, copy=True: torch.tensor(array, dtype=dtype)
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        if "log_ent_coef" in tensors:
            self.model.log_ent_coef.data = tensors.pop("log_ent_coef").clone()
        elif config.algo == "sac":
            self.model.ent_coef_tensor = torch.tensor(config.ent_coef, dtype=dtype)
        self.model.policy.load_state_dict(tensors)

    def after_step(self, step: int) -> None:
        """Does what follows a vector step in `collect_rollouts`."""
        self.model._update_current_progress_remaining(step * self._config.n_envs, self._config.total_timesteps)
        self.model._on_step()

    def train(self, draws: Sequence[Draws]) -> None:
        """Makes updates from the given draws."""
        own = [self._permuted(drawn) for drawn in draws]
        slots, noise = iter([drawn.slots for drawn in own]), iter([z for drawn in own for z in drawn.noise])
        buffer = self.model.replay_buffer
        buffer.sample = lambda batch_size, env: samples_at(buffer, next(slots))
        with _noise_from(noise), _observations_in(self._dtype):
            self.model.train(gradient_steps=len(draws), batch_size=self._config.batch_size)
        assert next(slots, None) is None
        assert next(noise, None) is None

    def take(self, tag: str) -> float | None:
        """Returns the mean of a measured quantity since it was last taken."""
        return self._meter.take(tag)

    def weights(self) -> dict[str, NDArray[Any]]:
        found = {name: tensor.numpy() for name, tensor in self.model.policy.state_dict().items()}
        if isinstance(self.model, SAC) and self.model.log_ent_coef is not None:
            found["log_ent_coef"] = self.model.log_ent_coef.detach().numpy()
        return found

    def _permuted(self, drawn: Draws) -> Draws:
        if self._shuffle is None:
            return drawn
        rows = self._shuffle.permutation(len(drawn.slots))
        return Draws(drawn.slots[rows], [noise[rows] for noise in drawn.noise])


@contextmanager
def _noise_from(noise: Iterator[torch.Tensor]) -> Iterator[None]:
    def taken(shape: Sequence[int], dtype: torch.dtype, device: Any) -> torch.Tensor:
        drawn = next(noise)
        assert (tuple(shape), dtype) == (tuple(drawn.shape), drawn.dtype)
        return drawn

    with mock.patch("torch.distributions.normal._standard_normal", taken):
        yield


def _observations_in(dtype: torch.dtype) -> Any:
    if dtype == torch.float32:
        return nullcontext()
    return mock.patch(
        "stable_baselines3.common.policies.preprocess_obs", lambda obs, space, normalize_images: obs.to(dtype)
    )


class Trained(NamedTuple):
    """A stack after its budget.

    Attributes:
        configs: in the stack's order.
        agents: the stack.
        references: Stable-Baselines3's models, run for run.
        shuffled: the same with the rows of their batches in other orders.
        measured: what the stack measured, (R,) by tag, after each phase of updates.
        expected: what the references measured.
    """

    configs: Sequence[RunConfig]
    agents: Dqn | Sac
    references: list[Reference]
    shuffled: list[Reference]
    measured: list[dict[str, NDArray[np.float64]]]
    expected: list[dict[str, NDArray[np.float64]]]


def train(
    configs: Sequence[RunConfig],
    dtype: torch.dtype,
    *,
    alongside: bool = False,
    shuffled: bool = False,
    prepare: Callable[[dict[str, NDArray[Any]]], None] = lambda weights: None,
) -> Trained:
    """Trains a stack through its budget on random transitions, in the order of Stable-Baselines3's `learn`.

    Args:
        configs: in the stack's order.
        dtype: of all arithmetic.
        alongside: whether Stable-Baselines3's models train with it.
        shuffled: whether they do so once more with the rows of their batches in another order.
        prepare: changes the initial weights of a run in place.
    """
    agents, clock, draws = agents_of(configs, dtype), Clock(configs[0]), ReplayDraws(configs)
    replay = replay_of(configs, agents.action_size, dtype)
    starts = [agents.weights(run) for run in range(len(configs))]
    for run, weights in enumerate(starts):
        prepare(weights)
        agents.load(run, weights)
    given = [(run, configs[run], starts[run], dtype) for run in range(len(configs)) if alongside]
    references = [Reference(*one) for one in given]
    permuted = [Reference(*one, np.random.default_rng(one[0])) for one in given if shuffled]
    everyone = references + permuted
    measured, expected = [], []
    feed = transitions_of(configs)
    for step in range(1, clock.vector_steps + 1):
        store(next(feed), replay, [(one.run, one.model.replay_buffer) for one in everyone])
        agents.after_step(step)
        for one in everyone:
            one.after_step(step)
        done = clock.updates_done(step)
        due = range(done - clock.updates_after(step), done)
        if not due:
            continue
        for update in due:
            agents.update(replay, draws.at(update).rows, update, clock.progress(step))
        measured.append(agents.sums.take())
        for one in everyone:
            one.train([_drawn(configs, agents, draws, update, one.run) for update in due])
        told = {tag: [one.take(tag) for one in references] for tag in measured[-1]}
        expected.append({tag: np.array(means) for tag, means in told.items() if means and None not in means})
    assert count_updates(configs[0]) >= UPDATES
    assert all(one.model._n_updates == count_updates(configs[0]) for one in everyone)
    return Trained(configs, agents, references, permuted, measured, expected)


def _drawn(configs: Sequence[RunConfig], agents: Dqn | Sac, draws: ReplayDraws, update: int, run: int) -> Draws:
    """Returns what the stack drew for an update of one run, without what only pads its batch."""
    size, ring = configs[run].batch_size, Clock(configs[0]).positions * configs[0].n_envs
    slots = draws.at(update).rows[run, :size].numpy() - run * ring
    streams = [agents._noise, agents._next_noise] if isinstance(agents, Sac) else []
    return Draws(slots, [stream.at(update)[run, :size] for stream in streams])


def distance(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Returns ‖found − expected‖ / ‖expected‖."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def joined(weights: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns all parameters of a run as one vector."""
    return np.concatenate([weights[name].ravel().astype(np.float64) for name in sorted(weights)])
