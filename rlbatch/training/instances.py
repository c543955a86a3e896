"""How are the environments of a stack stepped? One after the other, with nothing between them and the numbers.

What gymnasium wraps around an environment that only counts steps (TimeLimit, OrderEnforcing) is taken off and counted
here, which gives the same endings. Whatever an environment does wrong ends with itself: it is reported and not stepped
again. Only want of memory is not taken for an environment's doing: its neighbours may have what it lacks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.env_ids import USER_ERRORS
from rlbatch.environments import describe
from rlbatch.training.envs import EnvironmentFailure, open_for

Encode = Callable[[Any], Any]


class Arrays(NamedTuple):
    """What N instances are told and what they tell; see `Instances`."""

    next_seeds: NDArray[np.int64]
    observations: NDArray[np.float32]
    next_observations: NDArray[np.float32]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    def part(self, which: slice) -> Arrays:
        """Returns views of some instances' part."""
        return Arrays._make(array[which] for array in self)


class Instances:
    """N instances of a run's environment.

    Args:
        config: of any run of the stack: they share the environment.
        count: N.
        auto_reset: whether an instance whose episode ended starts the next one at once.
        arrays: where to read and write; new ones by default.

    Attributes:
        next_seeds: (N,) seeds of the next resets; the caller renews those that were used.
        observations: (N, O) float32, where the next action is due.
        next_observations: (N, O) float32, where the last transition led; the last of an episode, too.
        rewards: (N,).
        terminated: (N,) of the last transition.
        truncated: (N,) of the last transition, where it did not terminate.
        failures: what went wrong, by instance.
    """

    def __init__(self, config: RunConfig, count: int, *, auto_reset: bool, arrays: Arrays | None = None) -> None:
        space = describe(config.env_id, config.env_kwargs).observation_space
        size = spaces.flatdim(space)
        self._encode = encoder(space)
        self._shape = space.shape or () if self._encode is None else (size,)
        self._plain = self._shape if isinstance(space, spaces.Box) and len(self._shape) == 1 else None
        told = new_arrays(count, size) if arrays is None else arrays
        self.next_seeds, self.observations, self.next_observations = told[:3]
        self.rewards, self.terminated, self.truncated = told[3:]
        self.failures: dict[int, EnvironmentFailure] = {}
        self._auto_reset = auto_reset
        self._envs: list[gymnasium.Env[Any, Any] | None] = []
        self._steps: list[Callable[[Any], Any]] = []
        self._limits, self._elapsed = [0] * count, [0] * count
        for index in range(count):
            try:
                env, self._limits[index] = without_counters(open_for(config))
                self._envs.append(env)
                self._steps.append(env.step)
            except EnvironmentFailure as error:
                self.failures[index] = error
                self._envs.append(None)
                self._steps.append(_never)

    def reset(self, which: Sequence[int]) -> None:
        """Starts an episode in the given instances, with their next seeds; raises MemoryError."""
        for index in which:
            self._reset(index)
        self._check_finite(self.observations, which)

    def step(self, actions: Sequence[Any] | NDArray[Any], which: Sequence[int]) -> None:
        """Takes one step in the given instances; `actions` has one for each of the N. Raises MemoryError."""
        steps, limits, elapsed, next_observations = self._steps, self._limits, self._elapsed, self.next_observations
        self.terminated[...] = False
        self.truncated[...] = False
        ended = []
        for index in which:
            try:
                obs, reward, terminated, truncated, _ = steps[index](actions[index])
                ends, cut = bool(terminated), bool(truncated)
            except MemoryError:
                raise
            except USER_ERRORS as error:
                self._fail(index, EnvironmentFailure("step", f"{error!r} after action {actions[index]!r}"), error)
                continue
            if type(obs) is np.ndarray and obs.shape == self._plain and obs.dtype.kind == "f":
                next_observations[index] = obs
            elif not self._observe(next_observations, index, obs):
                continue
            if not self._pay(index, reward):
                continue
            elapsed[index] += 1
            if ends:
                self.terminated[index] = True
                ended.append(index)
            elif cut or elapsed[index] >= limits[index] > 0:
                self.truncated[index] = True
                ended.append(index)
        self._check_finite(next_observations, which)
        self._check_rewards(actions, which)
        self.observations[...] = next_observations
        if self._auto_reset and ended:
            self.reset([index for index in ended if index not in self.failures])

    def close(self) -> None:
        """Closes the instances; a broken one may not close."""
        for env in self._envs:
            if env is not None:
                with contextlib.suppress(Exception):
                    env.close()

    def _reset(self, index: int) -> None:
        try:
            obs, _ = self._envs[index].reset(seed=int(self.next_seeds[index]))  # type: ignore[union-attr]
        except MemoryError:
            raise
        except USER_ERRORS as error:
            self._fail(index, EnvironmentFailure("reset", repr(error)), error)
            return
        self._elapsed[index] = 0
        self._observe(self.observations, index, obs)

    def _observe(self, observations: NDArray[np.float32], index: int, obs: Any) -> bool:
        """Writes an observation into its row; False if it is none."""
        try:
            array = np.asarray(obs) if self._encode is None else self._encode(obs)
            if array.shape != self._shape:
                self._fail(index, EnvironmentFailure("observation", _misshapen(array.shape, self._shape)), None)
                return False
            observations[index] = array if array.ndim == 1 else array.ravel()
        except Exception as error:  # noqa: BLE001 - what an observation does when read is the environment's
            self._fail(index, EnvironmentFailure("observation", f"is not an array: {error}"), error)
            return False
        return True

    def _pay(self, index: int, reward: Any) -> bool:
        """Writes a reward; False if it is not a number."""
        try:
            self.rewards[index] = float(reward)
        except Exception as error:  # noqa: BLE001 - likewise
            self._fail(index, EnvironmentFailure("reward", f"{reward!r} is not a number"), error)
            return False
        return True

    def _check_finite(self, observations: NDArray[np.float32], which: Sequence[int]) -> None:
        if np.isfinite(observations).all():
            return
        for index in which:
            if index not in self.failures and not np.isfinite(observations[index]).all():
                what = f"is not finite: {observations[index][:8]}"
                self._fail(index, EnvironmentFailure("observation", what, nonfinite=True), None)
                observations[index] = 0.0

    def _check_rewards(self, actions: Sequence[Any] | NDArray[Any], which: Sequence[int]) -> None:
        if np.isfinite(self.rewards).all():
            return
        for index in which:
            if index not in self.failures and not np.isfinite(self.rewards[index]):
                what = f"{self.rewards[index]} after action {actions[index]!r}"
                self._fail(index, EnvironmentFailure("reward", what, nonfinite=True), None)
                self.rewards[index] = 0.0

    def _fail(self, index: int, failure: EnvironmentFailure, cause: BaseException | None) -> None:
        failure.__cause__ = cause
        self.failures.setdefault(index, failure)


