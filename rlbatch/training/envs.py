"""How does a run get its environments? Instances that end the run with evidence when they misbehave."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from rlbatch.config import RunConfig
from rlbatch.env_ids import USER_ERRORS
from rlbatch.environments import open_environment
from rlbatch.errors import InputError
from rlbatch.training.randomness import episode_seed, mix, stream_key

_TWIN_SEED = 0
_TWIN_STEPS = 200
_WEAR_EPISODES = 2
_WEAR_STEPS = 2100


class EnvironmentFailure(Exception):  # noqa: N818 - what it is, and the word that the outcome uses
    """An environment raised, or returned what it must not.

    Attributes:
        where: make, reset, step, observation or reward.
        nonfinite: whether the cause is a value that is not finite.
    """

    def __init__(self, where: str, what: str, *, nonfinite: bool = False) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.nonfinite = nonfinite


class GuardedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Passes everything through unchanged, and raises EnvironmentFailure for errors, wrong shapes, NaN and infinity.

    A MemoryError passes as what it is: the environment need not be what fills the memory.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; raises EnvironmentFailure."""
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except MemoryError:
            raise
        except USER_ERRORS as error:
            raise EnvironmentFailure("reset", repr(error)) from error
        _check_observation(self.env.observation_space, obs)
        return obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment; raises EnvironmentFailure."""
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        except MemoryError:
            raise
        except USER_ERRORS as error:
            raise EnvironmentFailure("step", f"{error!r} after action {action!r}") from error
        _check_observation(self.env.observation_space, obs)
        _check_reward(reward, action)
        return obs, reward, terminated, truncated, info


def make_env(config: RunConfig, *, checked: bool = False) -> GuardedEnv:
    """Returns a new guarded instance of the run's environment, with gymnasium's passive checker if `checked`.

    Raises:
        EnvironmentFailure: it cannot be made, though the first one could.
        RefusedError: its module was not named.
    """
    return GuardedEnv(open_for(config, checked=checked))


def open_for(config: RunConfig, *, checked: bool = False) -> gymnasium.Env[Any, Any]:
    """Returns a new instance as gymnasium makes it, with its passive checker if `checked`; raises as `make_env`."""
    try:
        return open_environment(config.env_id, config.env_kwargs, checked=checked)
    except InputError as error:
        raise EnvironmentFailure("make", str(error)) from error


def resets_exactly(config: RunConfig) -> bool:
    """Tells whether `reset(seed)` restores the environment: a used instance and a fresh one go the same way.

    Both are reset with one seed and take the same 200 random actions; the used one has gone through two episodes of
    another seed before (2,100 steps at most). Environments that keep state across resets fail this, and cannot be
    resumed or re-evaluated exactly by reuse. The seeds are fixed: the answer is the environment's, not the run's.
    """
    traces = []
    for wear in (True, False):
        env = make_env(config)
        try:
            if wear:
                _wander(env, "wear", _WEAR_STEPS, _WEAR_EPISODES)
            traces.append(_wander(env, "twin", _TWIN_STEPS))
        finally:
            env.close()
    return traces[0] == traces[1]


def random_action(space: spaces.Space[Any], key: int, counter: int) -> Any:
    """Returns a uniform action of a Discrete or bounded Box space, a pure function of key and counter."""
    if isinstance(space, spaces.Discrete):
        return np.int64((mix(key, counter) * int(space.n)) >> 64)
    box = cast("spaces.Box", space)  # environments.choose_algo admits no third kind
    size = int(np.prod(box.shape))
    unit = np.array([mix(key, counter * size + i) / 2**64 for i in range(size)]).reshape(box.shape)
    return (box.low + unit * (box.high - box.low)).astype(box.dtype)


def _wander(env: gymnasium.Env[Any, Any], purpose: str, steps: int, episodes: int | None = None) -> list[bytes]:
    """Takes random actions up to a number of steps or episodes, resetting with fixed seeds; returns what was seen."""
    key = stream_key(_TWIN_SEED, purpose)
    seen, episode, ended = [], 0, True
    for step in range(steps):
        if ended and episode == episodes:
            break
        if ended:
            obs, _ = env.reset(seed=episode_seed(_TWIN_SEED, purpose, episode))
            seen.append(_bytes(obs))
            episode += 1
        obs, reward, terminated, truncated, _ = env.step(random_action(env.action_space, key, step))
        ended = terminated or truncated
        seen.append(_bytes(obs) + np.float64(reward).tobytes() + bytes([terminated, truncated]))
    return seen


def _bytes(obs: Any) -> bytes:
    if isinstance(obs, dict):
        return b"".join(_bytes(obs[key]) for key in sorted(obs))
    return np.asarray(obs).tobytes()


def _check_reward(reward: Any, action: Any) -> None:
    try:
        finite = math.isfinite(float(reward))
    except (TypeError, ValueError) as error:
        raise EnvironmentFailure("reward", f"{reward!r} is not a number") from error
    if not finite:
        raise EnvironmentFailure("reward", f"{reward} after action {action!r}", nonfinite=True)


def _check_observation(space: spaces.Space[Any], obs: Any) -> None:
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            if not isinstance(obs, dict) or key not in obs:
                raise EnvironmentFailure("observation", f"lacks {key!r}")
            _check_observation(part, obs[key])
        return
    try:
        array = np.asarray(obs)
    except ValueError as error:
        raise EnvironmentFailure("observation", f"is not an array: {error}") from error
    if array.shape != (space.shape or ()):
        raise EnvironmentFailure("observation", f"has shape {array.shape}, its space says {space.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise EnvironmentFailure("observation", f"is not finite: {array.ravel()[:8]}", nonfinite=True)