def new_arrays(count: int, size: int) -> Arrays:
    """Returns arrays for N instances with observations of `size` numbers."""
    return Arrays(
        next_seeds=np.zeros(count, np.int64),
        observations=np.zeros((count, size), np.float32),
        next_observations=np.zeros((count, size), np.float32),
        rewards=np.zeros(count),
        terminated=np.zeros(count, np.bool_),
        truncated=np.zeros(count, np.bool_),
    )


def _never(_: Any) -> Any:
    raise RuntimeError("there is no such instance")


def without_counters(env: gymnasium.Env[Any, Any]) -> tuple[gymnasium.Env[Any, Any], int]:
    """Returns the environment without gymnasium's outermost step counters, and its step limit (0: none)."""
    limit = 0
    while type(env) in (TimeLimit, OrderEnforcing):
        if isinstance(env, TimeLimit):
            own = env._max_episode_steps
            limit = own if limit == 0 else min(limit, own)
        env = env.env  # type: ignore[attr-defined]
    return env, limit


def encoder(space: spaces.Space[Any]) -> Encode | None:
    """Returns what turns an observation into a vector; None for Box, whose numbers are the vector.

    Discrete and MultiDiscrete observations become one-hot vectors, as in Stable-Baselines3.
    """
    if isinstance(space, spaces.Box):
        return None
    return lambda obs: spaces.flatten(space, obs)


def _misshapen(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return f"has shape {found}, its space says {expected}"
